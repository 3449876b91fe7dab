//! The space of expired entries is given back in small steps.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::Timer;
use tokio::runtime::Handle;

use crate::pool::Pool;
use crate::queries;

/// A look at what has expired comes after this many writes, or this long after the last one, with the next write.
const WRITES_BETWEEN: u32 = 4096;
const TIME_BETWEEN: Duration = Duration::from_secs(60);

/// How many rows one statement removes, and how many statements follow one look.
const ROWS_MAX: i64 = 500;
const STEPS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Reclaim {
    pool: Arc<Pool>,
    timer: Arc<dyn Timer>,
    patience: Duration,
    runtime: Handle,
    writes: AtomicU32,
    /// When the last look was, in milliseconds of the timer.
    looked_at: AtomicU64,
    is_under_way: AtomicBool,
}

impl Reclaim {
    pub(crate) fn new(pool: Arc<Pool>, timer: Arc<dyn Timer>, patience: Duration, runtime: Handle) -> Self {
        let looked_at = AtomicU64::new(millis(timer.monotonic_now()));
        let (writes, is_under_way) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { pool, timer, patience, runtime, writes, looked_at, is_under_way }
    }

    /// After so many writes. What is to be done is done by a task of its own, of which there is one at most.
    pub(crate) fn after_writes(self: &Arc<Self>, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let writes = self.writes.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let now = millis(self.timer.monotonic_now());
        let is_time = now.saturating_sub(self.looked_at.load(Ordering::Relaxed)) >= millis(TIME_BETWEEN);
        if (writes < WRITES_BETWEEN && !is_time) || self.is_under_way.swap(true, Ordering::Relaxed) {
            return;
        }
        self.writes.store(0, Ordering::Relaxed);
        self.looked_at.store(now, Ordering::Relaxed);
        let under_way = UnderWay(Arc::clone(self));
        self.runtime.spawn(async move { under_way.0.run().await });
    }

    /// An error is no reason to do anything: the next look comes.
    async fn run(&self) {
        let mut steps = 0;
        while steps < STEPS_MAX && self.step().await == Some(true) {
            steps += 1;
        }
    }

    /// Whether there may be more. The connection is given back after each step, so that calls come between.
    async fn step(&self) -> Option<bool> {
        match select(pin!(self.remove()), self.timer.sleep(self.patience)).await {
            Either::Left((may_be_more, _)) => may_be_more,
            Either::Right(_) => None,
        }
    }

    async fn remove(&self) -> Option<bool> {
        let mut connection = self.pool.borrow().await.ok()?;
        let arguments = connection.arguments().number(ROWS_MAX).number(queries::RECLAIM_LOCK);
        let removed = connection.rows(queries::RECLAIM, arguments).await.ok()?.len();
        Some(i64::try_from(removed).is_ok_and(|removed| removed >= ROWS_MAX))
    }
}

struct UnderWay(Arc<Reclaim>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.is_under_way.store(false, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
