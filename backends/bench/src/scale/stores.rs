//! Every backend, opened as a program would open it, with whatever serves it.

use std::any::Any;
use std::fs;
use std::sync::Arc;

use kv_api::{SetItem, Store};
use kv_fakes::{Engine, ServerOptions};
use kv_memory::MemoryStore;
use kv_nemesisdb::{NemesisdbConfig, NemesisdbStore};
use kv_puter::{PuterConfig, PuterStore};
use kv_remote::SecretString;
use kv_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

use crate::measure::Result;
use crate::payload::{SMALL, key};
use crate::store::hidden;
use crate::{postgres, redis, remote};

/// A backend under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Redis,
    Postgres,
    Cloudflare,
    Backendless,
    Puter,
    Nemesisdb,
}

/// A store with what serves it: that ends when this is dropped.
pub(crate) struct Opened {
    pub(crate) store: Store,
    _server: Box<dyn Any + Send>,
}

impl Kind {
    /// All.
    pub(crate) const ALL: [Self; 8] = [
        Self::Memory,
        Self::Sqlite,
        Self::Redis,
        Self::Postgres,
        Self::Cloudflare,
        Self::Backendless,
        Self::Puter,
        Self::Nemesisdb,
    ];

    /// What tables and pictures call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Cloudflare => "Cloudflare",
            Self::Backendless => "Backendless",
            Self::Puter => "Puter",
            Self::Nemesisdb => "NemesisDB",
        }
    }

    /// An empty store with its default settings; those of remote systems on their fakes.
    ///
    /// # Errors
    /// When its server cannot be started or the store not be opened.
    pub(crate) async fn open(self) -> Result<Opened> {
        // Runs on the same cores, and keeps no copy of each request.
        let options = ServerOptions::new().with_engine(Engine::Hyper);
        Ok(match self {
            Self::Memory => Opened { store: hidden(MemoryStore::new()), _server: Box::new(()) },
            Self::Sqlite => {
                let directory = directory()?;
                let store = SqliteStore::open(SqliteConfig::new(directory.path().join("scale.db"))).await?;
                Opened { store: hidden(store), _server: Box::new(directory) }
            }
            Self::Redis => {
                let server = redis::start().await?;
                Opened { store: redis::open_ours(server.address()).await?, _server: Box::new(server) }
            }
            Self::Postgres => {
                let server = postgres::start().await?;
                Opened { store: postgres::open_ours(&server).await?, _server: Box::new(server) }
            }
            Self::Cloudflare => {
                let fake = remote::serve_cloudflare(options).await?;
                Opened { store: hidden(remote::cloudflare(fake.base_url())?), _server: Box::new(fake) }
            }
            Self::Backendless => {
                let fake = remote::serve_backendless(options).await?;
                Opened { store: hidden(remote::backendless(fake.base_url())?), _server: Box::new(fake) }
            }
            Self::Puter => {
                let fake = kv_fakes::puter::Fake::new().serve(options).await?;
                let config = PuterConfig::new(SecretString::from(kv_fakes::puter::TOKEN))?;
                let store = PuterStore::open(config.with_base_url(fake.base_url())?)?;
                Opened { store: hidden(store), _server: Box::new(fake) }
            }
            Self::Nemesisdb => {
                let fake = kv_fakes::nemesisdb::Fake::new().serve(ServerOptions::new()).await?;
                let config = NemesisdbConfig::from_url(fake.store_url().parse()?)?;
                Opened { store: hidden(NemesisdbStore::open(config).await?), _server: Box::new(fake) }
            }
        })
    }
}

/// Below the folder of build results: on the disk of the project, and ignored by version control.
pub(crate) fn directory() -> Result<TempDir> {
    fs::create_dir_all("target")?;
    Ok(tempfile::Builder::new().prefix("kv-bench-").tempdir_in("target")?)
}

/// The text that every entry has. A text, since not every system has bytes.
pub(crate) fn value() -> Arc<str> {
    Arc::from("v".repeat(SMALL))
}

/// Writes the entries with these numbers in one call.
///
/// # Errors
/// That of the first entry that was not written.
pub(crate) async fn set_many(store: &Store, numbers: &[usize], value: &str) -> Result<()> {
    let items = numbers.iter().map(|number| SetItem::new(key(*number), value));
    for outcome in store.set_many(items).await {
        if !outcome?.is_written() {
            return Err("not written".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_backend_keeps_what_it_is_given() {
        for kind in Kind::ALL {
            let opened = kind.open().await.unwrap();
            set_many(&opened.store, &[0, 1, 2], &value()).await.unwrap();
            let found = opened.store.get(key(2)).await.unwrap().unwrap();
            assert_eq!(found.as_text(), Some(&*value()), "{}", kind.name());
        }
    }
}
