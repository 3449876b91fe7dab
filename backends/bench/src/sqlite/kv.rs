//! Ours, through the handle that every caller has.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use kv_api::{Backend, SetItem, Store};
use kv_sqlite::{SqliteConfig, SqliteStore};

use super::contender::{Batches, Database};
use super::row::Row;
use crate::measure::Result;

/// The SQLite backend behind `kv_api::Store`, with its default settings: durable.
pub(crate) struct KvSqlite {
    /// The handle.
    pub(crate) store: Store,
}

impl KvSqlite {
    /// Opens a new file.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let backend: Arc<dyn Backend> = black_box(Arc::new(SqliteStore::open(SqliteConfig::new(path)).await?));
        Ok(Self { store: Store::from_arc(backend) })
    }
}

impl Database for KvSqlite {
    async fn set(&self, row: &Row) -> Result<()> {
        let mut set = self.store.set(&row.key, row.value.clone());
        if let Some(ttl) = row.ttl {
            set = set.ttl(ttl);
        }
        if let Some(metadata) = &row.metadata {
            set = set.metadata(metadata.clone());
        }
        if set.await?.is_written() { Ok(()) } else { Err("not written".into()) }
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value = self.store.get(key).await?.ok_or("missing")?;
        Ok(value.as_bytes().len())
    }
}

impl Batches for KvSqlite {
    async fn set_many(&self, rows: &[Row]) -> Result<()> {
        let items = rows.iter().map(|row| {
            let mut item = SetItem::new(&row.key, row.value.clone());
            if let Some(ttl) = row.ttl {
                item = item.ttl(ttl);
            }
            if let Some(metadata) = &row.metadata {
                item = item.metadata(metadata.clone());
            }
            item
        });
        for outcome in self.store.set_many(items).await {
            if !outcome?.is_written() {
                return Err("not written".into());
            }
        }
        Ok(())
    }

    async fn get_many(&self, keys: &[String]) -> Result<usize> {
        let values = self.store.get_many(keys.iter().map(String::as_str)).await?;
        Ok(black_box(values).iter().flatten().count())
    }

    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        let page = self.store.list().prefix(format!("{prefix}/")).limit(limit).await?;
        Ok(black_box(page.items).len())
    }
}
