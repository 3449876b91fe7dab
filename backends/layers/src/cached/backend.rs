//! The backend: what is asked of the one inside, and what is kept of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Consistency, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error,
    ErrorKind, Expire, Expiry, ExpiryClock, Fields, GetAndDelete, Increment, Metadata, Read, ReadMany, Resolver,
    Result, SetOutcome, Support, Timestamp, Touch, Value, Write, WriteMany, async_trait, forward_backend,
};
use moka::sync::Cache;

use super::kept::{Answer, End, Found, Kept, Lifetimes, earlier, later, reduced};
use super::turns::{Loads, Turns};
use super::{Bound, Cached};

/// What an entry is counted with beside key, value and metadata.
const ENTRY_BYTES: usize = 256;

/// A backend that keeps what it has read and written.
pub(crate) struct CachedBackend {
    capabilities: Capabilities,
    /// Shared with the loads under way, which belong to no single call.
    core: Arc<Core>,
}

struct Core {
    inner: Arc<dyn Backend>,
    turns: Arc<Turns>,
    lifetimes: Lifetimes,
    expiries: Expiries,
    has_versions: bool,
    reads_expiry: bool,
}

/// What is known of when entries end.
#[derive(Clone, Copy, Debug)]
enum Expiries {
    /// The system has none.
    None,
    /// A read says it, and the clock of this store decides.
    Exact,
    /// The system does not say it, or decides by a clock of its own, and can then be said to end up to `margin` too
    /// late. What may have ended is kept if that was asked for.
    Uncertain { is_kept: bool, margin: Duration },
}

impl CachedBackend {
    pub(crate) fn new(layer: &Cached, inner: Arc<dyn Backend>) -> Self {
        let mut capabilities = Capabilities::offered_by(&*inner);
        capabilities.consistency = weakened(capabilities.consistency, layer.lifetimes.longest());
        let expires = capabilities.ttl != Support::None || capabilities.expire_at != Support::None;
        let is_exact = capabilities.expiry_read && capabilities.expiry_clock == ExpiryClock::Store;
        let expiries = match (expires, is_exact) {
            (false, _) => Expiries::None,
            (true, true) => Expiries::Exact,
            (true, false) => Expiries::Uncertain {
                is_kept: layer.cache_uncertain_expiry,
                margin: capabilities.expiry_resolution.saturating_mul(2),
            },
        };
        let core = Core {
            turns: Arc::new(Turns::new(cache(layer.bound))),
            lifetimes: layer.lifetimes,
            expiries,
            has_versions: capabilities.if_version != Support::None,
            reads_expiry: capabilities.expiry_read,
            inner,
        };
        Self { capabilities, core: Arc::new(core) }
    }

    /// The answer to a read of one key that is not kept, or no longer fresh.
    async fn load(&self, key: &str, fields: Fields, stale: Option<Option<Entry>>) -> Result<Option<Entry>> {
        if let Some(stale) = &stale
            && self.core.turns.is_loading(key)
        {
            return Ok(stale.clone());
        }
        let asked = self.core.fields_to_load(fields);
        let load = self.core.turns.join(key, asked, |loads| {
            let (core, key) = (Arc::clone(&self.core), key.to_owned());
            async move { core.load(&key, asked, loads).await }.boxed()
        });
        match (load.await, stale) {
            (Err(error), Some(stale)) if is_passing(&error) => Ok(stale),
            (found, _) => Ok(found?.map(|entry| reduced(&entry, fields))),
        }
    }
}

/// A cache of this bound. The times of what is in it are looked at by the clock of the backend, not by the cache's own.
fn cache(bound: Bound) -> Cache<String, Arc<Kept>> {
    match bound {
        Bound::Entries(entries) => Cache::new(entries),
        Bound::Bytes(bytes) => Cache::builder()
            .max_capacity(bytes)
            .weigher(|key: &String, kept: &Arc<Kept>| {
                u32::try_from(ENTRY_BYTES + key.len() + kept.bytes()).unwrap_or(u32::MAX)
            })
            .build(),
    }
}

/// What was kept for so long can be as old as what the backend inside answers, and so much older.
fn weakened(inner: Consistency, by: Duration) -> Consistency {
    let usually_within = match inner {
        Consistency::Strong => Some(by),
        Consistency::Eventual { usually_within } => usually_within.and_then(|within| within.checked_add(by)),
        _ => None,
    };
    Consistency::Eventual { usually_within }
}

/// Whether another answer may come when the backend is asked later.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RateLimited)
}

impl Core {
    fn now(&self) -> Timestamp {
        self.inner.clock().now()
    }

    /// Of an entry whose expiry can be read all parts are asked for, or it could not be kept.
    const fn fields_to_load(&self, fields: Fields) -> Fields {
        match (fields, self.expiries) {
            (Fields::Value, Expiries::Exact | Expiries::Uncertain { .. }) if self.reads_expiry => Fields::All,
            _ => fields,
        }
    }

