//! Strings of JSON: their escapes, read and written.

use std::borrow::Cow;

/// The text of a string, given what stands between its quotes.
pub(super) fn unescaped(escaped: &str) -> Cow<'_, str> {
    let Some(first) = escaped.find('\\') else { return Cow::Borrowed(escaped) };
    let mut text = String::with_capacity(escaped.len());
    let (plain, mut rest) = escaped.split_at(first);
    text.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let (c, after) = unescaped_char(escape);
        text.push(c);
        let plain = after.find('\\').unwrap_or(after.len());
        text.push_str(&after[..plain]);
        rest = &after[plain..];
    }
    Cow::Owned(text)
}

/// The character that an escape stands for, given what follows the backslash, and what follows the escape.
fn unescaped_char(escape: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let after = |len: usize| escape.get(len..).unwrap_or_default();
    match escape.as_bytes().first() {
        Some(b'b') => ('\u{8}', after(1)),
        Some(b'f') => ('\u{C}', after(1)),
        Some(b'n') => ('\n', after(1)),
        Some(b'r') => ('\r', after(1)),
        Some(b't') => ('\t', after(1)),
        Some(b'u') => {
            let high = unit(after(1)).unwrap_or_default();
            match (high, after(5).strip_prefix("\\u").and_then(unit)) {
                (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                    let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), after(11))
                }
                _ => (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), after(5)),
            }
        }
        Some(&byte) if byte.is_ascii() => (char::from(byte), after(1)),
        _ => (char::REPLACEMENT_CHARACTER, after(1)),
    }
}

/// `text` as a JSON string, with no more escapes than JSON needs.
///
/// ```
/// assert_eq!(kv_api::json_quoted("a\"\n\0é"), r#""a\"\n\u0000é""#);
/// ```
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (plain, after) = rest.split_at(at);
        quoted.push_str(plain);
        match after.as_bytes()[0] {
            byte @ (b'"' | b'\\') => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            0x08 => quoted.push_str("\\b"),
            0x0C => quoted.push_str("\\f"),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                quoted.push_str("\\u00");
                quoted.push(char::from(DIGITS[usize::from(byte >> 4)]));
                quoted.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
        rest = &after[1..];
    }
    quoted.push_str(rest);
    quoted.push('"');
    quoted
}
