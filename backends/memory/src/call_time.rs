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

    /// Whether `millis` has come. Does not read the clock where that knows it anyway.
    pub(crate) fn is_past(&self, millis: i64) -> bool {
        let is_far_ahead = self.now.get().is_none() && self.clock.is_far_ahead(Timestamp::from_unix_millis(millis));
        !is_far_ahead && self.millis() >= millis
    }

    /// The absolute time of an expiry in milliseconds, rounded up (EXP-4); `None` for never.
    pub(crate) fn deadline_millis(&self, expiry: Expiry) -> Option<i64> {
        match expiry {
            Expiry::Never => None,
            Expiry::At(at) => Some(at.as_unix_millis_ceil()),
            after => after.deadline(self.now()).map(Timestamp::as_unix_millis_ceil),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ManualClock, SystemClock};
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
    fn exp_7_an_expiry_has_come_at_its_very_time() {
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_999_999));
        assert!(!CallTime::new(&clock).is_past(2000));
        clock.advance(Duration::from_micros(1));
        assert!(CallTime::new(&clock).is_past(2000));
        let time = CallTime::new(&SystemClock);
        let now = SystemClock.now().as_unix_millis_floor();
        assert!(time.is_past(now) && !time.is_past(now + 3_600_000));
        // Known without the time, and with it.
        assert!(!CallTime::new(&SystemClock).is_past(now + 3_600_000));
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
