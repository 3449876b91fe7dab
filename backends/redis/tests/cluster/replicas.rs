//! Reads from replicas, on request (SET-7, LIST-3).

use std::sync::Arc;
use std::time::Duration;

use kv_api::{Consistency, ErrorKind, ManualClock, SetItem, SetStatus, Store, Timestamp, Value};
use kv_conformance::{Fault, Faults};
use kv_redis::{RedisConfig, RemoteSettings, RetryPolicy};

use crate::harness::{System, open};

const KEYS: u64 = 60;

fn keys() -> Vec<String> {
    (0..KEYS).map(|number| format!("key{number}")).collect()
}

/// Each failure is seen: nothing is repeated above the store.
fn settings() -> RemoteSettings {
    RemoteSettings::default().with_retry(RetryPolicy::none())
}

async fn reader(system: &System, settings: RemoteSettings) -> Store {
    let config = system.config().with_namespace("n").unwrap().with_remote(settings);
    open(config.with_read_from_replicas(true)).await.unwrap()
}

async fn filled(system: &System) -> Store {
    let store = reader(system, settings()).await;
    let outcomes = store.set_many(keys().iter().zip(0_u64..).map(|(key, at)| SetItem::new(key, at))).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().is_written()));
    system.catch_up().await;
    store
}

async fn reads_all(store: &Store) {
    for (key, at) in keys().iter().zip(0_u64..) {
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from(at)), "{key}");
    }
    let values = store.get_many(keys()).await.unwrap();
    assert!(values.into_iter().zip(0_u64..).all(|(value, at)| value == Some(Value::from(at))));
}

/// How many commands the three masters and their replicas have had.
fn commands(system: &System) -> (u64, u64) {
    let of = |place: std::ops::Range<usize>| system.link.nodes()[place].iter().map(kv_servers::Link::commands).sum();
    (of(0..3), of(3..6))
}

