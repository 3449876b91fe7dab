//! From one machine to many and back: SQLite, Redis, a Redis Cluster and PostgreSQL, on private servers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use common::{FAR, with_difficult_items};
use kv_api::{SetItem, Store, Timer, TokioTimer};
use kv_servers::{Postgres, PostgresOptions, Redis, RedisCluster, RedisClusterOptions, RedisOptions, System, tests};
use serde_json::json;

fn main() -> ExitCode {
    let mut tests = tests![sqlite_to_redis_and_back, a_killed_copy_to_redis_goes_on];
    tests.extend(tests![sqlite_to_a_cluster_and_back].into_iter().map(|test| test.needs(System::RedisCluster)));
    let of_postgres = tests![sqlite_to_postgres_and_back, redis_to_postgres_and_back];
    tests.extend(of_postgres.into_iter().map(|test| test.needs(System::Postgres)));
    kv_servers::run(System::Redis, tests)
}

const MIME_TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/mime-types.bulk.json");

/// Entries of every kind: what is hard to carry, and what these systems could take for something else.
async fn fill(store: &Store) {
    with_difficult_items(store.clone()).await;
    let items = [
        SetItem::new("a counter", json!(41)),
        SetItem::new("a counter that ends", json!(-7)).expire_at(FAR),
        SetItem::new("digits", "41"),
        SetItem::new("no digits", "041"),
        SetItem::new("bytes of text", b"text".to_vec()),
        SetItem::new("bytes of digits", b"41".to_vec()),
        SetItem::new("the greatest", json!(i64::MAX)),
        SetItem::new("beyond", json!(u64::MAX)),
        SetItem::new("{tag} in braces", "*?[a]"),
        SetItem::new("long", "x".repeat(300_000)),
    ];
    for result in store.set_many(items).await {
        result.unwrap();
    }
}

fn start(here: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    for name in ["REDIS_USERNAME", "REDIS_PASSWORD", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"] {
        command.env_remove(name);
    }
    command.current_dir(here).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a command says that has to succeed.
#[track_caller]
fn run(here: &Path, arguments: &[&str]) -> String {
    let output = start(here, arguments).wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// From SQLite through `there` and back to SQLite: every entry is as it was, with kind, metadata and expiry.
async fn there_and_back(there: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    run(here, &["copy", MIME_TYPES, "sqlite:before.db"]);
    let before = kv_backends::open(&format!("sqlite:{}", here.join("before.db").display())).await.unwrap();
    fill(&before).await;
    before.close().await.unwrap();
    let stops = [&["sqlite:before.db"], there, &["sqlite:after.db"]].concat();
    for pair in stops.windows(2) {
        run(here, &["copy", "--verify", pair[0], pair[1]]);
    }
    for stop in &stops[1..] {
        run(here, &["verify", "sqlite:before.db", stop]);
    }
    let exported = |name: &str| {
        let file = format!("{name}.jsonl");
        run(here, &["copy", &format!("sqlite:{name}.db"), &file]);
        fs::read_to_string(here.join(file)).unwrap()
    };
    let before = exported("before");
    assert!(before.lines().count() > 2500, "{} entries", before.lines().count());
    assert!(before == exported("after"), "the files differ");
}

fn redis_url(redis: &Redis) -> String {
    format!("redis://{}?namespace=moved", redis.address())
}

fn postgres_url(postgres: &Postgres) -> String {
    format!("postgres://postgres@{}/postgres?namespace=moved", postgres.address())
}

async fn sqlite_to_redis_and_back() {
    let redis = Redis::start(RedisOptions::new()).await.unwrap();
    there_and_back(&[&redis_url(&redis)]).await;
}

async fn sqlite_to_a_cluster_and_back() {
    let cluster = RedisCluster::start(RedisClusterOptions::new()).await.unwrap();
    let nodes: Vec<String> = cluster.addresses().iter().map(ToString::to_string).collect();
    there_and_back(&[&format!("redis-cluster://{}?namespace=moved", nodes.join(","))]).await;
}

async fn sqlite_to_postgres_and_back() {
    let postgres = Postgres::start(PostgresOptions::new()).await.unwrap();
    there_and_back(&[&postgres_url(&postgres)]).await;
}

async fn redis_to_postgres_and_back() {
    let redis = Redis::start(RedisOptions::new()).await.unwrap();
    let postgres = Postgres::start(PostgresOptions::new()).await.unwrap();
    let back = format!("redis://{}?namespace=back", redis.address());
    there_and_back(&[&redis_url(&redis), &postgres_url(&postgres), &back]).await;
}

/// Killed again and again after a part of it was written, the same command goes on, and nothing is missing.
async fn a_killed_copy_to_redis_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    run(here, &["copy", MIME_TYPES, "sqlite:before.db"]);
    let redis = Redis::start(RedisOptions::new()).await.unwrap();
    let url = redis_url(&redis);
    let copy = ["copy", "--batch", "50", "--concurrency", "1", "sqlite:before.db", &url];
    let keys = async || -> u64 { redis.command(&["DBSIZE"]).await.unwrap().to_string().parse().unwrap() };
    let mut kills = 0;
    loop {
        let mut child = start(here, &copy);
        let enough = keys().await + 200;
        // Polled, since the end of a process is nothing to wait for beside a count.
        while child.try_wait().unwrap().is_none() && keys().await < enough {
            TokioTimer.sleep(Duration::from_millis(1)).await;
        }
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let output = child.wait_with_output().unwrap();
        if let Some(code) = output.status.code() {
            assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output.stderr));
            break;
        }
        assert!(kills < 100, "the copy does not end");
    }
    assert!(kills > 0, "the copy was never killed");
    run(here, &["verify", "sqlite:before.db", &url]);
}
