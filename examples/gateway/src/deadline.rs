//! Work that has to be done within a time.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use kv_api::Timer;

/// `None` when the time is over; then the work is dropped. Work that is done at its first poll costs no timer.
pub(crate) async fn within<T>(timer: &dyn Timer, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    if let Some(done) = work.as_mut().now_or_never() {
        return Some(done);
    }
    match select(work, timer.sleep(time)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}
