//! When two expiries are the same.

use std::time::Duration;

use kv_api::Timestamp;

use crate::record::RecordExpiry;

/// The time in which copy and verification lie, and how finely expiries are kept.
#[derive(Debug)]
pub(crate) struct Window {
    /// When the copy began, where that is known.
    pub(crate) started: Option<Timestamp>,
    pub(crate) now: Timestamp,
    pub(crate) rounding: Duration,
    /// What the target makes of an expiry that is nearer (EXP-6); zero where it refuses such an entry.
    pub(crate) min_ttl: Duration,
}

impl Window {
    /// How far the clock of a store may be from ours. It matters for a ttl alone, which the store turns into a time.
    const SKEW: Duration = Duration::from_secs(60);

    /// Each side may report a time up to two of its resolutions late (EXP-8).
    fn slack(&self) -> Duration {
        self.rounding * 2
    }

    /// Whether an entry of the source has expired by now. When a ttl began is known of a copy alone.
    pub(super) fn has_expired(&self, expiry: RecordExpiry) -> bool {
        match expiry {
            RecordExpiry::At(at) => at <= self.now,
            RecordExpiry::After(ttl) => {
                self.started.and_then(|started| started.checked_add(ttl)).is_some_and(|at| at <= self.now)
            }
            RecordExpiry::Never | RecordExpiry::Unknown | RecordExpiry::NotPositive => false,
        }
    }

    /// Whether an entry of the target may have expired in the source, which has it end less late than the target.
    pub(super) fn may_have_expired(&self, expiry: RecordExpiry) -> bool {
        matches!(expiry, RecordExpiry::At(at) if at.saturating_since(self.now) <= self.slack() + self.min_ttl)
    }

    /// Whether it had expired before the copy: then it has replaced nothing (EXP-5).
    pub(super) fn had_expired_before(&self, expiry: RecordExpiry) -> bool {
        matches!((expiry, self.started), (RecordExpiry::At(at), Some(started)) if at <= started)
    }

    /// `None` when one of the two cannot tell.
    pub(crate) fn same_expiry(&self, expected: RecordExpiry, found: RecordExpiry) -> Option<bool> {
        match (expected, found) {
            (RecordExpiry::Unknown, _) | (_, RecordExpiry::Unknown) => None,
            (RecordExpiry::At(expected), RecordExpiry::At(found)) => {
                let (early, late) = (expected.saturating_since(found), found.saturating_since(expected));
                Some(early <= self.slack() && (late <= self.slack() || self.was_rounded_up(found)))
            }
            (RecordExpiry::After(ttl), RecordExpiry::At(at)) => Some(self.may_have_become(ttl.max(self.min_ttl), at)),
            (RecordExpiry::At(at), RecordExpiry::After(ttl)) => Some(self.may_have_become(ttl, at)),
            (expected, found) => Some(expected == found),
        }
    }

    /// Whether this may be the nearest expiry that the target takes.
    fn was_rounded_up(&self, at: Timestamp) -> bool {
        !self.min_ttl.is_zero() && self.may_have_become(self.min_ttl, at)
    }

    /// Whether a ttl that was stored since the copy began, or at any time before where that is not known, ends then.
    fn may_have_become(&self, ttl: Duration, at: Timestamp) -> bool {
        let is_early = self
            .started
            .and_then(|started| started.checked_add(ttl))
            .is_some_and(|earliest| earliest.saturating_since(at) > Self::SKEW);
        let is_late =
            self.now.checked_add(ttl).is_some_and(|latest| at.saturating_since(latest) > Self::SKEW + self.slack());
        !is_early && !is_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> RecordExpiry {
        RecordExpiry::At(Timestamp::from_unix_seconds(seconds))
    }

    fn after(seconds: u64) -> RecordExpiry {
        RecordExpiry::After(Duration::from_secs(seconds))
    }

    fn window(started: Option<i64>) -> Window {
        Window {
            started: started.map(Timestamp::from_unix_seconds),
            now: Timestamp::from_unix_seconds(1100),
            rounding: Duration::from_secs(1),
            min_ttl: Duration::ZERO,
        }
    }

    #[test]
    fn an_expiry_is_the_same_within_rounding_and_skew_and_no_further() {
        for (one, other, same) in [
            (RecordExpiry::Never, RecordExpiry::Never, Some(true)),
            (RecordExpiry::Never, at(5000), Some(false)),
            (at(5000), at(5002), Some(true)),
            (at(5000), at(5003), Some(false)),
            (at(5000), at(4997), Some(false)),
            (after(500), at(1500), Some(true)),
            (after(500), at(1600), Some(true)),
            (after(500), at(1440), Some(true)),
            (after(500), at(1439), Some(false)),
            (after(500), at(1662), Some(true)),
            (after(500), at(1663), Some(false)),
            (after(500), RecordExpiry::Never, Some(false)),
            (after(500), after(500), Some(true)),
            (after(500), after(501), Some(false)),
            (at(5000), RecordExpiry::Unknown, None),
            (RecordExpiry::NotPositive, RecordExpiry::NotPositive, Some(true)),
            (RecordExpiry::NotPositive, RecordExpiry::Never, Some(false)),
            (RecordExpiry::Unknown, RecordExpiry::Never, None),
        ] {
            assert_eq!(window(Some(1000)).same_expiry(one, other), same, "{one:?} {other:?}");
            assert_eq!(window(Some(1000)).same_expiry(other, one), same, "{other:?} {one:?}");
        }
    }

    #[test]
    fn exp_6_an_expiry_may_have_been_rounded_up_to_the_nearest_that_the_target_takes() {
        let rounded = Window { min_ttl: Duration::from_secs(600), ..window(Some(1000)) };
        for (expected, found, same) in [
            (at(1050), at(1700), true),
            (at(1050), at(1540), true),
            (at(1050), at(1539), false),
            (at(1050), at(1763), false),
            (at(1700), at(1690), false),
            (after(5), at(1650), true),
            (after(5), at(1010), false),
            (at(9000), at(9002), true),
            (at(9000), at(9003), false),
        ] {
            assert_eq!(rounded.same_expiry(expected, found), Some(same), "{expected:?} {found:?}");
        }
        assert_eq!(window(Some(1000)).same_expiry(at(1050), at(1700)), Some(false));
        assert!(rounded.may_have_expired(at(1702)) && !rounded.may_have_expired(at(1703)));
    }

    #[test]
    fn a_ttl_may_have_begun_at_any_time_before_when_that_is_not_known() {
        assert_eq!(window(None).same_expiry(after(500), at(1200)), Some(true));
        assert_eq!(window(None).same_expiry(after(500), at(1663)), Some(false));
        assert!(!window(None).has_expired(after(1)));
        assert!(window(None).has_expired(at(1100)));
        assert!(!window(None).had_expired_before(at(5)));
    }

    #[test]
    fn what_has_expired_is_known_to_the_second() {
        let window = window(Some(1000));
        assert!(window.has_expired(at(1100)) && !window.has_expired(at(1101)));
        assert!(window.has_expired(after(100)) && !window.has_expired(after(101)));
        assert!(window.had_expired_before(at(1000)) && !window.had_expired_before(at(1001)));
        assert!(window.may_have_expired(at(1102)) && !window.may_have_expired(at(1103)));
        assert!(!window.may_have_expired(RecordExpiry::Never));
    }
}