pub(crate) async fn set_7_reads_go_to_replicas_and_all_else_to_masters() {
    let system = System::with_replicas().await.unwrap();
    let store = filled(&system).await;
    assert_eq!(store.capabilities().consistency, Consistency::Eventual { usually_within: None });
    let before = commands(&system);
    assert_eq!(before.1, 0, "writes went to a replica");
    reads_all(&store).await;
    for key in keys() {
        assert!(store.exists(&key).await.unwrap());
    }
    assert_eq!(commands(&system), (before.0, before.1 + 3 * KEYS));
    // Each replica is given the text of the script once.
    let entries = store.get_entry_many(keys()).await.unwrap();
    assert!(entries.iter().all(Option::is_some));
    let entry = store.get_entry("key1").await.unwrap().unwrap();
    let (of_masters, of_replicas) = commands(&system);
    assert!(of_masters == before.0 && of_replicas > before.1 + 4 * KEYS, "{of_masters} {of_replicas}");

    let before = commands(&system);
    let version = entry.version().unwrap().clone();
    assert_eq!(store.set("key1", 7).if_version(version).await.unwrap().status(), SetStatus::Updated);
    assert_eq!(store.set("key1", 8).if_not_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(store.increment("key1", 1).await.unwrap(), 8);
    assert!(store.expire("key1").never().await.unwrap());
    store.delete("key2").await.unwrap();
    let together = ["{t}a", "{t}b"].map(|key| SetItem::new(key, 1));
    assert!(store.set_many_all_or_nothing(together).await.unwrap().is_written());
    assert_eq!(store.list().limit(1_000).await.unwrap().items.len() as u64, KEYS + 1);
    let after = commands(&system);
    assert!(after.0 >= before.0 + 7 && after.1 == before.1, "{before:?} {after:?}");

    let without = open(system.config().with_namespace("n").unwrap()).await.unwrap();
    assert_eq!(without.get("key1").await.unwrap(), Some(Value::from(8)));
    assert_eq!(commands(&system), (after.0 + 1, after.1));
}

pub(crate) async fn set_7_a_replica_that_does_not_answer_costs_no_error() {
    const LOADING: &str = "LOADING Redis is loading the dataset in memory";
    let system = System::with_replicas().await.unwrap();
    drop(filled(&system).await);
    let replicas = &system.link.nodes()[3..];
    let each = |deed: &dyn Fn(&kv_servers::Link)| replicas.iter().for_each(deed);

    // Down before they were ever asked, and while they are.
    for warm in [false, true] {
        let store = reader(&system, settings()).await;
        if warm {
            reads_all(&store).await;
        }
        each(&|replica| replica.inject(Fault::Refused, 1));
        reads_all(&store).await;
        each(&|replica| replica.inject(Fault::Refused, 0));
    }
    for fault in [Fault::RequestLost, Fault::AnswerLost, Fault::AnswerTruncated] {
        let store = reader(&system, settings()).await;
        each(&|replica| replica.inject(fault, 1));
        reads_all(&store).await;
        assert!(replicas.iter().all(|replica| replica.faults_left() == 0), "{fault:?}");
    }
    for refusal in [LOADING, "MASTERDOWN Link with MASTER is down", "CLUSTERDOWN The cluster is down"] {
        let store = reader(&system, settings()).await;
        each(&|replica| replica.answer_with(refusal, 1));
        reads_all(&store).await;
        assert!(replicas.iter().all(|replica| replica.faults_left() == 0), "{refusal}");
    }
    // What another node would say too is an answer.
    let store = reader(&system, settings()).await;
    each(&|replica| replica.answer_with("NOPERM this user has no permissions", 1));
    assert_eq!(store.get("key0").await.unwrap_err().kind(), ErrorKind::Unauthorized);
    each(&|replica| replica.answer_with("", 0));

    // One that says nothing has half of the time of an attempt, once.
    let store = reader(&system, settings().with_request_timeout(Duration::from_secs(1))).await;
    reads_all(&store).await;
    each(&|replica| replica.stall(true));
    let before = commands(&system).0;
    assert!(store.get_many(keys()).await.unwrap().iter().all(Option::is_some));
    assert_eq!(store.get("key3").await.unwrap(), Some(Value::from(3)));
    assert_eq!(commands(&system).0, before + KEYS + 1);
    each(&|replica| replica.stall(false));
}

pub(crate) async fn set_7_a_replica_that_has_rested_is_asked_again() {
    let system = System::with_replicas().await.unwrap();
    drop(filled(&system).await);
    let timer = ManualClock::new(Timestamp::from_unix_millis(0));
    let patience = Duration::from_secs(5);
    let store = reader(&system, settings().with_request_timeout(patience).with_timer(Arc::new(timer.clone()))).await;
    reads_all(&store).await;
    let replica = &system.link.nodes()[3 + system.cluster.node_of("n:key0").await.unwrap()];
    let asked = async |times: u32| {
        let before = replica.commands();
        for _ in 0..times {
            assert_eq!(store.get("key0").await.unwrap(), Some(Value::from(0)));
        }
        replica.commands() - before
    };
    assert_eq!(asked(3).await, 3);
    replica.answer_with("LOADING Redis is loading the dataset in memory", 1);
    assert_eq!(asked(3).await, 1);
    timer.advance(patience - Duration::from_millis(1));
    assert_eq!(asked(2).await, 0);
    timer.advance(Duration::from_millis(1));
    assert_eq!(asked(2).await, 2);
}

pub(crate) async fn set_7_after_a_fail_over_the_old_master_is_read() {
    let system = System::with_replicas().await.unwrap();
    drop(filled(&system).await);
    let timer = ManualClock::new(Timestamp::from_unix_millis(0));
    let store = reader(&system, settings().with_timer(Arc::new(timer.clone()))).await;
    reads_all(&store).await;
    let old = system.cluster.node_of("n:key0").await.unwrap();
    let new = system.cluster.fail_over(old).await.unwrap();
    // The store learns of it from the first answer of the node that is no master any more.
    assert!(store.set("key0", 0).await.unwrap().is_written());
    reads_all(&store).await;
    // That it is a replica of the other the nodes hear from each other, later than who has the slots.
    let mut is_read = false;
    for _ in 0..1_000 {
        timer.advance(Duration::from_secs(30));
        let before = system.link.nodes()[old].commands();
        assert_eq!(store.get("key0").await.unwrap(), Some(Value::from(0)));
        is_read = system.link.nodes()[old].commands() > before;
        if is_read {
            break;
        }
    }
    assert!(is_read);
    assert_eq!(system.cluster.fail_over(new).await.unwrap(), old);
}

pub(crate) async fn life_1_replicas_of_one_server_have_no_names() {
    let config = RedisConfig::new("127.0.0.1", 1).unwrap().with_read_from_replicas(true);
    let error = open(config).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().contains("redis-cluster://"), "{error}");
}
