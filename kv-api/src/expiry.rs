//! Expiry: how a caller's wish becomes the one form that leaves the process (EXP-1 to EXP-6).

use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Feature, Reason, Result};
use crate::profile::{Profile, Support};

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
    /// Both are checked, and the one that ends first is sent, in its own form.
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
    /// The entry gets the minimum, as a relative ttl. A time that is not in the future stays an error.
    RoundUp,
}

/// A caller's wish, and the rules it is to be read by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExpiryWish {
    pub(crate) ttl: Option<Duration>,
    pub(crate) expire_at: Option<Timestamp>,
    pub(crate) precedence: ExpiryPrecedence,
    pub(crate) min_ttl: MinTtl,
}

impl ExpiryWish {
    pub(crate) fn resolve(self, profile: &Profile, clock: &dyn Clock) -> Result<Expiry> {
        match (self.ttl, self.expire_at) {
            (None, None) => Ok(Expiry::Never),
            (Some(ttl), None) => self.resolve_ttl(ttl, profile, clock.now()),
            (None, Some(at)) => self.resolve_expire_at(at, profile, clock.now()),
            (Some(ttl), Some(at)) => match self.precedence {
                ExpiryPrecedence::ExpireAt => self.resolve_expire_at(at, profile, clock.now()),
                ExpiryPrecedence::Ttl => self.resolve_ttl(ttl, profile, clock.now()),
                ExpiryPrecedence::Earliest => {
                    let now = clock.now();
                    let (by_ttl, by_time) =
                        (self.resolve_ttl(ttl, profile, now)?, self.resolve_expire_at(at, profile, now)?);
                    Ok(if by_ttl.deadline(now) < by_time.deadline(now) { by_ttl } else { by_time })
                }
                ExpiryPrecedence::Reject => {
                    Err(Error::invalid(Reason::BothExpiries, "both a ttl and an absolute expiry were given"))
                }
            },
        }
    }

    fn resolve_ttl(self, ttl: Duration, profile: &Profile, now: Timestamp) -> Result<Expiry> {
        if profile.ttl == Support::None {
            return Err(Error::not_declared(Feature::Ttl));
        }
        if ttl.is_zero() {
            return Err(Error::invalid(Reason::TtlZero, "a ttl of zero"));
        }
        let latest = latest(profile);
        let too_late = || too_late(latest);
        let ttl = ceil_to(ttl, profile.expiry_resolution).ok_or_else(too_late)?;
        if now.checked_add(ttl).is_none_or(|deadline| deadline > latest) {
            return Err(too_late());
        }
        if ttl >= profile.expiry_min { Ok(Expiry::After(ttl)) } else { self.too_soon(profile) }
    }

    fn resolve_expire_at(self, at: Timestamp, profile: &Profile, now: Timestamp) -> Result<Expiry> {
        if profile.expire_at == Support::None {
            return Err(Error::not_declared(Feature::ExpireAt));
        }
        if at <= now {
            return Err(Error::invalid(Reason::ExpiryInPast, format!("the expiry {at} is not in the future")));
        }
        let latest = latest(profile);
        let at =
            at.checked_ceil_to(profile.expiry_resolution).filter(|at| *at <= latest).ok_or_else(|| too_late(latest))?;
        if at.saturating_since(now) >= profile.expiry_min { Ok(Expiry::At(at)) } else { self.too_soon(profile) }
    }

    fn too_soon(self, profile: &Profile) -> Result<Expiry> {
        let minimum = profile.expiry_min;
        match self.min_ttl {
            MinTtl::RoundUp => Ok(Expiry::After(minimum)),
            MinTtl::Reject => Err(Error::invalid(
                Reason::ExpiryTooSoon { minimum },
                format!("the expiry must be at least {minimum:?} ahead"),
            )),
        }
    }
}

fn latest(profile: &Profile) -> Timestamp {
    profile.expire_at_max.min(Timestamp::YEAR_9999_END)
}

fn too_late(latest: Timestamp) -> Error {
    Error::invalid(
        Reason::ExpiryTooLate { latest },
        format!("the expiry is after {latest}, the latest this store keeps"),
    )
}

/// The next multiple of `resolution` that is not below `ttl` (EXP-4); `None` when it does not fit.
fn ceil_to(ttl: Duration, resolution: Duration) -> Option<Duration> {
    let step = resolution.as_nanos().max(1);
    let nanos = ttl.as_nanos().div_ceil(step).checked_mul(step)?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}
