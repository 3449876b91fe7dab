//! Expiries, translated once at the border. Given both forms, the ttl counts here and the other one is not even looked
//! at; the library's own rule is the opposite (EXP-2), so only one form goes on.
//!
//! Entries of the dialect end at whole seconds, and a ttl counts from the second that has begun. So the part of the
//! second that is over is taken off the ttl; not off one that is shorter than the vendor takes, since of a second that
//! would leave nearly nothing. It stays a ttl, which the store counts by its own clock (EXP-3), and a
//! moment later than here. What is reported is the second that has begun by then, so that no entry ends before it.

use std::time::Duration;

use kv_api::{EntryExpiry, JsonText, SetItem, Timestamp};

use crate::fault::Fault;

/// The shortest ttl of the vendor, in seconds.
const VENDOR_TTL_MIN: u64 = 60;

/// When an entry shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiration {
    Never,
    After(Duration),
    At(Timestamp),
}

impl Expiration {
    /// Of the two parameters of a single write.
    pub(super) fn of_texts(ttl: Option<&str>, at: Option<&str>, now: Timestamp) -> Result<Self, Fault> {
        match (ttl, at) {
            (Some(ttl), _) => Self::after(ttl, whole_seconds(ttl), now),
            (None, Some(at)) => Self::at(at, whole_seconds(at)),
            (None, None) => Ok(Self::Never),
        }
    }

    /// Of the two members of an item in a bulk write, which are numbers; null is none.
    pub(super) fn of_json(ttl: Option<JsonText<'_>>, at: Option<JsonText<'_>>, now: Timestamp) -> Result<Self, Fault> {
        let number = |json: JsonText<'_>| json.is_number().then(|| whole_seconds(json.as_text())).flatten();
        let given =
            |json: Option<JsonText<'_>>| json.filter(|json| !json.is_null()).map(|json| json.as_text().to_owned());
        match (given(ttl), given(at)) {
            (Some(text), _) => Self::after(&text, ttl.and_then(number), now),
            (None, Some(text)) => Self::at(&text, at.and_then(number)),
            (None, None) => Ok(Self::Never),
        }
    }

    fn after(text: &str, seconds: Option<i64>, now: Timestamp) -> Result<Self, Fault> {
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        let ttl = seconds.map(|seconds| {
            let over = if seconds >= VENDOR_TTL_MIN { since_second(now) } else { Duration::ZERO };
            Duration::from_secs(seconds).saturating_sub(over)
        });
        ttl.map(Self::After).ok_or_else(|| {
            let shown = shortened(text);
            Fault::invalid_expiry(format!("Invalid expiration_ttl of {shown}. Please specify integer greater than 0."))
        })
    }

    fn at(text: &str, seconds: Option<i64>) -> Result<Self, Fault> {
        let seconds = seconds.filter(|seconds| *seconds > 0);
        seconds.map(|seconds| Self::At(Timestamp::from_unix_seconds(seconds))).ok_or_else(|| {
            let shown = shortened(text);
            Fault::invalid_expiry(format!(
                "Invalid expiration of {shown}. Please specify integer greater than the current number of seconds \
                 since the UNIX epoch."
            ))
        })
    }

    pub(super) fn give<'a>(self, item: SetItem<'a>) -> SetItem<'a> {
        match self {
            Self::Never => item,
            Self::After(ttl) => item.ttl(ttl),
            Self::At(at) => item.expire_at(at),
        }
    }
}

/// How much of its second is over, in milliseconds that have begun: stores round a ttl up to those, and must not get
/// into the next second by that.
fn since_second(now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.as_unix_millis_ceil().rem_euclid(1000)).unwrap_or(0))
}

/// A number in any spelling; fractions are cut off, as the vendor does.
pub(super) fn whole_seconds(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // Without an exponent, so that what does not fit is refused.
        number.is_finite().then(|| format!("{:.0}", number.trunc())).and_then(|whole| whole.parse().ok())
    })
}

/// What is quoted may be of any length.
fn shortened(text: &str) -> String {
    kv_api::Escaped(&text.chars().take(32).collect::<String>()).to_string()
}

