//! The store: reads, writes, deletes, changes of an expiry, and the trait on top of them.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Condition, Delete, DeleteMany, DeleteOutcome, Entry, Error, Expire,
    Expiry, Fields, GetAndDelete, Increment, ListPage, Method, Methods, RawPage, Read, ReadMany, Result, SetOutcome,
    SetStatus, Touch, Value, ValueKind, Version, Write, WriteMany, async_trait,
};

use crate::block::Block;
use crate::call_time::CallTime;
use crate::capabilities::CAPABILITIES;
use crate::capacity::Capacity;
use crate::config::MemoryConfig;
use crate::key_index::KeyIndex;
use crate::shards::Shards;

/// A store in the memory of this process. A clone is another handle to the same entries; they go when the last handle
/// does.
///
/// The methods whose names end in `_sync` are the whole of it; the [`Backend`] trait merely calls them. They wait for
/// nothing but short locks.
#[derive(Clone)]
pub struct MemoryStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shards: Shards,
    pub(crate) index: KeyIndex,
    pub(crate) capacity: Capacity,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether an entry was ever given an expiry: until then no write looks for expired ones elsewhere.
    pub(crate) expiring: AtomicBool,
    /// Distinguishes the versions and cursors of this store from those of all others.
    pub(crate) origin: u64,
    scope: String,
}

