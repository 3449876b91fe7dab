//! What a database must do to take part, and the slices of work of a race.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::row::Row;
use crate::measure::{Result, timed};

/// A database under measurement.
pub(crate) trait Database: Send + Sync + 'static {
    /// Writes an entry; returns once it is durable.
    fn set(&self, row: &Row) -> impl Future<Output = Result<()>> + Send;

    /// Reads a value and answers its length.
    fn get(&self, key: &str) -> impl Future<Output = Result<usize>> + Send;
}

/// A database that takes many entries at once.
pub(crate) trait Batches {
    /// Writes entries in one transaction.
    fn set_many(&self, rows: &[Row]) -> impl Future<Output = Result<()>> + Send;

    /// Reads values and answers how many were there.
    fn get_many(&self, keys: &[String]) -> impl Future<Output = Result<usize>> + Send;

    /// Lists the first keys below a prefix with expiry and metadata, and answers how many came.
    fn page(&self, prefix: &str, limit: usize) -> impl Future<Output = Result<usize>> + Send;
}

/// Nanoseconds a set, each task waiting for its own commit before its next set.
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
