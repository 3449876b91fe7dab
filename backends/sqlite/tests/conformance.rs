//! The contract, on files in a temporary folder.

use std::path::PathBuf;
use std::sync::Arc;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, Timestamp, async_trait};
use kv_conformance::{Fixture, Harness, conformance_tests};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};

/// One namespace of a file, opened as another process would.
async fn open(path: PathBuf, namespace: String, clock: ManualClock) -> Result<Store> {
    // What survives a loss of power is no matter of the contract, and costs most of the time here.
    let config = SqliteConfig::new(path).with_namespace(&namespace).with_durability(Durability::Normal);
    Ok(Store::new(SqliteStore::open(config.with_clock(Arc::new(clock))).await?))
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
        let (again, other) = ((path.clone(), clock.clone()), (path, clock.clone()));
        Ok(Fixture::new(store)
            .with_guard(folder)
            .with_time(clock.clone())
            .with_client_clock(clock)
            .with_reopen(move || open(again.0.clone(), "main".to_owned(), again.1.clone()))
            .with_namespaces(move |name| open(other.0.clone(), name, other.1.clone())))
    }
}

conformance_tests!(Sqlite);
