//! What keys, metadata and expiries may be.

use kv_api::Timestamp;

use super::refusal::Refusal;
use crate::javascript::stringify;
use crate::json::{Number, Value};

/// Bytes of UTF-8 a key may have.
pub(super) const KEY_BYTES_MAX: usize = 512;
/// Bytes a value may have: 25 MiB.
pub(super) const VALUE_BYTES_MAX: usize = 26_214_400;
/// Bytes that metadata may have as compact JSON. Assumed: production may count the text as it was sent.
pub(super) const METADATA_BYTES_MAX: usize = 1024;
/// The shortest time an entry may live, in seconds, for both forms of expiry.
pub(super) const EXPIRY_SECONDS_MIN: i64 = 60;

/// A key that may stand on its own, whatever its length.
pub(super) fn is_legal_name(key: &str) -> bool {
    !matches!(key, "" | "." | "..")
}

/// A key of a request for one entry.
pub(super) fn check_key(key: &str) -> Result<(), Refusal> {
    if !is_legal_name(key) {
        return Err(illegal_name(key, Refusal::bad_request));
    }
    check_key_length(key)
}

/// The length that a key, or the prefix of a listing, may have.
pub(super) fn check_key_length(key: &str) -> Result<(), Refusal> {
    if key.len() > KEY_BYTES_MAX { Err(Refusal::key_too_long(key.len(), KEY_BYTES_MAX)) } else { Ok(()) }
}

/// The refusal of a key that may not stand on its own, of the kind that the request calls for.
pub(super) fn illegal_name(key: &str, refusal: impl Fn(String) -> Refusal) -> Refusal {
    if key.is_empty() {
        refusal("Key names must not be empty".to_owned())
    } else {
        refusal(format!("Illegal key name \"{key}\". Please use a different name."))
    }
}

pub(super) fn check_value(value: &[u8]) -> Result<(), Refusal> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Refusal::too_long("Value", value.len(), VALUE_BYTES_MAX));
    }
    Ok(())
}

pub(super) fn check_metadata(metadata: &Value) -> Result<(), Refusal> {
    let bytes = stringify(metadata).len();
    if bytes > METADATA_BYTES_MAX {
        return Err(Refusal::too_long("Metadata", bytes, METADATA_BYTES_MAX));
    }
    Ok(())
}

/// A number as it was written in a query or in JSON, of which the whole part counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seconds {
    written: String,
    whole: Option<i64>,
}

impl Seconds {
    /// Text of a query. What is no number is kept and refused only if it comes to matter.
    pub(super) fn from_query(written: String) -> Self {
        let is_number = written.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+'));
        let whole = written.parse().ok().filter(|_| is_number).and_then(whole_part);
        Self { written, whole }
    }

    pub(super) fn from_json(number: Number) -> Self {
        Self { written: number.to_string(), whole: number.as_i64().or_else(|| whole_part(number.as_f64())) }
    }
}

/// `None` when there is no such 64-bit number.
fn whole_part(number: f64) -> Option<i64> {
    number.trunc().to_string().parse().ok()
}

/// The second at which an entry written now expires. A ttl wins over an absolute time, which is then not even looked
/// at.
///
/// Assumed, as the local implementation does: "now" is the second that has begun, so that an entry may live up to a
/// second less than its ttl. `at` is the place of the item in its request.
pub(super) fn expiration(
    at: usize,
    ttl: Option<&Seconds>,
    absolute: Option<&Seconds>,
    now: Timestamp,
) -> Result<Option<i64>, Refusal> {
    let now = now.as_unix_micros().div_euclid(1_000_000);
    let (name, written, whole, from) = match (ttl, absolute) {
        (Some(ttl), _) => ("expiration_ttl", &ttl.written, ttl.whole, 0),
        (None, Some(absolute)) => ("expiration", &absolute.written, absolute.whole, now),
        (None, None) => return Ok(None),
    };
    let invalid = format!("Invalid {name} of {written}.");
    let Some(whole) = whole else { return Err(Refusal::expiry(invalid)) };
    let too_soon = whole < from.saturating_add(EXPIRY_SECONDS_MIN);
    if ttl.is_some() {
        if too_soon {
            let reason = if whole <= 0 {
                "Please specify integer greater than 0.".to_owned()
            } else {
                format!("Expiration TTL must be at least {EXPIRY_SECONDS_MIN}.")
            };
            return Err(Refusal::short_ttl(format!("{invalid} {reason}"), at, EXPIRY_SECONDS_MIN));
        }
        return Ok(Some(now.saturating_add(whole)));
    }
    if too_soon {
        let reason = if whole <= from {
            "Please specify integer greater than the current number of seconds since the UNIX epoch.".to_owned()
        } else {
            format!("Expiration times must be at least {EXPIRY_SECONDS_MIN} seconds in the future.")
        };
        return Err(Refusal::expiry(format!("{invalid} {reason}")));
    }
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Dialect, parse};

    #[test]
    fn ttl_wins_and_both_forms_have_the_same_floor() {
        let now = Timestamp::from_unix_millis(1_000_900);
        let seconds = |written: &str| Seconds::from_query(written.to_owned());
        let check = |ttl: Option<&str>, absolute: Option<&str>, expected: Option<Option<i64>>| {
            let found = expiration(0, ttl.map(seconds).as_ref(), absolute.map(seconds).as_ref(), now);
            assert_eq!(found.ok(), expected, "{ttl:?} {absolute:?}");
        };
        check(None, None, Some(None));
        check(Some("60"), None, Some(Some(1060)));
        check(Some("60.9"), None, Some(Some(1060)));
        check(Some("59.9"), None, None);
        check(Some("0"), None, None);
        check(Some("-60"), None, None);
        check(None, Some("1060"), Some(Some(1060)));
        check(None, Some("1060.5"), Some(Some(1060)));
        check(None, Some("1059"), None);
        check(None, Some("1"), None);
        for nonsense in ["", "abc", "NaN", "inf", "1e999", "6e1", "--60", "99999999999999999999"] {
            check(Some(nonsense), None, None);
            check(None, Some(nonsense), None);
            check(Some("60"), Some(nonsense), Some(Some(1060)));
        }
        check(Some("59"), Some("2000"), None);
        check(Some("9223372036854770000"), None, Some(Some(9_223_372_036_854_771_000)));
    }

    #[test]
    fn numbers_of_json_count_by_their_whole_part() {
        let seconds = |text: &str| match parse(text, Dialect::JavaScript) {
            Ok(Value::Number(number)) => Seconds::from_json(number).whole,
            other => panic!("{other:?}"),
        };
        assert_eq!(seconds("60.5"), Some(60));
        assert_eq!(seconds("-0.5"), Some(0));
        assert_eq!(seconds("1e3"), Some(1000));
        assert_eq!(seconds("18446744073709551615"), None);
        assert_eq!(seconds("1e300"), None);
    }
}