    async fn load(&self, key: &str, fields: Fields, loads: Loads) -> Result<Option<Entry>> {
        let asked_at = self.now();
        // Another load may have ended since this read has looked, and before this load began.
        if let Some(Answer::Fresh(found)) = self.turns.kept(key).and_then(|kept| kept.answer(fields, asked_at)) {
            return Ok(found);
        }
        let read = Resolver::new(self.inner.capabilities()).read(key, fields)?;
        let found = match self.inner.read_now(&read) {
            Some(found) => found?,
            None => self.inner.read(read).await?,
        };
        let kept = match &found {
            Some(entry) => self.keep_read(entry, fields, asked_at),
            None => self.lifetimes.keep(Found::Nothing, End::Never, asked_at),
        };
        if let Some(kept) = kept {
            loads.keep(0, kept);
        }
        Ok(found)
    }

    /// What to keep of an entry that was read.
    fn keep_read(&self, entry: &Entry, fields: Fields, asked_at: Timestamp) -> Option<Kept> {
        if fields == Fields::Existence {
            return None;
        }
        let end = match (self.expiries, entry.expiry()) {
            (Expiries::None, _) | (_, EntryExpiry::Never) => End::Never,
            (Expiries::Exact, EntryExpiry::At(at)) => End::At(at),
            (Expiries::Uncertain { is_kept: true, margin }, EntryExpiry::At(at)) => End::At(earlier(at, margin)),
            (Expiries::Uncertain { is_kept: true, .. }, _) => End::Never,
            _ => return None,
        };
        let found = Found::Entry { entry: entry.clone(), is_complete: fields == Fields::All };
        self.lifetimes.keep(found, end, asked_at)
    }

    /// What to keep of an entry that was written.
    fn keep_written(&self, written: Written, outcome: &SetOutcome, asked_at: Timestamp) -> Option<Kept> {
        if !outcome.is_written() {
            return None;
        }
        let (end, expiry) = match written.expiry {
            Expiry::Never => (End::Never, Some(EntryExpiry::Never)),
            Expiry::At(at) => match self.expiries {
                Expiries::Uncertain { is_kept: false, .. } => return None,
                _ => (End::At(at), Some(EntryExpiry::At(at))),
            },
            // It began to count later than this, and so ends later.
            Expiry::After(ttl) => (End::At(later(asked_at, ttl)), None),
            _ => return None,
        };
        let expiry = if self.reads_expiry { expiry } else { Some(EntryExpiry::Unknown) };
        let is_complete = expiry.is_some() && (!self.has_versions || outcome.version().is_some());
        let entry = match expiry {
            Some(expiry) if is_complete => {
                Entry::with_details(written.value, written.metadata, expiry, outcome.version().cloned())
            }
            _ => Entry::new(written.value),
        };
        self.lifetimes.keep(Found::Entry { entry, is_complete }, end, asked_at)
    }

    fn keep_gone(&self, is_gone: bool, asked_at: Timestamp) -> Option<Kept> {
        if is_gone { self.lifetimes.keep(Found::Nothing, End::Never, asked_at) } else { None }
    }
}

/// What is remembered of a write while the backend inside has it.
struct Written {
    value: Value,
    metadata: Option<Metadata>,
    expiry: Expiry,
}

