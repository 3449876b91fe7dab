//! Refuses everything that writes.

use std::fmt;
use std::sync::Arc;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Expire,
    GetAndDelete, Increment, Layer, Reason, Result, SetOutcome, Support, Touch, Write, WriteMany, async_trait,
    forward_backend,
};

/// A layer that refuses every call that writes, before anything is sent: `Misconfigured` with
/// [`Reason::ReadOnly`], as a store that was opened for reading only. The capabilities report no condition
/// `IfNotExists` or `IfExists`, no expiry to be set, no `expire`, `touch` or `get_and_delete`, no counters and no
/// all-or-nothing batches; what needs one of these is `Unsupported`.
///
/// It hands through clock, scope, versions and list positions.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, Feature, Reason};
/// use kv_layers::ReadOnly;
/// let memory = kv_memory::MemoryStore::default();
/// memory.clone().into_store().set("k", "v").await?;
/// let store = memory.layer(&ReadOnly).into_store();
/// assert!(store.exists("k").await?);
/// let error = store.delete("k").await.unwrap_err();
/// assert_eq!(error.reason(), Some(&Reason::ReadOnly));
/// assert!(!store.capabilities().supports(Feature::Counters));
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

impl Layer for ReadOnly {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let mut capabilities = inner.capabilities().clone();
        capabilities.if_not_exists = Support::None;
        capabilities.if_exists = Support::None;
        capabilities.ttl = Support::None;
        capabilities.expire_at = Support::None;
        capabilities.expire = Support::None;
        capabilities.touch = Support::None;
        capabilities.get_and_delete = Support::None;
        capabilities.counters = Support::None;
        capabilities.all_or_nothing = Support::None;
        Arc::new(ReadOnlyBackend { inner, capabilities })
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read_only")
    }
}

struct ReadOnlyBackend {
    inner: Arc<dyn Backend>,
    capabilities: Capabilities,
}

impl fmt::Debug for ReadOnlyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnly").field(&self.inner).finish()
    }
}

fn refused<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Misconfigured, "a layer lets only reads through").with_reason(Reason::ReadOnly))
}

fn all_refused<T>(items: usize) -> Vec<Result<T>> {
    (0..items).map(|_| refused()).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for ReadOnlyBackend {
    forward_backend!(self => self.inner;
        forward: [scope, clock, read_now, read, read_many, list, ping, close],
        implement: [write_now, write, write_many, delete, delete_many, write_all_or_nothing, increment, expire, touch,
            get_and_delete]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        Some(refused())
    }

    async fn write(&self, _: Write<'_>) -> Result<SetOutcome> {
        refused()
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        all_refused(writes.writes().len())
    }

    async fn delete(&self, _: Delete<'_>) -> Result<DeleteOutcome> {
        refused()
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        all_refused(deletes.keys().len())
    }

    async fn write_all_or_nothing(&self, _: WriteMany<'_>) -> Result<BatchOutcome> {
        refused()
    }

    async fn increment(&self, _: Increment<'_>) -> Result<i64> {
        refused()
    }

    async fn expire(&self, _: Expire<'_>) -> Result<bool> {
        refused()
    }

    async fn touch(&self, _: Touch<'_>) -> Result<Option<Entry>> {
        refused()
    }

    async fn get_and_delete(&self, _: GetAndDelete<'_>) -> Result<Option<Entry>> {
        refused()
    }
}
