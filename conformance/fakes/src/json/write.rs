//! The compact text of JSON.

use std::fmt::Write as _;

use super::{Number, Value};

/// Compact, members in their order, UTF-8 with only the escapes that JSON needs. How numbers look is the system's own.
pub(crate) fn write(value: &Value, number: &impl Fn(Number) -> String) -> String {
    let mut text = String::new();
    append(value, number, &mut text);
    text
}

/// A text in quotation marks.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    append_quoted(text, &mut quoted);
    quoted
}

fn append(value: &Value, number: &impl Fn(Number) -> String, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(own) => out.push_str(&number(*own)),
        Value::String(text) => append_quoted(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                append(item, number, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                append_quoted(name, out);
                out.push(':');
                append(member, number, out);
            }
            out.push('}');
        }
    }
}

fn append_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => {
                // Writing to a text does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_an_escape_has_one() {
        let text = "a\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}\u{2028}é😀";
        assert_eq!(quoted(text), "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\u{2028}é😀\"");
    }
}
