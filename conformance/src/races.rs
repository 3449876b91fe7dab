//! Calls that meet.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Barrier;

use crate::outcome::Stop;

/// Runs `calls` on tasks of their own, which start together, and answers what they gave, in order.
pub(crate) async fn race<F, T>(calls: Vec<F>) -> Result<Vec<T>, Stop>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let start = Arc::new(Barrier::new(calls.len()));
    let spawn = |call: F| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            if start.wait().await.is_leader() {
                // It came last and runs at once, so it would have no rival.
                tokio::task::yield_now().await;
            }
            call.await
        })
    };
    let tasks: Vec<_> = calls.into_iter().map(spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.map_err(|error| Stop::Failed(format!("a concurrent call did not end: {error}")))?);
    }
    Ok(results)
}
