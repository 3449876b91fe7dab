//! What each call does with the two stores.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures_util::future::join;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, Expire, Expiry,
    Fields, GetAndDelete, Increment, KeyLocks, ListPage, Metadata, MinTtl, RawPage, Read, ReadMany, Resolver, Result,
    Retry, SetItem, SetOutcome, Store, Support, Touch, Value, ValueKind, Write, WriteMany, async_trait,
};

use super::compared::{Verdict, compare};
use super::{MirrorEventKind, SecondaryFailure, Settings};
use crate::shown::Shown;

pub(super) struct MirroredBackend {
    primary: Arc<dyn Backend>,
    secondary: Store,
    capabilities: Capabilities,
    settings: Settings,
    /// Two writes to one key come to both stores in one order, and no comparison comes between the two halves of a
    /// write.
    keys: KeyLocks,
}

impl MirroredBackend {
    pub(super) fn new(primary: Arc<dyn Backend>, secondary: Arc<dyn Backend>, settings: Settings) -> Self {
        // An expiry that the primary can give and the secondary not becomes the least that it can.
        let secondary = Store::from_arc(secondary).with_min_ttl(MinTtl::RoundUp);
        let capabilities = capabilities(&Capabilities::offered_by(&*primary), secondary.capabilities());
        Self { primary, secondary, capabilities, settings, keys: KeyLocks::default() }
    }

    fn shown(&self) -> Shown<'_> {
        Shown { inner: &*self.primary, capabilities: &self.capabilities }
    }

    /// What becomes of a call that the primary has carried out, by what the secondary made of it.
    fn settle<T>(&self, key: &str, outcome: T, secondary: Result<()>) -> Result<T> {
        match secondary {
            Ok(()) => {
                self.settings.count(|counters| &counters.written);
                Ok(outcome)
            }
            Err(error) => {
                self.settings.count(|counters| &counters.write_failed);
                self.settings.report(MirrorEventKind::WriteFailed, Some(key), Some(&error));
                match self.settings.on_failure {
                    SecondaryFailure::Ignore => Ok(outcome),
                    // The call has changed something, so that it may be sent again is not certain.
                    SecondaryFailure::Fail if error.retry() == Retry::Safe => {
                        Err(error.with_retry(Retry::OutcomeUnknown))
                    }
                    SecondaryFailure::Fail => Err(error),
                }
            }
        }
    }

    /// Writes to the secondary what the primary has now, for a call that does not say it itself.
    async fn copy(&self, key: &str) -> Result<()> {
        let read = Resolver::new(self.primary.capabilities()).read(key, Fields::All)?;
        let Some(entry) = self.primary.read(read).await? else { return self.secondary.delete(key).await.map(drop) };
        let expiry = match entry.expiry() {
            EntryExpiry::At(at) => {
                let left = at.saturating_since(self.primary.clock().now());
                if left.is_zero() {
                    return self.secondary.delete(key).await.map(drop);
                }
                let takes_times = self.secondary.capabilities().expire_at != Support::None;
                if takes_times { Expiry::At(at) } else { Expiry::After(left) }
            }
            _ => Expiry::Never,
        };
        let metadata = entry.metadata().cloned();
        self.put(key, entry.into_value(), metadata, expiry).await
    }

    /// Writes an entry to the secondary.
    async fn put(&self, key: &str, value: Value, metadata: Option<Metadata>, expiry: Expiry) -> Result<()> {
        let mut set = self.secondary.set(key, value);
        if let Some(metadata) = metadata {
            set = set.metadata(metadata);
        }
        let set = match expiry {
            Expiry::After(ttl) => set.ttl(ttl),
            Expiry::At(at) => set.expire_at(at),
            _ => set,
        };
        set.await.map(drop)
    }

    fn found(&self, key: &str, fields: Fields, primary: Option<&Entry>, secondary: Option<&Entry>) {
        let kind = match compare(primary, secondary, fields) {
            Verdict::Equal => return self.settings.count(|counters| &counters.equal),
            Verdict::Different => {
                self.settings.count(|counters| &counters.different);
                MirrorEventKind::Different
            }
            Verdict::Missing => {
                self.settings.count(|counters| &counters.missing);
                MirrorEventKind::Missing
            }
            Verdict::Unexpected => {
                self.settings.count(|counters| &counters.unexpected);
                MirrorEventKind::Unexpected
            }
        };
        self.settings.report(kind, Some(key), None);
    }

    fn could_not_read(&self, key: &str, error: &Error) {
        self.settings.count(|counters| &counters.failed);
        self.settings.report(MirrorEventKind::ReadFailed, Some(key), Some(error));
    }

    /// The secondary's side of a comparison, as far as this store reports it.
    async fn read_secondary(&self, keys: Vec<Cow<'_, str>>, fields: Fields) -> Result<Vec<Option<Entry>>> {
        let entries = match (fields, &*keys) {
            (Fields::Existence, [key]) => {
                vec![self.secondary.exists(&**key).await?.then(|| Entry::new("".into()))]
            }
            (Fields::All, _) => self.secondary.get_entry_many(keys).await?,
            _ => {
                let values = self.secondary.get_many(keys).await?;
                values.into_iter().map(|value| value.map(Entry::new)).collect()
            }
        };
        Ok(entries.into_iter().map(|entry| self.shown().entry(entry)).collect())
    }
}

