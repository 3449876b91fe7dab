//! Two stores with the same data.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::faulty::Faulty;
use common::pair::{Pair, Side, System, check};
use futures_util::FutureExt;
use futures_util::future::join_all;
use kv_api::{
    Backend, BackendExt, Capabilities, DeleteOutcome, EntryExpiry, ErrorKind, Layer, ManualClock, Retry, SetItem,
    SetStatus, Store, Support, Timestamp, Value, ValueKinds,
};
use kv_layers::{Like, MirrorCounts, MirrorEventKind, Mirrored, SecondaryFailure};
use kv_memory::{MemoryConfig, MemoryStore};
use serde_json::json;

/// On a memory store that is new for each handle, so that most comparisons find a difference, which changes nothing.
fn alone(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    Mirrored::to(MemoryStore::default()).with_compared(0.5).layer(inner)
}
common::suite!(alone);

fn mirrored(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    let layer = Mirrored::to(second).with_compared(1.0).with_secondary_failure(SecondaryFailure::Fail);
    Store::from_arc(layer.layer(first))
}

fn first(first: Arc<dyn Backend>, _: Arc<dyn Backend>) -> Store {
    Store::from_arc(first)
}

macro_rules! pairs {
    ($($name:ident: $first:ident, $second:ident, $lost:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let pair = Pair {
                first: System::$first,
                second: System::$second,
                by_client_clock: true,
                others_write_to: Side::First,
                join: mirrored,
            };
            check(module_path!(), pair, first, $lost).await;
        }
    )*};
}
pairs! {
    memory_and_sqlite: Memory, Sqlite, &[];
    memory_and_cloudflare: Memory, Cloudflare, &[];
    cloudflare_and_memory: Cloudflare, Memory, &[];
}

const NOW: i64 = 1_795_161_822;

struct Two {
    primary: Arc<Faulty>,
    secondary: Arc<Faulty>,
    mirrored: Mirrored,
    store: Store,
    clock: ManualClock,
    /// What the hook was called with.
    events: Arc<Mutex<Vec<String>>>,
}

fn two(set: impl FnOnce(Mirrored) -> Mirrored) -> Two {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(NOW));
    let new = || Faulty::new(MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone()))));
    let [primary, secondary] = [new(), new()];
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let mirrored = set(Mirrored::to(Arc::clone(&secondary)).with_compared(1.0))
        .with_hook(move |event| seen.lock().unwrap().push(format!("{event:?}")));
    let store = Store::from_arc(mirrored.layer(Arc::clone(&primary) as _));
    Two { primary, secondary, mirrored, store, clock, events }
}

fn store_of(backend: &Arc<Faulty>) -> Store {
    Store::from_arc(Arc::clone(backend) as _)
}

impl Two {
    /// The parts of an entry that both sides must have, on both.
    async fn both(&self, key: &str) -> [Option<(Value, Option<String>, EntryExpiry)>; 2] {
        let mut found = [None, None];
        for (backend, found) in [&self.primary, &self.secondary].into_iter().zip(&mut found) {
            let entry = store_of(backend).get_entry(key).await.unwrap();
            *found = entry.map(|entry| {
                let metadata = entry.metadata().map(|metadata| metadata.as_json_text().to_owned());
                (entry.value().clone(), metadata, entry.expiry())
            });
        }
        found
    }

    async fn assert_same(&self, key: &str, what: &str) {
        let [primary, secondary] = self.both(key).await;
        assert_eq!(primary, secondary, "{key:?} {what}");
    }

