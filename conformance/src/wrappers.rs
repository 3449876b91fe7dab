//! Wrappers of a store, to show that any store can be wrapped (LAYER-1 to LAYER-4).

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, Expire, GetAndDelete,
    Increment, ItemLimit, ItemParts, Layer, ListPage, RawPage, Read, ReadMany, Resolver, Result, SetOutcome, Slots,
    Store, Touch, Write, WriteMany, WriteParts, forward_backend,
};

/// A wrapper as one would write it who has not read the manual: it forwards what it must, and the capabilities as they
/// are.
#[derive(Debug)]
pub struct Naive;

impl fmt::Display for Naive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("naive")
    }
}

impl Layer for Naive {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(NaiveBackend(inner))
    }
}

#[derive(Debug)]
struct NaiveBackend(Arc<dyn Backend>);

#[async_trait]
impl Backend for NaiveBackend {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    fn scope(&self) -> &str {
        self.0.scope()
    }

    fn clock(&self) -> &dyn Clock {
        self.0.clock()
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.0.read(read).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.0.write(write).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.0.delete(delete).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

/// Puts nothing before a backend, and keeps it, to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Behind(OnceLock<Arc<dyn Backend>>);

impl Behind {
    /// The backend behind a handle.
    pub(crate) fn of(store: &Store) -> Option<Arc<dyn Backend>> {
        let behind = Self::default();
        drop(store.layer(&behind));
        behind.0.into_inner()
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("behind")
    }
}

impl Layer for Behind {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::clone(self.0.get_or_init(|| inner))
    }
}

/// Forwards everything and changes nothing.
#[derive(Debug)]
pub struct Transparent;

impl fmt::Display for Transparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("transparent")
    }
}

impl Layer for Transparent {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(TransparentBackend(inner))
    }
}

#[derive(Debug)]
struct TransparentBackend(Arc<dyn Backend>);

#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for TransparentBackend {
    forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: []);

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }
}

/// Puts a prefix before every key: a wrapper that changes every request.
#[derive(Clone, Debug)]
pub struct Renamed {
    base: String,
    prefix: &'static str,
}

impl Renamed {
    /// Keys of `inner` are `prefix` and the key of the caller.
    #[must_use]
    pub const fn new(prefix: &'static str) -> Self {
        Self { base: String::new(), prefix }
    }

    /// Of a key that begins with `base`, as all keys of a handle with that prefix do, `prefix` comes after it.
    #[must_use]
    pub fn below(base: &str, prefix: &'static str) -> Self {
        Self { base: base.to_owned(), prefix }
    }

    fn key(&self, key: &str) -> String {
        let (base, rest) = key.strip_prefix(&*self.base).map_or(("", key), |rest| (&*self.base, rest));
        [base, self.prefix, rest].concat()
    }

    /// The key of the caller, where the wrapper has one for it.
    fn shown(&self, key: &str) -> Option<String> {
        let rest = key.strip_prefix(&*self.base)?.strip_prefix(self.prefix)?;
        Some([&*self.base, rest].concat())
    }
}

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "renamed({:?})", self.prefix)
    }
}

impl Layer for Renamed {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let prefix = self.prefix;
        let mut capabilities = inner.capabilities().clone();
        capabilities.key_bytes_min = capabilities.key_bytes_min.saturating_sub(prefix.len()).max(1);
        capabilities.key_bytes_max = capabilities.key_bytes_max.saturating_sub(prefix.len());
        capabilities.forbidden_keys =
            capabilities.forbidden_keys.iter().filter_map(|key| self.shown(key).map(Into::into)).collect();
        let measured = |limit: &ItemLimit| {
            let (limit, renamed) = (limit.clone(), self.clone());
            ItemLimit::measured_by(limit.name.clone(), limit.max, move |item| {
                let key = renamed.key(item.key);
                limit.measure(ItemParts::new(&key, item.value, item.metadata, item.expires))
            })
        };
        capabilities.item_limits = capabilities.item_limits.iter().map(measured).collect();
        let scope = format!("{}\0{prefix}", inner.scope());
        Arc::new(RenamedBackend { inner, renamed: self.clone(), capabilities, scope })
    }
}

