//! The layer that waits for writes to show, before stores that show them late.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kv_api::{
    Backend, Capabilities, Condition, Consistency, Entry, Error, ErrorKind, Layer, ListPage, ManualClock, RawPage,
    Read, Result, SetOutcome, SetStatus, Store, Support, Timer, Timestamp, Write, async_trait, forward_backend,
};
use kv_backends::memory::MemoryStore;
use kv_conformance::Patience;
use kv_layers::Like;

/// The bound that Workers KV names.
const BOUND: Duration = Duration::from_secs(60);

/// The first wait before a key is read again.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// Workers KV in memory, where so many reads of a key after each change are old.
fn stale(reads: u32) -> Arc<dyn Backend> {
    let like = Like::new(kv_backends::cloudflare::CAPABILITIES.clone()).with_stale_reads(reads);
    like.layer(Arc::new(MemoryStore::default()))
}

fn patient(backend: Arc<dyn Backend>, clock: &ManualClock) -> Store {
    let patience = Patience::of(backend.capabilities(), Arc::new(clock.clone())).unwrap();
    Store::from_arc(patience.layer(backend)).allow_best_effort()
}

/// Waits by moving the time, and answers how long it took.
fn done<T>(clock: &ManualClock, work: impl Future<Output = T>) -> (T, Duration) {
    let (mut work, began) = (pin!(work), clock.monotonic_now());
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (done, clock.monotonic_now() - began);
        }
        clock.advance(Duration::from_millis(50));
    }
}

#[test]
fn set_7_what_is_old_is_read_again_until_it_is_not() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let store = patient(stale(3), &clock);
    done(&clock, store.set("k", "one")).0.unwrap();
    let (found, took) = done(&clock, store.get("k"));
    assert_eq!(found.unwrap(), Some("one".into()));
    assert_eq!(took, WAIT_MIN * (1 + 2 + 4), "each wait is twice as long as the one before");
    done(&clock, store.set("k", "two")).0.unwrap();
    assert_eq!(done(&clock, store.get_many(["k", "other"])).0.unwrap(), [Some("two".into()), None]);
    done(&clock, store.delete("k")).0.unwrap();
    assert!(!done(&clock, store.exists("k")).0.unwrap());
}

#[test]
fn set_7_what_is_old_beyond_the_bound_is_shown() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let store = patient(stale(10_000), &clock);
    done(&clock, store.set("k", "one")).0.unwrap();
    let (found, took) = done(&clock, store.get("k"));
    assert_eq!((found.unwrap(), took), (None, BOUND));
    let (found, took) = done(&clock, store.get("k"));
    assert_eq!((found.unwrap(), took), (None, Duration::ZERO), "the time is over for this write");
}

#[test]
fn set_2_a_condition_that_looks_does_not_look_at_something_old() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let store = patient(stale(3), &clock);
    done(&clock, store.set("k", "one")).0.unwrap();
    let status = |set: Result<SetOutcome>| set.unwrap().status();
    assert_eq!(status(done(&clock, store.set("k", "two").if_not_exists()).0), SetStatus::NotMet);
    done(&clock, store.delete("k")).0.unwrap();
    assert_eq!(status(done(&clock, store.set("k", "three").if_not_exists()).0), SetStatus::Created);
    assert_eq!(done(&clock, store.get("k")).0.unwrap(), Some("three".into()));
}

/// Refuses what has a condition until it has been asked so often.
#[derive(Debug)]
struct RefusesAtFirst(MemoryStore, Capabilities, AtomicU32);

impl RefusesAtFirst {
    fn is_still_refusing(&self) -> bool {
        self.2.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for RefusesAtFirst {
    forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: [read, write]);

    fn capabilities(&self) -> &Capabilities {
        &self.1
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.is_still_refusing();
        self.0.read(read).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        match write.condition() {
            Condition::IfNotExists if self.is_still_refusing() => Ok(SetOutcome::new(SetStatus::NotMet)),
            _ => self.0.write(write).await,
        }
    }
}

#[test]
fn set_7_what_is_decided_atomically_is_not_asked_again() {
    for (support, status) in [
        (Support::Native, SetStatus::NotMet),
        (Support::Emulated, SetStatus::NotMet),
        (Support::BestEffort, SetStatus::Created),
    ] {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let memory = MemoryStore::default();
        let eventual = Consistency::Eventual { usually_within: Some(BOUND) };
        let capabilities = memory.capabilities().clone().with_consistency(eventual).with_if_not_exists(support);
        let store = patient(Arc::new(RefusesAtFirst(memory, capabilities, AtomicU32::new(2))), &clock);
        done(&clock, store.delete("k")).0.unwrap();
        // It is wrong, and where it is not best effort that it has to show.
        let outcome = done(&clock, store.set("k", "v").if_not_exists()).0.unwrap();
        assert_eq!(outcome.status(), status, "{support}");
    }
}

/// Refuses each write of `"refused"`.
#[derive(Debug)]
struct Refuses(Arc<dyn Backend>);

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for Refuses {
    forward_backend!(@forward self, self.0, capabilities);
    forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: [write]);

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        match write.value().as_text() {
            Some("refused") => Err(Error::new(ErrorKind::Unauthorized, "read-only")),
            _ => self.0.write(write).await,
        }
    }
}

#[test]
fn err_3_what_is_refused_leaves_what_is_known() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let store = patient(Arc::new(Refuses(stale(3))), &clock);
    done(&clock, store.set("k", "one")).0.unwrap();
    done(&clock, store.set("k", "refused")).0.unwrap_err();
    assert_eq!(done(&clock, store.get("k")).0.unwrap(), Some("one".into()));
}

/// Shows so many old pages first.
#[derive(Debug)]
struct OldPages(MemoryStore, Capabilities, Mutex<Vec<RawPage>>);

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for OldPages {
    forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, increment, expire, touch, get_and_delete, ping, close],
        implement: [list]);

    fn capabilities(&self) -> &Capabilities {
        &self.1
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let old = self.2.lock().unwrap().pop();
        match old {
            Some(old) => Ok(old),
            None => self.0.list(page).await,
        }
    }
}

#[test]
fn set_7_an_old_page_of_a_list_is_asked_for_again() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let memory = MemoryStore::default();
    let page = |keys: &[&str]| RawPage::new(keys.iter().map(|key| kv_api::ListItem::new(*key)).collect(), None);
    let eventual = Consistency::Eventual { usually_within: Some(BOUND) };
    let capabilities = memory.capabilities().clone().with_consistency(eventual);
    // Without the new key, and with the deleted one.
    let old = Mutex::new(vec![page(&["a", "b"]), page(&["b"])]);
    let store = patient(Arc::new(OldPages(memory, capabilities, old)), &clock);
    done(&clock, store.set("a", 1)).0.unwrap();
    done(&clock, store.set("b", 1)).0.unwrap();
    done(&clock, store.delete("b")).0.unwrap();
    let (listed, took) = done(&clock, async { store.list().await });
    let keys: Vec<String> = listed.unwrap().items.into_iter().map(|item| item.key).collect();
    assert_eq!((keys, took), (vec!["a".to_owned()], WAIT_MIN * (1 + 2)));
}
