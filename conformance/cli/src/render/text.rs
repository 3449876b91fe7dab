//! Text of a report in front of a person or a parser.

use kv_api::Escaped;

/// What a report says, with its line ends, and with everything escaped that moves a cursor, turns a line around, or is
/// no character of an XML document. A failure's text holds what a system answered.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
        }
        for character in Escaped(line.strip_suffix('\r').unwrap_or(line)).to_string().chars() {
            match character {
                '\u{fffe}' | '\u{ffff}' => shown.extend(character.escape_unicode()),
                character => shown.push(character),
            }
        }
    }
    shown
}

/// The same on one line.
pub(crate) fn line(text: &str) -> String {
    shown(text).replace('\n', " ")
}

/// A time as a person reads it.
pub(crate) fn time(micros: u64) -> String {
    // What is shown has three digits at most.
    #[allow(clippy::cast_precision_loss, reason = "far fewer digits are shown than a double has")]
    let seconds = micros as f64 / 1e6;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..10_000_000 => format!("{seconds:.2} s"),
        10_000_000..120_000_000 => format!("{seconds:.1} s"),
        _ => format!("{} min {:02} s", micros / 60_000_000, micros / 1_000_000 % 60),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a system might answer to do harm: to a terminal, a page, a document.
    pub(crate) const HOSTILE: &str = "<script>alert(1)</script> & \"quoted\" 'single' ]]> \u{1b}[2J\0\u{7}\u{202e}txt\
        \u{fffe}\u{ffff}\r\n| a | `b` ``c`` --> <!-- d\n# no heading\n[x](javascript:alert(2)) </td></table>\u{85}\u{9f}";

    #[test]
    fn err_2_nothing_that_does_harm_is_left() {
        let text = shown(HOSTILE);
        assert!(
            text.contains("<script>") && text.contains("\\u{1b}[2J\\u{0}\\u{7}\\u{202e}txt\\u{fffe}\\u{ffff}\n| a |")
        );
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
        assert_eq!(line("a\r\nb"), "a b");
    }

    #[test]
    fn a_time_has_few_digits() {
        let found = [0, 999, 1_000, 999_499, 1_234_567, 12_345_678, 125_000_000].map(time);
        assert_eq!(found, ["0 µs", "999 µs", "1 ms", "999 ms", "1.23 s", "12.3 s", "2 min 05 s"]);
    }
}
