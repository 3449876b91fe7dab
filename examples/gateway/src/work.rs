//! Work that takes a while, beside the threads that serve.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::fault::Fault;

/// How many bytes are dealt with on the spot: in far less than a millisecond.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// Threads for such work, as many at once as there are processors.
#[derive(Debug)]
pub(crate) struct Workers(Arc<Semaphore>);

impl Default for Workers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get))))
    }
}

impl Workers {
    /// Does what goes through so many bytes. What has begun goes on to its end, also where nobody waits for it any
    /// more, and counts so long.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        if bytes <= AT_ONCE_BYTES {
            return work();
        }
        // The semaphore is never closed.
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Fault::internal())?;
        let done = spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.unwrap_or_else(|error| {
            // Not its message, which may quote a value.
            error!(is_panic = error.is_panic(), "work ended by a mistake of this program");
            Err(Fault::internal())
        })
    }
}
