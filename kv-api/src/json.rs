//! JSON as the contract means it: what is accepted, and when two are equal (VAL-3).

use serde::Serialize;
use serde_json::{Number, Value};

use crate::error::{Error, Reason, Result};

/// Arrays and objects nested deeper are refused everywhere (VAL-3). serde_json itself reads 127 levels; the rest is room
/// for the envelope.
pub const NESTING_MAX: usize = 100;

/// Whether two JSON values mean the same (VAL-3): numbers by their mathematical value, objects without the order of
/// their members, arrays with it.
///
/// ```
/// use kv_api::json_equal;
/// use serde_json::json;
/// assert!(json_equal(&json!({"a": 1, "b": 2.0}), &json!({"b": 2, "a": 1.0})));
/// assert!(!json_equal(&json!(9007199254740993_u64), &json!(9007199254740992.0))); // 2^53 + 1 is not 2^53
/// ```
#[must_use]
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers_equal(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        _ => left == right,
    }
}

fn numbers_equal(left: &Number, right: &Number) -> bool {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left == right,
        (None, None) => left.as_f64() == right.as_f64(),
        (Some(integer), None) => right.as_f64().is_some_and(|float| float_is_integer(float, integer)),
        (None, Some(integer)) => left.as_f64().is_some_and(|float| float_is_integer(float, integer)),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Exact: a 64-bit integer is compared as an integer, never rounded to a double first.
fn float_is_integer(float: f64, integer: i128) -> bool {
    // 2^64 and beyond is no 64-bit integer; below that the conversion of a whole double to i128 is exact.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if float.fract() != 0.0 || !(-BEYOND..BEYOND).contains(&float) {
        return false;
    }
    #[allow(clippy::cast_possible_truncation, reason = "whole and within range, by the line above")]
    let whole = float as i128;
    whole == integer
}

/// Whether a system in JavaScript that parses `json` and writes it again gives back the same (VAL-3): no number lies beyond
/// ±(2^53-1), where doubles skip integers and large ones are spelled with other digits, and no member is named `__proto__`,
/// which such a system may drop or refuse.
///
/// ```
/// use kv_api::json_survives_javascript;
/// use serde_json::json;
/// assert!(json_survives_javascript(&json!({"n": 9_007_199_254_740_991_i64, "x": [0.1, null]})));
/// assert!(!json_survives_javascript(&json!([{"n": 9_007_199_254_740_992_i64}])));
/// assert!(!json_survives_javascript(&json!(-1e16)));
/// assert!(!json_survives_javascript(&json!({"a": {"__proto__": 1}})));
/// ```
#[must_use]
pub fn survives_javascript(json: &Value) -> bool {
    // Exact as a double, and so is every whole double below it.
    const GREATEST: f64 = 9_007_199_254_740_991.0;
    match json {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        // An integer that rounds to a double within the bounds is within them.
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= GREATEST),
        Value::Array(items) => items.iter().all(survives_javascript),
        Value::Object(members) => {
            members.iter().all(|(name, member)| name != "__proto__" && survives_javascript(member))
        }
    }
}

/// Parses text, refusing what would not survive: deep nesting, and integers that no 64-bit type holds.
pub(crate) fn parse(text: &str) -> Result<Value> {
    // Our limit is checked before serde_json's own, so that 128 levels and 101 give the same error.
    check_nesting_of_text(text)?;
    let value = serde_json::from_str(text).map_err(|error| {
        Error::invalid(Reason::InvalidJson, format!("not JSON at line {}, column {}", error.line(), error.column()))
    })?;
    if has_oversized_integer(text) {
        return Err(Error::invalid(
            Reason::InvalidJson,
            "an integer outside -2^63 to 2^64-1 would lose digits; store it as text",
        ));
    }
    Ok(value)
}

/// What `value` serialises to.
pub(crate) fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|_| Error::invalid(Reason::InvalidJson, "the value cannot be represented as JSON"))
}

/// Refuses nesting above [`NESTING_MAX`], in the compact text of a value that is JSON or claims to be.
pub(crate) fn check_nesting_of_text(text: &str) -> Result<()> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(Error::invalid(
                        Reason::NestingTooDeep,
                        format!("JSON is nested deeper than {NESTING_MAX} levels"),
                    ));
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Whether valid JSON text holds an integer literal beyond 64 bits, which serde_json would read as the nearest double.
fn has_oversized_integer(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let start = at;
                while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    at += 1;
                }
                let literal = &text[start..at];
                let is_integer = !literal.contains(['.', 'e', 'E']);
                if is_integer && literal.parse::<i64>().is_err() && literal.parse::<u64>().is_err() {
                    return true;
                }
            }
            _ => at += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn val_3_numbers_are_compared_by_value() {
        for (left, right, same) in [
            (json!(1), json!(1.0), true),
            (json!(0), json!(-0.0), true),
            (json!(i64::MIN), json!(-9_223_372_036_854_775_808.0), true),
            (json!(u64::MAX), json!(18_446_744_073_709_551_616.0), false),
            (json!(1), json!(1.5), false),
            (json!(1), json!("1"), false),
            (json!([1, 2]), json!([2, 1]), false),
            (json!({"a": null}), json!({}), false),
        ] {
            assert_eq!(equal(&left, &right), same, "{left} {right}");
            assert_eq!(equal(&right, &left), same, "{right} {left}");
        }
    }

    #[test]
    fn val_3_what_javascript_would_damage_is_known() {
        const GREATEST: i64 = (1 << 53) - 1;
        for survives in [json!(GREATEST), json!(-GREATEST), json!(9_007_199_254_740_991.0), json!(f64::MIN_POSITIVE)] {
            assert!(survives_javascript(&survives), "{survives}");
            assert!(survives_javascript(&json!({"a": [survives, null, true, "__proto__"]})), "{survives}");
        }
        for damaged in [
            json!(GREATEST + 1),
            json!(-GREATEST - 1),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(9_007_199_254_740_992.0),
            json!(f64::MIN),
            json!({"__proto__": null}),
        ] {
            assert!(!survives_javascript(&damaged), "{damaged}");
            assert!(!survives_javascript(&json!([{"a": damaged}])), "{damaged}");
        }
    }

    #[test]
    fn val_3_nesting_is_allowed_to_100_and_no_deeper() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(&nested(100)).is_ok());
        for levels in [101, 127, 128, 100_000] {
            assert_eq!(parse(&nested(levels)).unwrap_err().reason(), Some(&Reason::NestingTooDeep), "{levels}");
        }
        assert!(parse(&format!("\"{}\"", "[".repeat(200))).is_ok(), "brackets in a string are text");
        assert!(parse("\"\\\"[\"").is_ok());
    }

    #[test]
    fn val_3_an_integer_that_would_lose_digits_is_refused() {
        for refused in
            ["18446744073709551616", "-9223372036854775809", "[{\"a\":123456789012345678901234567890}]", "1e400"]
        {
            assert_eq!(parse(refused).unwrap_err().reason(), Some(&Reason::InvalidJson), "{refused}");
        }
        for accepted in [
            "18446744073709551615",
            "-9223372036854775808",
            "1e20",
            "\"18446744073709551616\"",
            "[\"\\\"99999999999999999999\"]",
        ] {
            assert!(parse(accepted).is_ok(), "{accepted}");
        }
    }

    proptest! {
        #[test]
        fn val_3_every_finite_double_survives(bits: u64) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let text = json!(float).to_string();
            prop_assert_eq!(parse(&text).unwrap().as_f64().unwrap().to_bits(), bits);
        }
    }
}
