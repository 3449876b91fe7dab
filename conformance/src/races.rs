//! Calls that meet.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use crate::outcome::Stop;

/// Runs `calls` on tasks of their own, which start together, and answers what they gave, in order.
pub(crate) async fn race<F, T>(calls: Vec<F>) -> Result<Vec<T>, Stop>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let racers = calls.len();
    let at_the_line = Arc::new(AtomicUsize::new(0));
    let spawn = |call: F| {
        let at_the_line = Arc::clone(&at_the_line);
        tokio::spawn(async move {
            // All of them run already when the last one comes. Those that a barrier wakes begin one after the other,
            // and on a busy machine the first has ended before the second begins.
            if at_the_line.fetch_add(1, Ordering::AcqRel) + 1 == racers {
                // It came last and would run at once, before its rivals.
                tokio::task::yield_now().await;
            }
            while at_the_line.load(Ordering::Acquire) < racers {
                tokio::task::yield_now().await;
            }
            call.await
        })
    };
    let mut tasks: Vec<_> = calls.into_iter().map(|call| Racer(spawn(call))).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for Racer(task) in &mut tasks {
        results.push(task.await.map_err(|error| Stop::Failed(format!("a concurrent call did not end: {error}")))?);
    }
    Ok(results)
}

/// Ends with the case, also where that is stopped in the middle.
struct Racer<T>(JoinHandle<T>);

impl<T> Drop for Racer<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
