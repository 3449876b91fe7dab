//! A layer for systems of eventual consistency: it reads again until a read shows what was written last, or the time is
//! over within which the system says that it does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Condition, Consistency, Delete, DeleteMany, DeleteOutcome, Entry, Expire,
    Expiry, Feature, Fields, GetAndDelete, Increment, Layer, ListOrder, ListPage, ListedMetadata, RawPage, Read,
    ReadMany, Resolver, Result, SetOutcome, Support, Timer, Timestamp, Touch, Value, ValueKind, Write, WriteMany,
    forward_backend,
};

mod memory;

use self::memory::{Content, Ends, Memory, Now, State, digest_of, digest_of_metadata};

/// How long a system has that names no time.
const BOUND: Duration = Duration::from_secs(60);

/// The first wait before a key is read again; each is twice as long as the one before.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest of them.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A layer that waits for writes to show (SET-7). Where a read, or a page of a list, is older than what was written
/// last through this layer, it is made again, with growing waits, until it is not; no longer than the bound that the
/// system names, else 60 seconds, from the write on.
///
/// All backends that one value is put before are taken for handles to the same data, and know of each other's writes.
/// What others write is not waited for. [`Fixture::with_patience`](crate::Fixture::with_patience) puts it before all
/// stores of a fixture.
///
/// ```
/// use kv_conformance::Patience;
/// use kv_conformance::kv_api::{Capabilities, Consistency, TokioTimer};
/// use std::{sync::Arc, time::Duration};
/// let eventual = Consistency::Eventual { usually_within: Some(Duration::from_secs(5)) };
/// let late = Capabilities::new("late").with_consistency(eventual);
/// let patience = Patience::of(&late, Arc::new(TokioTimer)).map(|patience| patience.to_string());
/// assert_eq!(patience.as_deref(), Some("patient(5s)"));
/// let strong = late.with_consistency(Consistency::Strong);
/// assert!(Patience::of(&strong, Arc::new(TokioTimer)).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Patience {
    memory: Arc<Memory>,
    timer: Arc<dyn Timer>,
    bound: Duration,
}

impl Patience {
    /// What a system of these capabilities asks for; `None` where every read sees the last write. It waits by `timer`.
    #[must_use]
    pub fn of(capabilities: &Capabilities, timer: Arc<dyn Timer>) -> Option<Self> {
        let bound = match capabilities.consistency {
            Consistency::Strong => return None,
            Consistency::Eventual { usually_within } => usually_within.unwrap_or(BOUND),
            // What is not known promises no more.
            _ => BOUND,
        };
        Some(Self { memory: Arc::new(Memory::new(bound, capabilities.expiry_resolution)), timer, bound })
    }

    /// Waits until the bound is over also where it is not known what was written last: writes have met, or one has no
    /// outcome. Without it such a read shows whatever it finds. On a system with a long bound that takes long.
    #[must_use]
    pub fn thorough(self) -> Self {
        Self { memory: Arc::new(self.memory.thorough()), ..self }
    }
}

impl Layer for Patience {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(PatientBackend { inner, memory: Arc::clone(&self.memory), timer: Arc::clone(&self.timer) })
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "patient({:?})", self.bound)
    }
}

struct PatientBackend {
    inner: Arc<dyn Backend>,
    memory: Arc<Memory>,
    timer: Arc<dyn Timer>,
}

impl fmt::Debug for PatientBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patient").field(&self.inner).finish()
    }
}

/// What a write asks for, by its digests.
#[derive(Clone, Copy)]
struct Asked {
    value: u64,
    bytes: Option<u64>,
    metadata: Option<u64>,
    expiry: Expiry,
}

/// Growing waits within a bound.
struct Waits(Duration);

impl Waits {
    const fn new() -> Self {
        Self(WAIT_MIN)
    }

