//! object_store's in-memory store.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::StreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::contender::KeyValue;
use crate::measure::Result;

/// The store for a caller who has keys as text.
pub(crate) struct ByText(pub(crate) InMemory);

impl KeyValue for ByText {
    type Key = String;

    fn key(text: &str) -> String {
        text.to_owned()
    }

    async fn get(&self, key: &String) -> Result<usize> {
        get(&self.0, &Path::from(key.as_str())).await
    }

    async fn set(&self, key: &String, value: Bytes) -> Result<()> {
        set(&self.0, &Path::from(key.as_str()), value).await
    }

    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        page(&self.0, prefix, limit).await
    }
}

/// The store for a caller who keeps paths.
pub(crate) struct ByPath(pub(crate) InMemory);

impl KeyValue for ByPath {
    type Key = Path;

    fn key(text: &str) -> Path {
        Path::from(text)
    }

    async fn get(&self, key: &Path) -> Result<usize> {
        get(&self.0, key).await
    }

    async fn set(&self, key: &Path, value: Bytes) -> Result<()> {
        set(&self.0, key, value).await
    }

    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        page(&self.0, prefix, limit).await
    }
}

async fn get(store: &InMemory, path: &Path) -> Result<usize> {
    let found = store.get(path).await?;
    Ok(black_box(found.bytes().await?).len())
}

async fn set(store: &InMemory, path: &Path, value: Bytes) -> Result<()> {
    black_box(store.put(path, PutPayload::from_bytes(value)).await?);
    Ok(())
}

async fn page(store: &InMemory, prefix: &str, limit: usize) -> Result<usize> {
    let list = store.list(Some(&Path::from(prefix)));
    Ok(black_box(list.take(limit).try_collect::<Vec<_>>().await?).len())
}
