//! What goes wrong on the way and on the server (ERR-3 to ERR-6).

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{ErrorKind, Retry, SetItem, SetStatus, Value};
use kv_conformance::{Fault, Faults};
use kv_redis::{RetryPolicy, SecretString};
use kv_servers::{Redis, RedisOptions};

use crate::harness::{System, open, plain};

pub(crate) async fn err_3_each_refusal_is_told_for_what_it_is() {
    let system = System::lease().await.unwrap();
    let config = system.config().with_remote(system.remote().with_retry(RetryPolicy::none()));
    let store = open(config).await.unwrap();
    store.set("k", 1).await.unwrap();
    for (text, kind, retry) in [
        ("LOADING Redis is loading the dataset in memory", ErrorKind::Unavailable, Retry::Safe),
        ("BUSY Redis is busy running a script.", ErrorKind::Unavailable, Retry::Safe),
        ("CLUSTERDOWN The cluster is down", ErrorKind::Unavailable, Retry::Safe),
        ("MASTERDOWN Link with MASTER is down", ErrorKind::Unavailable, Retry::Safe),
        ("TRYAGAIN Multiple keys request during rehashing of slot", ErrorKind::Unavailable, Retry::Safe),
        ("NOREPLICAS Not enough good replicas to write.", ErrorKind::Unavailable, Retry::Safe),
        ("MISCONF Redis is configured to save RDB snapshots", ErrorKind::Unavailable, Retry::Safe),
        ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Exhausted, Retry::Safe),
        ("READONLY You can't write against a read only replica.", ErrorKind::Misconfigured, Retry::Safe),
        ("NOAUTH Authentication required.", ErrorKind::Unauthorized, Retry::Never),
        ("NOPERM this user has no permissions", ErrorKind::Unauthorized, Retry::Never),
        ("MOVED 3999 127.0.0.1:6381", ErrorKind::Misconfigured, Retry::Never),
        ("ERR nobody knows this", ErrorKind::Protocol, Retry::OutcomeUnknown),
    ] {
        system.link.answer_with(text, 1_000);
        let errors = [
            store.set("k", 2).await.unwrap_err(),
            store.increment("k", 1).await.unwrap_err(),
            store.set_many([SetItem::new("k", 2)]).await.remove(0).unwrap_err(),
            store.set_many_all_or_nothing([SetItem::new("k", 2)]).await.unwrap_err(),
            store.delete("k").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{text}: {error}");
            assert_eq!(error.native_code(), text.split(' ').next(), "{error}");
        }
        assert_eq!(store.get("k").await.unwrap_err().kind(), kind, "{text}");
        system.link.answer_with(text, 0);
    }
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(1)));
}

pub(crate) async fn err_3_a_connection_that_was_closed_while_idle_costs_no_error() {
    let system = System::lease().await.unwrap();
    let store = open(system.config().with_remote(system.remote().with_retry(RetryPolicy::none()))).await.unwrap();
    for round in 1..=20 {
        // Ends the connections that are idle, and takes new ones.
        system.link.inject(Fault::Refused, 1);
        system.link.inject(Fault::Refused, 0);
        let counts = join_all((0..4).map(|_| store.increment("counter", 1))).await;
        for count in counts {
            count.unwrap();
        }
        assert_eq!(store.get("counter").await.unwrap(), Some(Value::from(4 * round)));
    }
    assert_eq!(system.link.connections(), 21);
}

pub(crate) async fn err_3_a_server_that_is_gone_is_safe_to_ask_again() {
    let redis = Redis::start(RedisOptions::new().durable()).await.unwrap();
    let store = open(plain(redis.address())).await.unwrap();
    assert_eq!(store.increment("counter", 1).await.unwrap(), 1);
    redis.stop().await.unwrap();
    let mut safe = 0;
    // The end of the connection may meet the first call on its way.
    for _ in 0..10 {
        let error = store.increment("counter", 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        safe += usize::from(error.retry() == Retry::Safe);
    }
    assert!(safe >= 9, "{safe}");
    redis.restart().await.unwrap();
    assert_eq!(store.increment("counter", 1).await.unwrap(), 2);
}

pub(crate) async fn err_4_what_was_turned_away_is_asked_for_again_item_by_item() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    store.set("there", 1).await.unwrap();
    system.link.answer_writes_with("LOADING Redis is loading the dataset in memory", 1);
    let items = [SetItem::new("a", 1), SetItem::new("b", 2).if_not_exists(), SetItem::new("there", 2).if_not_exists()];
    let outcomes = store.set_many(items).await;
    let statuses: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().status()).collect();
    assert_eq!(statuses, [SetStatus::Stored, SetStatus::Created, SetStatus::NotMet]);
    system.link.answer_writes_with("TRYAGAIN later", 2);
    assert_eq!(store.increment("counter", 5).await.unwrap(), 5);
    assert_eq!(store.get("counter").await.unwrap(), Some(Value::from(5)));
}

pub(crate) async fn err_4_a_batch_repeats_what_sets_a_state_and_no_step() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    let items = |name: &str| {
        let item = |key: &str| SetItem::new(format!("{name}{key}"), 1);
        [item("state"), item("step").if_not_exists(), item("other state"), item("other step").if_not_exists()]
    };
    for (name, fault) in [("a", Fault::AnswerLost), ("b", Fault::RequestLost)] {
        // States go by one pipeline, steps by another.
        system.link.inject_into_writes(fault, 2);
        let [state, step, other_state, other_step] = <[_; 4]>::try_from(store.set_many(items(name)).await).unwrap();
        for state in [state, other_state] {
            assert_eq!(state.unwrap().status(), SetStatus::Stored, "{fault:?}");
        }
        for step in [step, other_step] {
            let error = step.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown), "{error}");
        }
    }
}

