//! OpenDAL's operator: what a program has that uses it, whatever the service.

use std::hint::black_box;

use opendal::Operator;

use crate::database::Database;
use crate::measure::Result;
use crate::row::Row;

/// Key and value only: the services know neither expiry nor metadata.
impl Database for Operator {
    async fn set(&self, row: &Row) -> Result<()> {
        black_box(self.write(&row.key, row.value.as_bytes().clone()).await?);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<usize> {
        Ok(black_box(self.read(key).await?).len())
    }
}
