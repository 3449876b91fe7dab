//! JSON as a program in JavaScript sees it: every number a double, and its ways of turning one type into another.

use serde_json::{Number, Value};

/// The largest integer that every smaller one has a double of its own: 2^53 - 1.
pub(super) const SAFE_INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// The same JSON, all numbers passed through doubles. A whole number that a double tells from its neighbours is kept as an
/// integer, so that `1.0` and `-0` become `1` and `0`.
pub(super) fn parsed(value: Value) -> Value {
    match value {
        Value::Number(number) => number_of(number.as_f64().unwrap_or(f64::NAN)),
        Value::Array(items) => items.into_iter().map(parsed).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, parsed(value))).collect(),
        other => other,
    }
}

/// A double as JSON; `null` for what JSON has no number for.
pub(super) fn number_of(number: f64) -> Value {
    match whole(number) {
        Some(integer) => Value::from(integer),
        None => Number::from_f64(number).map_or(Value::Null, Value::Number),
    }
}

/// The integer, when it is one and a safe one.
fn whole(number: f64) -> Option<i64> {
    // Without decimals, and below 2^53 in at most 16 digits.
    let integer: i64 = format!("{number:.0}").parse().ok()?;
    (number.fract() == 0.0 && integer.abs() <= SAFE_INTEGER_MAX).then_some(integer)
}

/// `String(value)`.
pub(super) fn to_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let texts: Vec<String> =
                items.iter().map(|item| if item.is_null() { String::new() } else { to_text(item) }).collect();
            texts.join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// `Number(value)`; `NaN` for what is none. Numerals in other bases than ten count as none.
pub(super) fn to_number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => text_to_number(text),
        Value::Array(_) => text_to_number(&to_text(value)),
        Value::Object(_) => f64::NAN,
    }
}

fn text_to_number(text: &str) -> f64 {
    match trimmed(text) {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust reads words too.
        text if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// Whether `if (value)` holds.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// `text.trim()`: without what Unicode calls white space and without byte order marks, but with U+0085.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| (character.is_whitespace() && character != '\u{85}') || character == '\u{feff}')
}

/// How many bytes of UTF-8 `JSON.stringify(value)` has.
pub(super) fn stringified_bytes(value: &Value) -> usize {
    let separators = |count: usize| 2 + count.saturating_sub(1);
    match value {
        Value::Number(number) => number_text(number).len(),
        Value::Array(items) => separators(items.len()) + items.iter().map(stringified_bytes).sum::<usize>(),
        Value::Object(members) => {
            let sizes = members.iter().map(|(name, value)| escaped_bytes(name) + 1 + stringified_bytes(value));
            separators(members.len()) + sizes.sum::<usize>()
        }
        Value::String(text) => escaped_bytes(text),
        Value::Null | Value::Bool(_) => to_text(value).len(),
    }
}

/// The bytes of a text in quotes, with the escapes that both JavaScript and JSON need and no others.
fn escaped_bytes(text: &str) -> usize {
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0x00..=0x1f => 5,
        _ => 0,
    });
    2 + text.len() + escapes.sum::<usize>()
}

/// `String(number)`: the shortest digits that read back as the same double, with an exponent from 1e21 on and below 1e-6.
fn number_text(number: &Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let number = number.as_f64().unwrap_or(f64::NAN);
    let scientific = format!("{:e}", number.abs());
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return number.to_string() };
    let digits = mantissa.replace('.', "");
    // The place of the point, counted from the first digit.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let text = if (count..=21).contains(&point) {
        format!("{digits}{}", zeros(point - count))
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{fraction}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let sign = if point > 0 { '+' } else { '-' };
        format!("{mantissa}e{sign}{}", (point - 1).abs())
    };
    if number < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let check = |number: f64, expected: &str| {
            assert_eq!(number_text(&Number::from_f64(number).unwrap()), expected);
        };
        check(0.1, "0.1");
        check(-1.5, "-1.5");
        check(1e-6, "0.000001");
        check(1.5e-6, "0.0000015");
        check(1e-7, "1e-7");
        check(1.25e-10, "1.25e-10");
        check(5e-324, "5e-324");
        check(123_456.789, "123456.789");
        check(1e20, "100000000000000000000");
        check(1.5e20, "150000000000000000000");
        check(1e21, "1e+21");
        check(-1.25e100, "-1.25e+100");
        check(f64::MAX, "1.7976931348623157e+308");
    }

    #[test]
    fn parsing_passes_numbers_through_doubles() {
        let check = |value: Value, expected: &str| assert_eq!(parsed(value).to_string(), expected);
        check(json!([1.0, -0.0, 0.5, "1.0"]), r#"[1,0,0.5,"1.0"]"#);
        check(json!({"a": SAFE_INTEGER_MAX}), r#"{"a":9007199254740991}"#);
        check(json!(-SAFE_INTEGER_MAX), "-9007199254740991");
        check(json!(9_007_199_254_740_993_i64), "9007199254740992.0");
        check(json!(u64::MAX), "1.8446744073709552e+19");
    }

    #[test]
    fn types_turn_into_texts_numbers_and_truths() {
        let check = |value: Value, text: &str, number: f64, truth: bool| {
            assert_eq!(to_text(&value), text);
            assert!(to_number(&value).total_cmp(&number).is_eq() || to_number(&value) == number, "{value}");
            assert_eq!(is_truthy(&value), truth, "{value}");
        };
        check(json!(null), "null", 0.0, false);
        check(json!(true), "true", 1.0, true);
        check(json!(0), "0", 0.0, false);
        check(json!(1e21), "1e+21", 1e21, true);
        check(json!(""), "", 0.0, false);
        check(json!(" 1.5e3\u{feff}"), " 1.5e3\u{feff}", 1500.0, true);
        check(json!("inf"), "inf", f64::NAN, true);
        check(json!("1\u{85}"), "1\u{85}", f64::NAN, true);
        check(json!([]), "", 0.0, true);
        check(json!([[1, null], "b"]), "1,,b", f64::NAN, true);
        check(json!([7]), "7", 7.0, true);
        check(json!({"a": 1}), "[object Object]", f64::NAN, true);
    }

    #[test]
    fn lengths_are_those_of_compact_json() {
        let values =
            [json!(null), json!({"a\n": [1, "é\u{1}\u{7f}\u{2028}\"\\", true], "": {}}), json!([]), json!([0.5, -7])];
        for value in values {
            assert_eq!(stringified_bytes(&value), value.to_string().len(), "{value}");
        }
        assert_eq!(stringified_bytes(&json!(1e-6)), "0.000001".len());
    }
}
