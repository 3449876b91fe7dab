//! Expiry: how what a caller asks for becomes the one form that leaves the process (EXP-1 to EXP-6).

use std::str::FromStr;
use std::time::Duration;

use crate::capabilities::{Capabilities, Support};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Feature, Reason, Result};

/// When an entry ends, with precedence, rounding and limits already decided: exactly one meaning is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expiry {
    /// It never expires.
    #[default]
    Never,
    /// It ends this long after the backend stores it: at least one `expiry_resolution`, a multiple of it.
    After(Duration),
    /// It ends at this time: a multiple of `expiry_resolution` since the epoch, in the future when it was resolved.
    At(Timestamp),
}

impl Expiry {
    /// The absolute time for a store that counts by `now`; `None` is "never", and so is only an [`Expiry::Never`].
    #[must_use]
    pub fn deadline(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            // The resolver has refused what does not fit; a clock that jumped since then must still not mean "never".
            Self::After(ttl) => Some(now.checked_add(ttl).unwrap_or(Timestamp::YEAR_9999_END)),
            Self::At(at) => Some(at),
        }
    }
}

/// Which form counts when a request gives both a ttl and an absolute time (EXP-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpiryPrecedence {
    /// The absolute time counts; the ttl is not even checked. The documented rule of Backendless.
    #[default]
    ExpireAt,
    /// The ttl counts; the absolute time is not even checked. The documented rule of Cloudflare KV.
    Ttl,
    /// Both are checked, and the one that ends first by the store's clock is sent, in its own form.
    Earliest,
    /// Giving both is `InvalidArgument`.
    Reject,
}

/// What happens to an expiry nearer than the store's minimum (EXP-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MinTtl {
    /// `InvalidArgument`, which names the minimum.
    #[default]
    Reject,
    /// The entry gets the minimum, as a relative ttl (as an absolute time where the store supports no other form).
    /// A time that is not in the future stays an error.
    RoundUp,
}

impl FromStr for MinTtl {
    type Err = Error;

    /// As the option `min_ttl` of a store URL spells it.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is `reject` or `round_up`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "reject" => Ok(Self::Reject),
            "round_up" => Ok(Self::RoundUp),
            _ => Err(Error::new(ErrorKind::InvalidArgument, "min_ttl is reject or round_up")),
        }
    }
}

/// What a caller asks for, and the rules it is to be read by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExpiryOptions {
    pub(crate) ttl: Option<Duration>,
    pub(crate) expire_at: Option<Timestamp>,
    pub(crate) precedence: ExpiryPrecedence,
    pub(crate) min_ttl: MinTtl,
}

impl ExpiryOptions {
    pub(crate) fn resolve(self, capabilities: &Capabilities, clock: &dyn Clock) -> Result<Expiry> {
        match (self.ttl, self.expire_at) {
            (None, None) => Ok(Expiry::Never),
            (Some(ttl), None) => self.resolve_ttl(ttl, capabilities, clock),
            (None, Some(at)) => self.resolve_expire_at(at, capabilities, clock.now()),
            (Some(ttl), Some(at)) => match self.precedence {
                ExpiryPrecedence::ExpireAt => self.resolve_expire_at(at, capabilities, clock.now()),
                ExpiryPrecedence::Ttl => self.resolve_ttl(ttl, capabilities, clock),
                ExpiryPrecedence::Earliest => {
                    let now = clock.now();
                    let by_ttl = self.resolve_ttl(ttl, capabilities, &StoppedClock(now))?;
                    let by_time = self.resolve_expire_at(at, capabilities, now)?;
                    Ok(if by_ttl.deadline(now) < by_time.deadline(now) { by_ttl } else { by_time })
                }
                ExpiryPrecedence::Reject => {
                    Err(Error::invalid(Reason::BothExpiries, "both a ttl and an absolute expiry were given"))
                }
            },
        }
    }