pub(crate) async fn err_6_a_stalled_connection_is_replaced() {
    let system = System::lease().await.unwrap();
    let remote = system.remote().with_retry(RetryPolicy::none()).with_request_timeout(Duration::from_secs(1));
    let store = open(system.config().with_remote(remote)).await.unwrap();
    store.set("a", "of a").await.unwrap();
    store.set("b", "of b").await.unwrap();
    system.link.stall(true);
    for _ in 0..100 {
        let error = store.get("a").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
        if system.link.connections() > 1 {
            break;
        }
    }
    assert!(system.link.connections() > 1, "the connection that does not answer is replaced");
    system.link.stall(false);
    for _ in 0..100 {
        match store.get("b").await {
            Ok(found) => return assert_eq!(found, Some(Value::from("of b"))),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    panic!("the store does not recover");
}

pub(crate) async fn a_script_that_was_flushed_is_loaded_again() {
    let system = System::lease().await.unwrap();
    let store = system.store().await;
    for round in 0..3 {
        system.ask(&["SCRIPT", "FLUSH"]).await;
        store.set("a", round).await.unwrap();
        let version = store.get_entry("a").await.unwrap().unwrap().version().unwrap().clone();
        system.ask(&["SCRIPT", "FLUSH"]).await;
        let stale = "0000".parse::<kv_api::Version>().unwrap();
        let items = (0..5).map(|number| SetItem::new(format!("k{number}"), 1).if_version(stale.clone()));
        let items = items.chain([SetItem::new("a", "new").if_version(version.clone()), SetItem::new("b", 1)]);
        let statuses: Vec<_> = store.set_many(items).await.into_iter().map(|item| item.unwrap().status()).collect();
        assert_eq!(statuses[..5], [SetStatus::NotMet; 5]);
        assert_eq!(statuses[5..], [SetStatus::Updated, SetStatus::Stored]);
        system.ask(&["SCRIPT", "FLUSH"]).await;
        assert!(store.set_many_all_or_nothing([SetItem::new("c", 1)]).await.unwrap().is_written());
        system.ask(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(store.get_entry_many(["a", "c"]).await.unwrap().iter().flatten().count(), 2);
        let minute = Duration::from_secs(60);
        system.ask(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(store.increment("n", 1).ttl_if_created(minute).await.unwrap(), 1);
        system.ask(&["SCRIPT", "FLUSH"]).await;
        assert!(!store.expire("a").ttl(minute).if_version(version).await.unwrap());
        system.ask(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(store.get("n").touch(minute).await.unwrap(), Some(Value::from(1)));
        system.ask(&["SCRIPT", "FLUSH"]).await;
        assert_eq!(store.get_and_delete("n").await.unwrap(), Some(Value::from(1)));
    }
}

pub(crate) async fn without_the_right_to_scripts_only_scripts_are_refused() {
    let redis = Redis::start(RedisOptions::new()).await.unwrap();
    let rules = ["ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-eval", "-evalsha", "-eval_ro"];
    redis.command(&[&rules[..], &["-evalsha_ro", "-info"]].concat()).await.unwrap();
    let config = plain(redis.address()).with_username(SecretString::from("limited"));
    let store = open(config.with_password(SecretString::from("pw"))).await.unwrap();
    store.set("k", 1).if_not_exists().await.unwrap();
    assert_eq!(store.increment("k", 1).await.unwrap(), 2);
    assert_eq!(store.get_many(["k"]).await.unwrap(), [Some(Value::from(2))]);
    store.ping().await.unwrap();
    for error in [
        store.get_entry("k").await.map(drop).unwrap_err(),
        store.set_many_all_or_nothing([SetItem::new("k", 1)]).await.map(drop).unwrap_err(),
        store.expire("k").never().await.map(drop).unwrap_err(),
        // A list needs the identity of the server.
        store.list().await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{error}");
        assert_eq!(error.native_code(), Some("NOPERM"));
    }
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(2)));
}

pub(crate) async fn a_full_server_is_exhausted() {
    let redis = Redis::start(RedisOptions::new()).await.unwrap();
    let store = open(plain(redis.address())).await.unwrap();
    store.set("k", 1).await.unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    for error in [
        store.set("k", 2).await.map(drop).unwrap_err(),
        store.increment("k", 1).await.map(drop).unwrap_err(),
        store.set_many_all_or_nothing([SetItem::new("a", 1), SetItem::new("k", 2)]).await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Exhausted, Retry::Safe), "{error}");
    }
    assert_eq!(store.get_many(["k", "a"]).await.unwrap(), [Some(Value::from(1)), None]);
    // What makes room is taken.
    store.delete("k").await.unwrap();
}

pub(crate) async fn an_answer_beyond_its_limit_is_exhausted() {
    let system = System::lease().await.unwrap();
    let config = system.config().with_answer_bytes_max(NonZeroUsize::new(100_000).unwrap());
    let store = open(config).await.unwrap();
    store.set("long", "x".repeat(1_000_000)).await.unwrap();
    store.set("short", "x".repeat(50_000)).await.unwrap();
    let error = store.get("long").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    for _ in 0..5 {
        assert!(store.get("short").await.unwrap().is_some());
    }
}
