//! Connections and servers that go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use kv_api::{ErrorKind, Timer, TokioTimer, Value};
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

pub(crate) async fn a_server_that_stands_still_is_given_up() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let short = remote().with_request_timeout(Duration::from_secs(2)).with_retry(RetryPolicy::none());
    let store = open(config(link.address()).with_remote(short)).await.unwrap();
    assert_eq!(store.increment("n", 1).await.unwrap(), 1);
    link.stall(true);
    for error in join_all((0..20).map(|number| store.set(format!("k{number}"), "v"))).await {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(store.increment("n", 1).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
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

/// A timer that can be a minute ahead.
#[derive(Debug, Default)]
struct Ahead(AtomicBool);

impl Timer for Ahead {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        TokioTimer.sleep(duration)
    }

    fn monotonic_now(&self) -> Duration {
        let ahead = if self.0.load(Ordering::Relaxed) { Duration::from_secs(60) } else { Duration::ZERO };
        TokioTimer.monotonic_now() + ahead
    }
}

/// As when a firewall forgets a connection and drops what comes over it.
pub(crate) async fn an_idle_connection_that_stays_silent_is_replaced() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let ahead = Arc::new(Ahead::default());
    let timer: Arc<dyn Timer> = Arc::<Ahead>::clone(&ahead);
    let store = open(config(link.address()).with_remote(remote().with_timer(timer))).await.unwrap();
    store.set("a", 1).await.unwrap();
    ahead.0.store(true, Ordering::Relaxed);
    link.stall(true);
    let before = link.connections();
    let mut call = Box::pin(async { store.set("a", 2).await });
    let replaced = async {
        while link.connections() == before {
            assert!(futures_util::poll!(&mut call).is_pending());
            tokio::task::yield_now().await;
        }
    };
    // Well before the end of the time that a request has.
    tokio::time::timeout(Duration::from_secs(15), replaced).await.unwrap();
    link.stall(false);
    call.await.unwrap();
}