    fn counts(&self) -> MirrorCounts {
        self.mirrored.counts()
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

#[tokio::test]
async fn every_change_comes_to_both() {
    let two = two(|layer| layer);
    let store = &two.store;
    let minute = Duration::from_secs(60);
    store.set("set", "v").metadata(json!({"m": 1})).ttl(minute).await.unwrap();
    two.assert_same("set", "after a set").await;
    assert!(two.both("set").await[1].is_some());
    let version = store.get_entry("set").await.unwrap().unwrap().version().cloned();
    assert!(store.set("set", "w").if_version(version).await.unwrap().is_written());
    two.assert_same("set", "after a compare-and-set").await;
    assert!(store.set("new", "v").if_not_exists().await.unwrap().is_written());
    two.assert_same("new", "after a conditional set").await;
    assert!(store.expire("new").ttl(minute).await.unwrap());
    two.assert_same("new", "after expire").await;
    assert!(matches!(two.both("new").await[1], Some((_, _, EntryExpiry::At(_)))));
    assert_eq!(store.increment("n", 3).await.unwrap(), 3);
    two.assert_same("n", "after an increment").await;
    for result in store.set_many([SetItem::new("m1", 1), SetItem::new("m2", "x").metadata(json!(2))]).await {
        result.unwrap();
    }
    two.assert_same("m1", "after a batch").await;
    two.assert_same("m2", "after a batch").await;
    let all = [SetItem::new("a1", 1).if_not_exists(), SetItem::new("m1", 2)];
    assert!(store.set_many_all_or_nothing(all).await.unwrap().is_written());
    two.assert_same("a1", "after an all-or-nothing batch").await;
    two.assert_same("m1", "after an all-or-nothing batch").await;
    assert_eq!(store.increment("w", 1).ttl_if_created(minute).await.unwrap(), 1);
    two.assert_same("w", "after an increment in a window").await;
    assert!(matches!(two.both("w").await[1], Some((_, _, EntryExpiry::At(_)))));
    let touched = store.get("m2").touch(minute).await.unwrap();
    two.assert_same("m2", "after a touch").await;
    assert!(touched.is_some() && matches!(two.both("m2").await[1], Some((_, _, EntryExpiry::At(_)))));
    assert_eq!(store.get_and_delete("w").await.unwrap(), Some(Value::from(1)));
    store.delete("set").await.unwrap();
    store.delete_many(["m1", "m2"]).await;
    let version = store.get_entry("a1").await.unwrap().unwrap().version().unwrap().clone();
    assert_eq!(store.delete("a1").if_version(version).await.unwrap(), DeleteOutcome::Deleted);
    for key in ["set", "m1", "m2", "a1", "w"] {
        assert_eq!(two.both(key).await, [None, None], "{key}");
    }
    let counts = two.counts();
    assert_eq!((counts.compared, counts.equal, counts.write_failed), (2, 2, 0));
    assert_eq!(two.events(), Vec::<String>::new());
}

#[tokio::test]
async fn set_3_what_the_primary_did_not_do_is_not_done_on_the_secondary() {
    let two = two(|layer| layer);
    store_of(&two.primary).set("k", "primary").await.unwrap();
    store_of(&two.secondary).set("k", "secondary").await.unwrap();
    store_of(&two.secondary).set("gone", "secondary").await.unwrap();
    let calls = two.secondary.calls();
    let store = &two.store;
    let foreign = kv_api::Version::numbered(1, 1);
    assert_eq!(store.set("k", "v").if_not_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(store.set("gone", "v").if_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(store.delete("k").if_version(foreign).await.unwrap(), DeleteOutcome::NotMet);
    assert!(!store.expire("gone").never().await.unwrap());
    assert_eq!(store.get("gone").touch(Duration::from_secs(9)).await.unwrap(), None);
    assert_eq!(store.get_and_delete("gone").await.unwrap(), None);
    assert!(!store.set_many([SetItem::new("k", "v").if_not_exists()]).await.remove(0).unwrap().is_written());
    let unmet = [SetItem::new("x", "v"), SetItem::new("k", "v").if_not_exists()];
    assert!(!store.set_many_all_or_nothing(unmet).await.unwrap().is_written());
    two.primary.fail_writes(ErrorKind::Unavailable);
    assert_eq!(store.set("k", "v").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(store.delete("k").await.is_err() && store.increment("n", 1).await.is_err());
    assert!(store.set_many([SetItem::new("k", "v")]).await[0].is_err() && store.delete_many(["k"]).await[0].is_err());
    assert_eq!((two.secondary.calls(), two.counts()), (calls, MirrorCounts::default()));
}

#[tokio::test]
async fn cnt_1_a_counter_that_only_the_primary_has_arrives_whole() {
    let two = two(|layer| layer);
    store_of(&two.primary).set("n", 41).ttl(Duration::from_secs(60)).await.unwrap();
    assert_eq!(two.store.increment("n", 1).await.unwrap(), 42);
    let [primary, secondary] = two.both("n").await;
    assert_eq!((&primary, secondary.as_ref().map(|(value, ..)| value)), (&secondary, Some(&Value::from(42))));
    // The same for an entry of which only the expiry changes.
    store_of(&two.primary).set("e", "v").metadata(json!(1)).await.unwrap();
    assert!(two.store.expire("e").ttl(Duration::from_secs(9)).await.unwrap());
    two.assert_same("e", "after expire").await;
    assert!(two.both("e").await[1].is_some());
}

#[tokio::test]
async fn what_is_written_must_fit_both_and_an_expiry_comes_as_near_as_it_can() {
    static PLAIN: Capabilities = Capabilities::new("plain")
        .with_value_kinds(ValueKinds::ALL)
        .with_ttl(Support::Native)
        .with_expiry_min(Duration::from_secs(60))
        .with_key_bytes(1, 3);
    let clock = ManualClock::new(Timestamp::from_unix_seconds(NOW));
    let new = || MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
    let (primary, secondary) = (new(), new());
    let plain = secondary.clone().layer(&Like::new(PLAIN.clone()));
    let store = Store::from_arc(Mirrored::to(plain).layer(Arc::new(primary.clone())));
    let capabilities = store.capabilities();
    assert_eq!((capabilities.key_bytes_max, capabilities.expiry_min), (3, Duration::from_secs(60)));
    assert_eq!((capabilities.metadata, capabilities.expire_at), (Support::None, Support::None));
    assert_eq!(capabilities.system, "memory");
    assert!(capabilities.if_version == Support::Native && capabilities.list == Support::Native);
    assert_eq!(store.set("four", "").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    // An expiry that the primary can have, from before.
    primary.clone().into_store().set("n", 1).ttl(Duration::from_secs(5)).await.unwrap();
    store.increment("n", 1).await.unwrap();
    let copied = secondary.into_store().get_entry("n").await.unwrap().unwrap();
    assert_eq!(copied.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(NOW + 60)));
}

#[tokio::test]
async fn a_secondary_that_fails_is_counted_and_the_call_ends_as_chosen() {
    for on_failure in [SecondaryFailure::Ignore, SecondaryFailure::Fail] {
        let two = two(|layer| layer.with_secondary_failure(on_failure));
        let store = &two.store;
        for result in store.set_many(["d1", "d2", "d3", "e"].map(|key| SetItem::new(key, "canary"))).await {
            result.unwrap();
        }
        assert_eq!((two.counts().written, two.counts().write_failed), (4, 0));
        two.secondary.fail_writes(ErrorKind::RateLimited);
        let mut results = vec![
            ("k", store.set("k", "canary").await.map(drop)),
            ("d1", store.delete("d1").await.map(drop)),
            ("n", store.increment("n", 1).await.map(drop)),
            ("e", store.expire("e").never().await.map(drop)),
            ("a", store.set_many_all_or_nothing([SetItem::new("a", "canary")]).await.map(drop)),
        ];
        let keys = ["m1", "m2"];
        let many = store.set_many(keys.map(|key| SetItem::new(key, "canary"))).await;
        results.extend(keys.into_iter().zip(many.into_iter().map(|result| result.map(drop))));
        let keys = ["d2", "d3"];
        results.extend(keys.into_iter().zip(store.delete_many(keys).await.into_iter().map(|result| result.map(drop))));
        let events = two.events();
        assert_eq!(events.len(), results.len());
        for ((key, result), event) in results.into_iter().zip(events) {
            assert!(event.contains("WriteFailed") && event.contains(key) && event.contains("on purpose"), "{event}");
            assert!(!event.contains("canary"), "{event}");
            match on_failure {
                SecondaryFailure::Ignore => result.unwrap(),
                _ => {
                    let error = result.unwrap_err();
                    assert_eq!((error.kind(), error.key()), (ErrorKind::RateLimited, Some(key)), "{error}");
                    assert_eq!(error.retry(), Retry::OutcomeUnknown, "the primary has changed");
                }
            }
        }
        assert_eq!(two.counts().write_failed, 9);
        for key in ["k", "n", "a", "m1", "m2"] {
            let [primary, secondary] = two.both(key).await;
            assert!(primary.is_some() && secondary.is_none(), "{key}");
        }
    }
}

#[tokio::test]
async fn each_comparison_is_counted_by_what_it_found() {
    let two = two(|layer| layer);
    let set = async |backend: &Arc<Faulty>, key: &str, value: &str| {
        store_of(backend).set(key, value).await.unwrap();
    };
    for (key, primary, secondary) in [
        ("equal", Some("canary"), Some("canary")),
        ("different", Some("canary"), Some("other")),
        ("missing", Some("canary"), None),
        ("unexpected", None, Some("canary")),
        ("neither", None, None),
    ] {
        if let Some(value) = primary {
            set(&two.primary, key, value).await;
        }
        if let Some(value) = secondary {
            set(&two.secondary, key, value).await;
        }
    }
    let keys = ["equal", "different", "missing", "unexpected", "neither"];
    let expected = [Some("canary"), Some("canary"), Some("canary"), None, None].map(|value| value.map(Value::from));
    for (key, value) in keys.into_iter().zip(&expected) {
        assert_eq!(two.store.get(key).await.unwrap(), *value, "the primary answers");
    }
    let once = two.counts();
    assert_eq!((once.compared, once.equal, once.different), (5, 2, 1));
    assert_eq!((once.missing, once.unexpected, once.failed), (1, 1, 0));
    let events = two.events();
    assert_eq!(events.len(), 3);
    for (event, (kind, key)) in
        events.iter().zip([("Different", "different"), ("Missing", "missing"), ("Unexpected", "unexpected")])
    {
        assert!(event.contains(kind) && event.contains(key) && !event.contains("canary"), "{event}");
    }
    assert_eq!(two.store.get_many(keys).await.unwrap(), expected);
    let twice = two.counts();
    assert_eq!((twice.compared, twice.equal, twice.different), (10, 4, 2));
    assert!(two.store.exists("different").await.unwrap());
    assert_eq!(two.counts().equal, 5, "only that it is there was asked");
    assert!(two.store.exists("missing").await.unwrap());
    assert_eq!(two.counts().missing, 3);

    two.events();
    two.secondary.fail_reads(ErrorKind::Unauthorized);
    assert_eq!(two.store.get("equal").await.unwrap(), expected[0]);
    assert_eq!(two.store.get_many(["equal", "neither"]).await.unwrap(), [expected[0].clone(), None]);
    assert_eq!(two.counts().failed, 3);
    assert!(two.events().iter().all(|event| event.contains("ReadFailed") && event.contains("on purpose")));
    two.secondary.fail_reads(None);
    two.primary.fail_reads(ErrorKind::Unavailable);
    assert_eq!(two.store.get("equal").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn as_many_reads_are_compared_as_was_said() {
    for (rate, expected) in
        [(0.0, 0..=0), (f64::NAN, 0..=0), (-1.0, 0..=0), (0.5, 300..=700), (1.0, 1000..=1000), (7.0, 1000..=1000)]
    {
        let two = two(|layer| layer.with_compared(rate));
        for _ in 0..1000 {
            two.store.get("k").await.unwrap();
        }
        assert!(expected.contains(&two.counts().compared), "{rate}: {}", two.counts().compared);
    }
}

#[tokio::test]
async fn two_writes_to_one_key_end_alike_on_both_sides_and_no_comparison_comes_between() {
    let two = two(|layer| layer);
    for round in 0..20 {
        let writes = (0..24).map(async |number: i64| {
            let key = "k";
            match number % 6 {
                0 => drop(two.store.delete(key).await.unwrap()),
                1 => two.store.set_many([SetItem::new(key, number), SetItem::new("other", number)]).await.truncate(0),
                2 => drop(two.store.set(key, number).if_not_exists().await.unwrap()),
                3 => drop(two.store.get(key).await.unwrap()),
                4 => drop(two.store.increment(key, 1).await.unwrap()),
                _ => drop(two.store.set(key, number).await.unwrap()),
            }
        });
        join_all(writes).await;
        two.assert_same("k", &format!("after round {round}")).await;
        two.assert_same("other", &format!("after round {round}")).await;
    }
    let counts = two.counts();
    assert_eq!((counts.compared, counts.equal), (80, 80), "{counts:?}");
}

#[tokio::test]
async fn err_6_a_dropped_call_may_leave_them_apart_blocks_nobody_and_is_found() {
    let two = two(|layer| layer);
    two.store.set("k", "old").await.unwrap();
    two.secondary.is_stuck.store(true, Ordering::Relaxed);
    let mut call = Box::pin(async { drop(two.store.set("k", "new").await) });
    for _ in 0..20 {
        assert!((&mut call).now_or_never().is_none());
    }
    drop(call);
    two.secondary.is_stuck.store(false, Ordering::Relaxed);
    let [primary, secondary] = two.both("k").await;
    assert_eq!((primary.unwrap().0, secondary.unwrap().0), (Value::from("new"), Value::from("old")));
    two.store.get("k").await.unwrap();
    assert_eq!(two.counts().different, 1);
    two.store.set("k", "newer").await.unwrap();
    two.assert_same("k", "after the next set").await;
}

#[tokio::test]
async fn exp_10_an_entry_that_has_ended_before_it_is_copied_is_deleted() {
    let two = two(|layer| layer);
    store_of(&two.primary).set("n", 1).ttl(Duration::from_secs(5)).await.unwrap();
    store_of(&two.secondary).set("n", 7).await.unwrap();
    two.clock.advance(Duration::from_secs(5));
    assert_eq!(two.store.increment("n", 1).await.unwrap(), 1, "a new counter");
    two.assert_same("n", "after an increment over an entry that had ended").await;
}

#[tokio::test]
async fn life_1_ping_and_close_reach_both() {
    for on_failure in [SecondaryFailure::Ignore, SecondaryFailure::Fail] {
        let two = two(|layer| layer.with_secondary_failure(on_failure));
        two.store.ping().await.unwrap();
        two.secondary.fail_reads(ErrorKind::Unavailable);
        assert_eq!(two.store.ping().await.is_ok(), on_failure == SecondaryFailure::Ignore);
        assert!(two.events()[0].contains(&format!("{:?}", MirrorEventKind::ReadFailed)));
        two.primary.fail_writes(ErrorKind::Internal);
        assert_eq!(two.store.close().await.unwrap_err().kind(), ErrorKind::Internal);
        assert!(two.primary.is_closed.load(Ordering::Relaxed) && two.secondary.is_closed.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn ns_3_it_is_the_primary_to_cursors_and_versions() {
    let two = two(|layer| layer);
    for key in ["a", "b"] {
        two.store.set(key, "").await.unwrap();
    }
    let bare = store_of(&two.primary);
    assert!(two.store.has_same_scope(&bare));
    let cursor = bare.list().limit(1).await.unwrap().cursor.unwrap();
    assert_eq!(two.store.list().cursor(cursor).await.unwrap().items[0].key, "b");
    let version = bare.get_entry("a").await.unwrap().unwrap().version().cloned();
    assert!(two.store.set("a", "v").if_version(version).await.unwrap().is_written());
}