impl Written {
    fn of(write: &Write<'_>) -> Self {
        Self { value: write.value().clone(), metadata: write.metadata().cloned(), expiry: write.expiry() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for CachedBackend {
    forward_backend!(self => self.core.inner;
        forward: [scope, clock, list, ping],
        implement: [read_now, write_now, read, read_many, write, write_many, delete, delete_many, write_all_or_nothing,
            increment, expire, touch, get_and_delete, close]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        let (key, fields) = (read.key(), read.fields());
        match self.core.turns.kept(key)?.answer(fields, self.core.now())? {
            Answer::Fresh(found) => Some(Ok(found)),
            Answer::Stale(found) => self.core.turns.is_loading(key).then_some(Ok(found)),
        }
    }

    /// Never: a write waits for the backend inside.
    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let (key, fields) = (read.key(), read.fields());
        match self.core.turns.kept(key).and_then(|kept| kept.answer(fields, self.core.now())) {
            Some(Answer::Fresh(found)) => Ok(found),
            Some(Answer::Stale(found)) => self.load(key, fields, Some(found)).await,
            None => self.load(key, fields, None).await,
        }
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let (core, fields, asked_at) = (&self.core, reads.fields(), self.core.now());
        let mut found: Vec<Option<Entry>> = Vec::with_capacity(reads.keys().len());
        let (mut missing, mut has_stale) = (Vec::new(), true);
        for (at, key) in reads.keys().iter().enumerate() {
            let kept = core.turns.kept(key).and_then(|kept| kept.answer_of_many(fields, asked_at));
            found.push(match kept {
                Some(Answer::Fresh(found)) => found,
                Some(Answer::Stale(found)) => {
                    missing.push(at);
                    found
                }
                None => {
                    missing.push(at);
                    has_stale = false;
                    None
                }
            });
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let asked = core.fields_to_load(fields);
        let missing_found = if asked == Fields::Existence { Found::Nothing } else { Found::NoValue };
        let keys = missing.iter().map(|at| &*reads.keys()[*at]);
        let loads = core.turns.begin_loads(keys.clone());
        let request = Resolver::new(core.inner.capabilities()).read_many(keys.map(Cow::Borrowed), asked)?;
        let Some((request, _)) = request else { return Ok(found) };
        let loaded = match core.inner.read_many(request).await {
            Err(error) if has_stale && is_passing(&error) => return Ok(found),
            loaded => loaded?,
        };
        if loaded.len() != missing.len() {
            return Err(Error::wrong_count(missing.len(), loaded.len()));
        }
        for (place, (at, entry)) in missing.into_iter().zip(loaded).enumerate() {
            let kept = match &entry {
                Some(entry) => core.keep_read(entry, asked, asked_at),
                None => core.lifetimes.keep(missing_found.clone(), End::Never, asked_at),
            };
            if let Some(kept) = kept {
                loads.keep(place, kept);
            }
            found[at] = entry.map(|entry| reduced(&entry, fields));
        }
        Ok(found)
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let writes = self.core.turns.begin_writes([write.key()]);
        let (asked_at, written) = (self.core.now(), Written::of(&write));
        let outcome = self.core.inner.write(write).await;
        writes.end([outcome.as_ref().ok().and_then(|outcome| self.core.keep_written(written, outcome, asked_at))]);
        outcome
    }

    async fn write_many(&self, items: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let writes = self.core.turns.begin_writes(items.writes().iter().map(Write::key));
        let asked_at = self.core.now();
        let written: Vec<Written> = items.writes().iter().map(Written::of).collect();
        let outcomes = self.core.inner.write_many(items).await;
        if outcomes.len() == written.len() {
            let left = written.into_iter().zip(&outcomes).map(|(written, outcome)| {
                outcome.as_ref().ok().and_then(|outcome| self.core.keep_written(written, outcome, asked_at))
            });
            writes.end(left);
        }
        outcomes
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let writes = self.core.turns.begin_writes([delete.key()]);
        let asked_at = self.core.now();
        let outcome = self.core.inner.delete(delete).await;
        let is_gone = matches!(outcome, Ok(outcome) if outcome != DeleteOutcome::NotMet);
        writes.end([self.core.keep_gone(is_gone, asked_at)]);
        outcome
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let writes = self.core.turns.begin_writes(deletes.keys().iter().map(|key| &**key));
        let (asked_at, asked) = (self.core.now(), deletes.keys().len());
        let outcomes = self.core.inner.delete_many(deletes).await;
        if outcomes.len() == asked {
            writes.end(outcomes.iter().map(|outcome| self.core.keep_gone(outcome.is_ok(), asked_at)));
        }
        outcomes
    }

    async fn write_all_or_nothing(&self, items: WriteMany<'_>) -> Result<BatchOutcome> {
        let writes = self.core.turns.begin_writes(items.writes().iter().map(Write::key));
        let asked_at = self.core.now();
        let written: Vec<Written> = items.writes().iter().map(Written::of).collect();
        let outcome = self.core.inner.write_all_or_nothing(items).await;
        if let Ok(BatchOutcome::Written(outcomes)) = &outcome
            && outcomes.len() == written.len()
        {
            let left = written.into_iter().zip(outcomes);
            writes.end(left.map(|(written, outcome)| self.core.keep_written(written, outcome, asked_at)));
        }
        outcome
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let _writes = self.core.turns.begin_writes([increment.key()]);
        self.core.inner.increment(increment).await
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let _writes = self.core.turns.begin_writes([expire.key()]);
        self.core.inner.expire(expire).await
    }

    /// Always asks, since it changes the entry.
    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let _writes = self.core.turns.begin_writes([touch.key()]);
        self.core.inner.touch(touch).await
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let writes = self.core.turns.begin_writes([get_and_delete.key()]);
        let asked_at = self.core.now();
        let taken = self.core.inner.get_and_delete(get_and_delete).await;
        writes.end([self.core.keep_gone(taken.is_ok(), asked_at)]);
        taken
    }

    async fn close(&self) -> Result<()> {
        self.core.turns.forget_all();
        self.core.inner.close().await
    }
}

/// The backend inside, and nothing that is kept.
impl fmt::Debug for CachedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.core.inner).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::Store;
    use kv_memory::MemoryStore;

    #[tokio::test]
    async fn a_read_that_looked_before_another_load_ended_asks_nothing() {
        let inner = Arc::new(MemoryStore::default());
        let backend = CachedBackend::new(&Cached::new(), Arc::<MemoryStore>::clone(&inner));
        let past_the_cache = Store::from_arc(inner);
        past_the_cache.set("k", "old").await.unwrap();
        let load = async || backend.load("k", Fields::Value, None).await.unwrap().map(|entry| entry.value().clone());
        assert_eq!(load().await, Some(Value::from("old")));
        past_the_cache.set("k", "new").await.unwrap();
        assert_eq!(load().await, Some(Value::from("old")), "what was kept meanwhile answers");
        backend.core.turns.forget_all();
        assert_eq!(load().await, Some(Value::from("new")));
    }
}
