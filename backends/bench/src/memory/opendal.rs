//! OpenDAL's in-memory services.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::StreamExt;
use opendal::Operator;

use super::contender::KeyValue;
use crate::measure::Result;

/// An OpenDAL operator with its default layers.
pub(crate) struct OpenDal(pub(crate) Operator);

impl KeyValue for OpenDal {
    type Key = String;

    fn key(text: &str) -> String {
        text.to_owned()
    }

    async fn get(&self, key: &String) -> Result<usize> {
        Ok(black_box(self.0.read(key).await?).len())
    }

    async fn set(&self, key: &String, value: Bytes) -> Result<()> {
        black_box(self.0.write(key, value).await?);
        Ok(())
    }

    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        let lister = self.0.lister_with(&format!("{prefix}/")).recursive(true).await?;
        Ok(black_box(lister.take(limit).try_collect::<Vec<_>>().await?).len())
    }
}
