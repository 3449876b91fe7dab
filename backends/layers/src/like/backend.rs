//! The calls of an imitated system.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::stream::{self, StreamExt};
use kv_api::{
    Backend, BatchOutcome, Capabilities, Condition, Consistency, Delete, DeleteMany, DeleteOutcome, Entry, Error,
    ErrorKind, Expire, Feature, Fields, GetAndDelete, Increment, KeyLocks, ListPage, RawPage, Read, ReadMany, Resolver,
    Result, SetOutcome, SetStatus, Support, Touch, Version, Write, WriteMany, WriteParts, async_trait,
};

use super::Like;
use super::stale::Stale;
use crate::batch::joined;
use crate::shown::Shown;

/// How many conditional items of a batch are under way at once.
const WINDOW: usize = 16;

pub(super) struct LikeBackend {
    inner: Arc<dyn Backend>,
    capabilities: Capabilities,
    /// The features with a race window that the backend inside does not have.
    raced: Vec<Feature>,
    /// A store never races with itself (SET-6).
    keys: KeyLocks,
    stale: Option<Stale>,
}

impl LikeBackend {
    pub(super) fn new(inner: Arc<dyn Backend>, other: &Capabilities, stale_reads: u32) -> Self {
        let own = Capabilities::offered_by(&*inner);
        let mut capabilities = own.restricted_to(other);
        // Time is not imitated (LAYER-3).
        capabilities.expiry_clock = own.expiry_clock;
        let stale = (stale_reads > 0).then(|| Stale::new(stale_reads, Like::STALE_KEYS_MAX));
        if stale.is_some() && capabilities.consistency == Consistency::Strong {
            capabilities.consistency = Consistency::Eventual { usually_within: None };
        }
        let raced = [
            Feature::IfNotExists,
            Feature::IfExists,
            Feature::IfVersion,
            Feature::Expire,
            Feature::ExpireIfVersion,
            Feature::Touch,
            Feature::GetAndDelete,
        ]
        .into_iter();
        let is_raced = |feature: &Feature| {
            capabilities.support(*feature) == Support::BestEffort && own.support(*feature).is_full()
        };
        let raced = raced.filter(is_raced).collect();
        Self { inner, capabilities, raced, keys: KeyLocks::default(), stale }
    }

    fn shown(&self) -> Shown<'_> {
        Shown { inner: &*self.inner, capabilities: &self.capabilities }
    }

    fn is_raced(&self, feature: Feature) -> bool {
        self.raced.contains(&feature)
    }

    fn has_raced_condition(&self, write: &Write<'_>) -> bool {
        match write.condition() {
            Condition::Always => false,
            Condition::IfNotExists => self.is_raced(Feature::IfNotExists),
            Condition::IfExists => self.is_raced(Feature::IfExists),
            Condition::IfVersion(_) => self.is_raced(Feature::IfVersion),
            _ => false,
        }
    }

    /// What a read of the key sees instead of what is there, if anything.
    fn stale_of(&self, key: &str) -> Option<Option<Entry>> {
        let seen = self.stale.as_ref()?.read(key, self.inner.clock().now())?;
        Some(self.shown().entry(seen))
    }

    /// What a condition with a race window looks at, as a read would see it, and then the window.
    async fn look(&self, key: &str) -> Result<Option<Entry>> {
        let found = match self.stale_of(key) {
            Some(old) => old,
            None => self.shown().read(self.read_of(key, Fields::All)?).await?,
        };
        yield_once().await;
        Ok(found)
    }

    fn read_of<'k>(&self, key: &'k str, fields: Fields) -> Result<Read<'k>> {
        Resolver::new(self.inner.capabilities()).read(key, fields)
    }

    /// What is there before a change, for reads that are to see it; nothing where none is.
    async fn before<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Before {
        let Some(_) = self.stale else { return Before::default() };
        let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        let resolved = Resolver::new(self.inner.capabilities())
            .read_many(keys.iter().map(|key| Cow::Borrowed(&**key)), Fields::All);
        let entries = match resolved {
            Ok(Some((reads, _))) => self.inner.read_many(reads).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        Before(keys.into_iter().zip(entries).collect())
    }

    /// After a change of the key at this position.
    fn changed(&self, before: &mut Before, at: usize) {
        if let (Some(stale), Some((key, entry))) = (&self.stale, before.0.get_mut(at)) {
            stale.changed(key, entry.take());
        }
    }

    async fn write_raced(&self, write: Write<'_>) -> Result<SetOutcome> {
        let key = write.key().to_owned();
        let _turn = self.keys.exclusive([&*key]).await;
        let found = self.look(&key).await?;
        let met = match write.condition() {
            Condition::IfNotExists => found.is_none().then_some(SetStatus::Created),
            Condition::IfExists => found.is_some().then_some(SetStatus::Updated),
            Condition::IfVersion(version) => has_version(found.as_ref(), version).then_some(SetStatus::Updated),
            _ => return Err(Error::new(ErrorKind::Internal, "a condition that has no race window")),
        };
        let Some(status) = met else { return Ok(SetOutcome::new(SetStatus::NotMet)) };
        let mut parts = write.into_parts();
        parts.condition = Condition::Always;
        let mut before = self.before([&*key]).await;
        let written = self.inner.write(parts.resolve(&*self.inner)?).await?;
        self.changed(&mut before, 0);
        let outcome = SetOutcome::new(status);
        let outcome = match written.version() {
            Some(version) => outcome.with_version(version.clone()),
            None => outcome,
        };
        Ok(self.capabilities.show_outcome(outcome, false))
    }

    /// A batch without conditions that have a race window.
    async fn write_together(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let keys: Vec<String> = writes.writes().iter().map(|write| write.key().to_owned()).collect();
        let _turn = self.keys.shared(keys.iter().map(String::as_str)).await;
        let mut before = self.before(keys.iter().map(String::as_str)).await;
        let outcomes = self.shown().write_many(writes).await;
        for (at, outcome) in outcomes.iter().enumerate() {
            if outcome.as_ref().is_ok_and(SetOutcome::is_written) {
                self.changed(&mut before, at);
            }
        }
        outcomes
    }
}

