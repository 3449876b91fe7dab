//! What the tests share: a file that goes away, and calls that go through the resolver as the handle's do.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod random;

use std::path::PathBuf;
use std::sync::Arc;

use kv_api::{
    Backend, BatchOutcome, DeleteOutcome, Entry, Error, Expire, ExpireOptions, Fields, Increment, IncrementOptions,
    ManualClock, RawPage, Resolver, Result, SetItem, SetOutcome, SystemClock, Timestamp, TouchOptions, Version, Write,
};
use kv_sqlite::{CAPABILITIES, Durability, SqliteConfig, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

/// A directory with one database file, on a clock that stands until it is moved.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) clock: ManualClock,
}

impl Place {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000));
        Self { directory: tempfile::tempdir().unwrap(), clock }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("app.db")
    }

    /// Settings for tests: fast, and on the standing clock.
    pub(crate) fn config(&self) -> SqliteConfig {
        SqliteConfig::new(self.path()).with_durability(Durability::Normal).with_clock(Arc::new(self.clock.clone()))
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.config()).await.unwrap()
    }

    /// A plain connection beside the store.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path()).create_if_missing(true);
        options.disable_statement_logging().connect().await.unwrap()
    }

    /// Runs SQL beside the store.
    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.raw().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A number that SQL gives, beside the store.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.raw().await;
        let number = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// The names of all files in the directory.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = self.directory.path().read_dir().unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) const RESOLVER: Resolver<'static> = Resolver::new(&CAPABILITIES);

pub(crate) fn write<'a>(store: &SqliteStore, item: SetItem<'a>) -> Write<'a> {
    RESOLVER.write(item, store.clock()).unwrap()
}

pub(crate) async fn set(store: &SqliteStore, item: SetItem<'_>) -> Result<SetOutcome> {
    store.write(write(store, item)).await
}

pub(crate) async fn get(store: &SqliteStore, key: &str) -> Option<Entry> {
    store.read(RESOLVER.read(key, Fields::All).unwrap()).await.unwrap()
}

pub(crate) async fn exists(store: &SqliteStore, key: &str) -> bool {
    store.read(RESOLVER.read(key, Fields::Existence).unwrap()).await.unwrap().is_some()
}

pub(crate) async fn get_many(store: &SqliteStore, keys: &[&str]) -> Vec<Option<Entry>> {
    let keys = keys.iter().map(|key| (*key).into());
    let (reads, _) = RESOLVER.read_many(keys, Fields::All).unwrap().unwrap();
    store.read_many(reads).await.unwrap()
}

pub(crate) async fn delete(store: &SqliteStore, key: &str, if_version: Option<Version>) -> Result<DeleteOutcome> {
    store.delete(RESOLVER.delete(key, if_version, false).unwrap()).await
}

pub(crate) async fn delete_many(store: &SqliteStore, keys: &[String]) -> Vec<Result<DeleteOutcome>> {
    let (deletes, _) = RESOLVER.delete_many(keys.iter().map(|key| key.as_str().into()));
    store.delete_many(deletes.unwrap()).await
}

/// Distinct keys only: the handle sends repeated ones in rounds.
pub(crate) async fn set_many(store: &SqliteStore, items: Vec<SetItem<'_>>) -> Vec<Result<SetOutcome>> {
    store.write_many(batch(store, items)).await
}

pub(crate) async fn all_or_nothing(store: &SqliteStore, items: Vec<SetItem<'_>>) -> Result<BatchOutcome> {
    store.write_all_or_nothing(batch(store, items)).await
}

fn batch<'a>(store: &SqliteStore, items: Vec<SetItem<'a>>) -> kv_api::WriteMany<'a> {
    RESOLVER.all_or_nothing(items, store.clock()).unwrap().unwrap()
}

pub(crate) fn incrementing(key: &str, by: i64) -> Increment<'_> {
    RESOLVER.increment(key, by, IncrementOptions::default(), &SystemClock).unwrap()
}

pub(crate) async fn increment(store: &SqliteStore, key: &str, by: i64) -> Result<i64> {
    store.increment(incrementing(key, by)).await
}

pub(crate) fn expiring<'a>(store: &SqliteStore, key: &'a str, ttl: Option<std::time::Duration>) -> Expire<'a> {
    let mut options = ExpireOptions::default();
    options.ttl = ttl;
    options.never = ttl.is_none();
    RESOLVER.expire(key, options, store.clock()).unwrap()
}

pub(crate) async fn touch(store: &SqliteStore, key: &str, ttl: std::time::Duration) -> Result<Option<Entry>> {
    store.touch(RESOLVER.touch(key, Fields::All, TouchOptions::new(ttl), store.clock()).unwrap()).await
}

pub(crate) async fn get_and_delete(store: &SqliteStore, key: &str) -> Result<Option<Entry>> {
    store.get_and_delete(RESOLVER.get_and_delete(key, Fields::All, false).unwrap()).await
}

pub(crate) async fn list(store: &SqliteStore, prefix: &str, limit: usize, position: Option<Vec<u8>>) -> RawPage {
    store.list(RESOLVER.list(prefix, limit, position).unwrap()).await.unwrap()
}

/// All keys of a prefix, page by page.
pub(crate) async fn all_keys(store: &SqliteStore, prefix: &str, limit: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let mut position = None;
    loop {
        let page = list(store, prefix, limit, position).await;
        assert!(page.items.len() <= limit);
        keys.extend(page.items.into_iter().map(|item| item.key));
        position = page.next;
        if position.is_none() {
            return keys;
        }
    }
}

/// Kind and reason of an error, to compare.
pub(crate) fn told(error: &Error) -> (kv_api::ErrorKind, Option<kv_api::Reason>) {
    (error.kind(), error.reason().cloned())
}
