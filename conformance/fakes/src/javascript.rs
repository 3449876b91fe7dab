//! JSON as a program in JavaScript sees it: every number a double, and its ways of turning one type into another.

use crate::json::{Map, Number, Value, write};

/// The largest integer that every smaller one has a double of its own: 2^53 - 1.
pub(crate) const SAFE_INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// The order in which an object has its members: first those whose names are indexes, by number, then as they were
/// added.
pub(crate) fn ordered(members: Map) -> Map {
    // Nearly all objects have no such name.
    if !members.keys().any(|name| index(name).is_some()) {
        return members;
    }
    let (mut indexes, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| index(name).is_some());
    indexes.sort_by_key(|(name, _)| index(name));
    indexes.into_iter().chain(others).collect()
}

/// The index that a name of a member is, if it is one: below 2^32 - 1, in its shortest form.
fn index(name: &str) -> Option<u32> {
    name.parse().ok().filter(|index: &u32| *index < u32::MAX && index.to_string() == name)
}

/// `JSON.stringify(value)`, of what was read in [this dialect](crate::json::Dialect::JavaScript).
pub(crate) fn stringify(value: &Value) -> String {
    write(value, &|number| if number.as_f64().is_finite() { number_text(number) } else { "null".to_owned() })
}

/// A number as `JSON.parse` reads it.
pub(crate) fn read_number(number: f64) -> Value {
    whole(number).map_or(Value::Number(Number::Double(number)), Value::from)
}

/// A double as JSON; `null` for what JSON has no number for.
pub(crate) fn number_of(number: f64) -> Value {
    match whole(number) {
        Some(integer) => Value::from(integer),
        None => Value::from(number),
    }
}

/// The integer, when it is one and a safe one.
fn whole(number: f64) -> Option<i64> {
    // Without decimals, and below 2^53 in at most 16 digits.
    let integer: i64 = format!("{number:.0}").parse().ok()?;
    (number.fract() == 0.0 && integer.abs() <= SAFE_INTEGER_MAX).then_some(integer)
}

/// `String(value)`.
pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number_text(*number),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let texts: Vec<String> =
                items.iter().map(|item| if item.is_null() { String::new() } else { to_text(item) }).collect();
            texts.join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// `Number(value)`; `NaN` for what is no number. Numerals in other bases than ten do not count as numbers.
pub(crate) fn to_number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Number(number) => number.as_f64(),
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
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != 0.0,
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// `text.trim()`: without what Unicode calls white space and without byte order marks, but with U+0085.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| (character.is_whitespace() && character != '\u{85}') || character == '\u{feff}')
}

/// `String(number)`: the shortest digits that read back as the same double, with an exponent from 1e21 on and below
/// 1e-6.
fn number_text(number: Number) -> String {
    let Number::Double(number) = number else { return number.to_string() };
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
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
    use super::*;
    use crate::json::json;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        let check = |number: f64, expected: &str| {
            assert_eq!(number_text(Number::Double(number)), expected);
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
}