    /// Mostly without reading the clock, which the backend reads again.
    fn resolve_ttl(self, ttl: Duration, capabilities: &Capabilities, clock: &dyn Clock) -> Result<Expiry> {
        require(Feature::Ttl, capabilities)?;
        if ttl.is_zero() {
            return Err(Error::invalid(Reason::TtlZero, "a ttl of zero"));
        }
        let latest = latest(capabilities);
        let too_late = || too_late(latest);
        let ttl = ceil_to(ttl, capabilities.expiry_resolution).ok_or_else(too_late)?;
        let latest_start = latest.checked_sub(ttl).ok_or_else(too_late)?;
        if !clock.is_far_ahead(latest_start) && clock.now() > latest_start {
            return Err(too_late());
        }
        if ttl >= capabilities.expiry_min { Ok(Expiry::After(ttl)) } else { self.too_soon(capabilities, clock) }
    }

    fn resolve_expire_at(self, at: Timestamp, capabilities: &Capabilities, now: Timestamp) -> Result<Expiry> {
        require(Feature::ExpireAt, capabilities)?;
        if at <= now {
            return Err(Error::invalid(Reason::ExpiryInPast, format!("the expiry {at} is not in the future")));
        }
        let at = kept_time(at, capabilities)?;
        if at.saturating_since(now) >= capabilities.expiry_min {
            Ok(Expiry::At(at))
        } else {
            self.too_soon(capabilities, &StoppedClock(now))
        }
    }

    fn too_soon(self, capabilities: &Capabilities, clock: &dyn Clock) -> Result<Expiry> {
        let minimum = capabilities.expiry_min;
        match self.min_ttl {
            // Resolved as if the caller had asked for it, so that rounding, the latest expiry and what is supported
            // hold for it too. It is not below itself, so neither of the two comes back here.
            MinTtl::RoundUp if capabilities.ttl != Support::None => self.resolve_ttl(minimum, capabilities, clock),
            MinTtl::RoundUp => {
                let now = clock.now();
                let at = now.checked_add(minimum).ok_or_else(|| too_late(latest(capabilities)))?;
                self.resolve_expire_at(at, capabilities, now)
            }
            MinTtl::Reject => Err(Error::invalid(
                Reason::ExpiryTooSoon { minimum },
                format!("the expiry must be at least {minimum:?} ahead"),
            )),
        }
    }
}

/// The clock of a request that has read the time.
#[derive(Debug)]
struct StoppedClock(Timestamp);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// An expiry as it was resolved, and against which limits: so that a wrapper's request is judged anew only where it
/// differs. Judged twice by a clock that runs, an expiry of just the minimum or up to the latest would be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    expiry: Expiry,
    minimum: Duration,
    latest: Timestamp,
}

/// No expiry.
impl Default for Judged {
    fn default() -> Self {
        Self { expiry: Expiry::Never, minimum: Duration::ZERO, latest: Timestamp::YEAR_9999_END }
    }
}

impl Judged {
    pub(crate) fn new(expiry: Expiry, capabilities: &Capabilities) -> Self {
        Self { expiry, minimum: capabilities.expiry_min, latest: latest(capabilities) }
    }

    pub(crate) const fn expiry(self) -> Expiry {
        self.expiry
    }

    /// What `expiry` is for a backend with these capabilities (LAYER-2).
    pub(crate) fn resolve(
        self,
        expiry: Expiry,
        capabilities: &Capabilities,
        clock: &dyn Clock,
    ) -> Result<(Expiry, Self)> {
        let (ttl, expire_at) = match expiry {
            Expiry::Never => (None, None),
            Expiry::After(ttl) => (Some(ttl), None),
            Expiry::At(at) => (None, Some(at)),
        };
        let options = ExpiryOptions { ttl, expire_at, ..ExpiryOptions::default() };
        let holds = expiry == self.expiry && capabilities.expiry_min <= self.minimum;
        let is_kept = |ttl| ceil_to(ttl, capabilities.expiry_resolution) == Some(ttl);
        let resolved = match expiry {
            Expiry::At(at) if holds => {
                require(Feature::ExpireAt, capabilities)?;
                Expiry::At(kept_time(at, capabilities)?)
            }
            Expiry::After(ttl) if holds && self.latest <= latest(capabilities) && is_kept(ttl) => {
                require(Feature::Ttl, capabilities)?;
                expiry
            }
            _ => options.resolve(capabilities, clock)?,
        };
        Ok((resolved, Self::new(resolved, capabilities)))
    }
}

