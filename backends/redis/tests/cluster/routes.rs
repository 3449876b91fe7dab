//! Which node gets what, and what happens while the nodes change (BATCH-5, LIST-3, ERR-4).

use std::collections::HashSet;

use futures_util::TryStreamExt;
use kv_api::{DeleteOutcome, ErrorKind, Reason, Retry, SetItem, SetStatus, Store, Value};
use kv_redis::RedisConfig;
use kv_servers::{Redis, RedisOptions};

use crate::harness::{PASSWORD, System, open};

async fn store(system: &System) -> Store {
    open(system.config().with_namespace("n").unwrap()).await.unwrap()
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key{number}")).collect()
}

async fn filled(system: &System, count: usize) -> (Store, Vec<String>) {
    let (store, keys) = (store(system).await, keys(count));
    for (at, outcome) in store
        .set_many(keys.iter().enumerate().map(|(at, key)| SetItem::new(key, at as u64)))
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(outcome.unwrap().status(), SetStatus::Stored, "{at}");
    }
    (store, keys)
}

async fn listed(store: &Store) -> HashSet<String> {
    store.list().stream().map_ok(|item| item.key).try_collect().await.unwrap()
}

pub(crate) async fn batch_5_a_batch_goes_to_the_nodes_side_by_side_and_comes_back_in_order() {
    let system = System::lease().await.unwrap();
    let (store, keys) = filled(&system, 1_000).await;
    let requests: Vec<u64> = system.link.nodes().iter().map(|node| node.requests()).collect();
    let found = store.get_many(&keys).await.unwrap();
    for (at, value) in found.into_iter().enumerate() {
        assert_eq!(value, Some(Value::from(at as u64)), "{at}");
    }
    let entries = store.get_entry_many(&keys).await.unwrap();
    assert!(entries.iter().enumerate().all(|(at, entry)| *entry.as_ref().unwrap().value() == Value::from(at as u64)));
    let sent = system.link.nodes().iter().zip(requests).map(|(node, before)| node.requests() - before);
    let sent: Vec<u64> = sent.collect();
    assert!(sent[..3].iter().all(|sent| (1..=40).contains(sent)) && sent[3..] == [0; 3], "{sent:?}");
    assert_eq!(listed(&store).await, keys.iter().cloned().collect());
    let deleted = store.delete_many(keys.iter().map(String::as_str).chain(["missing"])).await;
    let deleted: Vec<_> = deleted.into_iter().map(Result::unwrap).collect();
    assert_eq!((deleted.len(), deleted[1_000]), (1_001, DeleteOutcome::NotFound));
    assert!(deleted[..1_000].iter().all(|outcome| *outcome == DeleteOutcome::Deleted));
}

pub(crate) async fn batch_3_what_lies_in_several_slots_is_refused_before_it_is_sent() {
    let system = System::lease().await.unwrap();
    let store = store(&system).await;
    let before = system.link.requests();
    let items = ["{a}1", "{a}2", "b"].map(|key| SetItem::new(key, 1));
    let error = store.set_many_all_or_nothing(items).await.unwrap_err();
    assert_eq!((error.reason(), error.index(), error.key()), (Some(&Reason::KeysApart), Some(2), Some("b")), "{error}");
    assert_eq!(system.link.requests(), before);
    let together = ["{a}1", "x{a}2", "{a}"].map(|key| SetItem::new(key, 1).if_not_exists());
    assert!(store.set_many_all_or_nothing(together.clone()).await.unwrap().is_written());
    assert!(!store.set_many_all_or_nothing(together).await.unwrap().is_written());
    // A namespace in braces lies together as a whole.
    let whole = open(system.config().with_namespace("{n}").unwrap()).await.unwrap();
    assert!(
        whole.set_many_all_or_nothing(["a", "b", "{c}"].map(|key| SetItem::new(key, 1))).await.unwrap().is_written()
    );
}

pub(crate) async fn a_fail_over_is_followed_and_ends_a_list() {
    let system = System::lease().await.unwrap();
    let (store, keys) = filled(&system, 300).await;
    let cursor = store.list().limit(20).await.unwrap().cursor.unwrap();
    assert!(store.list().limit(20).cursor(cursor.clone()).await.is_ok());
    let old = system.cluster.node_of("n:key0").await.unwrap();
    let new = system.cluster.fail_over(old).await.unwrap();
    assert_ne!(old, new);
    let error = store.list().limit(20).cursor(cursor).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::CursorInvalid), "{error}");
    assert_eq!(listed(&store).await, keys.iter().cloned().collect());
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from(at as u64)), "{key}");
        assert_eq!(Value::from(store.increment(key, 1).await.unwrap()), Value::from(at as u64 + 1));
    }
}

