//! A backend that behaves as another system would: for tests that fail where production would.

mod backend;
mod stale;

use std::fmt;
use std::sync::Arc;

use kv_api::{Backend, Capabilities, Layer};

use backend::LikeBackend;

/// Makes a backend, mostly the memory store, behave like a system with other capabilities. It refuses and hides what
/// that system does not offer, as [`Store::restricted_to`](kv_api::Store::restricted_to) does; what that system can do
/// only with a race window is done with one; and with [`with_stale_reads`](Self::with_stale_reads) reads are old for a
/// while after a write.
///
/// [The README](crate#like) says what is imitated and what is not.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, ErrorKind, Value};
/// use kv_layers::Like;
/// use kv_memory::MemoryStore;
/// let like = Like::new(kv_cloudflare::CAPABILITIES.clone()).with_stale_reads(1);
/// assert_eq!(like.to_string(), "like(cloudflare, 1 stale read)");
/// let store = kv_api::Store::from_arc(MemoryStore::default().layer(&like));
///
/// store.set("k", "v").await?;
/// assert_eq!(store.get("k").await?, None); // not seen yet, as it may be on Workers KV
/// assert_eq!(store.get("k").await?, Some(Value::from("v")));
/// assert_eq!(store.increment("n", 1).await.unwrap_err().kind(), ErrorKind::Unsupported);
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Like {
    capabilities: Capabilities,
    stale_reads: u32,
}

impl Like {
    /// The most keys whose old values are remembered at once. A write of one key more makes the one written first seen.
    pub const STALE_KEYS_MAX: usize = 1024;

    /// Like a system with these capabilities, with reads that are never old.
    #[must_use]
    pub const fn new(capabilities: Capabilities) -> Self {
        Self { capabilities, stale_reads: 0 }
    }

    /// How many reads of a key after a change of it still see what was there before; 0 by default. Each `get`,
    /// `get_entry`, `exists` and each key of `get_many` counts as one, and so does the look of a condition that is only
    /// best effort. Lists are not old.
    #[must_use]
    pub const fn with_stale_reads(mut self, reads: u32) -> Self {
        self.stale_reads = reads;
        self
    }
}

impl Layer for Like {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(LikeBackend::new(inner, &self.capabilities, self.stale_reads))
    }
}

impl fmt::Display for Like {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "like({}", self.capabilities.system)?;
        match self.stale_reads {
            0 => {}
            1 => f.write_str(", 1 stale read")?,
            reads => write!(f, ", {reads} stale reads")?,
        }
        f.write_str(")")
    }
}