impl MemoryStore {
    /// An empty store without bounds, on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(MemoryConfig::new())
    }

    /// An empty store with these settings.
    #[must_use]
    pub fn with_config(config: MemoryConfig) -> Self {
        let MemoryConfig { clock, entries_max, bytes_max } = config;
        // The keys of the standard library's hasher are random, and that is all that is wanted of it.
        let origin = RandomState::new().hash_one(0);
        Self {
            inner: Arc::new(Inner {
                shards: Shards::new(),
                index: KeyIndex::default(),
                capacity: Capacity::new(entries_max, bytes_max),
                clock,
                expiring: AtomicBool::new(false),
                origin,
                scope: format!("{origin:016x}"),
            }),
        }
    }

    /// Reads one entry; `None` when there is no live one (GET-1).
    ///
    /// ```
    /// use kv_api::{Fields, Resolver, SetItem, SystemClock, Value};
    /// use kv_memory::{MemoryStore, CAPABILITIES};
    /// let (store, resolver) = (MemoryStore::new(), Resolver::new(&CAPABILITIES));
    /// store.write_sync(&resolver.write(SetItem::new("key", "value"), &SystemClock)?)?;
    /// let entry = store.read_sync(&resolver.read("key", Fields::Value)?);
    /// assert_eq!(entry.map(kv_api::Entry::into_value), Some(Value::from("value")));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    #[must_use]
    pub fn read_sync(&self, read: &Read<'_>) -> Option<Entry> {
        self.get(read.key(), read.fields())
    }

    #[inline]
    fn get(&self, key: &str, fields: Fields) -> Option<Entry> {
        let inner = &*self.inner;
        let hash = inner.shards.hash(key);
        let shard = inner.shards.read(hash);
        let block = shard.get(hash, key.as_bytes())?;
        if block.is_expired(&CallTime::new(&*inner.clock)) {
            drop(shard);
            self.remove_expired(hash, key);
            return None;
        }
        Some(self.shown(block, fields))
    }

    /// What a caller gets of a block.
    #[inline]
    fn shown(&self, block: &Block, fields: Fields) -> Entry {
        match fields {
            Fields::Existence => Entry::new(Value::from_stored(ValueKind::Bytes, Bytes::new())),
            Fields::Value => Entry::new(block.value()),
            _ => block.entry(self.inner.origin),
        }
    }

    /// Writes one entry: value, expiry and metadata together (SET-1), deciding the condition and writing at one moment
    /// (SET-6).
    ///
    /// # Errors
    /// [`Exhausted`](kv_api::ErrorKind::Exhausted) with [`Reason::StoreFull`](kv_api::Reason::StoreFull) when a bound
    /// would be passed, after everything that has expired was removed; nothing is written then.
    pub fn write_sync(&self, write: &Write<'_>) -> Result<SetOutcome> {
        let inner = &*self.inner;
        let key = write.key();
        let hash = inner.shards.hash(key);
        self.making_room(|| {
            let block = Block::of(write)?;
            let mut shard = inner.shards.write(hash);
            let time = CallTime::new(&*inner.clock);
            // First, so that what else depends on the time need not ask the clock again.
            let expires_at = self.deadline(&time, write.expiry());
            let slot = shard.find(hash, key.as_bytes());
            let live = shard.live_at(slot, &time);
            if !holds(write.condition(), live, inner.origin)? {
                return Ok(SetOutcome::new(SetStatus::NotMet));
            }
            let status = if live.is_some() { SetStatus::Updated } else { SetStatus::Created };
            inner.capacity.replace(shard.size_at(slot), block.size())?;
            let mut index = inner.index.writer();
            let (number, old) = shard.put(slot, hash, key, block, expires_at, &mut index);
            self.finish_write(shard, index, &time, 1);
            drop(old);
            Ok(SetOutcome::new(status).with_version(Version::numbered(inner.origin, number)))
        })
    }

    /// The absolute form of an expiry in milliseconds. Remembers that there is one.
    pub(crate) fn deadline(&self, time: &CallTime<'_>, expiry: Expiry) -> Option<i64> {
        let at = time.deadline_millis(expiry)?;
        // Asked first: a line that is only read can stay in every core's cache.
        if !self.inner.expiring.load(Ordering::Relaxed) {
            self.inner.expiring.store(true, Ordering::Relaxed);
        }
        Some(at)
    }

    /// Deletes one entry (DEL-1), if it has the version asked for (DEL-2).
    #[must_use]
    pub fn delete_sync(&self, delete: &Delete<'_>) -> DeleteOutcome {
        self.remove(delete.key(), delete.if_version())
    }

    fn remove(&self, key: &str, if_version: Option<&Version>) -> DeleteOutcome {
        let inner = &*self.inner;
        let hash = inner.shards.hash(key);
        let mut shard = inner.shards.write(hash);
        let time = CallTime::new(&*inner.clock);
        let slot = shard.find(hash, key.as_bytes());
        let live = shard.live_at(slot, &time);
        let outcome = match (live, if_version) {
            (Some(block), Some(version)) if !is_version(block, version, inner.origin) => return DeleteOutcome::NotMet,
            (Some(_), _) => DeleteOutcome::Deleted,
            (None, Some(_)) => DeleteOutcome::NotMet,
            (None, None) => DeleteOutcome::NotFound,
        };
        let mut index = inner.index.writer();
        // An expired entry goes as well: no caller can see the difference.
        let removed = slot.and_then(|slot| shard.remove(slot, key, &mut index));
        if let Some(block) = &removed {
            inner.capacity.release(block.size());
        }
        self.finish_write(shard, index, &time, 0);
        drop(removed);
        outcome
    }

    /// Reads one entry and deletes it at one moment; `None` when there is no live one (GET-4).
    #[must_use]
    pub fn get_and_delete_sync(&self, get_and_delete: &GetAndDelete<'_>) -> Option<Entry> {
        let inner = &*self.inner;
        let key = get_and_delete.key();
        let hash = inner.shards.hash(key);
        let mut shard = inner.shards.write(hash);
        let time = CallTime::new(&*inner.clock);
        let slot = shard.find(hash, key.as_bytes())?;
        let live = shard.live_at(Some(slot), &time);
        let found = live.map(|block| self.shown(block, get_and_delete.fields()));
        let mut index = inner.index.writer();
        // As in `remove`, an expired entry goes as well.
        let removed = shard.remove(slot, key, &mut index);
        if let Some(block) = &removed {
            inner.capacity.release(block.size());
        }
        self.finish_write(shard, index, &time, 0);
        drop(removed);
        found
    }

    /// Changes only the expiry of a live entry, if it has the version asked for; `false` without one (EXP-9, EXP-11).
    #[must_use]
    pub fn expire_sync(&self, expire: &Expire<'_>) -> bool {
        self.set_expiry(expire.key(), expire.expiry(), expire.if_version(), |_| ()).is_some()
    }

    /// Reads one entry and gives it a new expiry at one moment; `None` when there is no live one (EXP-12).
    #[must_use]
    pub fn touch_sync(&self, touch: &Touch<'_>) -> Option<Entry> {
        self.set_expiry(touch.key(), touch.expiry(), None, |block| self.shown(block, touch.fields()))
    }

    /// Changes the expiry of a live entry, and answers what `look` sees of it after that.
    fn set_expiry<T>(
        &self,
        key: &str,
        expiry: Expiry,
        if_version: Option<&Version>,
        look: impl FnOnce(&Block) -> T,
    ) -> Option<T> {
        let inner = &*self.inner;
        let hash = inner.shards.hash(key);
        let mut shard = inner.shards.write(hash);
        let time = CallTime::new(&*inner.clock);
        let slot = shard.find(hash, key.as_bytes())?;
        let live = shard.live_at(Some(slot), &time)?;
        if if_version.is_some_and(|version| !is_version(live, version, inner.origin)) {
            return None;
        }
        let mut index = inner.index.writer();
        let expires_at = self.deadline(&time, expiry);
        shard.set_expiry(slot, key, expires_at, &mut index);
        let seen = shard.at(slot).map(look);
        self.finish_write(shard, index, &time, 1);
        seen
    }
}

