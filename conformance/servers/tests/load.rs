//! What writers that keep books find: each test plants one fault in a store that has none.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Delete, DeleteOutcome, Entry, Error, ErrorKind, Increment, ManualClock,
    Method, Methods, Read, Result, Retry, SetItem, SetOutcome, SetStatus, Store, SystemClock, Timestamp, Write,
    WriteMany, async_trait,
};
use kv_memory::MemoryStore;
use kv_servers::{Load, Promise, Tally};

/// What is wrong with one call of twenty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    /// Unknown outcomes, some of them applied: nothing is wrong.
    Unknown,
    /// It is acknowledged and was not carried out.
    Lost,
    /// It was carried out, and the error says that it certainly was not.
    Denied,
    /// Its outcome is unknown, and it is sent again: an increment counts twice, a set does not meet its own condition.
    Blind,
    /// A batch is written in part.
    Torn,
    /// An error that has nothing to do with trouble.
    Mistaken,
    /// No answer comes.
    Hangs,
}

#[derive(Debug)]
struct Planted {
    store: Store,
    plant: Plant,
    calls: AtomicU64,
}

fn error(retry: Retry) -> Error {
    Error::new(ErrorKind::Unavailable, "planted").with_retry(retry)
}

impl Planted {
    /// Whether the fault is in this call, and, where it is unknown, whether it is carried out.
    fn turn(&self) -> Option<(Plant, bool)> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        call.is_multiple_of(20).then_some((self.plant, call.is_multiple_of(40)))
    }

    /// Carries a call out, or not. `lost` is what is said when it is not, and nobody is to know.
    async fn call<T, F: Future<Output = Result<T>>>(&self, lost: T, carry_out: impl Fn() -> F) -> Result<T> {
        match self.turn() {
            None | Some((Plant::Torn, _)) => carry_out().await,
            Some((Plant::Unknown, true)) => carry_out().await.and(Err(error(Retry::OutcomeUnknown))),
            Some((Plant::Unknown, false)) => Err(error(Retry::OutcomeUnknown)),
            Some((Plant::Lost, _)) => Ok(lost),
            Some((Plant::Denied, _)) => carry_out().await.and(Err(error(Retry::Safe))),
            Some((Plant::Blind, _)) => {
                drop(carry_out().await);
                carry_out().await
            }
            Some((Plant::Mistaken, _)) => Err(error(Retry::Never)),
            Some((Plant::Hangs, _)) => pending().await,
        }
    }
}

#[async_trait]
impl Backend for Planted {
    fn capabilities(&self) -> &Capabilities {
        self.store.capabilities()
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::WriteAllOrNothing).with(Method::Increment)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.store.get_entry(read.into_key()).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let item = SetItem::new(write.key(), write.value().clone()).condition(write.condition().clone());
        self.call(SetOutcome::new(SetStatus::Created), || async { self.store.set_many([item.clone()]).await.remove(0) })
            .await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.store.delete(delete.key()).await
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let item = |write: Write<'_>| {
            SetItem::new(write.key().to_owned(), write.value().clone()).condition(write.condition().clone())
        };
        let items: Vec<SetItem<'static>> = writes.into_writes().into_iter().map(item).collect();
        let outcome = self.store.set_many_all_or_nothing(items.clone()).await?;
        if let Some(last) = items.last().filter(|_| self.plant == Plant::Torn) {
            self.store.delete(last.key()).await?;
        }
        Ok(outcome)
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        let (key, by) = (increment.key(), increment.by());
        self.call(1, || async { self.store.increment(key, by).await }).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn planted(plant: Plant) -> Store {
    Store::new(Planted { store: Store::new(MemoryStore::new()), plant, calls: AtomicU64::new(0) })
}

async fn load(plant: Plant, promise: Promise) -> Result<Tally, String> {
    let mut load = Load::new([planted(plant)], promise, 7);
    for _ in 0..3 {
        load.round(async { Ok::<_, String>(()) }).await?;
    }
    load.finish().await
}

#[tokio::test]
async fn unknown_outcomes_are_no_fault() {
    let tally = load(Plant::Unknown, Promise::Kept).await.unwrap();
    assert!(tally.rounds == 3 && tally.acknowledged >= 3 * 64 && tally.unknown > 0 && tally.not_met > 0, "{tally}");
}

#[tokio::test]
async fn an_acknowledged_write_that_is_lost_is_found() {
    let error = load(Plant::Lost, Promise::Kept).await.unwrap_err();
    assert!(error.contains("seed 7, round 1"), "{error}");
}

#[tokio::test]
async fn what_is_there_and_was_denied_is_found() {
    for promise in [Promise::Kept, Promise::MayBeLost] {
        assert!(load(Plant::Denied, promise).await.is_err());
    }
}

#[tokio::test]
async fn a_blind_repeat_is_found() {
    for promise in [Promise::Kept, Promise::MayBeLost] {
        assert!(load(Plant::Blind, promise).await.is_err());
    }
}

#[tokio::test]
async fn a_batch_that_is_there_in_part_is_found() {
    for promise in [Promise::Kept, Promise::MayBeLost] {
        let error = load(Plant::Torn, promise).await.unwrap_err();
        assert!(error.contains("in part"), "{error}");
    }
}

#[tokio::test]
async fn an_error_that_trouble_does_not_explain_is_found() {
    let error = load(Plant::Mistaken, Promise::Kept).await.unwrap_err();
    assert!(error.contains("Never"), "{error}");
}

#[tokio::test]
async fn a_call_that_hangs_is_found() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let time = async {
        loop {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(1));
        }
    };
    let mut load = Load::timed_by(Arc::new(clock.clone()), [planted(Plant::Hangs)], Promise::Kept, 7);
    let ended = tokio::select! {
        ended = load.round(async { Ok::<_, String>(()) }) => ended,
        () = time => Ok(()),
    };
    let error = ended.unwrap_err();
    assert!(error.contains("a call has not ended"), "{error}");
}

#[tokio::test]
async fn trouble_that_fails_is_no_round() {
    let mut load = Load::new([Store::new(MemoryStore::new())], Promise::Kept, 7);
    let error = load.round(async { Err("on purpose") }).await.unwrap_err();
    assert!(error.contains("on purpose"), "{error}");
}
