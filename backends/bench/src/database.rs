//! What a database must do to take part, and the slices of work of a race.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::measure::{Result, timed};
use crate::row::Row;

/// A database under measurement.
pub(crate) trait Database: Send + Sync + 'static {
    /// Writes an entry; returns once the database has said that it did.
    fn set(&self, row: &Row) -> impl Future<Output = Result<()>> + Send;

    /// Reads a value and answers its length.
    fn get(&self, key: &str) -> impl Future<Output = Result<usize>> + Send;
}

/// A database that writes on a condition.
pub(crate) trait Conditions: Send + Sync + 'static {
    /// Writes an entry where there is none, and answers whether it did.
    fn set_if_not_exists(&self, row: &Row) -> impl Future<Output = Result<bool>> + Send;
}

/// A database that takes many entries at once.
pub(crate) trait Batches: Send + Sync + 'static {
    /// Writes entries with different keys.
    fn set_many(&self, rows: &[Row]) -> impl Future<Output = Result<()>> + Send;

    /// Reads values and answers how many were there.
    fn get_many(&self, keys: &[String]) -> impl Future<Output = Result<usize>> + Send;
}

/// A database that lists keys in order.
pub(crate) trait Pages: Send + Sync + 'static {
    /// Lists the first keys below a prefix with expiry and metadata, and answers how many came.
    fn page(&self, prefix: &str, limit: usize) -> impl Future<Output = Result<usize>> + Send;
}

/// Nanoseconds a set, each task waiting for its own answer before its next set.
pub(crate) async fn sets<D: Database>(database: Arc<D>, tasks: Vec<Vec<Row>>) -> Result<f64> {
    let calls = tasks.iter().map(Vec::len).sum();
    timed(calls, async {
        let tasks = tasks.into_iter().map(|rows| {
            let database = Arc::clone(&database);
            tokio::spawn(async move {
                for row in &rows {
                    database.set(row).await?;
                }
                Ok(())
            })
        });
        all(tasks.collect()).await
    })
    .await
}

/// Nanoseconds a get, each task waiting for its answer before its next get.
pub(crate) async fn gets<D: Database>(database: Arc<D>, tasks: Vec<Vec<String>>, length: usize) -> Result<f64> {
    let calls = tasks.iter().map(Vec::len).sum();
    timed(calls, async {
        let tasks = tasks.into_iter().map(|keys| {
            let database = Arc::clone(&database);
            tokio::spawn(async move {
                for key in &keys {
                    if black_box(database.get(key).await?) != length {
                        return Err("read something else than was written".into());
                    }
                }
                Ok(())
            })
        });
        all(tasks.collect()).await
    })
    .await
}

/// Nanoseconds a conditional set of a lone caller, over keys that are not there.
pub(crate) async fn inserts<D: Conditions>(database: Arc<D>, rows: Vec<Row>) -> Result<f64> {
    timed(rows.len(), async {
        // A task of its own, as the callers of `sets` are.
        let task = tokio::spawn(async move {
            for row in &rows {
                if !database.set_if_not_exists(row).await? {
                    return Err("the key was there already".into());
                }
            }
            Ok(())
        });
        all(vec![task]).await
    })
    .await
}

/// Nanoseconds an entry, in batches one after the other.
pub(crate) async fn batch_sets<D: Batches>(database: Arc<D>, batches: Vec<Vec<Row>>) -> Result<f64> {
    timed(batches.iter().map(Vec::len).sum(), async {
        let task = tokio::spawn(async move {
            for batch in &batches {
                database.set_many(batch).await?;
            }
            Ok(())
        });
        all(vec![task]).await
    })
    .await
}

/// Nanoseconds a key, in batches one after the other; every key is there.
pub(crate) async fn batch_gets<D: Batches>(database: Arc<D>, batches: Vec<Vec<String>>) -> Result<f64> {
    timed(batches.iter().map(Vec::len).sum(), async {
        let task = tokio::spawn(async move {
            for batch in &batches {
                if database.get_many(batch).await? != batch.len() {
                    return Err("not every key was found".into());
                }
            }
            Ok(())
        });
        all(vec![task]).await
    })
    .await
}

/// Nanoseconds a page of `limit` keys, one after the other; every page is full.
pub(crate) async fn pages<D: Pages>(database: Arc<D>, prefixes: Vec<String>, limit: usize) -> Result<f64> {
    timed(prefixes.len(), async {
        let task = tokio::spawn(async move {
            for prefix in &prefixes {
                if database.page(prefix, limit).await? != limit {
                    return Err("a page is not full".into());
                }
            }
            Ok(())
        });
        all(vec![task]).await
    })
    .await
}

/// Waits for every task.
///
/// # Errors
/// The first failure of one.
pub(crate) async fn all(tasks: Vec<JoinHandle<Result<()>>>) -> Result<()> {
    for task in tasks {
        task.await??;
    }
    Ok(())
}
