//! The runtime of a blocking store, and how a thread waits.

use std::future::Future;
use std::sync::Arc;

use kv_api::{Error, ErrorKind, Result, Retry};
use tokio::runtime::Builder;
use tokio::task::coop::unconstrained;

/// A tokio runtime with one thread, on which run the tasks, the timers and the I/O of the store. The calls themselves
/// run on the threads that wait for them.
#[derive(Debug)]
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    pub(super) fn start() -> Result<Arc<Self>> {
        let started = Builder::new_multi_thread().worker_threads(1).thread_name("kv-blocking").enable_all().build();
        let runtime = started.map_err(|error| {
            Error::new(ErrorKind::Exhausted, "no runtime could be started").with_retry(Retry::Safe).with_source(error)
        })?;
        Ok(Arc::new(Self(Some(runtime))))
    }

    /// Runs a future to its end on this thread. This is not tokio's own way to do it, which panics on a thread that
    /// already drives a runtime: in an async program, and in a closure that another call has called.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        let _context = self.0.as_ref().map(tokio::runtime::Runtime::enter);
        // Inside a task of another runtime, tokio would have the future give way once it has used up the task's budget,
        // and nobody renews that while the thread waits here.
        pollster::block_on(unconstrained(future))
    }
}

/// The runtime ends without a wait, so that the last handle can be dropped anywhere: where a wait is not allowed, tokio
/// panics. No acknowledged write is lost (LIFE-2).
impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
