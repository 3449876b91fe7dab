//! A backend that behaves as another system would.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[allow(dead_code, unused_imports, unused_macros, reason = "what is lost by it depends on the system")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::pair::{Join, Pair, Side, System, check};
use futures_util::future::{join, join_all};
use kv_api::{
    BackendExt, Capabilities, Consistency, DeleteOutcome, EntryExpiry, ErrorKind, Feature, Layer, ListOrder,
    ListedMetadata, ManualClock, Reason, SetItem, SetStatus, Stack, Store, Support, Timestamp, Value, ValueKinds,
};
use kv_layers::Like;
use kv_memory::{MemoryConfig, MemoryStore};
use serde_json::json;

/// Of everything that can have a race window, with one.
static RACED: Capabilities = Capabilities::new("raced")
    .with_if_not_exists(Support::BestEffort)
    .with_if_exists(Support::BestEffort)
    .with_if_version(Support::BestEffort)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_read(true)
    .with_expire(Support::BestEffort)
    .with_expire_if_version(Support::BestEffort)
    .with_touch(Support::BestEffort)
    .with_get_and_delete(Support::BestEffort)
    .with_metadata(Support::Native)
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Lexicographic);

/// A restricted handle reports that the system's clock decides. Here it is still that of the embedded store.
const OF_THE_SYSTEMS_CLOCK: &[&str] =
    &["exp_3_a_wrong_clock_here_moves_no_ttl", "exp_5_an_expiry_past_by_the_systems_clock_alone_leaves_no_entry"];

/// A system like another, against what a restricted handle on it does.
macro_rules! like {
    ($($name:ident: $system:ident like $capabilities:expr, $lost:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (first, second) = (System::$system, System::Memory);
            let pair = Pair {
                first,
                second,
                by_client_clock: true,
                others_write_to: Side::First,
                join: |first, _| Store::from_arc(Like::new($capabilities.clone()).layer(first)),
            };
            let restricted: Join = |first, _| Store::from_arc(first).restricted_to([&$capabilities]);
            check(concat!("like::", stringify!($name)), pair, restricted, $lost).await;
        }
    )*};
}
like! {
    memory_like_cloudflare: Memory like kv_cloudflare::CAPABILITIES, OF_THE_SYSTEMS_CLOCK;
    sqlite_like_cloudflare: Sqlite like kv_cloudflare::CAPABILITIES, OF_THE_SYSTEMS_CLOCK;
    memory_with_all_windows: Memory like RACED, OF_THE_SYSTEMS_CLOCK;
    cloudflare_with_all_windows: Cloudflare like RACED, &[];
}

fn store_like(inner: &MemoryStore, like: Like) -> Store {
    Store::from_arc(inner.clone().layer(&like)).allow_best_effort()
}

fn timed() -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(1_795_161_822));
    (MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone()))), clock)
}

/// Two processes on one system.
fn two_processes(like: &Like) -> [Store; 2] {
    let memory = MemoryStore::default();
    [(); 2].map(|()| store_like(&memory, like.clone()))
}

#[tokio::test]
async fn set_6_two_processes_race_where_the_imitated_system_has_a_window() {
    let [one, other] = two_processes(&Like::new(RACED.clone()));
    let create = |store: &Store| {
        let store = store.clone();
        async move { store.set("k", "v").if_not_exists().await.unwrap().status() }
    };
    assert_eq!(join(create(&one), create(&other)).await, (SetStatus::Created, SetStatus::Created));
    assert_eq!(join(create(&one), create(&one)).await, (SetStatus::NotMet, SetStatus::NotMet));

    let version = one.get_entry("k").await.unwrap().unwrap().version().unwrap().clone();
    let replace = |store: &Store| {
        let (store, version) = (store.clone(), version.clone());
        async move { store.set("k", "w").if_version(version).await.unwrap().status() }
    };
    assert_eq!(join(replace(&one), replace(&other)).await, (SetStatus::Updated, SetStatus::Updated));

    // What looked before a delete writes after it.
    let revive = async { one.set("k", "back").if_exists().await.unwrap().status() };
    let (revived, deleted) = join(revive, other.delete("k")).await;
    assert_eq!((revived, deleted.is_ok()), (SetStatus::Updated, true));
    assert_eq!(one.get("k").await.unwrap(), Some(Value::from("back")), "it was there when it was looked at");

    let version = one.get_entry("k").await.unwrap().unwrap().version().unwrap().clone();
    let delete = async { one.delete("k").if_version(version).await.unwrap() };
    let (deleted, _) = join(delete, other.set("k", "another client's")).await;
    assert_eq!(
        (deleted, one.get("k").await.unwrap()),
        (DeleteOutcome::Deleted, None),
        "it deletes what it has not seen"
    );

    one.set("e", "v").await.unwrap();
    let (there, _) = join(async { one.expire("e").never().await.unwrap() }, other.delete("e")).await;
    assert!(there, "it was there when it was looked at");

    one.set("e", "v").await.unwrap();
    let version = one.get_entry("e").await.unwrap().unwrap().version().unwrap().clone();
    let renew = async { one.expire("e").never().if_version(version).await.unwrap() };
    assert!(join(renew, other.set("e", "another client's")).await.0, "it renews what it has not seen");
    let (touched, _) =
        join(async { one.get("e").touch(Duration::from_secs(9)).await.unwrap() }, other.delete("e")).await;
    assert!(touched.is_some(), "it was there when it was looked at");
    one.set("once", "v").await.unwrap();
    let take = |store: &Store| {
        let store = store.clone();
        async move { store.get_and_delete("once").await.unwrap().is_some() }
    };
    assert_eq!(join(take(&one), take(&other)).await, (true, true), "two have got it");
}

