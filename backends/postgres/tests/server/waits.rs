//! Writes that wait for a row that another client has.

use std::time::Duration;

use futures_util::future::join;
use kv_api::{Clock, EntryExpiry, Result, SetItem, Store, Timestamp};
use kv_servers::{Postgres, PostgresOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::harness::{config, open};

const LIFE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(10);
const FAR: Timestamp = Timestamp::from_unix_seconds(4_000_000_000);

const WRITES: [&str; 9] = [
    "set",
    "set where there was nothing",
    "set over an entry",
    "set many",
    "set many of different lives",
    "set many where there was nothing",
    "increment",
    "expire",
    "touch",
];

/// `a` and `b` are entries, `ended` was one. The keys that it wrote a life of.
async fn write(store: &Store, how: &str) -> Result<&'static [&'static str]> {
    let item = |key| SetItem::new(key, "v").ttl(LIFE);
    let items = match how {
        "set" => {
            store.set("a", "v").ttl(LIFE).await?;
            return Ok(&["a"]);
        }
        "set where there was nothing" => {
            assert!(store.set("ended", "v").if_not_exists().ttl(LIFE).await?.is_written());
            return Ok(&["ended"]);
        }
        "set over an entry" => {
            assert!(store.set("a", "v").if_exists().ttl(LIFE).await?.is_written());
            return Ok(&["a"]);
        }
        "increment" => {
            assert_eq!(store.increment("ended", 1).ttl_if_created(LIFE).await?, 1);
            return Ok(&["ended"]);
        }
        "expire" => {
            assert!(store.expire("a").ttl(LIFE).await?);
            return Ok(&["a"]);
        }
        "touch" => {
            assert!(store.get("a").touch(LIFE).await?.is_some());
            return Ok(&["a"]);
        }
        "set many" => vec![item("a"), item("b")],
        "set many of different lives" => {
            let [never, at] = ["never", "at"].map(|key| SetItem::new(key, "v"));
            vec![item("a"), item("b"), item("ended"), never, at.expire_at(FAR)]
        }
        _ => vec![item("ended").if_not_exists(), item("gone").if_not_exists()],
    };
    let keys: &[&str] = match items.len() {
        5 => &["a", "b", "ended"],
        _ if items[0].key() == "a" => &["a", "b"],
        _ => &["ended", "gone"],
    };
    for result in store.set_many(items).await {
        assert!(result?.is_written());
    }
    Ok(keys)
}

/// EXP-3, EXP-7: not when its turn was asked for, or the entry would end before its time.
pub(crate) async fn a_life_begins_when_the_entry_is_written() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let time = server.time().clone();
    time.freeze();
    let store = open(config(server.address())).await.unwrap();
    let port = server.address().port();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username(Postgres::USER);
    let mut other = PgConnection::connect_with(&options).await.unwrap();
    for how in WRITES {
        for key in ["a", "b", "never", "at"] {
            store.set(key, "v").await.unwrap();
        }
        for key in ["ended", "gone"] {
            store.set(key, "v").ttl(Duration::from_secs(1)).await.unwrap();
        }
        time.advance(Duration::from_secs(1));
        sqlx::query("begin").execute(&mut other).await.unwrap();
        sqlx::query("update kv set value = value").execute(&mut other).await.unwrap();
        let moved = async {
            until_one_waits(&server).await;
            time.advance(WAIT);
            sqlx::query("commit").execute(&mut other).await.unwrap();
        };
        let keys = join(write(&store, how), moved).await.0.unwrap();
        for key in keys {
            let entry = store.get_entry(*key).await.unwrap().unwrap();
            let EntryExpiry::At(end) = entry.expiry() else { panic!("{how}: {key}: {:?}", entry.expiry()) };
            // Up to the next millisecond.
            let life = end.as_unix_micros() - time.now().as_unix_micros();
            assert!((60_000_000..60_001_000).contains(&life), "{how}: {key} lives for {life} µs");
        }
        if how == "set many of different lives" {
            let expiry = async |key| store.get_entry(key).await.unwrap().unwrap().expiry();
            assert_eq!((expiry("never").await, expiry("at").await), (EntryExpiry::Never, EntryExpiry::At(FAR)));
        }
    }
}

/// Each question takes some milliseconds.
async fn until_one_waits(server: &Postgres) {
    for _ in 0..2_000 {
        if server.sql("select count(*) > 0 from pg_locks where not granted").await.unwrap() == "t" {
            return;
        }
    }
    panic!("nothing waits for a row");
}
