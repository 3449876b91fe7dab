//! The rate of requests, and the queue of those who wait for it.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use kv_api::{RequestRate, Timer};
use tokio::sync::Semaphore;

/// 146 years: the limiter adds up some times of this length in 64 bits, without a check.
const NANOS_MAX: u64 = u64::MAX / 4;

/// Lets requests through, no more than the rate allows in any stretch of time as long as its own.
pub(super) struct RequestTurns {
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>,
    burst: NonZeroU32,
    interval: Duration,
    /// Who has it is the next to be let through, and waits for the rate. The others wait for it, in their order.
    next: Semaphore,
    /// When the next one goes, in nanoseconds of the timer.
    next_goes: AtomicU64,
    /// The requests of all who wait for `next`.
    queued: AtomicU64,
    timer: Arc<dyn Timer>,
}

/// The limiter's clock: the injected timer.
#[derive(Clone, Debug)]
struct Ticks(Arc<dyn Timer>);

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic_now()
    }
}

impl RequestTurns {
    pub(super) fn new(rate: RequestRate, burst: Option<NonZeroU32>, timer: &Arc<dyn Timer>) -> Self {
        let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
        let fifth = NonZeroU32::new(requests.get() / 5).unwrap_or(NonZeroU32::MIN);
        let burst = burst.unwrap_or(fifth).min(requests);
        let interval = interval(requests, burst, rate.per);
        let burst = burst_within(burst, interval);
        // A period that is not zero makes a quota.
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, Ticks(Arc::clone(timer))),
            burst,
            interval,
            next: Semaphore::new(1),
            next_goes: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            timer: Arc::clone(timer),
        }
    }

    /// How many requests may go at once.
    pub(super) const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// How long so many requests take at least, from the first to the last of them.
    pub(super) fn least_time(&self, requests: u32) -> Duration {
        self.interval.saturating_mul(requests.saturating_sub(self.burst.get()))
    }

    /// Takes so many requests off the rate, and waits until it allows them.
    ///
    /// # Errors
    /// How long that would take at least, when it is not before `deadline`; then nothing is taken. When it is dropped,
    /// only what was let through already is taken: that happens only with more requests than may go at once.
    pub(super) async fn take(&self, requests: NonZeroU32, deadline: Duration) -> Result<(), Duration> {
        // Nobody waits, so nobody is overtaken.
        if self.next.available_permits() > 0 && requests <= self.burst && self.try_take(requests).is_ok() {
            return Ok(());
        }
        let _next = match self.next.try_acquire() {
            Ok(next) => next,
            Err(_) => {
                let place = Place::behind(&self.queued, requests);
                let least = self.wait_behind(place.ahead, requests);
                let left = self.left(deadline);
                if least > left {
                    return Err(least);
                }
                match select(pin!(self.next.acquire()), self.timer.sleep(left)).await {
                    Either::Left((Ok(next), _)) => next,
                    // The time is over. The semaphore is never closed.
                    Either::Left((Err(_), _)) | Either::Right(_) => return Err(least),
                }
            }
        };
        if self.least_time(requests.get()) > self.left(deadline) {
            return Err(self.least_time(requests.get()));
        }
        let mut missing = requests.get();
        while let Some(part) = NonZeroU32::new(missing.min(self.burst.get())) {
            match self.try_take(part) {
                Ok(()) => missing -= part.get(),
                Err(wait) => {
                    // Nobody else takes anything meanwhile: so long until the last of them may go.
                    let wait_for_all = wait.saturating_add(self.interval.saturating_mul(missing - part.get()));
                    if wait_for_all > self.left(deadline) {
                        return Err(wait_for_all);
                    }
                    self.announce(wait_for_all);
                    self.timer.sleep(wait).await;
                }
            }
        }
        Ok(())
    }

    /// Says how long the next one still waits.
    fn announce(&self, wait: Duration) {
        let goes = self.timer.monotonic_now().saturating_add(wait).as_nanos();
        self.next_goes.store(u64::try_from(goes).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// How long requests wait behind the next one and so many others. What may go at once is gone when the next one
    /// goes, since it had to wait; so each takes an interval.
    fn wait_behind(&self, others: u64, requests: NonZeroU32) -> Duration {
        let next_goes = Duration::from_nanos(self.next_goes.load(Ordering::Acquire));
        let until_next = next_goes.saturating_sub(self.timer.monotonic_now());
        let before_all_went = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(requests.get());
        until_next.saturating_add(self.interval.saturating_mul(before_all_went))
    }

    /// All of them now, or how long until then.
    fn try_take(&self, requests: NonZeroU32) -> Result<(), Duration> {
        match self.limiter.check_n(requests) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.timer.monotonic_now())),
            // More than may go at once: never asked for.
            Err(_) => Err(Duration::MAX),
        }
    }

    fn left(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.timer.monotonic_now())
    }
}

/// The time between two requests after a burst of `burst` that leaves no stretch of `per` with more than `requests` in
/// it: from its first instant on, the burst and one for each interval that begins in it.
fn interval(requests: NonZeroU32, burst: NonZeroU32, per: Duration) -> Duration {
    let steadily = u128::from(requests.get() - burst.get() + 1);
    let nanos = per.as_nanos().div_ceil(steadily).clamp(1, u128::from(NANOS_MAX));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(NANOS_MAX))
}

/// As much of the burst as comes back in [`NANOS_MAX`].
fn burst_within(burst: NonZeroU32, interval: Duration) -> NonZeroU32 {
    let most = u128::from(NANOS_MAX) / interval.as_nanos().max(1);
    u32::try_from(most).ok().and_then(NonZeroU32::new).map_or(burst, |most| burst.min(most))
}

/// A place among those who wait to be the next; given up when it is dropped.
struct Place<'a> {
    queued: &'a AtomicU64,
    requests: u64,
    /// The requests of those who were there before.
    ahead: u64,
}

impl<'a> Place<'a> {
    fn behind(queued: &'a AtomicU64, requests: NonZeroU32) -> Self {
        let requests = u64::from(requests.get());
        Self { queued, requests, ahead: queued.fetch_add(requests, Ordering::AcqRel) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.requests, Ordering::AcqRel);
    }
}
