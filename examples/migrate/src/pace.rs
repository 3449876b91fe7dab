//! A bound on the requests in a time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kv_api::Timer;

use crate::options::Rate;

/// Spreads requests evenly over time.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    timer: &'a dyn Timer,
    rate: Option<Rate>,
    /// When the next request may begin, by the timer.
    next_at: Mutex<Duration>,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(timer: &'a dyn Timer, rate: Option<Rate>) -> Self {
        Self { timer, rate, next_at: Mutex::new(Duration::ZERO) }
    }

    /// Waits until so many requests may be sent.
    pub(crate) async fn admit(&self, requests: usize) {
        let Some(rate) = self.rate else { return };
        let now = self.timer.monotonic_now();
        let wait = {
            let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next_at).max(now);
            *next_at = at.saturating_add(time_of(rate, requests));
            at.saturating_sub(now)
        };
        if !wait.is_zero() {
            self.timer.sleep(wait).await;
        }
    }
}

/// How long so many requests take at this rate.
fn time_of(rate: Rate, requests: usize) -> Duration {
    let nanos = rate.per.as_nanos().saturating_mul(requests as u128) / rate.requests.get() as u128;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use kv_api::{ManualClock, Timestamp};

    #[test]
    fn requests_are_spread_over_the_time() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let rate = Rate { requests: 4.try_into().unwrap(), per: Duration::from_secs(2) };
        let pace = Pace::new(&clock, Some(rate));
        assert!(pace.admit(3).now_or_never().is_some(), "nothing was sent before");
        let mut next = Box::pin(pace.admit(1));
        assert!((&mut next).now_or_never().is_none());
        clock.advance(Duration::from_millis(1499));
        assert!((&mut next).now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert!((&mut next).now_or_never().is_some());
        assert!(Pace::new(&clock, None).admit(usize::MAX).now_or_never().is_some());
    }
}
