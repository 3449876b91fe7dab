//! `update`: what ends it, and what it keeps (SET-9).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind, ManualClock, Read,
    Reason, Result, Retry, SetOutcome, SetStatus, Store, Support, SystemClock, Timestamp, Value, ValueKinds, Version,
    Write, async_trait,
};
use kv_memory::{MemoryConfig, MemoryStore};

fn memory() -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000)));
    let config = MemoryConfig::new().with_clock(Arc::clone(&clock) as _);
    (Store::new(MemoryStore::with_config(config)), clock)
}

#[tokio::test]
async fn set_9_attempts_that_run_out_are_contended_and_safe_to_repeat() {
    let (store, _) = memory();
    for (attempts, expected) in [(None, 16), (Some(3), 3), (Some(0), 1)] {
        let mut calls = 0;
        let update = store.update("k", |_| {
            calls += 1;
            // Another writer, each time between the read and the write.
            store.set("k", format!("other {calls}")).now_or_never().unwrap().unwrap();
            Some("mine")
        });
        let error = match attempts {
            None => update.await,
            Some(attempts) => update.attempts(attempts).await,
        }
        .unwrap_err();
        assert_eq!(calls, expected);
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
        assert_eq!(error.reason(), Some(&Reason::Contended { attempts: expected }));
        assert_eq!((error.operation(), error.key()), (Some("update"), Some("k")));
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from(format!("other {expected}"))));
    }
}

#[tokio::test]
async fn set_9_an_entry_that_ends_meanwhile_is_no_error() {
    let (store, clock) = memory();
    store.set("k", 1).ttl(Duration::from_secs(10)).await.unwrap();
    let mut seen = Vec::new();
    let outcome = store.update("k", |old| {
        seen.push(old.cloned());
        clock.advance(Duration::from_secs(10));
        Some(2)
    });
    assert!(outcome.await.unwrap().is_written());
    assert_eq!(seen, [Some(Value::from(1)), None]);
    let entry = store.get_entry("k").await.unwrap().unwrap();
    assert_eq!((entry.value(), entry.expiry()), (&Value::from(2), EntryExpiry::Never), "it is a new one");

    store.set("k", 1).ttl(Duration::from_secs(10)).await.unwrap();
    let once = store.update("k", |_| {
        clock.advance(Duration::from_secs(10));
        Some(2)
    });
    assert!(once.attempts(1).await.unwrap_err().is_expired());
}

#[tokio::test]
async fn set_9_only_a_new_entry_gets_the_ttl_for_new_ones() {
    let (store, _) = memory();
    let minute = Duration::from_secs(60);
    let expiry = async || store.get_entry("k").await.unwrap().unwrap().expiry();
    store.update("k", |_| Some(1)).ttl_if_created(minute).await.unwrap();
    let end = EntryExpiry::At(Timestamp::from_unix_seconds(1_060));
    assert_eq!(expiry().await, end);
    store.update("k", |_| Some(2)).ttl_if_created(minute * 5).await.unwrap();
    assert_eq!(expiry().await, end);
    store.update("k", |_| Some(3)).ttl(minute * 2).await.unwrap();
    assert_eq!(expiry().await, EntryExpiry::At(Timestamp::from_unix_seconds(1_120)));
    let error = store.update("k", |_| Some(4)).ttl(minute).never().await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::BothExpiries));
}

#[tokio::test]
async fn set_9_a_ttl_for_new_entries_is_judged_before_anything_is_sent() {
    let (store, _) = memory();
    store.set("k", 1).await.unwrap();
    let changed = |_: Option<&Value>| -> Option<Value> { panic!("nothing was to be read") };
    for key in ["k", "missing"] {
        let error = store.update(key, changed).ttl_if_created(Duration::ZERO).await.unwrap_err();
        assert_eq!((error.reason(), error.key()), (Some(&Reason::TtlZero), Some(key)));
    }
    static ENDLESS: Capabilities = BARE.with_if_version(Support::Native);
    let script = Arc::new(Script::new(&ENDLESS, EntryExpiry::Never));
    let update = Store::new(Arc::clone(&script));
    let error = update.update("k", |_| Some(2)).ttl_if_created(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((error.kind(), script.calls()), (ErrorKind::Unsupported, (0, 0)));
    // The request's own expiry is the one that counts.
    assert!(store.update("k", |_| Some(2)).ttl_if_created(Duration::ZERO).never().await.unwrap().is_written());
}

#[tokio::test]
async fn set_9_an_update_that_other_writers_beat_at_last_is_contended() {
    let (store, clock) = memory();
    store.set("k", 1).ttl(Duration::from_secs(10)).await.unwrap();
    let update = store.update("k", |old| {
        if old.is_some() {
            clock.advance(Duration::from_secs(10));
        } else {
            store.set("k", 3).now_or_never().unwrap().unwrap();
        }
        Some(2)
    });
    let error = update.attempts(2).await.unwrap_err();
    assert_eq!((error.retry(), error.reason()), (Retry::Safe, Some(&Reason::Contended { attempts: 2 })));
}

#[tokio::test]
async fn set_9_the_error_of_the_closure_is_the_callers_own() {
    #[derive(Debug, PartialEq)]
    enum Failure {
        Store(ErrorKind),
        Empty,
    }
    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Store(error.kind())
        }
    }
    let (store, _) = memory();
    let take = |old: Option<&Value>| old.and_then(Value::as_i64).map(|left| Some(left - 1)).ok_or(Failure::Empty);
    assert_eq!(store.try_update("k", take).await.unwrap_err(), Failure::Empty);
    assert_eq!(store.try_update("", take).await.unwrap_err(), Failure::Store(ErrorKind::InvalidArgument));
    store.set("k", 1).await.unwrap();
    assert_eq!(store.try_update("k", take).await.unwrap().into_value(), Some(Value::from(0)));
    let misfit = store.update_as("k", |_: Option<Vec<u8>>| Some(Vec::new())).await.unwrap_err();
    assert_eq!((misfit.kind(), misfit.operation()), (ErrorKind::WrongType, Some("update_as")));
    assert_eq!((misfit.store(), misfit.key()), (Some("memory"), Some("k")));
}

