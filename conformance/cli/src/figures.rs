//! Figures as a person reads them.

use std::time::Duration;

/// `1,234`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `40 ms`, `12 s`, `4 min`, `2 h 5 min`: what an estimate can say.
pub(crate) fn approximate(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match seconds {
        _ if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `4:12`, or `2:03:10` where it is an hour and more.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let millis = [40, 1_000, 11_001, 240_000, 7_500_000].map(Duration::from_millis);
        assert_eq!(millis.map(approximate), ["40 ms", "1 s", "12 s", "4 min", "2 h 5 min"]);
        assert_eq!([252, 7390].map(|seconds| clock(Duration::from_secs(seconds))), ["4:12", "2:03:10"]);
    }
}
