//! Several backends under prefixes of keys.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::faulty::Faulty;
use common::pair::{Pair, Side, System, check};
use futures_util::TryStreamExt;
use kv_api::{
    Backend, BackendExt, BatchOutcome, Capabilities, ErrorKind, ExpiryClock, ItemLimit, Layer, ListOrder, ManualClock,
    Reason, SetItem, SetStatus, Store, Support, Timestamp, Value, ValueKinds, async_trait,
};
use kv_layers::{Like, Mounted};
use kv_memory::{MemoryConfig, MemoryStore};
use proptest::prelude::*;

/// One backend under several prefixes is that backend.
fn over_itself(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    let again = || Arc::clone(&inner);
    Arc::new(Mounted::new(again(), [("k", again()), ("k/0", again()), ("b", again()), ("é", again())]).unwrap())
}
// Batches of several keys lie in several mounts.
common::suite!(over_itself);

/// Both backends under several prefixes, one below another, so that what a case works with lies in both.
fn spread(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    let mounts = [
        ("k", Arc::clone(&second)),
        ("k/0", Arc::clone(&first)),
        ("b", Arc::clone(&second)),
        ("aa", Arc::clone(&second)),
        ("é", second),
    ];
    Mounted::new(first, mounts).unwrap().into_store()
}

/// The first one, with what both offer.
fn restricted(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    Store::from_arc(first).restricted_to([second.capabilities()])
}

macro_rules! spread {
    ($($name:ident: $first:ident, $second:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (first, second) = (System::$first, System::$second);
            let pair = Pair { first, second, by_client_clock: false, others_write_to: Side::Second, join: spread };
            check(module_path!(), pair, restricted, &[]).await;
        }
    )*};
}
spread! {
    memory_and_sqlite: Memory, Sqlite;
    cloudflare_and_memory: Cloudflare, Memory;
}

/// One of them without an order, so that the lists come one after the other.
fn spread_unordered(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    spread(first, unordered().layer(second))
}

fn restricted_unordered(first: Arc<dyn Backend>, second: Arc<dyn Backend>) -> Store {
    restricted(first, unordered().layer(second))
}

fn unordered() -> Like {
    let mut capabilities = kv_memory::CAPABILITIES.clone();
    capabilities.list_order = ListOrder::Unordered;
    Like::new(capabilities)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_order() {
    let (first, second) = (System::Memory, System::Memory);
    let pair = Pair { first, second, by_client_clock: false, others_write_to: Side::Second, join: spread_unordered };
    check("mounted, without an order", pair, restricted_unordered, &[]).await;
}

fn fresh() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::default())
}

fn store_of(backend: &Arc<impl Backend>) -> Store {
    Store::from_arc(Arc::clone(backend) as _)
}

async fn keys(store: &Store) -> Vec<String> {
    store.list().stream().map_ok(|item| item.key).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_key_goes_whole_to_the_mount_with_the_longest_prefix() {
    let [default, users, admins] = [fresh(), fresh(), fresh()];
    let mounts = [("user/admin/", Arc::clone(&admins) as Arc<dyn Backend>), ("user/", Arc::clone(&users) as _)];
    let store = Mounted::new(Arc::clone(&default), mounts).unwrap().into_store();
    for key in ["user/1", "user/admin/1", "user", "user/admin", "u", "z"] {
        store.set(key, key).await.unwrap();
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from(key)));
    }
    assert_eq!(keys(&store_of(&default)).await, ["u", "user", "z"]);
    assert_eq!(keys(&store_of(&users)).await, ["user/1", "user/admin"]);
    assert_eq!(keys(&store_of(&admins)).await, ["user/admin/1"]);
    assert_eq!(store.increment("user/n", 2).await.unwrap(), 2);
    assert!(store.expire("user/n").never().await.unwrap());
    store.delete("user/n").await.unwrap();
    assert!(!store_of(&users).exists("user/n").await.unwrap());
}