#[derive(Debug)]
struct RenamedBackend {
    inner: Arc<dyn Backend>,
    renamed: Renamed,
    capabilities: Capabilities,
    scope: String,
}

impl RenamedBackend {
    fn key(&self, key: &str) -> String {
        self.renamed.key(key)
    }

    fn renamed<'a>(&self, write: Write<'a>) -> WriteParts<'a> {
        let mut parts = write.into_parts();
        parts.key = self.key(&parts.key).into();
        parts
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for RenamedBackend {
    forward_backend!(self => self.inner;
        forward: [clock, ping, close],
        implement: [scope, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        let mut parts = read.clone().into_parts();
        parts.key = self.key(&parts.key).into();
        match parts.resolve(&*self.inner) {
            Ok(read) => self.inner.read_now(&read),
            Err(error) => Some(Err(error)),
        }
    }

    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        match self.renamed(write.clone()).resolve(&*self.inner) {
            Ok(write) => self.inner.write_now(&write),
            Err(error) => Some(Err(error)),
        }
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let mut parts = read.into_parts();
        parts.key = self.key(&parts.key).into();
        self.inner.read(parts.resolve(&*self.inner)?).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.inner.write(self.renamed(write).resolve(&*self.inner)?).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let mut parts = delete.into_parts();
        parts.key = self.key(&parts.key).into();
        self.inner.delete(parts.resolve(&*self.inner)?).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let keys = reads.keys().iter().map(|key| self.key(key).into());
        match Resolver::new(self.inner.capabilities()).read_many(keys, reads.fields())? {
            // The keys were different and are so still, so that the slots are in order.
            Some((reads, _)) => self.inner.read_many(reads).await,
            None => Ok(Vec::new()),
        }
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let items = writes.into_writes().into_iter().map(|write| Ok(self.renamed(write)));
        let (writes, slots) = WriteParts::resolve_many(items, &*self.inner);
        slots.outcomes(match writes {
            Some(writes) => self.inner.write_many(writes).await,
            None => Vec::new(),
        })
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let keys = deletes.keys().iter().map(|key| self.key(key).into());
        let (deletes, slots) = Resolver::new(self.inner.capabilities()).delete_many(keys);
        Slots::from(slots).outcomes(match deletes {
            Some(deletes) => self.inner.delete_many(deletes).await,
            None => Vec::new(),
        })
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let items = writes.into_writes().into_iter().map(|write| Ok(self.renamed(write)));
        let writes = WriteParts::resolve_all_or_nothing(items, &*self.inner)?;
        self.inner.write_all_or_nothing(writes).await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let mut parts = page.into_parts();
        parts.prefix = self.key(&parts.prefix).into();
        let mut page = self.inner.list(parts.resolve(&*self.inner)?).await?;
        for item in &mut page.items {
            // The handle has checked nothing yet: what does not begin with the prefix is for it to refuse.
            if let Some(key) = self.renamed.shown(&item.key) {
                item.key = key;
            }
        }
        // A key that is just the prefix has no name here (NS-2).
        page.items.retain(|item| item.key != self.renamed.base);
        Ok(page)
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let mut parts = increment.into_parts();
        parts.key = self.key(&parts.key).into();
        self.inner.increment(parts.resolve(&*self.inner)?).await
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let mut parts = expire.into_parts();
        parts.key = self.key(&parts.key).into();
        self.inner.expire(parts.resolve(&*self.inner)?).await
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let mut parts = touch.into_parts();
        parts.key = self.key(&parts.key).into();
        self.inner.touch(parts.resolve(&*self.inner)?).await
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let mut parts = get_and_delete.into_parts();
        parts.key = self.key(&parts.key).into();
        self.inner.get_and_delete(parts.resolve(&*self.inner)?).await
    }
}