    /// Waits, but no longer than `left`.
    async fn wait(&mut self, timer: &dyn Timer, left: Duration) {
        timer.sleep(self.0.min(left)).await;
        self.0 = (self.0 * 2).min(WAIT_MAX);
    }
}

/// Keys that are being written. What becomes of those that are dropped before they have ended is not known.
struct UnderWay<'a> {
    backend: &'a PatientBackend,
    keys: Vec<Option<String>>,
    began: Now,
}

impl UnderWay<'_> {
    fn end(&mut self, at: usize, state: Option<State>) {
        if let Some(key) = self.keys.get_mut(at).and_then(Option::take) {
            self.backend.memory.end(&key, state, self.backend.now());
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        (0..self.keys.len()).for_each(|at| self.end(at, Some(State::Unknown)));
    }
}

impl PatientBackend {
    fn now(&self) -> Now {
        Now { wall: self.inner.clock().now(), timer: self.timer.monotonic_now() }
    }

    fn begin<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> UnderWay<'_> {
        let began = self.now();
        let keys = keys.into_iter().map(|key| {
            self.memory.begin(key, began);
            Some(key.to_owned())
        });
        UnderWay { backend: self, keys: keys.collect(), began }
    }

    fn ends(&self, expiry: Expiry, began: Timestamp) -> Ends {
        self.memory.ends(expiry.deadline(began), expiry.deadline(self.now().wall))
    }

    /// What a change of the expiry has left behind; `None` where it changed nothing. Whether the entry is there is not
    /// known where that failed.
    fn with_expiry(&self, before: State, is_there: Option<bool>, expiry: Expiry, began: Timestamp) -> Option<State> {
        match (is_there, before) {
            (Some(true), State::Written(content)) => {
                Some(State::Written(Content { ends: self.ends(expiry, began), ..content }))
            }
            (Some(false), _) => None,
            _ => Some(State::Unknown),
        }
    }

    fn asked(write: &Write<'_>) -> Asked {
        let metadata = write.metadata().map(digest_of_metadata);
        // A system may write JSON anew.
        let bytes = (write.value().kind() != ValueKind::Json).then(|| write.value().as_bytes().len());
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
        Asked { value: digest_of(write.value()), bytes, metadata, expiry: write.expiry() }
    }

    /// What a write has left behind; `None` where it changed nothing.
    fn written(&self, asked: Asked, outcome: &Result<SetOutcome>, began: Now) -> Option<State> {
        match outcome {
            Ok(outcome) if outcome.is_written() => {
                let Asked { value, bytes, metadata, expiry } = asked;
                let ends = self.ends(expiry, began.wall);
                Some(State::Written(Content { value: Some(value), bytes, metadata: Some(metadata), ends }))
            }
            Ok(_) => None,
            Err(error) => error.is_outcome_unknown().then_some(State::Unknown),
        }
    }

    /// Waits until what is known of a key shows: what is decided by looking must not look at something old.
    async fn settle(&self, key: &str) -> Result<()> {
        let mut waits = Waits::new();
        loop {
            let expected = self.memory.expected(key, self.now());
            if expected.patience.is_zero() {
                return Ok(());
            }
            let read = Resolver::new(self.inner.capabilities()).read(key, Fields::All)?;
            let found = self.inner.read(read).await;
            if expected.is_shown_by(&found, Fields::All) {
                return found.map(drop);
            }
            waits.wait(&*self.timer, expected.patience).await;
        }
    }

    /// Whether the backend decides by looking, and may see something old. Otherwise what it decides is by what there
    /// is, however late reads are (SET-6, SET-7).
    fn looks(&self, feature: Feature) -> bool {
        self.inner.capabilities().support(feature) == Support::BestEffort
    }

    fn looks_for(&self, condition: &Condition) -> bool {
        match condition {
            Condition::IfNotExists => self.looks(Feature::IfNotExists),
            Condition::IfExists => self.looks(Feature::IfExists),
            Condition::IfVersion(_) => self.looks(Feature::IfVersion),
            _ => false,
        }
    }

    /// Whether a write that was not carried out should have been, by what is known.
    fn is_refused_by_old(&self, key: &str, condition: &Condition) -> bool {
        let expected = self.memory.expected(key, self.now());
        !expected.patience.is_zero()
            && self.looks_for(condition)
            && match condition {
                Condition::IfNotExists => expected.is_gone(),
                Condition::IfExists => expected.is_there(),
                _ => false,
            }
    }

    async fn settle_for(&self, write: &Write<'_>) -> Result<()> {
        if self.looks_for(write.condition()) { self.settle(write.key()).await } else { Ok(()) }
    }

    /// How long it is worthwhile to ask for a page again.
    fn page_patience(&self, asked: &ListPage<'_>, page: &RawPage) -> Duration {
        let now = self.now();
        let is_ordered = self.inner.capabilities().list_order == ListOrder::Lexicographic;
        let (first, last) = (page.items.first(), page.items.last());
        // Which keys belong on this page, as far as that can be said.
        let belongs = |key: &str| {
            let after_begin = asked.position().is_none() || is_ordered && first.is_some_and(|item| *item.key <= *key);
            let before_end = page.next.is_none() || is_ordered && last.is_some_and(|item| *key <= *item.key);
            after_begin && before_end
        };
        let mut longest = Duration::ZERO;
        for (key, expected) in self.memory.expected_below(asked.prefix(), now) {
            let listed = page.items.iter().find(|item| item.key == key);
            let is_met = match listed {
                Some(item) => {
                    let metadata = match &item.metadata {
                        ListedMetadata::None => Some(None),
                        ListedMetadata::Some(metadata) => Some(Some(metadata)),
                        _ => None,
                    };
                    expected.is_met_by_listed(true) && expected.has_listed(metadata, item.expiry, item.value_bytes)
                }
                None => !belongs(&key) || expected.is_met_by_listed(false),
            };
            if !is_met {
                longest = longest.max(expected.patience);
            }
        }
        longest
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for PatientBackend {
    forward_backend!(@forward self, self.inner, capabilities);
    forward_backend!(self => self.inner;
        forward: [scope, clock, ping, close],
        implement: [read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete]);

    fn read_now(&self, _: &Read<'_>) -> Option<Result<Option<Entry>>> {
        None
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let mut waits = Waits::new();
        loop {
            let found = self.inner.read(read.clone()).await;
            let expected = self.memory.expected(read.key(), self.now());
            if expected.patience.is_zero() || expected.is_shown_by(&found, read.fields()) {
                return found;
            }
            waits.wait(&*self.timer, expected.patience).await;
        }
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let mut waits = Waits::new();
        loop {
            let found = self.inner.read_many(reads.clone()).await?;
            let now = self.now();
            let old = reads.keys().iter().zip(&found).filter_map(|(key, found)| {
                let expected = self.memory.expected(key, now);
                (!expected.is_met_by(found.as_ref(), reads.fields())).then_some(expected.patience)
            });
            let left = old.max().unwrap_or_default();
            if left.is_zero() {
                return Ok(found);
            }
            waits.wait(&*self.timer, left).await;
        }
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let mut waits = Waits::new();
        loop {
            self.settle_for(&write).await?;
            let mut under_way = self.begin([write.key()]);
            let outcome = self.inner.write(write.clone()).await;
            under_way.end(0, self.written(Self::asked(&write), &outcome, under_way.began));
            let is_refused = outcome.as_ref().is_ok_and(|outcome| !outcome.is_written());
            if !is_refused || !self.is_refused_by_old(write.key(), write.condition()) {
                return outcome;
            }
            let left = self.memory.expected(write.key(), self.now()).patience;
            waits.wait(&*self.timer, left).await;
        }
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let is_looked_for = delete.if_version().is_some() && self.looks(Feature::IfVersion);
        if is_looked_for {
            self.settle(delete.key()).await?;
        }
        let mut under_way = self.begin([delete.key()]);
        let outcome = self.inner.delete(delete).await;
        under_way.end(0, deleted(&outcome));
        outcome
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        for write in writes.writes() {
            // What cannot be looked at is found by the write itself.
            drop(self.settle_for(write).await);
        }
        let asked: Vec<_> = writes.writes().iter().map(Self::asked).collect();
        let mut under_way = self.begin(writes.writes().iter().map(Write::key));
        let outcomes = self.inner.write_many(writes).await;
        for (at, (asked, outcome)) in asked.into_iter().zip(&outcomes).enumerate() {
            under_way.end(at, self.written(asked, outcome, under_way.began));
        }
        outcomes
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let mut under_way = self.begin(deletes.keys().iter().map(|key| &**key));
        let outcomes = self.inner.delete_many(deletes).await;
        for (at, outcome) in outcomes.iter().enumerate() {
            under_way.end(at, deleted(outcome));
        }
        outcomes
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let asked: Vec<_> = writes.writes().iter().map(Self::asked).collect();
        let mut under_way = self.begin(writes.writes().iter().map(Write::key));
        let outcome = self.inner.write_all_or_nothing(writes).await;
        match &outcome {
            Ok(BatchOutcome::Written(outcomes)) => {
                for (at, (asked, outcome)) in asked.into_iter().zip(outcomes).enumerate() {
                    under_way.end(at, self.written(asked, &Ok(outcome.clone()), under_way.began));
                }
            }
            Ok(_) => (0..asked.len()).for_each(|at| under_way.end(at, None)),
            // Dropped as it is: nothing is known.
            Err(_) => {}
        }
        outcome
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let mut waits = Waits::new();
        loop {
            let found = self.inner.list(page.clone()).await?;
            let left = self.page_patience(&page, &found);
            if left.is_zero() {
                return Ok(found);
            }
            waits.wait(&*self.timer, left).await;
        }
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        if self.looks(Feature::Counters) {
            self.settle(increment.key()).await?;
        }
        let mut under_way = self.begin([increment.key()]);
        let sum = self.inner.increment(increment).await;
        let state = sum.as_ref().map_or(State::Unknown, |sum| {
            let value = Some(digest_of(&Value::from(*sum)));
            State::Written(Content { value, bytes: None, metadata: None, ends: Ends::Unknown })
        });
        under_way.end(0, Some(state));
        sum
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        if self.looks(Feature::Expire) {
            self.settle(expire.key()).await?;
        }
        let (expiry, mut under_way) = (expire.expiry(), self.begin([expire.key()]));
        let before = self.memory.state(expire.key());
        let is_there = self.inner.expire(expire).await;
        let state = self.with_expiry(before, is_there.as_ref().ok().copied(), expiry, under_way.began.wall);
        under_way.end(0, state);
        is_there
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        if self.looks(Feature::Touch) {
            self.settle(touch.key()).await?;
        }
        let (expiry, mut under_way) = (touch.expiry(), self.begin([touch.key()]));
        let before = self.memory.state(touch.key());
        let found = self.inner.touch(touch).await;
        let state = self.with_expiry(before, found.as_ref().ok().map(Option::is_some), expiry, under_way.began.wall);
        under_way.end(0, state);
        found
    }

    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        if self.looks(Feature::GetAndDelete) {
            self.settle(get_and_delete.key()).await?;
        }
        let mut under_way = self.begin([get_and_delete.key()]);
        let found = self.inner.get_and_delete(get_and_delete).await;
        under_way.end(0, Some(if found.is_ok() { State::Nothing } else { State::Unknown }));
        found
    }
}

fn deleted(outcome: &Result<DeleteOutcome>) -> Option<State> {
    match outcome {
        Ok(DeleteOutcome::NotMet) => None,
        Ok(_) => Some(State::Nothing),
        Err(error) => error.is_outcome_unknown().then_some(State::Unknown),
    }
}
