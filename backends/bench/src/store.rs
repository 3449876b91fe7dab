//! Ours, through the handle that every caller has.

use std::hint::black_box;
use std::sync::Arc;

use kv_api::{Backend, SetItem, Store};

use crate::database::{Batches, Conditions, Database, Pages};
use crate::measure::Result;
use crate::row::Row;

/// A store on a backend whose type the compiler cannot see, as in a program that chose its backend at run time.
pub(crate) fn hidden(backend: impl Backend) -> Store {
    let backend: Arc<dyn Backend> = black_box(Arc::new(backend));
    Store::from_arc(backend)
}

fn set<'a>(store: &'a Store, row: &'a Row) -> kv_api::calls::Set<'a> {
    let mut set = store.set(&row.key, &row.value);
    if let Some(ttl) = row.ttl {
        set = set.ttl(ttl);
    }
    if let Some(metadata) = &row.metadata {
        set = set.metadata(metadata.clone());
    }
    set
}

impl Database for Store {
    async fn set(&self, row: &Row) -> Result<()> {
        if set(self, row).await?.is_written() { Ok(()) } else { Err("not written".into()) }
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let value = self.get(key).await?.ok_or("missing")?;
        Ok(value.as_bytes().len())
    }
}

impl Conditions for Store {
    async fn set_if_not_exists(&self, row: &Row) -> Result<bool> {
        Ok(set(self, row).if_not_exists().await?.is_written())
    }
}

impl Batches for Store {
    async fn set_many(&self, rows: &[Row]) -> Result<()> {
        let items = rows.iter().map(|row| {
            let mut item = SetItem::new(&row.key, &row.value);
            if let Some(ttl) = row.ttl {
                item = item.ttl(ttl);
            }
            if let Some(metadata) = &row.metadata {
                item = item.metadata(metadata.clone());
            }
            item
        });
        for outcome in self.set_many(items).await {
            if !outcome?.is_written() {
                return Err("not written".into());
            }
        }
        Ok(())
    }

    async fn get_many(&self, keys: &[String]) -> Result<usize> {
        let values = self.get_many(keys.iter().map(String::as_str)).await?;
        Ok(black_box(values).iter().flatten().count())
    }
}

impl Pages for Store {
    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        let page = self.list().prefix(format!("{prefix}/")).limit(limit).await?;
        Ok(black_box(page.items).len())
    }
}