#[tokio::test]
async fn set_6_the_batches_of_two_processes_race_too_and_one_store_never_does_with_itself() {
    let stores = two_processes(&Like::new(RACED.clone()));
    let batch = |store: Store| async move {
        let items = [
            SetItem::new("a", "v").if_not_exists(),
            SetItem::new("plain", "v"),
            SetItem::new("b", "v").if_not_exists(),
        ];
        let results = store.set_many(items).await;
        results.into_iter().map(|result| result.unwrap().is_written()).collect::<Vec<_>>()
    };
    let won = join_all(stores.iter().cloned().map(batch)).await;
    assert_eq!(won, [[true; 3], [true; 3]]);
    stores[0].clear().await.unwrap();
    let won = join_all((0..8).map(|_| batch(stores[0].clone()))).await;
    assert_eq!(won.iter().filter(|won| won[0]).count(), 1);
    assert!(won.iter().all(|won| won[1]));
}

#[tokio::test]
async fn set_6_without_a_window_there_is_no_race() {
    let [one, other] = two_processes(&Like::new(kv_memory::CAPABILITIES.clone()));
    let create = |store: &Store| {
        let store = store.clone();
        async move { store.set("k", "v").if_not_exists().await.unwrap().is_written() }
    };
    assert_eq!(join(create(&one), create(&other)).await, (true, false));
}

#[tokio::test]
async fn set_6_a_window_must_be_accepted() {
    let store = Store::from_arc(MemoryStore::default().layer(&Like::new(RACED.clone())));
    let error = store.set("k", "v").if_exists().await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::BestEffortNotAllowed(Feature::IfExists)));
}

/// Everything a store can read of one key, in one order: with `n` stale reads the first `n` are old.
async fn reads(store: &Store, key: &str, count: usize) -> Vec<Option<Value>> {
    let mut found = Vec::new();
    for number in 0..count {
        found.push(match number % 3 {
            0 => store.get(key).await.unwrap(),
            1 => store.get_many([key]).await.unwrap().remove(0),
            _ => store.get_entry(key).await.unwrap().map(|entry| entry.into_value()),
        });
    }
    found
}

#[tokio::test]
async fn set_7_so_many_reads_after_a_change_are_old() {
    let memory = MemoryStore::default();
    let store = store_like(&memory, Like::new(RACED.clone()).with_stale_reads(3));
    assert_eq!(store.capabilities().consistency, Consistency::Eventual { usually_within: None });
    let (none, one, two) = (None, Some(Value::from("1")), Some(Value::from("2")));
    store.set("k", "1").await.unwrap();
    assert_eq!(reads(&store, "k", 4).await, [&none, &none, &none, &one].map(Clone::clone));
    store.set("k", "2").await.unwrap();
    assert_eq!(store.get_many(["other", "k", "k"]).await.unwrap(), [none.clone(), one.clone(), one.clone()]);
    assert_eq!(reads(&store, "k", 3).await, [&one, &one, &two].map(Clone::clone));
    for result in store.set_many([SetItem::new("k", "1"), SetItem::new("m", "1")]).await {
        result.unwrap();
    }
    assert_eq!(reads(&store, "m", 4).await, [&none, &none, &none, &one].map(Clone::clone));
    store.delete("k").await.unwrap();
    assert_eq!(reads(&store, "k", 4).await, [&one, &one, &one, &none].map(Clone::clone), "of the last change");
    store.delete_many(["m"]).await;
    assert!(store.exists("m").await.unwrap());
    // Another process sees what is there.
    assert_eq!(memory.into_store().get("m").await.unwrap(), None);
}