#[tokio::test]
async fn list_2_what_lies_in_the_wrong_mount_is_not_shown() {
    let [default, users] = [fresh(), fresh()];
    store_of(&default).set("user/hidden", "").await.unwrap();
    store_of(&users).set("other", "").await.unwrap();
    let store = Mounted::new(default, [("user/", users as Arc<dyn Backend>)]).unwrap().into_store();
    store.set("user/1", "").await.unwrap();
    store.set("z", "").await.unwrap();
    assert_eq!(keys(&store).await, ["user/1", "z"]);
    assert_eq!(store.list().prefix("user/h").await.unwrap().items, []);
    assert!(!store.exists("user/hidden").await.unwrap() && !store.exists("other").await.unwrap());
    assert_eq!(store.clear().await.unwrap(), 2);
}

#[tokio::test]
async fn batch_2_a_batch_is_split_and_joined_in_the_order_of_the_caller() {
    let [default, users] = [Faulty::new(MemoryStore::default()), Faulty::new(MemoryStore::default())];
    let mounts = [("user/", Arc::clone(&users) as Arc<dyn Backend>)];
    let store = Mounted::new(Arc::clone(&default), mounts).unwrap().into_store();
    let items = || ["user/1", "a", "user/2", "b"].map(|key| SetItem::new(key, key));
    for result in store.set_many(items()).await {
        assert_eq!(result.unwrap().status(), SetStatus::Created);
    }
    let calls = (default.calls(), users.calls());
    assert_eq!(calls, (1, 1), "one batch for each");
    let read = store.get_many(["b", "user/2", "missing", "user/1", "a"]).await.unwrap();
    assert_eq!(read, [Some("b"), Some("user/2"), None, Some("user/1"), Some("a")].map(|value| value.map(Value::from)));

    users.fail_writes(ErrorKind::Exhausted);
    let results = store.set_many(items()).await;
    for (index, (key, result)) in ["user/1", "a", "user/2", "b"].into_iter().zip(results).enumerate() {
        match result {
            Ok(outcome) => assert_eq!((index % 2, outcome.status()), (1, SetStatus::Updated)),
            Err(error) => assert_eq!((error.index(), error.key()), (Some(index), Some(key))),
        }
    }
    let deleted = store.delete_many(["user/1", "a", "user/1"]).await;
    assert!(deleted[0].is_err() && deleted[1].is_ok() && deleted[2].is_err());
    users.fail_writes(None);
    users.fail_reads(ErrorKind::Unavailable);
    let error = store.get_many(["a", "user/1"]).await.unwrap_err();
    assert_eq!(error.store(), Some("memory mounted at \"user/\""), "{error}");
    assert_eq!(store.get_many(["a", "b"]).await.unwrap(), [None, Some(Value::from("b"))]);
}

#[tokio::test]
async fn batch_3_all_or_nothing_works_within_a_mount_and_is_refused_across() {
    let [default, users] = [fresh(), fresh()];
    let store = Mounted::new(default, [("user/", users as Arc<dyn Backend>)]).unwrap().into_store();
    let batch = |keys: [&'static str; 3]| store.set_many_all_or_nothing(keys.map(|key| SetItem::new(key, "")));
    let error = batch(["user/1", "user/2", "other"]).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::KeysApart)));
    assert_eq!((error.index(), error.key()), (Some(2), Some("other")));
    assert_eq!(keys(&store).await, Vec::<String>::new(), "nothing is written");
    assert!(batch(["user/1", "user/2", "user/3"]).await.unwrap().is_written());
    assert!(batch(["a", "b", "c"]).await.unwrap().is_written());
    let unmet = [SetItem::new("user/9", ""), SetItem::new("user/1", "").if_not_exists()];
    let outcome = store.set_many_all_or_nothing(unmet).await.unwrap();
    assert_eq!(outcome, BatchOutcome::NotMet { index: 1 });
}