/// A write for the secondary: the same without its condition, which the primary has decided.
fn unconditional(write: &Write<'_>) -> SetItem<'static> {
    let item = SetItem::new(write.key().to_owned(), write.value().clone());
    let item = match write.metadata() {
        Some(metadata) => item.metadata(metadata.clone()),
        None => item,
    };
    match write.expiry() {
        Expiry::After(ttl) => item.ttl(ttl),
        Expiry::At(at) => item.expire_at(at),
        _ => item,
    }
}

/// What is written must fit both; what is decided or read is the primary's.
fn capabilities(primary: &Capabilities, secondary: &Capabilities) -> Capabilities {
    // What is not named here is the weaker, so that a capability of a later version is not claimed.
    let mut both = primary.restricted_to(secondary);
    // An entry whose end is not known cannot be copied.
    let copies_expiry = primary.expiry_read && (secondary.ttl != Support::None || secondary.expire_at != Support::None);
    let copies_counters = both.value_kinds.contains(ValueKind::Json);
    both.if_not_exists = primary.if_not_exists;
    both.if_exists = primary.if_exists;
    both.if_version = primary.if_version;
    both.reports_set_outcome = primary.reports_set_outcome;
    both.reports_delete_outcome = primary.reports_delete_outcome;
    both.reports_delete_many_outcome = primary.reports_delete_many_outcome;
    both.expiry_clock = primary.expiry_clock;
    both.expiry_read = primary.expiry_read;
    let if_copied = |support| if copies_expiry { support } else { Support::None };
    both.expire = if_copied(primary.expire);
    both.expire_if_version = if_copied(primary.expire_if_version);
    both.touch = if_copied(primary.touch);
    both.get_and_delete = primary.get_and_delete;
    both.list = primary.list;
    both.list_order = primary.list_order;
    both.list_metadata = primary.list_metadata && both.metadata != Support::None;
    both.list_expiry = primary.list_expiry;
    both.list_value_bytes = primary.list_value_bytes;
    both.list_page_max = primary.list_page_max;
    both.counters = if copies_counters { primary.counters } else { Support::None };
    both.counter_min = primary.counter_min;
    both.counter_max = primary.counter_max;
    both.counter_range_atomic = primary.counter_range_atomic;
    both.counter_expiry = primary.counter_expiry && copies_expiry;
    both.counter_ttl = if_copied(primary.counter_ttl);
    both.all_or_nothing = primary.all_or_nothing;
    both.entry_snapshot = primary.entry_snapshot;
    both.consistency = primary.consistency;
    both
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for MirroredBackend {
    kv_api::forward_backend!(self => self.primary;
        forward: [scope, clock],
        implement: [read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        // A comparison waits, and whether there is one is decided once.
        if self.settings.compared > 0.0 { None } else { self.shown().read_now(read) }
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        if !self.settings.samples() {
            return self.shown().read(read).await;
        }
        let (key, fields) = (read.key().to_owned(), read.fields());
        let _turn = self.keys.shared([&*key]).await;
        let entry = self.shown().read(read).await?;
        match self.read_secondary(vec![Cow::Borrowed(&key)], fields).await {
            Ok(other) => self.found(&key, fields, entry.as_ref(), other.first().and_then(Option::as_ref)),
            Err(error) => self.could_not_read(&key, &error),
        }
        Ok(entry)
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let key = write.key().to_owned();
        let (value, metadata, expiry) = (write.value().clone(), write.metadata().cloned(), write.expiry());
        let _turn = self.keys.exclusive([&*key]).await;
        let outcome = self.shown().write(write).await?;
        if !outcome.is_written() {
            return Ok(outcome);
        }
        let secondary = self.put(&key, value, metadata, expiry).await;
        self.settle(&key, outcome, secondary)
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let key = delete.key().to_owned();
        let _turn = self.keys.exclusive([&*key]).await;
        let outcome = self.shown().delete(delete).await?;
        if outcome == DeleteOutcome::NotMet {
            return Ok(outcome);
        }
        let secondary = self.secondary.delete(&*key).await.map(drop);
        self.settle(&key, outcome, secondary)
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        if !self.settings.samples() {
            return self.shown().read_many(reads).await;
        }
        let (keys, fields) = (reads.keys().to_vec(), reads.fields());
        let _turn = self.keys.shared(keys.iter().map(|key| &**key)).await;
        let entries = self.shown().read_many(reads).await?;
        match self.read_secondary(keys.clone(), fields).await {
            Ok(others) => {
                for ((key, entry), other) in keys.iter().zip(&entries).zip(&others) {
                    self.found(key, fields, entry.as_ref(), other.as_ref());
                }
            }
            Err(error) => keys.iter().for_each(|key| self.could_not_read(key, &error)),
        }
        Ok(entries)
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let items: Vec<SetItem<'_>> = writes.writes().iter().map(unconditional).collect();
        let keys: Vec<String> = items.iter().map(|item| item.key().to_owned()).collect();
        let _turn = self.keys.exclusive(keys.iter().map(String::as_str)).await;
        let mut outcomes = self.shown().write_many(writes).await;
        let is_written = |outcome: &Result<SetOutcome>| outcome.as_ref().is_ok_and(SetOutcome::is_written);
        let written: Vec<usize> = (0..outcomes.len().min(keys.len())).filter(|at| is_written(&outcomes[*at])).collect();
        let mut items: Vec<Option<SetItem<'_>>> = items.into_iter().map(Some).collect();
        let copies: Vec<SetItem<'_>> = written.iter().filter_map(|at| items[*at].take()).collect();
        for (at, secondary) in written.into_iter().zip(self.secondary.set_many(copies).await) {
            if let Ok(outcome) = outcomes[at].clone() {
                outcomes[at] = self.settle(&keys[at], outcome, secondary.map(drop));
            }
        }
        outcomes
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let keys: Vec<String> = deletes.keys().iter().map(|key| key.clone().into_owned()).collect();
        let _turn = self.keys.exclusive(keys.iter().map(String::as_str)).await;
        let mut outcomes = self.primary.delete_many(deletes).await;
        let gone: Vec<usize> = (0..outcomes.len().min(keys.len())).filter(|at| outcomes[*at].is_ok()).collect();
        let results = self.secondary.delete_many(gone.iter().map(|at| keys[*at].as_str())).await;
        for (at, secondary) in gone.into_iter().zip(results) {
            if let Ok(outcome) = outcomes[at].clone() {
                outcomes[at] = self.settle(&keys[at], outcome, secondary.map(drop));
            }
        }
        outcomes
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let items: Vec<SetItem<'_>> = writes.writes().iter().map(unconditional).collect();
        let keys: Vec<String> = items.iter().map(|item| item.key().to_owned()).collect();
        let _turn = self.keys.exclusive(keys.iter().map(String::as_str)).await;
        let outcome = self.shown().write_all_or_nothing(writes).await?;
        if !outcome.is_written() {
            return Ok(outcome);
        }
        let results = self.secondary.set_many(items).await;
        let settled = keys.iter().zip(results).map(|(key, secondary)| self.settle(key, (), secondary.map(drop)));
        // All are settled, and so counted, before the first failure is returned.
        let settled: Vec<Result<()>> = settled.collect();
        settled.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(outcome)
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.shown().list(page).await
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let key = increment.key().to_owned();
        let _turn = self.keys.exclusive([&*key]).await;
        let sum = self.primary.increment(increment).await?;
        let secondary = self.copy(&key).await;
        self.settle(&key, sum, secondary)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let key = expire.key().to_owned();
        let _turn = self.keys.exclusive([&*key]).await;
        let is_there = self.primary.expire(expire).await?;
        if !is_there {
            return Ok(false);
        }
        let secondary = self.copy(&key).await;
        self.settle(&key, true, secondary)
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let key = touch.key().to_owned();
        let _turn = self.keys.exclusive([&*key]).await;
        let entry = self.shown().touch(touch).await?;
        if entry.is_none() {
            return Ok(None);
        }
        let secondary = self.copy(&key).await;
        self.settle(&key, entry, secondary)
    }

    async fn get_and_delete(&self, request: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let key = request.key().to_owned();
        let _turn = self.keys.exclusive([&*key]).await;
        let entry = self.shown().get_and_delete(request).await?;
        if entry.is_none() {
            return Ok(None);
        }
        let secondary = self.secondary.delete(&*key).await.map(drop);
        self.settle(&key, entry, secondary)
    }

    async fn ping(&self) -> Result<()> {
        let (primary, secondary) = join(self.primary.ping(), self.secondary.ping()).await;
        if let Err(error) = &secondary {
            self.settings.report(MirrorEventKind::ReadFailed, None, Some(error));
        }
        match self.settings.on_failure {
            SecondaryFailure::Ignore => primary,
            SecondaryFailure::Fail => primary.and(secondary),
        }
    }

    async fn close(&self) -> Result<()> {
        let (primary, secondary) = join(self.primary.close(), self.secondary.close()).await;
        primary.and(secondary)
    }
}

impl fmt::Debug for MirroredBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mirrored").field(&self.primary).field(&self.secondary).finish()
    }
}
