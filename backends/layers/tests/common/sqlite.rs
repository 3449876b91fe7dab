//! Over files of SQLite in a temporary folder.

use std::path::PathBuf;
use std::sync::Arc;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, async_trait};
use kv_conformance::{Fixture, Harness, Means};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};

use super::{System, Wrap, clock, wrapped};

pub(crate) struct Sqlite(Wrap);

impl System for Sqlite {
    const NAME: &'static str = "SQLite";

    fn wrapped(wrap: Wrap) -> Self {
        Self(wrap)
    }
}

/// One namespace of a file, opened as another process would.
async fn open(path: PathBuf, namespace: String, clock: ManualClock, wrap: Wrap) -> Result<Store> {
    // What survives a loss of power is no matter of the contract, and costs most of the time here.
    let config = SqliteConfig::new(path).with_namespace(&namespace).with_durability(Durability::Normal);
    let store = SqliteStore::open(config.with_clock(Arc::new(clock.clone()))).await?;
    Ok(wrapped(store, wrap, &clock))
}

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Result<Fixture> {
        let folder = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Misconfigured, "no temporary folder").with_source(error))?;
        let (wrap, clock, path) = (self.0, clock(), folder.path().join("layers.db"));
        let store = open(path.clone(), "main".to_owned(), clock.clone(), wrap).await?;
        let (again, other) = ((path.clone(), clock.clone()), (path.clone(), clock.clone()));
        let plain = open(path, "main".to_owned(), clock.clone(), |inner, _| inner).await?;
        Ok(Fixture::new(store)
            .embedded()
            .without(Means::ForeignTypeWriter, "its table holds nothing but values")
            .with_guard(folder)
            .with_time(clock.clone())
            .with_client_clock(clock)
            // What a client without the layer writes.
            .with_foreign_writer(move |key, text| {
                let plain = plain.clone();
                async move { plain.set(key, text).await.map(drop) }
            })
            .with_reopen(move || open(again.0.clone(), "main".to_owned(), again.1.clone(), wrap))
            .with_namespaces(move |name| open(other.0.clone(), name, other.1.clone(), wrap)))
    }
}
