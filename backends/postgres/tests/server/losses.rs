//! Connections and servers that go away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{ErrorKind, Retry, Store, Value};
use kv_postgres::RetryPolicy;
use kv_servers::{Link, Postgres, PostgresOptions, Protocol};

use crate::harness::{config, open, remote};

pub(crate) async fn an_idle_connection_that_the_server_ended_costs_nothing() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let store = open(config(server.address())).await.unwrap();
    let end_all = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'ended'";
    let ended = open(config(server.address()).with_application_name("ended")).await.unwrap();
    for round in 1..=5 {
        assert_eq!(ended.increment("n", 1).await.unwrap(), round, "it is counted once");
        assert!(server.sql(end_all).await.unwrap().starts_with('t'));
    }
    assert_eq!(store.get("n").await.unwrap(), Some(Value::from(5)));
}

/// Without a word of the server, as when something in between forgets a connection.
pub(crate) async fn an_idle_connection_that_is_gone_costs_nothing() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let store = open(config(link.address())).await.unwrap();
    let keys = ["a", "b", "c", "d"];
    for round in 1..=3 {
        for count in join_all(keys.map(|key| store.increment(key, 1))).await {
            assert_eq!(count.unwrap(), round, "it is counted once");
        }
        link.cut();
        // The first call finds it out, and asks for a state; the others know by then.
        assert_eq!(store.get("a").await.unwrap(), Some(Value::from(round)));
    }
}

const WRITERS: usize = 64;

/// What one writer did to its keys.
#[derive(Debug, Default)]
struct Account {
    counted: i64,
    count_unknown: i64,
    set: i64,
    set_unknown: Vec<i64>,
}

/// Counts, and sets by the version that it read, until it is told to stop.
async fn write(store: &Store, writer: usize, stop: &AtomicBool) -> Account {
    let (counter, versioned) = (format!("counter/{writer}"), format!("versioned/{writer}"));
    let mut account = Account::default();
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        match store.increment(&counter, 1).await {
            Ok(_) => account.counted += 1,
            Err(error) if error.is_outcome_unknown() => account.count_unknown += 1,
            Err(error) => assert_eq!(error.retry(), Retry::Safe, "{error}"),
        }
        // A condition: on nothing, or on what is there.
        let Ok(found) = store.get_entry(&versioned).await else { continue };
        next += 1;
        match store.set(&versioned, next).if_version(found.as_ref().and_then(|entry| entry.version())).await {
            Ok(outcome) if outcome.is_written() => (account.set, account.set_unknown) = (next, Vec::new()),
            // Only an earlier set of this writer, whose outcome was unknown, can have come between.
            Ok(_) => assert!(!account.set_unknown.is_empty()),
            Err(error) if error.is_outcome_unknown() => account.set_unknown.push(next),
            Err(error) => assert_eq!(error.retry(), Retry::Safe, "{error}"),
        }
    }
    account
}

/// Has all writers write while `disturb` does what it does, and compares what was acknowledged with what is there.
async fn hold_to_account(store: &Store, disturb: impl Future<Output = ()>) {
    let stop = AtomicBool::new(false);
    let writers = join_all((0..WRITERS).map(|writer| write(store, writer, &stop)));
    let disturb = async {
        disturb.await;
        stop.store(true, Ordering::Relaxed);
    };
    let (accounts, ()) = futures_util::future::join(writers, disturb).await;
    let mut total = 0;
    for (writer, account) in accounts.into_iter().enumerate() {
        let found = store.get(format!("counter/{writer}")).await.unwrap().map_or(0, |value| value.as_i64().unwrap());
        let possible = account.counted..=account.counted + account.count_unknown;
        assert!(possible.contains(&found), "{found} of {account:?}");
        let found = store.get(format!("versioned/{writer}")).await.unwrap().map_or(0, |value| value.as_i64().unwrap());
        assert!(found == account.set || account.set_unknown.contains(&found), "{found} of {account:?}");
        total += account.counted;
    }
    assert!(total > 0, "nothing was counted");
}

pub(crate) async fn what_is_acknowledged_survives_kills() {
    let server = Postgres::start(PostgresOptions::new().durable().setting("max_connections", "50")).await.unwrap();
    let store = open(config(server.address()).with_remote(patient())).await.unwrap();
    hold_to_account(&store, async {
        for round in 0..50 {
            counted(&store, 3 + 7 * round % 20).await;
            server.kill();
            server.restart().await.unwrap();
        }
    })
    .await;
}

pub(crate) async fn what_is_acknowledged_survives_cuts() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let store = open(config(link.address()).with_remote(patient())).await.unwrap();
    hold_to_account(&store, async {
        for round in 0..50 {
            counted(&store, 3 + 7 * round % 20).await;
            link.cut();
        }
    })
    .await;
}

/// Lets the writers do a little more, by counting along with them.
async fn counted(store: &Store, times: usize) {
    for _ in 0..times {
        // What becomes of it does not matter.
        drop(store.increment("pace", 1).await);
    }
}

fn patient() -> kv_postgres::RemoteSettings {
    let retry = RetryPolicy::default()
        .with_attempts_max(50.try_into().unwrap())
        .with_delays(Duration::from_millis(1), Duration::from_millis(50));
    remote().with_retry(retry)
}

pub(crate) async fn a_server_that_stands_still_is_given_up() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let short = remote().with_request_timeout(Duration::from_millis(200)).with_retry(RetryPolicy::none());
    let store = open(config(link.address()).with_remote(short)).await.unwrap();
    assert_eq!(store.increment("n", 1).await.unwrap(), 1);
    link.stall(true);
    for error in join_all((0..20).map(|number| store.set(format!("k{number}"), "v"))).await {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(store.increment("n", 1).await.unwrap_err().kind() == ErrorKind::Unavailable);
    link.stall(false);
    link.cut();
    // The first ones may still find a connection that was cut.
    for _ in 0..10 {
        if store.set("k", "v").await.is_ok() {
            return;
        }
    }
    panic!("the store does not recover");
}
