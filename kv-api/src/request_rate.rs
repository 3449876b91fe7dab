//! How many requests a system allows (CAP-5).

use std::time::Duration;

/// So many requests in so much time.
///
/// ```
/// use kv_api::RequestRate;
/// use std::time::Duration;
/// const RATE: RequestRate = RequestRate::new(1200, Duration::from_secs(300));
/// assert_eq!((RATE.requests, RATE.per), (1200, Duration::from_secs(300)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RequestRate {
    /// How many requests, at least 1.
    pub requests: u32,
    /// In how much time; not zero.
    pub per: Duration,
}

impl RequestRate {
    /// At most so many requests in so much time.
    #[must_use]
    pub const fn new(requests: u32, per: Duration) -> Self {
        Self { requests, per }
    }

    /// The one that allows less in the long run; of two that allow the same, the one that allows less at once.
    pub(crate) fn slower(self, other: Self) -> Self {
        let own = u128::from(self.requests) * other.per.as_nanos();
        let others = u128::from(other.requests) * self.per.as_nanos();
        if (own, self.requests) <= (others, other.requests) { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_4_the_slower_of_two_rates_is_the_same_from_both_sides() {
        let rate = |requests, seconds| RequestRate::new(requests, Duration::from_secs(seconds));
        for (slower, faster) in [
            (rate(1200, 300), rate(400, 10)),
            (rate(1, 1), rate(2, 1)),
            (rate(1, 2), rate(1, 1)),
            (rate(4, 1), rate(1200, 300)),
            (rate(u32::MAX - 1, u64::MAX), rate(u32::MAX, u64::MAX)),
        ] {
            assert_eq!(slower.slower(faster), slower, "{slower:?} {faster:?}");
            assert_eq!(faster.slower(slower), slower, "{slower:?} {faster:?}");
            assert_eq!(slower.slower(slower), slower);
        }
    }
}