/// A form of expiry needs no opt-in: any support will do.
fn require(form: Feature, capabilities: &Capabilities) -> Result<()> {
    if capabilities.support(form) == Support::None { Err(Error::unsupported(form)) } else { Ok(()) }
}

/// The time as the store keeps it (EXP-4), whenever that is.
fn kept_time(at: Timestamp, capabilities: &Capabilities) -> Result<Timestamp> {
    let latest = latest(capabilities);
    at.checked_ceil_to(capabilities.expiry_resolution).filter(|at| *at <= latest).ok_or_else(|| too_late(latest))
}

fn latest(capabilities: &Capabilities) -> Timestamp {
    capabilities.expire_at_max.min(Timestamp::YEAR_9999_END)
}

fn too_late(latest: Timestamp) -> Error {
    Error::invalid(
        Reason::ExpiryTooLate { latest },
        format!("the expiry is after {latest}, the latest this store keeps"),
    )
}

/// The next multiple of `resolution` that is not below `ttl` (EXP-4); `None` when it does not fit.
fn ceil_to(ttl: Duration, resolution: Duration) -> Option<Duration> {
    let divides_second = |step: u32| step != 0 && 1_000_000_000 % step == 0;
    if ttl.subsec_nanos() == 0 && resolution.as_secs() == 0 && divides_second(resolution.subsec_nanos()) {
        return Some(ttl);
    }
    let step = resolution.as_nanos().max(1);
    // In 64 bits as long as it fits, which is 584 years: a division in 128 is a slow call.
    if let (Ok(nanos), Ok(step)) = (u64::try_from(ttl.as_nanos()), u64::try_from(step)) {
        if let Some(nanos) = nanos.div_ceil(step).checked_mul(step) {
            return Some(Duration::from_nanos(nanos));
        }
    }
    let nanos = ttl.as_nanos().div_ceil(step).checked_mul(step)?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::ExpiryClock;
    use crate::clock::ManualClock;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000_300);

    fn whole_seconds() -> Capabilities {
        Capabilities::new("test").with_ttl(Support::Native).with_expire_at(Support::Native)
    }

    fn resolve(capabilities: &Capabilities, options: ExpiryOptions) -> Result<Expiry> {
        options.resolve(capabilities, &ManualClock::new(NOW))
    }

    fn ttl_millis(millis: u64) -> ExpiryOptions {
        ExpiryOptions { ttl: Some(Duration::from_millis(millis)), ..ExpiryOptions::default() }
    }

    fn at_millis(millis_from_now: i64) -> ExpiryOptions {
        let at = Timestamp::from_unix_millis(NOW.as_unix_millis_floor() + millis_from_now);
        ExpiryOptions { expire_at: Some(at), ..ExpiryOptions::default() }
    }

    #[test]
    fn layer_2_a_ttl_that_was_judged_is_not_judged_by_the_clock_again() {
        let (capabilities, clock) = (whole_seconds(), ManualClock::new(NOW));
        let seconds = Timestamp::YEAR_9999_END.saturating_since(NOW).as_secs();
        let longest = ExpiryOptions { ttl: Some(Duration::from_secs(seconds)), ..ExpiryOptions::default() };
        let expiry = longest.resolve(&capabilities, &clock).unwrap();
        let judged = Judged::new(expiry, &capabilities);
        clock.advance(Duration::from_secs(1));
        assert_eq!(judged.resolve(expiry, &capabilities, &clock).unwrap(), (expiry, judged));
        // What differs is.
        let reason = |error: Error| error.reason().cloned();
        let earlier = whole_seconds().with_expire_at_max(Timestamp::from_unix_seconds(2_000_000));
        let error = judged.resolve(expiry, &earlier, &clock).unwrap_err();
        assert!(matches!(reason(error), Some(Reason::ExpiryTooLate { .. })));
        let longer = Expiry::After(Duration::from_secs(seconds + 1));
        let error = judged.resolve(longer, &capabilities, &clock).unwrap_err();
        assert!(matches!(reason(error), Some(Reason::ExpiryTooLate { .. })));
        let coarse = whole_seconds().with_expiry_resolution(Duration::from_secs(60));
        let second = Expiry::After(Duration::from_secs(1));
        let judged = Judged::new(second, &capabilities);
        assert_eq!(judged.resolve(second, &coarse, &clock).unwrap().0, Expiry::After(Duration::from_secs(60)));
        let error = judged.resolve(second, &Capabilities::new("test"), &clock).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn exp_2_the_precedence_decides_which_form_leaves() {
        let later = Timestamp::from_unix_seconds(1_000_010);
        let both = |precedence| ExpiryOptions {
            ttl: Some(Duration::from_secs(5)),
            expire_at: Some(later),
            precedence,
            ..ExpiryOptions::default()
        };
        let check = |precedence, expected| assert_eq!(resolve(&whole_seconds(), both(precedence)).unwrap(), expected);
        check(ExpiryPrecedence::ExpireAt, Expiry::At(later));
        check(ExpiryPrecedence::Ttl, Expiry::After(Duration::from_secs(5)));
        check(ExpiryPrecedence::Earliest, Expiry::After(Duration::from_secs(5)));
        let longer = ExpiryOptions { ttl: Some(Duration::from_secs(60)), ..both(ExpiryPrecedence::Earliest) };
        assert_eq!(resolve(&whole_seconds(), longer).unwrap(), Expiry::At(later));
        let refused = resolve(&whole_seconds(), both(ExpiryPrecedence::Reject)).unwrap_err();
        assert_eq!(refused.reason(), Some(&Reason::BothExpiries));
    }

    #[test]
    fn exp_2_the_loser_is_not_checked_and_earliest_checks_both() {
        let past = Some(Timestamp::UNIX_EPOCH);
        let ttl = Some(Duration::from_secs(5));
        let with = |ttl, expire_at, precedence| {
            resolve(&whole_seconds(), ExpiryOptions { ttl, expire_at, precedence, ..ExpiryOptions::default() })
        };
        assert!(with(ttl, past, ExpiryPrecedence::Ttl).is_ok());
        assert!(with(Some(Duration::ZERO), Some(Timestamp::YEAR_9999_END), ExpiryPrecedence::ExpireAt).is_ok());
        assert_eq!(with(ttl, past, ExpiryPrecedence::Earliest).unwrap_err().reason(), Some(&Reason::ExpiryInPast));
        assert_eq!(with(ttl, past, ExpiryPrecedence::ExpireAt).unwrap_err().reason(), Some(&Reason::ExpiryInPast));
        // Nor is the losing form needed: only what is sent must be supported.
        let no_ttl = Capabilities::new("test").with_expire_at(Support::Native);
        let options = ExpiryOptions { ttl, expire_at: Some(Timestamp::YEAR_9999_END), ..ExpiryOptions::default() };
        assert!(resolve(&no_ttl, options).is_ok());
    }

    #[test]
    fn exp_4_rounding_is_up() {
        let check = |options, expected| assert_eq!(resolve(&whole_seconds(), options).unwrap(), expected);
        check(ttl_millis(1), Expiry::After(Duration::from_secs(1)));
        check(ttl_millis(1_000), Expiry::After(Duration::from_secs(1)));
        check(ttl_millis(1_001), Expiry::After(Duration::from_secs(2)));
        check(at_millis(700), Expiry::At(Timestamp::from_unix_seconds(1_000_001)));
        check(at_millis(701), Expiry::At(Timestamp::from_unix_seconds(1_000_002)));
        let fine = whole_seconds().with_expiry_resolution(Duration::from_millis(1));
        let options = ExpiryOptions { ttl: Some(Duration::from_nanos(1_000_001)), ..ExpiryOptions::default() };
        assert_eq!(resolve(&fine, options).unwrap(), Expiry::After(Duration::from_millis(2)));
    }

    #[test]
    fn exp_5_zero_past_and_overflow_are_told_apart_and_never_become_never() {
        let check = |options, expected: Reason| {
            let error = resolve(&whole_seconds(), options).unwrap_err();
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&expected)));
        };
        check(ttl_millis(0), Reason::TtlZero);
        check(at_millis(0), Reason::ExpiryInPast);
        check(at_millis(-1), Reason::ExpiryInPast);
        let too_late = Reason::ExpiryTooLate { latest: Timestamp::YEAR_9999_END };
        for ttl in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(253_402_300_799)] {
            check(ExpiryOptions { ttl: Some(ttl), ..ExpiryOptions::default() }, too_late.clone());
        }
        for micros in [i64::MAX, Timestamp::YEAR_9999_END.as_unix_micros() + 1] {
            let expire_at = Some(Timestamp::from_unix_micros(micros));
            check(ExpiryOptions { expire_at, ..ExpiryOptions::default() }, too_late.clone());
        }
        let latest = Timestamp::from_unix_seconds(2_000_000);
        let error = resolve(&whole_seconds().with_expire_at_max(latest), at_millis(1_000_000_000)).unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::ExpiryTooLate { latest }));
    }

    /// The guard is the same whoever decides: only the latest is judged of a ttl, and only by refusing (EXP-5).
    #[test]
    fn exp_5_a_wrong_clock_refuses_and_changes_nothing_that_is_sent() {
        let system = whole_seconds();
        assert_eq!(system.expiry_clock, ExpiryClock::System);
        let at = Timestamp::from_unix_seconds(2_000_000);
        let (ttl, by_time) = (ttl_millis(5_000), ExpiryOptions { expire_at: Some(at), ..ExpiryOptions::default() });
        for wrong in [Timestamp::UNIX_EPOCH, NOW, Timestamp::from_unix_seconds(1_999_999)] {
            let clock = ManualClock::new(wrong);
            assert_eq!(ttl.resolve(&system, &clock).unwrap(), Expiry::After(Duration::from_secs(5)));
            assert_eq!(by_time.resolve(&system, &clock).unwrap(), Expiry::At(at));
        }
        let ahead = ManualClock::new(Timestamp::YEAR_9999_END);
        let latest = Timestamp::YEAR_9999_END;
        assert_eq!(ttl.resolve(&system, &ahead).unwrap_err().reason(), Some(&Reason::ExpiryTooLate { latest }));
        assert_eq!(by_time.resolve(&system, &ahead).unwrap_err().reason(), Some(&Reason::ExpiryInPast));
    }

    #[test]
    fn exp_6_the_minimum_is_compared_after_rounding_for_both_forms() {
        let minimum = Duration::from_secs(60);
        let capabilities = whole_seconds().with_expiry_min(minimum);
        assert_eq!(resolve(&capabilities, ttl_millis(59_500)).unwrap(), Expiry::After(minimum));
        assert!(resolve(&capabilities, at_millis(59_800)).is_ok(), "rounded up it is 60.7 s ahead");
        for too_soon in [ttl_millis(59_000), at_millis(59_000)] {
            let error = resolve(&capabilities, too_soon).unwrap_err();
            assert_eq!(error.reason(), Some(&Reason::ExpiryTooSoon { minimum }));
            let rounded = resolve(&capabilities, ExpiryOptions { min_ttl: MinTtl::RoundUp, ..too_soon });
            assert_eq!(rounded.unwrap(), Expiry::After(minimum));
        }
        let past = ExpiryOptions { min_ttl: MinTtl::RoundUp, ..at_millis(-1) };
        assert_eq!(resolve(&capabilities, past).unwrap_err().reason(), Some(&Reason::ExpiryInPast));
    }

    #[test]
    fn exp_6_a_rounded_up_minimum_obeys_every_other_rule() {
        let round_up = |options| ExpiryOptions { min_ttl: MinTtl::RoundUp, ..options };
        let minimum = Duration::from_millis(1_500);
        let capabilities = whole_seconds().with_expiry_min(minimum);
        assert_eq!(
            resolve(&capabilities, round_up(ttl_millis(1))).unwrap(),
            Expiry::After(Duration::from_secs(2)),
            "EXP-4"
        );
        let latest = Timestamp::from_unix_seconds(1_000_002);
        let error = resolve(&capabilities.clone().with_expire_at_max(latest), round_up(ttl_millis(1))).unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::ExpiryTooLate { latest }), "EXP-5");
        let error = resolve(&capabilities.clone().with_expiry_min(Duration::MAX), round_up(ttl_millis(1))).unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::ExpiryTooLate { latest: Timestamp::YEAR_9999_END }));
        let no_ttl = capabilities.with_ttl(Support::None);
        let at = Expiry::At(Timestamp::from_unix_seconds(1_000_002));
        assert_eq!(resolve(&no_ttl, round_up(at_millis(1))).unwrap(), at, "CHK-1: a ttl is not supported");
    }

    #[test]
    fn cap_1_an_undeclared_form_is_refused() {
        let nothing = Capabilities::new("test");
        let check = |options, feature| {
            let error = resolve(&nothing, options).unwrap_err();
            assert_eq!((error.kind(), error.reason()), (ErrorKind::Unsupported, Some(&Reason::Unsupported(feature))));
        };
        check(ttl_millis(1), Feature::Ttl);
        check(at_millis(1), Feature::ExpireAt);
        assert_eq!(resolve(&nothing, ExpiryOptions::default()).unwrap(), Expiry::Never);
    }

    #[test]
    fn exp_4_any_ttl_becomes_the_next_multiple_of_the_resolution() {
        let durations = [0, 1, 999, 1_000_000, 1_500_000, 1_000_000_000, 1_000_000_001, 60_000_000_000, u64::MAX];
        let durations = durations.map(Duration::from_nanos);
        for ttl in durations.into_iter().chain([Duration::from_secs(600_000_000_000), Duration::MAX]) {
            for resolution in durations {
                let (nanos, step) = (ttl.as_nanos(), resolution.as_nanos().max(1));
                let expected = nanos.div_ceil(step) * step;
                let found = ceil_to(ttl, resolution).map(|ttl| ttl.as_nanos());
                let fits = expected <= Duration::MAX.as_nanos();
                assert_eq!(found, fits.then_some(expected), "{ttl:?} to {resolution:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn exp_4_no_accepted_expiry_is_early_nor_later_than_one_resolution(
            ttl_nanos in 1u64..=u64::MAX,
            resolution_millis in prop_oneof![Just(1u64), Just(10), Just(1000)],
        ) {
            let resolution = Duration::from_millis(resolution_millis);
            let capabilities = whole_seconds().with_expiry_resolution(resolution);
            let ttl = Duration::from_nanos(ttl_nanos);
            let Expiry::After(given) = resolve(&capabilities, ExpiryOptions { ttl: Some(ttl), ..ExpiryOptions::default() }).unwrap()
            else { panic!("a ttl stays a ttl") };
            prop_assert!(given >= ttl && given - ttl < resolution);
        }
    }
}