#[tokio::test]
async fn set_7_all_changes_are_seen_late() {
    let memory = MemoryStore::default();
    let like = Like::new(kv_memory::CAPABILITIES.clone()).with_stale_reads(1);
    let store = store_like(&memory, like);
    store.increment("n", 1).await.unwrap();
    assert_eq!(reads(&store, "n", 2).await, [None, Some(Value::from(1))]);
    assert!(store.expire("n").ttl(Duration::from_secs(60)).await.unwrap());
    let expiry = async || store.get_entry("n").await.unwrap().unwrap().expiry();
    assert_eq!(expiry().await, EntryExpiry::Never);
    assert!(matches!(expiry().await, EntryExpiry::At(_)));
    let all = [SetItem::new("n", 5), SetItem::new("x", 5)];
    assert!(store.set_many_all_or_nothing(all).await.unwrap().is_written());
    assert_eq!(store.get_many(["n", "x"]).await.unwrap(), [Some(Value::from(1)), None]);
    assert_eq!(store.get_many(["n", "x"]).await.unwrap(), [Some(Value::from(5)), Some(Value::from(5))]);
    // What changes nothing is no change.
    assert!(!store.set("n", 6).if_not_exists().await.unwrap().is_written());
    assert_eq!(store.get("n").await.unwrap(), Some(Value::from(5)));
    assert_eq!(store.list().await.unwrap().items.len(), 2, "lists are not old");
}

#[tokio::test]
async fn set_6_the_look_of_a_condition_is_a_read_and_so_it_is_old() {
    let store = store_like(&MemoryStore::default(), Like::new(RACED.clone()).with_stale_reads(1));
    store.set("k", "1").await.unwrap();
    assert_eq!(store.set("k", "2").if_not_exists().await.unwrap().status(), SetStatus::Created);
}

#[tokio::test]
async fn exp_7_what_has_ended_is_not_seen_even_late() {
    let (memory, clock) = timed();
    let store = store_like(&memory, Like::new(RACED.clone()).with_stale_reads(2));
    store.set("k", "1").ttl(Duration::from_secs(5)).await.unwrap();
    assert_eq!(reads(&store, "k", 3).await[2], Some(Value::from("1")));
    store.set("k", "2").await.unwrap();
    clock.advance(Duration::from_secs(5));
    assert_eq!(reads(&store, "k", 3).await, [None, None, Some(Value::from("2"))]);
}

#[tokio::test]
async fn set_7_only_so_many_keys_are_seen_late() {
    let store = store_like(&MemoryStore::default(), Like::new(RACED.clone()).with_stale_reads(1));
    for number in 0..=Like::STALE_KEYS_MAX {
        store.set(format!("k{number}"), "v").await.unwrap();
    }
    assert!(store.exists("k0").await.unwrap(), "forgotten, and so seen");
    assert!(!store.exists("k1").await.unwrap());
}

#[tokio::test]
async fn cap_4_what_the_imitated_system_does_not_report_is_hidden() {
    static PLAIN: Capabilities = Capabilities::new("plain")
        .with_value_kinds(ValueKinds::ALL)
        .with_if_not_exists(Support::Native)
        .with_ttl(Support::Native)
        .with_list(Support::Native, ListOrder::Unordered)
        .with_key_bytes(1, 8);
    for backend in [
        MemoryStore::default().layer(&Like::new(PLAIN.clone())),
        // In front of another one too.
        MemoryStore::default().layer(&Like::new(RACED.clone())).layer(&Like::new(PLAIN.clone())),
    ] {
        let store = Store::from_arc(backend);
        assert_eq!(store.capabilities().system, "memory");
        let outcome = store.set("k", "v").ttl(Duration::from_secs(60)).await.unwrap();
        assert_eq!((outcome.status(), outcome.version()), (SetStatus::Stored, None));
        let entry = store.get_entry("k").await.unwrap().unwrap();
        assert_eq!((entry.expiry(), entry.version()), (EntryExpiry::Unknown, None));
        let item = store.list().await.unwrap().items.remove(0);
        let reported = (item.metadata, item.expiry, item.value_bytes);
        assert_eq!(reported, (ListedMetadata::NotReported, EntryExpiry::Unknown, None));
        assert_eq!(store.delete("k").await.unwrap(), DeleteOutcome::Accepted);
        assert_eq!(*store.delete_many(["k"]).await[0].as_ref().unwrap(), DeleteOutcome::Accepted);
        assert_eq!(store.increment("k", 1).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(store.set("k", "v").metadata(json!(1)).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(store.get("123456789").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_layer_prints_itself() {
    let like = |reads| Like::new(kv_cloudflare::CAPABILITIES.clone()).with_stale_reads(reads);
    let stack = Stack::new().with(like(0)).with(like(1)).with(like(3));
    assert_eq!(
        stack.to_string(),
        "like(cloudflare) > like(cloudflare, 1 stale read) > like(cloudflare, 3 stale reads)"
    );
    assert!(format!("{:?}", MemoryStore::default().layer(&like(3))).starts_with("Like(MemoryStore"));
}
