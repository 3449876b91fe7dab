//! A second store that answers reads when the first is unavailable.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::faulty::Faulty;
use common::pair::{Pair, Side, System, check};
use kv_api::{
    Backend, BackendExt, Capabilities, Consistency, ErrorKind, Layer, ManualClock, Reason, SetItem, Store, Support,
    Value, ValueKinds,
};
use kv_layers::{Fallback, Like};
use kv_memory::MemoryStore;

/// Every read is answered by the second, which is the same data.
fn always(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    let first = Faulty::new(Arc::clone(&inner));
    first.lose_answers();
    Fallback::to(inner).layer(first)
}

const LOST: &[&str] = &["set_7_a_read_after_a_write_sees_it", "set_7_histories_of_sets_and_reads_are_linearizable"];

mod when_unavailable {
    use super::*;
    common::suite!(always, lost: LOST);
}

/// The second is never asked.
fn never(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    Store::from_arc(Fallback::to(second).layer(first))
}

fn first(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    Store::from_arc(first).restricted_to([second.capabilities()])
}

macro_rules! when_available {
    ($($name:ident: $first:ident, $second:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let pair = Pair {
                first: System::$first,
                second: System::$second,
                by_client_clock: true,
                others_write_to: Side::First,
                join: never,
            };
            check(module_path!(), pair, first, LOST).await;
        }
    )*};
}
when_available! {
    memory_and_sqlite: Memory, Sqlite;
}

struct Two {
    first: Arc<Faulty>,
    second: Arc<Faulty>,
    fallback: Fallback,
    store: Store,
}

/// Two stores, of which the second has `"k"` too.
async fn two(set: impl FnOnce(Fallback) -> Fallback) -> Two {
    let [first, second] = [Faulty::new(MemoryStore::default()), Faulty::new(MemoryStore::default())];
    let fallback = set(Fallback::to(Arc::clone(&second)));
    let store = Store::from_arc(fallback.layer(Arc::clone(&first) as _));
    store.set("k", "first").await.unwrap();
    store_of(&second).set("k", "second").await.unwrap();
    Two { first, second, fallback, store }
}

fn store_of(backend: &Arc<Faulty>) -> Store {
    Store::from_arc(Arc::clone(backend) as _)
}

const ALL_KINDS: [ErrorKind; 11] = [
    ErrorKind::InvalidArgument,
    ErrorKind::Unsupported,
    ErrorKind::WrongType,
    ErrorKind::Unauthorized,
    ErrorKind::Misconfigured,
    ErrorKind::Exhausted,
    ErrorKind::RateLimited,
    ErrorKind::Unavailable,
    ErrorKind::Protocol,
    ErrorKind::Closed,
    ErrorKind::Internal,
];

#[tokio::test]
async fn only_what_is_unavailable_and_on_request_what_is_rate_limited_falls_back() {
    for is_of_rate_limited in [false, true] {
        let Two { first, fallback, store, .. } = two(|layer| layer.with_rate_limited(is_of_rate_limited)).await;
        for kind in ALL_KINDS {
            let falls_back = kind == ErrorKind::Unavailable || (kind == ErrorKind::RateLimited && is_of_rate_limited);
            first.fail_reads(kind);
            let before = fallback.counts().fell_back;
            let answers = [
                store.get("k").await,
                store.get_entry("k").await.map(|entry| entry.map(|entry| entry.into_value())),
                store.get_many(["k"]).await.map(|mut values| values.remove(0)),
            ];
            for answer in answers {
                let expected = falls_back.then(|| Some(Value::from("second"))).ok_or(kind);
                assert_eq!(answer.map_err(|error| error.kind()), expected, "{kind:?}");
            }
            assert_eq!(store.exists("k").await.is_ok(), falls_back);
            assert_eq!(store.list().await.is_ok(), falls_back);
            assert_eq!(fallback.counts().fell_back - before, if falls_back { 5 } else { 0 });
        }
        assert_eq!(fallback.counts().failed, 0);
    }
}

