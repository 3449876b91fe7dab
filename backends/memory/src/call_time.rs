//! The time of one call.

use std::cell::Cell;

use kv_api::{Clock, Expiry, Timestamp};

/// The time of one call: read when something first depends on it, and then the same to the end. Made after the lock is
/// held, so that what waited for the lock is not decided by an older time.
pub(crate) struct CallTime<'a> {
    clock: &'a dyn Clock,
    now: Cell<Option<Timestamp>>,
}

impl<'a> CallTime<'a> {
    pub(crate) fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, now: Cell::new(None) }
    }

    fn now(&self) -> Timestamp {
        if let Some(now) = self.now.get() {
            return now;
        }
        let now = self.clock.now();
        self.now.set(Some(now));
        now
    }

    /// Whole milliseconds since the epoch, rounded down: at or after a whole millisecond exactly when the time itself
    /// is.
    pub(crate) fn millis(&self) -> i64 {
        self.now().as_unix_millis_floor()
    }

    /// The absolute time of an expiry in milliseconds, rounded up (EXP-4); `None` for never.
    pub(crate) fn deadline_millis(&self, expiry: Expiry) -> Option<i64> {
        if expiry == Expiry::Never { None } else { expiry.deadline(self.now()).map(Timestamp::as_unix_millis_ceil) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ManualClock;
    use std::time::Duration;

    #[test]
    fn exp_4_a_deadline_is_rounded_up_and_the_present_down() {
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_000_001));
        let time = CallTime::new(&clock);
        assert_eq!(time.millis(), 1000);
        assert_eq!(time.deadline_millis(Expiry::After(Duration::from_millis(1))), Some(1002));
        assert_eq!(time.deadline_millis(Expiry::At(Timestamp::from_unix_millis(1500))), Some(1500));
        assert_eq!(time.deadline_millis(Expiry::Never), None);
    }

    #[test]
    fn a_call_has_one_time() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let time = CallTime::new(&clock);
        assert_eq!(time.millis(), 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(time.millis(), 0);
    }
}