#[tokio::test]
async fn set_9_best_effort_needs_an_opt_in_and_no_versions_are_refused_before_anything_is_sent() {
    static RACY: Capabilities = BARE.with_if_version(Support::BestEffort);
    let script = Arc::new(Script::new(&RACY, EntryExpiry::Never));
    let store = Store::new(Arc::clone(&script));
    let error = store.update("k", |_| Some("new")).await.unwrap_err();
    assert!(matches!(error.reason(), Some(Reason::BestEffortNotAllowed(_))), "{error}");
    assert_eq!(script.calls(), (0, 0));
    assert!(store.update("k", |_| Some("new")).allow_best_effort().await.unwrap().is_written());
    let script = Arc::new(Script::new(&MINIMAL, EntryExpiry::Never));
    let error = Store::new(Arc::clone(&script)).update("k", |_| Some("new")).allow_best_effort().await.unwrap_err();
    assert!(matches!(error.reason(), Some(Reason::Unsupported(_))), "{error}");
    assert_eq!(script.calls(), (0, 0));
}

#[tokio::test]
async fn set_9_an_expiry_that_one_read_does_not_report_is_not_lost() {
    static WHOLE: Capabilities = BARE.with_if_version(Support::Native).with_ttl(Support::Native).with_expiry_read(true);
    let script = Arc::new(Script::new(&WHOLE, EntryExpiry::Unknown));
    let store = Store::new(Arc::clone(&script));
    let error = store.update("k", |_| Some("new")).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unsupported, Some(&Reason::ExpiryNotReported)));
    assert_eq!(script.calls(), (1, 0), "it was read and not written");
    assert!(store.update("k", |_| Some("new")).ttl(Duration::from_secs(1)).await.unwrap().is_written());
    assert!(store.update("k", |_| Some("new")).never().await.unwrap().is_written());

    // Where nothing ends, there is no expiry to lose.
    static ENDLESS: Capabilities = BARE.with_if_version(Support::Native);
    let store = Store::new(Script::new(&ENDLESS, EntryExpiry::Unknown));
    assert!(store.update("k", |_| Some("new")).await.unwrap().is_written());
}

const BARE: Capabilities = Capabilities::new("script").with_value_kinds(ValueKinds::ALL);

static MINIMAL: Capabilities = BARE;

/// Always has an entry, of one version, and counts its calls.
#[derive(Debug)]
struct Script {
    capabilities: &'static Capabilities,
    expiry: EntryExpiry,
    reads: AtomicU32,
    writes: AtomicU32,
}

impl Script {
    const fn new(capabilities: &'static Capabilities, expiry: EntryExpiry) -> Self {
        Self { capabilities, expiry, reads: AtomicU32::new(0), writes: AtomicU32::new(0) }
    }

    fn calls(&self) -> (u32, u32) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Backend for Script {
    fn capabilities(&self) -> &Capabilities {
        self.capabilities
    }
    fn scope(&self) -> &str {
        "test"
    }
    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn ping(&self) -> Result<()> {
        Ok(())
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
    async fn read(&self, _: Read<'_>) -> Result<Option<Entry>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Entry::with_details(Value::from("old"), None, self.expiry, Some(Version::numbered(1, 1)))))
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        assert_eq!(write.condition(), &kv_api::Condition::IfVersion(Version::numbered(1, 1)));
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(SetOutcome::new(SetStatus::Updated))
    }
    async fn delete(&self, _: Delete<'_>) -> Result<DeleteOutcome> {
        Ok(DeleteOutcome::Accepted)
    }
}