#[tokio::test]
async fn cap_4_it_offers_and_shows_what_all_mounts_do() {
    static LIMITS: [ItemLimit; 1] = [ItemLimit::value_bytes(3)];
    static PLAIN: Capabilities = Capabilities::new("plain")
        .with_value_kinds(ValueKinds::ALL)
        .with_if_not_exists(Support::BestEffort)
        .with_key_bytes(1, 8)
        .with_item_limits(&LIMITS);
    let plain = MemoryStore::default().layer(&Like::new(PLAIN.clone()));
    let store = Mounted::new(MemoryStore::default(), [("p/", plain)]).unwrap().into_store();
    let capabilities = store.capabilities();
    assert_eq!((capabilities.system, capabilities.if_not_exists), ("mounted", Support::BestEffort));
    assert_eq!((capabilities.list, capabilities.counters), (Support::None, Support::None));
    for key in ["p/1", "other"] {
        let error = store.set(key, "four").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{key}: {error}");
        let outcome = store.set(key, "v").await.unwrap();
        assert_eq!((outcome.status(), outcome.version()), (SetStatus::Stored, None), "{key}");
        assert_eq!(store.get_entry(key).await.unwrap().unwrap().version(), None, "{key}");
    }
    assert_eq!(store.set("123456789", "").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn two_mounts_have_two_prefixes_and_none_is_empty() {
    let mount = |prefixes: &[&'static str]| {
        Mounted::new(MemoryStore::default(), prefixes.iter().map(|prefix| (*prefix, fresh() as Arc<dyn Backend>)))
    };
    assert!(mount(&["a", "aa", "b"]).is_ok());
    for refused in [&["a", "b", "a"][..], &[""]] {
        assert_eq!(mount(refused).unwrap_err().kind(), ErrorKind::InvalidArgument, "{refused:?}");
    }
}

fn at(seconds: i64) -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(seconds));
    (MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone()))), clock)
}

