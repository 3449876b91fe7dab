//! How many calls a user may make: per method in a time, per method at once, and of everything together.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kv_api::Timestamp;

use super::grant::Tier;
use super::method::Method;
use super::refusal::Refusal;

/// All calls of a user together.
const ALL_METHODS: Limit = Limit { calls: 8000, window: Duration::from_secs(60) };

/// So many calls in any stretch of time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    calls: usize,
    window: Duration,
}

fn limit(tier: Tier, method: Method) -> Limit {
    let (calls, seconds) = match (method, tier) {
        (Method::List, Tier::Paid) => (240, 60),
        (Method::List, Tier::Free) => (120, 60),
        (Method::List, Tier::Temporary) => (60, 60),
        (_, Tier::Paid | Tier::Free) => (400, 10),
        (_, Tier::Temporary) => (200, 10),
    };
    Limit { calls, window: Duration::from_secs(seconds) }
}

fn at_once_max(tier: Tier, method: Method) -> usize {
    match (method, tier) {
        (Method::List, Tier::Paid) => 5,
        (Method::List, Tier::Free) => 3,
        (Method::List, Tier::Temporary) => 2,
        (_, Tier::Paid) => 30,
        (_, Tier::Free) => 15,
        (_, Tier::Temporary) => 8,
    }
}

/// The calls of each user that still count. Refused calls do not: no source says whether they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    calls: BTreeMap<String, Vec<(Method, VecDeque<Timestamp>)>>,
}

impl Rates {
    /// Counts a call, unless it is one too many.
    pub(super) fn take(
        &mut self,
        user: &str,
        tier: Tier,
        method: Method,
        busy: Duration,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let methods = self.calls.entry(user.to_owned()).or_default();
        for (_, calls) in &mut *methods {
            // No limit looks back further than this one.
            while calls.front().is_some_and(|call| now.saturating_since(*call) >= ALL_METHODS.window) {
                calls.pop_front();
            }
        }
        let place = methods.iter().position(|(own, _)| *own == method).unwrap_or_else(|| {
            methods.push((method, VecDeque::new()));
            methods.len() - 1
        });
        let all: usize = methods.iter().map(|(_, calls)| calls.len()).sum();
        let calls = &mut methods[place].1;
        let within =
            |window: Duration| calls.iter().rev().take_while(|call| now.saturating_since(**call) < window).count();
        let limit = limit(tier, method);
        if within(limit.window) >= limit.calls || all >= ALL_METHODS.calls {
            return Err(Refusal::too_many_requests());
        }
        if within(busy) >= at_once_max(tier, method) {
            return Err(Refusal::too_many_at_once());
        }
        calls.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000 + millis)
    }

    #[test]
    fn the_window_slides() {
        let mut rates = Rates::default();
        let mut take = |method, millis| rates.take("u", Tier::Temporary, method, Duration::ZERO, at(millis)).is_ok();
        assert!((0..200).all(|call| take(Method::Get, call * 10)));
        assert!(!take(Method::Get, 9_999));
        // Each method has its own.
        assert!(take(Method::Set, 9_999));
        // The first two have left it.
        assert!(take(Method::Get, 10_010) && take(Method::Get, 10_010) && !take(Method::Get, 10_010));
        assert!((0..60).all(|_| take(Method::List, 0)));
        assert!(!take(Method::List, 59_999) && take(Method::List, 60_000));
    }

    #[test]
    fn users_and_everything_together_are_counted_apart() {
        let mut rates = Rates::default();
        let methods = [Method::Get, Method::Set, Method::Del];
        let mut taken = 0;
        for second in 0..60 {
            for method in methods {
                let calls =
                    (0..100).filter(|_| rates.take("u", Tier::Paid, method, Duration::ZERO, at(second * 1000)).is_ok());
                taken += calls.count();
            }
        }
        // Three times forty a second, so the sum is never reached by these methods alone.
        assert_eq!(taken, 7_200);
        let more =
            |rates: &mut Rates, user: &str, method| rates.take(user, Tier::Paid, method, Duration::ZERO, at(59_000));
        assert!((0..400).all(|_| more(&mut rates, "u", Method::Incr).is_ok()));
        assert!((0..400).all(|_| more(&mut rates, "u", Method::Decr).is_ok()));
        assert_eq!(more(&mut rates, "u", Method::Add), Err(Refusal::too_many_requests()));
        assert!(more(&mut rates, "v", Method::Add).is_ok());
    }

    #[test]
    fn calls_in_flight_are_bounded() {
        let mut rates = Rates::default();
        let mut take = |method, millis| {
            rates.take("u", Tier::Temporary, method, Duration::from_millis(50), at(millis)).map_err(|own| own.message)
        };
        assert!((0..8).all(|_| take(Method::Set, 0).is_ok()));
        assert_eq!(take(Method::Set, 49), Err("Too many concurrent requests.".to_owned()));
        assert!(take(Method::List, 49).is_ok() && take(Method::List, 49).is_ok() && take(Method::List, 49).is_err());
        assert!(take(Method::Set, 50).is_ok());
    }
}
