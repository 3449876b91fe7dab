//! What is sent again, how often, and after which waits (ERR-4).

use std::num::NonZeroU32;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use kv_api::{Error, Retry};

use crate::idempotency::Idempotency;

/// When a request is sent again. The waits double from the least to the greatest one, and each is lengthened at random,
/// up to twice itself, so that clients that failed together do not come back together. A system that asks for a longer
/// wait gets it, where it is no longer than [`with_retry_after_max`](Self::with_retry_after_max) and ends before the
/// deadline; else the call ends at once, and its error says which wait was asked for.
///
/// ```
/// use kv_remote::RetryPolicy;
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// let patient = RetryPolicy::default()
///     .with_attempts_max(NonZeroU32::new(10).ok_or("not zero")?)
///     .with_retry_after_max(Duration::from_secs(900))
///     .with_deadline(Duration::from_secs(6 * 3600));
/// assert_ne!(patient, RetryPolicy::none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetryPolicy {
    attempts_max: NonZeroU32,
    delay_min: Duration,
    delay_max: Duration,
    pub(crate) retry_after_max: Duration,
    pub(crate) deadline: Duration,
    repeat_unknown_writes: bool,
}

/// Four attempts, waits from 100 milliseconds to 8 seconds, up to 5 minutes where the system asks for them, 10 minutes
/// for the whole call, unknown outcomes included.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: const { NonZeroU32::new(4).expect("4 is not 0") },
            delay_min: Duration::from_millis(100),
            delay_max: Duration::from_secs(8),
            retry_after_max: Duration::from_secs(300),
            deadline: Duration::from_secs(600),
            repeat_unknown_writes: true,
        }
    }
}

impl RetryPolicy {
    /// Each request is sent once.
    pub fn none() -> Self {
        Self { attempts_max: NonZeroU32::MIN, ..Self::default() }
    }

    /// A write whose outcome is unknown is not sent again: the repeat could overwrite what another client wrote in
    /// between. What was certainly not applied, and reads, still are.
    pub const fn without_unknown_retries(mut self) -> Self {
        self.repeat_unknown_writes = false;
        self
    }

    /// How often a request is sent at most. Default: 4.
    pub const fn with_attempts_max(mut self, attempts_max: NonZeroU32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// The first and the greatest wait between two attempts, before they are lengthened at random. Default: 100
    /// milliseconds and 8 seconds; more than a day counts as a day. Two zeros do not wait at all, except where the
    /// system asks for it.
    pub const fn with_delays(mut self, min: Duration, max: Duration) -> Self {
        self.delay_min = min;
        self.delay_max = max;
        self
    }

    /// The longest wait that is granted to a system that asks for one, as with the header `Retry-After`. A longer one
    /// ends the call at once. Default: 5 minutes, which is the longest penalty that a supported system documents.
    pub const fn with_retry_after_max(mut self, retry_after_max: Duration) -> Self {
        self.retry_after_max = retry_after_max;
        self
    }

    /// The longest that a whole call may take, with all its requests, repeats and waits: what has not been answered by
    /// then fails. Counted by the timer's monotonic time. Default: 10 minutes, so that there is time for the requests
    /// beside the longest wait. A batch that is split into requests is one call; one that names a key again is one for
    /// each of its rounds (BATCH-4).
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The waits before the second and each further attempt.
    pub(crate) fn delays(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let repeats = usize::try_from(self.attempts_max.get() - 1).unwrap_or(usize::MAX);
        const A_DAY: Duration = Duration::from_secs(86_400);
        ExponentialBuilder::new()
            .with_min_delay(self.delay_min.min(A_DAY))
            .with_max_delay(self.delay_max.min(A_DAY))
            .with_jitter()
            .with_max_times(repeats)
            .build()
    }

    /// Whether a request that asks for this, and failed so, may be sent again (ERR-4).
    pub(crate) fn allows(&self, idempotency: Idempotency, error: &Error) -> bool {
        match (error.retry(), idempotency) {
            (Retry::Safe, _) | (Retry::OutcomeUnknown, Idempotency::Read) => true,
            (Retry::OutcomeUnknown, Idempotency::Idempotent) => self.repeat_unknown_writes,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ErrorKind;

    #[test]
    fn err_4_what_may_be_repeated_follows_from_what_is_asked_and_what_is_known() {
        let error = |retry| Error::new(ErrorKind::Unavailable, "").with_retry(retry);
        let full = RetryPolicy::default();
        let definite = RetryPolicy::default().without_unknown_retries();
        for idempotency in [Idempotency::Read, Idempotency::Idempotent, Idempotency::NonIdempotent] {
            assert!(full.allows(idempotency, &error(Retry::Safe)) && definite.allows(idempotency, &error(Retry::Safe)));
            assert!(!full.allows(idempotency, &error(Retry::Never)));
            assert_eq!(
                full.allows(idempotency, &error(Retry::OutcomeUnknown)),
                idempotency != Idempotency::NonIdempotent
            );
            assert_eq!(definite.allows(idempotency, &error(Retry::OutcomeUnknown)), idempotency == Idempotency::Read);
        }
    }

    #[test]
    fn err_4_the_waits_grow_and_end() {
        let policy = RetryPolicy::default().with_attempts_max(NonZeroU32::new(6).unwrap());
        let delays: Vec<Duration> = policy.delays().collect();
        assert_eq!(delays.len(), 5);
        let least = [100, 200, 400, 800, 1600].map(Duration::from_millis);
        for (delay, least) in delays.into_iter().zip(least) {
            assert!((least..=2 * least).contains(&delay), "{delay:?} from {least:?}");
        }
        let endless = RetryPolicy::default().with_delays(Duration::MAX, Duration::MAX);
        assert_eq!(endless.delays().filter(|delay| *delay <= Duration::from_secs(2 * 86_400)).count(), 3);
        assert_eq!(RetryPolicy::none().delays().count(), 0);
        let hasty = RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO);
        assert!(hasty.delays().all(|delay| delay.is_zero()));
    }
}
