//! The space of what has expired.

use std::time::Duration;

use kv_api::{SetItem, Store};
use kv_servers::{Link, Postgres, PostgresOptions, Protocol};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::harness::{config, open, remote};

const EXPIRED: usize = 1_300;
/// What leads to a look, in batches of 1,000.
const WRITES: usize = 5_000;

pub(crate) async fn expired_rows_go_by_one_process_and_past_locked_ones() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let store = open(config(link.address())).await.unwrap();
    server.sql(&insert(EXPIRED)).await.unwrap();
    let port = server.address().port();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("postgres");
    let mut other = PgConnection::connect_with(&options).await.unwrap();

    // Another process is at it.
    sqlx::query("select pg_advisory_lock(7743170961228517222)").execute(&mut other).await.unwrap();
    let before = link.requests();
    write(&store).await;
    // The look that finds nothing to do is one request more than the batches. A ping has come after it.
    let looked = async {
        while link.requests() - before <= (WRITES / 1000) as u64 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(expired(&server).await, EXPIRED);

    // It has ended, and some rows are in use.
    let store = open(config(link.address())).await.unwrap();
    sqlx::query("select pg_advisory_unlock_all()").execute(&mut other).await.unwrap();
    sqlx::query("begin").execute(&mut other).await.unwrap();
    let held = "select from kv where namespace = 'another' and key in ('k1', 'k700', 'k1300') for update";
    sqlx::query(held).execute(&mut other).await.unwrap();
    write(&store).await;
    until_left(&server, 3).await;
    assert_eq!(server.sql("select count(*) from kv where namespace = 'default'").await.unwrap(), WRITES.to_string());
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    write(&store).await;
    until_left(&server, 0).await;
}

pub(crate) async fn a_look_that_gets_no_answer_is_given_up() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let link = Link::open(server.address(), Protocol::Postgres).unwrap();
    let short = remote().with_request_timeout(Duration::from_millis(500));
    let store = open(config(link.address()).with_remote(short)).await.unwrap();
    // They take many steps.
    server.sql(&insert(20 * EXPIRED)).await.unwrap();
    write(&store).await;
    link.stall(true);
    let closed = tokio::time::timeout(Duration::from_secs(20), store.close()).await;
    assert!(expired(&server).await > 0, "a step was under way");
    closed.expect("it does not wait for ever").unwrap();
}

fn insert(count: usize) -> String {
    format!(
        "insert into kv (namespace, key, kind, expires_at, value) \
         select 'another', convert_to('k' || n, 'UTF8'), 0, now() - interval '1 hour', '' \
         from generate_series(1, {count}) n"
    )
}

async fn write(store: &Store) {
    for outcome in store.set_many((0..WRITES).map(|number| SetItem::new(number.to_string(), "v"))).await {
        outcome.unwrap();
    }
}

async fn expired(server: &Postgres) -> usize {
    server.sql("select count(*) from kv where namespace = 'another'").await.unwrap().parse().unwrap()
}

/// Asks again and again; each question takes some milliseconds.
async fn until_left(server: &Postgres, left: usize) {
    for _ in 0..2_000 {
        if expired(server).await == left {
            return;
        }
    }
    panic!("{} expired rows are left", expired(server).await);
}