/// A store that reports that its entries end by the clock of its system, whichever that is.
#[derive(Debug)]
struct BySystemClock {
    inner: MemoryStore,
    capabilities: Capabilities,
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for BySystemClock {
    kv_api::forward_backend!(self => self.inner;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: []);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

fn by_the_systems_clock(inner: MemoryStore) -> Arc<dyn Backend> {
    let capabilities = kv_memory::CAPABILITIES.clone().with_expiry_clock(ExpiryClock::System);
    Arc::new(BySystemClock { inner, capabilities })
}

#[tokio::test]
async fn exp_10_where_all_clocks_decide_they_are_one() {
    let mount = |one: MemoryStore, other: Arc<dyn Backend>| Mounted::new(one, [("m/", other)]);
    let error = mount(at(1000).0, Arc::new(at(1001).0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(mount(at(1000).0, Arc::new(at(1000).0)).is_ok());
    assert!(mount(MemoryStore::default(), fresh()).is_ok(), "the system clock");

    // One whose system goes by its own clock judges for both, and decides for neither.
    let (own, decides) = at(1000);
    let (other, guards) = at(5000);
    let store = mount(own, by_the_systems_clock(other)).unwrap().into_store();
    assert_eq!(store.capabilities().expiry_clock, ExpiryClock::System);
    let late = store.set("k", "v").expire_at(Timestamp::from_unix_seconds(4000)).await.unwrap_err();
    assert_eq!(late.reason(), Some(&Reason::ExpiryInPast));
    store.set("k", "v").expire_at(Timestamp::from_unix_seconds(6000)).await.unwrap();
    guards.set(Timestamp::from_unix_seconds(9000));
    assert!(store.exists("k").await.unwrap());
    decides.set(Timestamp::from_unix_seconds(6000));
    assert!(!store.exists("k").await.unwrap());
}

#[tokio::test]
async fn list_3_a_cursor_is_of_these_mounts_in_any_order_and_of_no_others() {
    let [default, a, b] = [fresh(), fresh(), fresh()];
    let open = |prefixes: [&'static str; 2]| {
        let mounts = [(prefixes[0], Arc::clone(&a) as Arc<dyn Backend>), (prefixes[1], Arc::clone(&b) as _)];
        Mounted::new(Arc::clone(&default), mounts).unwrap().into_store()
    };
    let store = open(["a/", "b/"]);
    for key in ["a/1", "b/1", "c"] {
        store.set(key, "").await.unwrap();
    }
    let cursor = store.list().limit(1).await.unwrap().cursor.unwrap();
    let swapped =
        Mounted::new(Arc::clone(&default), [("b/", Arc::clone(&b) as Arc<dyn Backend>), ("a/", Arc::clone(&a) as _)]);
    let rest = swapped.unwrap().into_store().list().cursor(cursor.clone()).await.unwrap();
    assert_eq!(rest.into_iter().map(|item| item.key).collect::<Vec<_>>(), ["b/1", "c"]);
    for other in [open(["b/", "a/"]), open(["a/", "c/"]), store_of(&default)] {
        let error = other.list().cursor(cursor.clone()).await.unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::CursorInvalid), "{error}");
        assert_ne!(other.scope_fingerprint(), store.scope_fingerprint());
    }
}

#[tokio::test]
async fn life_1_errors_without_a_key_name_the_mount_and_close_reaches_all() {
    let [default, users] = [Faulty::new(MemoryStore::default()), Faulty::new(MemoryStore::default())];
    let mounts = [("user/", Arc::clone(&users) as Arc<dyn Backend>)];
    let mounted = Mounted::new(Arc::clone(&default), mounts).unwrap();
    let shown = format!("{mounted:?}");
    assert!(shown.starts_with("Mounted{\"\": Faulty"), "{shown}");
    let store = mounted.into_store();
    store.ping().await.unwrap();
    users.fail_reads(ErrorKind::Unavailable);
    for error in [store.ping().await.unwrap_err(), store.list().await.unwrap_err()] {
        assert_eq!(error.store(), Some("memory mounted at \"user/\""), "{error}");
    }
    assert_eq!(store.get("user/1").await.unwrap_err().store(), Some("mounted"), "its key names the mount");
    assert!(store.list().prefix("a").await.is_ok(), "a mount that cannot have such keys is not asked");
    default.fail_writes(ErrorKind::Unavailable);
    assert_eq!(store.close().await.unwrap_err().store(), Some("memory mounted at \"\""));
    assert!(default.is_closed.load(Ordering::Relaxed) && users.is_closed.load(Ordering::Relaxed));
}

/// A table of mounts over three stores, and keys.
fn tables() -> impl Strategy<Value = (Vec<(String, usize)>, Vec<String>)> {
    let prefixes = prop::collection::btree_map("[ab]{1,3}", 0..3_usize, 0..4);
    (prefixes.prop_map(|map| map.into_iter().collect()), prop::collection::vec("[abc]{1,4}", 0..30))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn list_2_the_merged_list_is_that_of_one_store(
        (table, names) in tables(),
        prefix in "[abc]{0,2}",
        limits in prop::collection::vec(1..6_usize, 1..4),
        is_ordered: bool,
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let stores = [fresh(), fresh(), fresh()];
            let mounted = |at: usize| -> Arc<dyn Backend> {
                let store = Arc::clone(&stores[at]);
                if is_ordered { store } else { unordered().layer(store) }
            };
            let mounts: Vec<(&str, Arc<dyn Backend>)> =
                table.iter().map(|(prefix, at)| (prefix.as_str(), mounted(*at))).collect();
            let store = Mounted::new(mounted(0), mounts).unwrap().into_store();
            for result in store.set_many(names.iter().map(|name| SetItem::new(name, &**name))).await {
                result.unwrap();
            }
            let model: BTreeSet<&str> = names.iter().map(String::as_str).filter(|name| name.starts_with(&prefix)).collect();
            let (mut found, mut cursor) = (Vec::new(), None);
            for turn in 0.. {
                assert!(turn < 500, "it does not end");
                let limit = limits[turn % limits.len()];
                let mut list = store.list().prefix(&*prefix).limit(limit);
                if let Some(cursor) = cursor.take() {
                    list = list.cursor(cursor);
                }
                let page = list.await.unwrap();
                cursor = page.cursor.clone();
                found.extend(page.into_iter().map(|item| item.key));
                if cursor.is_none() {
                    break;
                }
            }
            if !is_ordered {
                found.sort();
            }
            assert_eq!(found, model.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
            let values = store.get_many(model.iter().copied()).await.unwrap();
            let expected: Vec<Option<Value>> = model.iter().map(|key| Some(Value::from(*key))).collect();
            assert_eq!(values, expected);
        });
    }
}