/// Whether a set with this condition is carried out over `live` (SET-2, SET-4, VER-2).
///
/// # Errors
/// `Internal` for a condition this crate was built without knowing.
pub(crate) fn holds(condition: &Condition, live: Option<&Block>, origin: u64) -> Result<bool> {
    match condition {
        Condition::Always => Ok(true),
        Condition::IfNotExists => Ok(live.is_none()),
        Condition::IfExists => Ok(live.is_some()),
        Condition::IfVersion(version) => Ok(live.is_some_and(|block| is_version(block, version, origin))),
        _ => Err(Error::not_implemented("this condition")),
    }
}

fn is_version(block: &Block, version: &Version, origin: u64) -> bool {
    version.number_from(origin) == Some(block.number())
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Which store it is, and nothing that is in it.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("scope", &self.inner.scope).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn methods(&self) -> Methods {
        Methods::NONE
            .with(Method::ReadMany)
            .with(Method::WriteMany)
            .with(Method::WriteAllOrNothing)
            .with(Method::List)
            .with(Method::Increment)
            .with(Method::Expire)
            .with(Method::Touch)
            .with(Method::GetAndDelete)
    }

    /// Random: each store is one of its own, and a cursor of another is refused (LIST-3).
    fn scope(&self) -> &str {
        &self.inner.scope
    }

    fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        Some(Ok(self.read_sync(read)))
    }

    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        Some(self.write_sync(write))
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        Ok(self.read_sync(&read))
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.write_sync(&write)
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        Ok(self.delete_sync(&delete))
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        Ok(reads.keys().iter().map(|key| self.get(key, reads.fields())).collect())
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        writes.writes().iter().map(|write| self.write_sync(write)).collect()
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        deletes.keys().iter().map(|key| Ok(self.remove(key, None))).collect()
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        self.write_all_or_nothing_sync(&writes)
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.list_sync(&page)
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        self.increment_sync(&increment)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        Ok(self.expire_sync(&expire))
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        Ok(self.touch_sync(&touch))
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        Ok(self.get_and_delete_sync(&get_and_delete))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
