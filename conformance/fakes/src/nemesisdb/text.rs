//! JSON as the system reads and writes it.

use crate::json::{Dialect, Map, Number, Value, parse_nested, write};

/// How many levels of arrays and objects are read on the thread that asks; deeper ones need a stack of their own.
const LEVELS_ON_ANY_STACK: usize = 100;

/// Stack for one level of reading and writing, with room to spare in a build without optimization.
const STACK_BYTES_PER_LEVEL: usize = 8 * 1024;

/// Beyond it a message is answered as invalid. The system has been seen to take 5,000 levels; its limit is not known.
const LEVELS_MAX: usize = 10_000;

/// Reads one message and hands it to `work`; `None` when it is not JSON, a number beyond all doubles included. Of a
/// member that is repeated the last one counts.
pub(super) fn with_parsed<T: Send>(text: &str, work: impl FnOnce(Value) -> T + Send) -> Option<T> {
    let levels = levels(text);
    if levels <= LEVELS_ON_ANY_STACK {
        return read(text).map(work);
    }
    if levels > LEVELS_MAX {
        return None;
    }
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new().stack_size((levels + LEVELS_ON_ANY_STACK) * STACK_BYTES_PER_LEVEL);
        deep.spawn_scoped(scope, || read(text).map(work)).ok()?.join().ok()?
    })
}

fn read(text: &str) -> Option<Value> {
    parse_nested(text, Dialect::Exact, LEVELS_MAX).ok()
}

/// How deep brackets are nested, those inside strings aside.
fn levels(text: &str) -> usize {
    let (mut open, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                open += 1;
                most = most.max(open);
            }
            b']' | b'}' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// The compact text of a value: members sorted by their bytes, UTF-8 with only the escapes that JSON needs.
pub(super) fn text(value: Value) -> String {
    write(&sorted(value), &number_text)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            sorted_members(members).into_iter().map(|(name, member)| (name, sorted(member))).collect()
        }
        other => other,
    }
}

/// Members by the bytes of their names, the order in which the system goes through them.
pub(super) fn sorted_members(members: Map) -> Vec<(String, Value)> {
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    members
}

/// Integers as they are. A double has the fewest digits that give it back, always a point or an exponent, and an
/// exponent of at least two digits with its sign.
fn number_text(number: Number) -> String {
    let Number::Double(double) = number else { return number.to_string() };
    if double == 0.0 {
        return if double.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    // Where the point stands, counted from the first digit.
    let point: i32 = exponent.parse().unwrap_or(0) + 1;
    let sign = if double < 0.0 { "-" } else { "" };
    match usize::try_from(point) {
        Ok(whole @ 1..=15) if digits.len() <= whole => format!("{sign}{digits:0<whole$}.0"),
        Ok(whole @ 1..=15) => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
        _ if (-3..=0).contains(&point) => format!("{sign}0.{}{digits}", &"000"[..usize::try_from(-point).unwrap_or(0)]),
        _ => {
            let exponent = point - 1;
            let exponent_sign = if exponent < 0 { '-' } else { '+' };
            let rest = &digits[1..];
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{}{dot}{rest}e{exponent_sign}{:02}", &digits[..1], exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(json: &str) -> Option<String> {
        with_parsed(json, text)
    }

    #[test]
    fn numbers_look_as_the_system_writes_them() {
        for (sent, back) in [
            ("1.0", "1.0"),
            ("1e3", "1000.0"),
            ("1e-7", "1e-07"),
            ("1e300", "1e+300"),
            ("-0.0", "-0.0"),
            ("0.1", "0.1"),
            ("-12.5", "-12.5"),
            ("0.0001", "0.0001"),
            ("0.00012", "0.00012"),
            ("0.00001", "1e-05"),
            ("123456789012345.0", "123456789012345.0"),
            ("1e14", "100000000000000.0"),
            ("1e15", "1e+15"),
            ("1234567890123456.0", "1.234567890123456e+15"),
            ("-2.5e-100", "-2.5e-100"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "-9.223372036854776e+18"),
        ] {
            assert_eq!(again(sent).as_deref(), Some(back), "{sent}");
        }
        assert_eq!(again("1e400"), None);
    }

    #[test]
    fn members_are_sorted_by_bytes_and_the_last_of_a_name_counts() {
        assert_eq!(again(r#" {"é":1,"b":[ ],"Z":{},"b":[null,true]} "#).unwrap(), r#"{"Z":{},"b":[null,true],"é":1}"#);
        assert_eq!(again(r#""\u00e9\/\u0000\n\ud83d\ude00\"""#).unwrap(), "\"é/\\u0000\\n😀\\\"\"");
    }

    #[test]
    fn depth_is_no_matter_up_to_a_limit() {
        for levels in [1, 127, 128, 5_000, LEVELS_MAX] {
            let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            assert_eq!(again(&deep).as_ref(), Some(&deep));
            let deep = format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
            assert_eq!(again(&deep).as_ref(), Some(&deep));
        }
        let too_deep = LEVELS_MAX + 1;
        assert_eq!(again(&format!("{}{}", "[".repeat(too_deep), "]".repeat(too_deep))), None);
        assert_eq!(levels(r#"["[[\"[",{"a":[]}]"#), 3);
        assert_eq!(again("[[[[[["), None);
    }

    proptest::proptest! {
        #[test]
        fn every_double_comes_back(bits: u64) {
            let double = f64::from_bits(bits);
            if let Some(number) = Number::from_f64(double) {
                let text = number_text(number);
                proptest::prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
                proptest::prop_assert!(text.contains(['.', 'e']));
            }
        }
    }
}
