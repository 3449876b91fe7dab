//! Values of options that have a form of their own.

use std::num::NonZeroUsize;
use std::time::Duration;

use kv_migrate::Rate;

/// `90s`, `30m`, `2h`, `1d`, or seconds alone.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("expected a number and s, m, h or d, such as 90s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a whole number, such as in 90s".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "is too long".to_owned())
}

/// `1000/300`: requests, and seconds.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let expected = || "expected requests and seconds, such as 1000/300".to_owned();
    let (requests, seconds) = text.split_once('/').ok_or_else(expected)?;
    let requests: NonZeroUsize = requests.parse().map_err(|_| expected())?;
    let per = duration(seconds).ok().filter(|per| !per.is_zero()).ok_or_else(expected)?;
    Ok(Rate { requests, per })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1.5h", "-1", "1w", "30 m", "1m30s", "99999999999999999999", "300000000000000d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_requests_in_a_time() {
        let expected = Rate { requests: NonZeroUsize::new(1000).unwrap(), per: Duration::from_secs(300) };
        assert_eq!((rate("1000/300"), rate("1000/5m")), (Ok(expected), Ok(expected)));
        for text in ["1000", "0/1", "1/0", "/", "1/", "1/2/3", "a/b"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