/// Keys, and what was there before a call changed them. Empty where no read is to see it.
#[derive(Default)]
struct Before(Vec<(String, Option<Entry>)>);

fn has_version(entry: Option<&Entry>, version: &Version) -> bool {
    entry.and_then(Entry::version) == Some(version)
}

/// Lets everybody else go on once: the window in which another process can come between.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for LikeBackend {
    kv_api::forward_backend!(self => self.inner;
        forward: [scope, clock, ping, close],
        implement: [read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        // An old entry is counted by the call that waits.
        if self.stale.is_some() { None } else { self.shown().read_now(read) }
    }

    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        if self.stale.is_some() || !self.raced.is_empty() { None } else { self.shown().write_now(write) }
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        match self.stale_of(read.key()) {
            Some(old) => Ok(old),
            None => self.shown().read(read).await,
        }
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        if self.has_raced_condition(&write) {
            return self.write_raced(write).await;
        }
        let key = write.key().to_owned();
        let _turn = self.keys.shared([&*key]).await;
        let mut before = self.before([&*key]).await;
        let outcome = self.shown().write(write).await?;
        if outcome.is_written() {
            self.changed(&mut before, 0);
        }
        Ok(outcome)
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let key = delete.key().to_owned();
        if let Some(version) = delete.if_version().filter(|_| self.is_raced(Feature::IfVersion)).cloned() {
            let _turn = self.keys.exclusive([&*key]).await;
            if !has_version(self.look(&key).await?.as_ref(), &version) {
                return Ok(DeleteOutcome::NotMet);
            }
            let mut parts = delete.into_parts();
            parts.if_version = None;
            let mut before = self.before([&*key]).await;
            self.inner.delete(parts.resolve(&*self.inner)?).await?;
            self.changed(&mut before, 0);
            return Ok(DeleteOutcome::Deleted);
        }
        let _turn = self.keys.shared([&*key]).await;
        let mut before = self.before([&*key]).await;
        let outcome = self.shown().delete(delete).await?;
        if outcome != DeleteOutcome::NotMet {
            self.changed(&mut before, 0);
        }
        Ok(outcome)
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let fields = reads.fields();
        let mut entries: Vec<Option<Option<Entry>>> = reads.keys().iter().map(|key| self.stale_of(key)).collect();
        if entries.iter().all(Option::is_none) {
            return self.shown().read_many(reads).await;
        }
        let fresh = reads.into_keys().into_iter().zip(&entries).filter(|(_, old)| old.is_none()).map(|(key, _)| key);
        let read = match Resolver::new(self.inner.capabilities()).read_many(fresh, fields)? {
            Some((reads, _)) => self.shown().read_many(reads).await?,
            None => Vec::new(),
        };
        let mut read = read.into_iter();
        for entry in entries.iter_mut().filter(|entry| entry.is_none()) {
            *entry = read.next();
        }
        let missing = || Error::new(ErrorKind::Internal, "the backend inside answered fewer reads than asked");
        entries.into_iter().map(|entry| entry.ok_or_else(missing)).collect()
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        if !writes.writes().iter().any(|write| self.has_raced_condition(write)) {
            return self.write_together(writes).await;
        }
        let count = writes.writes().len();
        let (raced, plain): (Vec<_>, Vec<_>) =
            writes.into_writes().into_iter().enumerate().partition(|(_, write)| self.has_raced_condition(write));
        let (plain_at, plain): (Vec<usize>, Vec<Write<'_>>) = plain.into_iter().unzip();
        let (batch, slots) =
            WriteParts::resolve_many(plain.into_iter().map(|write| Ok(write.into_parts())), &*self.inner);
        let outcomes = match batch {
            Some(batch) => self.write_together(batch).await,
            None => Vec::new(),
        };
        let plain = plain_at.into_iter().zip(slots.outcomes(outcomes));
        let raced = raced.into_iter().map(async |(at, write)| (at, self.write_raced(write).await));
        let raced: Vec<(usize, Result<SetOutcome>)> = stream::iter(raced).buffered(WINDOW).boxed().collect().await;
        joined(count, plain.chain(raced))
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let keys: Vec<String> = deletes.keys().iter().map(|key| key.clone().into_owned()).collect();
        let _turn = self.keys.shared(keys.iter().map(String::as_str)).await;
        let mut before = self.before(keys.iter().map(String::as_str)).await;
        let outcomes = self.inner.delete_many(deletes).await;
        for at in (0..outcomes.len()).filter(|at| outcomes[*at].is_ok()) {
            self.changed(&mut before, at);
        }
        let show = |outcome| self.capabilities.show_delete_of_many(outcome);
        outcomes.into_iter().map(|outcome| outcome.map(show)).collect()
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let keys: Vec<String> = writes.writes().iter().map(|write| write.key().to_owned()).collect();
        let _turn = self.keys.shared(keys.iter().map(String::as_str)).await;
        let mut before = self.before(keys.iter().map(String::as_str)).await;
        let outcome = self.shown().write_all_or_nothing(writes).await?;
        if outcome.is_written() {
            (0..keys.len()).for_each(|at| self.changed(&mut before, at));
        }
        Ok(outcome)
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.shown().list(page).await
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let key = increment.key().to_owned();
        let _turn = self.keys.shared([&*key]).await;
        let mut before = self.before([&*key]).await;
        let sum = self.inner.increment(increment).await?;
        self.changed(&mut before, 0);
        Ok(sum)
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let key = expire.key().to_owned();
        let feature = if expire.if_version().is_some() { Feature::ExpireIfVersion } else { Feature::Expire };
        if self.is_raced(feature) {
            let _turn = self.keys.exclusive([&*key]).await;
            let found = self.look(&key).await?;
            let mut parts = expire.into_parts();
            let is_met = match parts.if_version.take() {
                Some(version) => has_version(found.as_ref(), &version),
                None => found.is_some(),
            };
            if !is_met {
                return Ok(false);
            }
            let mut before = self.before([&*key]).await;
            self.inner.expire(parts.resolve(&*self.inner)?).await?;
            self.changed(&mut before, 0);
            return Ok(true);
        }
        let _turn = self.keys.shared([&*key]).await;
        let mut before = self.before([&*key]).await;
        let is_there = self.inner.expire(expire).await?;
        if is_there {
            self.changed(&mut before, 0);
        }
        Ok(is_there)
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let key = touch.key().to_owned();
        let is_raced = self.is_raced(Feature::Touch);
        let _turn = if is_raced { self.keys.exclusive([&*key]).await } else { self.keys.shared([&*key]).await };
        let found = if is_raced { self.look(&key).await? } else { None };
        if is_raced && found.is_none() {
            return Ok(None);
        }
        let mut before = self.before([&*key]).await;
        let touched = self.shown().touch(touch).await?;
        if touched.is_some() {
            self.changed(&mut before, 0);
        }
        // What was looked at may be gone by now.
        Ok(touched.or(found))
    }

    async fn get_and_delete(&self, request: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let key = request.key().to_owned();
        if self.is_raced(Feature::GetAndDelete) {
            let _turn = self.keys.exclusive([&*key]).await;
            let found = self.look(&key).await?;
            if found.is_some() {
                let mut before = self.before([&*key]).await;
                let delete = Resolver::new(self.inner.capabilities()).delete(&*key, None, false)?;
                self.inner.delete(delete).await?;
                self.changed(&mut before, 0);
            }
            return Ok(found);
        }
        let _turn = self.keys.shared([&*key]).await;
        let mut before = self.before([&*key]).await;
        let found = self.shown().get_and_delete(request).await?;
        if found.is_some() {
            self.changed(&mut before, 0);
        }
        Ok(found)
    }
}

impl fmt::Debug for LikeBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Like").field(&self.inner).finish()
    }
}