/// The Unix second in which an entry ends, where it is known that it ends; it ends at its beginning, or a moment later,
/// but for one of a short ttl. A millisecond is what the rounding of a ttl may have cost.
pub(super) fn reported(expiry: EntryExpiry) -> Option<i64> {
    match expiry {
        EntryExpiry::At(at) => Some(at.as_unix_millis_ceil().div_euclid(1000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_161_800);

    #[test]
    fn a_ttl_counts_from_the_second_that_has_begun() {
        for (micros, over) in [(0, 0), (1, 1), (123_000, 123), (123_456, 124), (999_000, 999)] {
            let now = Timestamp::from_unix_micros(NOW.as_unix_micros() + micros);
            let left = Expiration::After(Duration::from_millis(60_000 - over));
            assert_eq!(Expiration::of_texts(Some("60"), None, now), Ok(left), "{micros}");
            // One that the vendor does not take would end nearly at once.
            assert_eq!(Expiration::of_texts(Some("1"), None, now), Ok(after(1)), "{micros}");
            assert_eq!(Expiration::of_texts(Some("59"), None, now), Ok(after(59)), "{micros}");
        }
        // The next one has begun, but for less than stores tell apart.
        let now = Timestamp::from_unix_micros(NOW.as_unix_micros() + 999_001);
        assert_eq!(Expiration::of_texts(Some("60"), None, now), Ok(after(60)));
    }

    fn after(seconds: u64) -> Expiration {
        Expiration::After(Duration::from_secs(seconds))
    }

    fn at(seconds: i64) -> Expiration {
        Expiration::At(Timestamp::from_unix_seconds(seconds))
    }

    #[test]
    fn given_both_the_ttl_counts_and_the_other_is_not_looked_at() {
        for (ttl, absolute, expected) in [
            (None, None, Some(Expiration::Never)),
            (Some("60"), None, Some(after(60))),
            (Some("60.9"), None, Some(after(60))),
            (Some("6e1"), None, Some(after(60))),
            (Some("60"), Some("1"), Some(after(60))),
            (Some("60"), Some("nonsense"), Some(after(60))),
            (None, Some("1795161822"), Some(at(1_795_161_822))),
            (Some("0"), Some("1795161822"), None),
            (Some("-1"), None, None),
            (Some("0.5"), None, None),
            (Some(""), None, None),
            (Some("NaN"), None, None),
            (Some("inf"), None, None),
            (Some("1e30"), None, None),
            (None, Some("0"), None),
            (None, Some("abc"), None),
        ] {
            assert_eq!(Expiration::of_texts(ttl, absolute, NOW).ok(), expected, "{ttl:?} {absolute:?}");
        }
    }

    #[test]
    fn items_of_a_bulk_write_have_numbers() {
        let json = |text| JsonText::parse_foreign(text).unwrap();
        for (ttl, absolute, expected) in [
            (Some("60"), None, Some(after(60))),
            (Some("60.5"), Some("\"x\""), Some(after(60))),
            (Some("null"), Some("1795161822"), Some(at(1_795_161_822))),
            (Some("null"), Some("null"), Some(Expiration::Never)),
            (Some("\"60\""), None, None),
            (Some("[60]"), None, None),
            (None, Some("\"1795161822\""), None),
            (None, Some("-5"), None),
        ] {
            let read = Expiration::of_json(ttl.map(json), absolute.map(json), NOW);
            assert_eq!(read.ok(), expected, "{ttl:?} {absolute:?}");
        }
    }

    #[test]
    fn no_entry_ends_before_the_second_that_is_reported() {
        for (micros, second) in [(0, 5), (1, 5), (3_000, 5), (999_000, 5), (999_001, 6)] {
            let at = EntryExpiry::At(Timestamp::from_unix_micros(5_000_000 + micros));
            assert_eq!(reported(at), Some(second), "{micros}");
        }
        assert_eq!((reported(EntryExpiry::Never), reported(EntryExpiry::Unknown)), (None, None));
    }

    #[test]
    fn what_is_quoted_is_short() {
        let fault = Expiration::of_texts(Some(&"\u{1b}".repeat(1000)), None, NOW).unwrap_err();
        assert!(fault.message.len() < 400 && !fault.message.contains('\u{1b}'));
    }
}