pub(crate) async fn a_slot_on_its_way_is_asked_for_at_both_ends_and_no_list_misses_it() {
    let system = System::with_replicas().await.unwrap();
    let (store, keys) = filled(&system, 200).await;
    for name in ["{t}a", "{t}b"] {
        store.set(name, name).await.unwrap();
    }
    let cursor = store.list().limit(20).await.unwrap().cursor.unwrap();
    let from = system.cluster.node_of("n:{t}a").await.unwrap();
    let to = (0..3).find(|node| *node != from).unwrap();
    let ask = async |node: usize, command: &[&str]| system.cluster.nodes()[node].command(command).await.unwrap();
    let slot = ask(from, &["CLUSTER", "KEYSLOT", "{t}"]).await.to_string();
    let id = async |node: usize| ask(node, &["CLUSTER", "MYID"]).await.to_string();
    let (from_id, to_id) = (id(from).await, id(to).await);
    ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    let port = system.cluster.addresses()[to].port().to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", PASSWORD, "KEYS", "n:{t}a"];
    ask(from, &migrate).await;
    let reader = open(system.config().with_namespace("n").unwrap().with_read_from_replicas(true)).await.unwrap();
    system.catch_up().await;
    // A replica sends nobody on: what has left is absent there.
    assert_eq!(reader.get_many(["{t}a", "{t}b"]).await.unwrap(), [None, Some(Value::from("{t}b"))]);
    // One has gone, one is there, one is new.
    for (key, value) in [("{t}a", Some("{t}a")), ("{t}b", Some("{t}b")), ("{t}c", None)] {
        assert_eq!(store.get(key).await.unwrap(), value.map(Value::from), "{key}");
    }
    assert_eq!(store.get_many(["{t}b", "{t}a", "{t}c", "key0"]).await.unwrap().iter().flatten().count(), 3);
    assert_eq!(store.set("{t}a", "again").if_not_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(store.set("{t}c", 5).if_not_exists().await.unwrap().status(), SetStatus::Created);
    assert_eq!(store.increment("{t}c", 1).await.unwrap(), 6);
    let version = store.get_entry("{t}a").await.unwrap().unwrap().version().unwrap().clone();
    assert_eq!(store.set("{t}a", "new").if_version(version).await.unwrap().status(), SetStatus::Updated);
    // Several keys, of which some have gone: turned away for now.
    let all = ["{t}a", "{t}b"].map(|key| SetItem::new(key, 1));
    let error = store.set_many_all_or_nothing(all.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    let error = store.list().stream().try_for_each(|_| std::future::ready(Ok(()))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    // It arrives.
    let rest = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", PASSWORD, "KEYS", "n:{t}b"];
    ask(from, &rest).await;
    for node in [to, from] {
        ask(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    }
    system.cluster.settle().await.unwrap();
    assert!(store.set_many_all_or_nothing(all).await.unwrap().is_written());
    let error = store.list().limit(20).cursor(cursor).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::CursorInvalid), "{error}");
    let expected = keys.into_iter().chain(["{t}a", "{t}b", "{t}c"].map(str::to_owned)).collect();
    assert_eq!(listed(&store).await, expected);
}

pub(crate) async fn err_4_a_step_is_not_repeated_when_its_node_is_lost() {
    let system = System::lease().await.unwrap();
    let store = store(&system).await;
    for round in 0..20 {
        let node = system.cluster.node_of(&format!("n:counter{round}")).await.unwrap();
        let key = format!("counter{round}");
        store.increment(&key, 1).await.unwrap();
        kv_conformance::Faults::inject(&system.link.nodes()[node], kv_conformance::Fault::AnswerLost, 1);
        let error = store.increment(&key, 1).await.unwrap_err();
        assert_eq!(error.retry(), Retry::OutcomeUnknown, "{error}");
        assert_eq!(store.get(&key).await.unwrap(), Some(Value::from(2)));
    }
}

pub(crate) async fn life_1_some_nodes_to_begin_with_may_be_down_and_none_may_be_no_node() {
    let system = System::lease().await.unwrap();
    let addresses = system.link.addresses();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Redis::start(RedisOptions::new()).await.unwrap();
    let with = |nodes: &[std::net::SocketAddr]| {
        let nodes = nodes.iter().map(|node| (node.ip().to_string(), node.port()));
        let config = RedisConfig::cluster(nodes).unwrap().with_remote(kv_redis::RemoteSettings::default());
        config.with_password(kv_redis::SecretString::from(PASSWORD))
    };
    let store = open(with(&[nowhere, addresses[4]])).await.unwrap();
    store.set("k", 1).await.unwrap();
    let error = open(with(&[nowhere])).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    let nodes = [(plain.address().ip().to_string(), plain.address().port())];
    let error = open(RedisConfig::cluster(nodes).unwrap()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let config = with(&addresses).with_password(kv_redis::SecretString::from("another"));
    let error = open(config).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    let error = open(with(&addresses).with_database(1)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}
