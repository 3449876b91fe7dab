//! The contract, on files in a temporary folder.

use std::path::PathBuf;
use std::sync::Arc;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, Timestamp, async_trait};
use kv_conformance::{Fixture, Harness, Means, conformance_tests};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// One namespace of a file, opened as another process would.
async fn open(path: PathBuf, namespace: String, clock: ManualClock) -> Result<Store> {
    // What survives a loss of power is no matter of the contract, and costs most of the time here.
    let config = SqliteConfig::new(path).with_namespace(&namespace).with_durability(Durability::Normal);
    Ok(Store::new(SqliteStore::open(config.with_clock(Arc::new(clock))).await?))
}

/// What another program writes into the file.
async fn write(path: PathBuf, key: String, text: String) -> Result<()> {
    let failed = |error: sqlx::Error| Error::new(ErrorKind::Internal, error.to_string());
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.map_err(failed)?;
    let sql = "INSERT INTO kv (namespace, key, kind, version, value) \
               SELECT id, ?, 0, 0, CAST(? AS BLOB) FROM namespaces WHERE name = 'main'";
    sqlx::query(sql).bind(key).bind(text).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

struct Sqlite;

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Result<Fixture> {
        let folder = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Misconfigured, "no temporary folder").with_source(error))?;
        let path = folder.path().join("conformance.db");
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
        let store = open(path.clone(), "main".to_owned(), clock.clone()).await?;
        let (again, other, foreign) = ((path.clone(), clock.clone()), (path.clone(), clock.clone()), path);
        Ok(Fixture::new(store)
            .embedded()
            .without(Means::ForeignTypeWriter, "its table holds nothing but values")
            .with_guard(folder)
            .with_foreign_writer(move |key, text| write(foreign.clone(), key, text))
            .with_time(clock.clone())
            .with_client_clock(clock)
            .with_reopen(move || open(again.0.clone(), "main".to_owned(), again.1.clone()))
            .with_namespaces(move |name| open(other.0.clone(), name, other.1.clone())))
    }
}

conformance_tests!(Sqlite);
