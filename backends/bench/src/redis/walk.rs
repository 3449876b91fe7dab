//! All keys of a database, page by page.

use std::hint::black_box;

use kv_api::Store;
use redis::aio::MultiplexedConnection;

use crate::measure::Result;

/// A database whose list has no order.
pub(crate) trait Walk: Send + Sync + 'static {
    /// Lists every key once or more, about `limit` a page, and answers how many came.
    fn walk(&self, limit: usize) -> impl Future<Output = Result<usize>> + Send;
}

impl Walk for Store {
    async fn walk(&self, limit: usize) -> Result<usize> {
        let mut count = 0;
        let mut page = self.list().limit(limit).await?;
        loop {
            count += black_box(&page.items).len();
            let Some(cursor) = page.cursor else { return Ok(count) };
            page = self.list().limit(limit).cursor(cursor).await?;
        }
    }
}

/// `SCAN`, page by page.
pub(crate) struct Keys {
    pub(crate) connection: MultiplexedConnection,
    /// Whether it asks for strings below a prefix, as ours has to, or for all keys.
    pub(crate) filters: bool,
}

impl Walk for Keys {
    async fn walk(&self, limit: usize) -> Result<usize> {
        let (mut cursor, mut count) = (0_u64, 0);
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("COUNT").arg(limit);
            if self.filters {
                command.arg("MATCH").arg("tn*").arg("TYPE").arg("string");
            }
            let keys: Vec<String>;
            (cursor, keys) = command.query_async(&mut self.connection.clone()).await?;
            count += black_box(keys).len();
            if cursor == 0 {
                return Ok(count);
            }
        }
    }
}