#[tokio::test]
async fn a_read_that_neither_answers_has_the_error_of_the_first() {
    let Two { first, second, fallback, store } = two(|layer| layer).await;
    first.fail_reads(ErrorKind::Unavailable);
    second.fail_reads(ErrorKind::Unauthorized);
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get_many(["k", "other"]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.list().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((fallback.counts().fell_back, fallback.counts().failed), (0, 3));
}

#[tokio::test]
async fn writes_go_to_the_first_alone() {
    let Two { first, second, fallback, store } = two(|layer| layer.with_rate_limited(true)).await;
    let calls = second.calls();
    let write_all = async || {
        let mut results = vec![
            store.set("k", "v").await.map(drop),
            store.set("k", "v").if_not_exists().await.map(drop),
            store.delete("gone").await.map(drop),
            store.increment("n", 1).await.map(drop),
            store.expire("k").never().await.map(drop),
            store.get("k").touch(Duration::from_secs(9)).await.map(drop),
            store.get_and_delete("gone").await.map(drop),
            store.set_many_all_or_nothing([SetItem::new("k", "v")]).await.map(drop),
        ];
        results.extend(store.set_many([SetItem::new("k", "v")]).await.into_iter().map(|result| result.map(drop)));
        results.extend(store.delete_many(["gone"]).await.into_iter().map(|result| result.map(drop)));
        results
    };
    for result in write_all().await {
        result.unwrap();
    }
    for kind in [ErrorKind::Unavailable, ErrorKind::RateLimited] {
        first.fail_writes(kind);
        for result in write_all().await {
            assert_eq!(result.unwrap_err().kind(), kind);
        }
    }
    assert_eq!((second.calls(), fallback.counts().fell_back), (calls, 0));
}

#[tokio::test]
async fn list_3_a_walk_stays_in_the_store_where_it_began() {
    let Two { first, second, store, .. } = two(|layer| layer).await;
    for key in ["a", "b"] {
        store_of(&first).set(key, "").await.unwrap();
    }
    store_of(&second).set("z", "").await.unwrap();
    let began = store.list().limit(1).await.unwrap();
    assert_eq!(began.items[0].key, "a");
    first.fail_reads(ErrorKind::Unavailable);
    let fell_back = store.list().limit(1).await.unwrap();
    assert_eq!(fell_back.items[0].key, "k");
    let lost = store.list().cursor(began.cursor.clone().unwrap()).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unavailable, "its place is in the first");
    first.fail_reads(None);
    let rest = store.list().cursor(fell_back.cursor.unwrap()).await.unwrap();
    assert_eq!(rest.items[0].key, "z", "its place is in the second");
    let rest = store.list().cursor(began.cursor.clone().unwrap()).await.unwrap();
    assert_eq!(rest.into_iter().map(|item| item.key).collect::<Vec<_>>(), ["b", "k"]);
    let foreign = store_of(&first).list().cursor(began.cursor.unwrap()).await.unwrap_err();
    assert_eq!(foreign.reason(), Some(&Reason::CursorInvalid));
}

#[tokio::test]
async fn cap_4_a_read_reports_what_both_report_and_a_write_what_the_first_does() {
    static PLAIN: Capabilities = Capabilities::new("plain").with_value_kinds(ValueKinds::ALL).with_key_bytes(2, 4);
    let second = MemoryStore::default().layer(&Like::new(PLAIN.clone()));
    let first = Faulty::new(MemoryStore::default());
    let store = Store::from_arc(Fallback::to(second).layer(Arc::clone(&first) as _));
    let capabilities = store.capabilities();
    assert_eq!(capabilities.consistency, Consistency::Eventual { usually_within: None });
    assert_eq!((capabilities.if_version, capabilities.metadata), (Support::None, Support::None));
    assert_eq!((capabilities.list, capabilities.expiry_read), (Support::None, false));
    assert_eq!((capabilities.if_not_exists, capabilities.counters), (Support::Native, Support::Native));
    assert_eq!(store.set("k", "v").await.unwrap().version(), None);
    assert_eq!(store.get_entry("k").await.unwrap().unwrap().version(), None);
    // Which the second cannot have.
    first.fail_reads(ErrorKind::Unavailable);
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get("kk").await.unwrap(), None);
}

#[tokio::test]
async fn life_1_ping_and_close_reach_both() {
    let Two { first, second, store, .. } = two(|layer| layer).await;
    store.ping().await.unwrap();
    second.fail_reads(ErrorKind::Unavailable);
    assert_eq!(store.ping().await.unwrap_err().store(), Some("memory, which is fallen back to"));
    first.fail_reads(ErrorKind::Unauthorized);
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    first.fail_writes(ErrorKind::Internal);
    assert_eq!(store.close().await.unwrap_err().kind(), ErrorKind::Internal);
    assert!(first.is_closed.load(Ordering::Relaxed) && second.is_closed.load(Ordering::Relaxed));
}

#[tokio::test]
async fn get_1_an_entry_that_is_missing_in_the_first_is_missing() {
    let Two { store, second, .. } = two(|layer| layer).await;
    store_of(&second).set("only here", "").await.unwrap();
    assert_eq!(store.get("only here").await.unwrap(), None);
}
