//! Ours, through the handle that every caller has.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_api::{Backend, Store};
use kv_memory::MemoryStore;

use super::contender::KeyValue;
use crate::measure::Result;

/// The in-memory backend behind `kv_api::Store`.
pub(crate) struct KvMemory {
    store: Store,
    /// What each set gives its entry.
    ttl: Option<Duration>,
}

impl KvMemory {
    /// An empty store whose sets carry this ttl.
    pub(crate) fn new(ttl: Option<Duration>) -> Self {
        // Hidden, because a backend that the compiler can see through saves a call and a box that callers pay.
        let backend: Arc<dyn Backend> = black_box(Arc::new(MemoryStore::new()));
        Self { store: Store::from_arc(backend), ttl }
    }
}

impl KeyValue for KvMemory {
    type Key = String;

    fn key(text: &str) -> String {
        text.to_owned()
    }

    async fn get(&self, key: &String) -> Result<usize> {
        let value = self.store.get(key).await?.ok_or("missing")?;
        Ok(value.as_bytes().len())
    }

    async fn set(&self, key: &String, value: Bytes) -> Result<()> {
        let mut set = self.store.set(key, value);
        if let Some(ttl) = self.ttl {
            set = set.ttl(ttl);
        }
        let outcome = set.await?;
        if outcome.is_written() { Ok(()) } else { Err("not written".into()) }
    }

    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        let page = self.store.list().prefix(format!("{prefix}/")).limit(limit).await?;
        Ok(black_box(page.items).len())
    }
}
