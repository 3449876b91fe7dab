//! How large an entry is, by the two counts that the system limits (CHK-2).

use kv_api::{ItemParts, JsonText, json_quoted_len};

use super::value::encode;

/// The bytes of what is stored for the value, as the system's `JSON.stringify` spells it.
pub(crate) fn value_bytes(item: ItemParts<'_>) -> u64 {
    measured(item, stringified_bytes)
}

/// The bytes of key and value as the storage behind the system counts them, by its vendor's documents.
pub(crate) fn stored_bytes(item: ItemParts<'_>) -> u64 {
    item.key.len() as u64 + measured(item, attribute_bytes)
}

fn measured(item: ItemParts<'_>, measure: impl FnOnce(JsonText<'_>) -> u64) -> u64 {
    JsonText::parse_foreign(&encode(item.value, item.metadata, item.expires)).map_or(0, measure)
}

fn stringified_bytes(json: JsonText<'_>) -> u64 {
    let separators = |count: usize| 2 + count.saturating_sub(1) as u64;
    if let Some(text) = json.as_str() {
        return json_quoted_len(&text) as u64;
    }
    if let Some(items) = json.array() {
        return separators(items.len()) + items.into_iter().map(stringified_bytes).sum::<u64>();
    }
    if let Some(members) = json.members() {
        let sizes: Vec<u64> =
            members.map(|(name, member)| json_quoted_len(&name) as u64 + 1 + stringified_bytes(member)).collect();
        return separators(sizes.len()) + sizes.iter().sum::<u64>();
    }
    // A literal stands as it is.
    if json.is_number() { number_bytes(json) } else { json.as_text().len() as u64 }
}

/// A number as JavaScript spells it: without an exponent from 1e-6 up to 1e21.
fn number_bytes(number: JsonText<'_>) -> u64 {
    let (digits, exponent, is_negative) = digits(number);
    let magnitude = exponent + 1;
    let unsigned = if (digits..=21).contains(&magnitude) {
        magnitude
    } else if (1..=21).contains(&magnitude) {
        digits + 1
    } else if (-5..=0).contains(&magnitude) {
        2 - magnitude + digits
    } else {
        // A point behind the first of several digits, `e`, a sign, and the exponent.
        let point = i64::from(digits > 1);
        digits
            + point
            + 2
            + if exponent.abs() < 10 {
                1
            } else if exponent.abs() < 100 {
                2
            } else {
                3
            }
    };
    unsigned.unsigned_abs() + u64::from(is_negative)
}

/// How many significant digits the shortest decimal form of a number has, the exponent of the first of them, and
/// whether the number is below zero.
fn digits(number: JsonText<'_>) -> (i64, i64, bool) {
    let double = number.as_f64().unwrap_or(0.0);
    let text = format!("{:e}", double.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(|_| 1).sum();
    (digits, exponent.parse().unwrap_or(0), double < 0.0)
}

/// Texts by their bytes, a number by two digits a byte and one more, an array or object by 3 bytes and one for each
/// member.
fn attribute_bytes(json: JsonText<'_>) -> u64 {
    if let Some(text) = json.as_str() {
        return text.len() as u64;
    }
    if let Some(items) = json.array() {
        return 3 + items.into_iter().map(|item| 1 + attribute_bytes(item)).sum::<u64>();
    }
    if let Some(members) = json.members() {
        return 3 + members.map(|(name, member)| 1 + name.len() as u64 + attribute_bytes(member)).sum::<u64>();
    }
    if !json.is_number() {
        return 1;
    }
    let (digits, _, is_negative) = digits(json);
    1 + digits.unsigned_abs().div_ceil(2) + u64::from(is_negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn measure(json: &Json, measure: fn(JsonText<'_>) -> u64) -> u64 {
        measure(JsonText::parse(&json.to_string()).unwrap())
    }

    #[test]
    fn chk_2_numbers_are_as_long_as_javascript_spells_them() {
        for (number, spelled) in [
            (json!(0), "0"),
            (json!(-0.0), "0"),
            (json!(1.0), "1"),
            (json!(-12), "-12"),
            (json!(1000), "1000"),
            (json!(9_007_199_254_740_991_i64), "9007199254740991"),
            (json!(1.5), "1.5"),
            (json!(-123.456), "-123.456"),
            (json!(0.1), "0.1"),
            (json!(0.000_01), "0.00001"),
            (json!(0.000_001), "0.000001"),
            (json!(0.000_001_5), "0.0000015"),
            (json!(1e-7), "1e-7"),
            (json!(-1.5e-10), "-1.5e-10"),
            (json!(1e-130), "1e-130"),
            (json!(1.25e-100), "1.25e-100"),
        ] {
            assert_eq!(measure(&number, stringified_bytes), spelled.len() as u64, "{spelled}");
        }
    }

    #[test]
    fn chk_2_everything_else_is_as_long_as_its_compact_text() {
        for json in [
            json!(null),
            json!([true, false, null]),
            json!({"a": {"b": []}, "c\n\"": "\u{0}\u{7f}\u{2028}é😀\\", "": {}}),
            json!(["\u{8}\t\n\u{c}\r\u{1f}", 12]),
        ] {
            assert_eq!(measure(&json, stringified_bytes), json.to_string().len() as u64, "{json}");
        }
    }

    #[test]
    fn chk_2_the_storage_counts_digits_and_structure() {
        for (json, bytes) in [
            (json!("é"), 2),
            (json!(false), 1),
            (json!(0), 2),
            (json!(-123), 4),
            (json!(1000), 2),
            (json!([1, "ab"]), 3 + 3 + 3),
            (json!({"a": {}}), 3 + 2 + 3),
        ] {
            assert_eq!(measure(&json, attribute_bytes), bytes, "{json}");
        }
    }
}
