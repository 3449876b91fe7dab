//! Strings of JSON: their escapes, read and written.

use std::borrow::Cow;

/// How many bytes there are before the first one that ends a string, begins an escape or may not stand in a string: a
/// quote, a backslash or a control character. Eight at a time, since most of JSON is the inside of strings.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    // The high bit of each byte that is less than `bound`, at most 128. After the first one, others may be wrong.
    let less = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH_BITS;
    let equal = |word: u64, byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    let mut words = bytes.chunks_exact(8);
    let mut len = 0;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let found = less(word, b' ') | equal(word, b'"') | equal(word, b'\\');
        if found != 0 {
            return len + (found.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    len + words.remainder().iter().position(is_special).unwrap_or(words.remainder().len())
}

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
    quoted_into(text, &mut quoted);
    quoted
}

/// The same, behind what is there: for a body that is made of many.
///
/// ```
/// let mut body = "[".to_owned();
/// kv_api::json_quoted_into("a\"", &mut body);
/// assert_eq!(body, r#"["a\"""#);
/// ```
#[inline]
pub fn quoted_into(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, after) = rest.split_at(plain_len(rest.as_bytes()));
        out.push_str(plain);
        let Some(special) = after.as_bytes().first() else { break };
        match *special {
            byte @ (b'"' | b'\\') => {
                out.push('\\');
                out.push(char::from(byte));
            }
            0x08 => out.push_str("\\b"),
            0x0C => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
        rest = &after[1..];
    }
    out.push('"');
}

/// How many bytes [`quoted`] makes of `text`.
///
/// ```
/// assert_eq!(kv_api::json_quoted_len("a\"\n\0é"), kv_api::json_quoted("a\"\n\0é").len());
/// ```
#[must_use]
pub fn quoted_len(text: &str) -> usize {
    let mut len = text.len() + 2;
    let mut rest = text.as_bytes();
    loop {
        rest = &rest[plain_len(rest)..];
        let Some((special, after)) = rest.split_first() else { return len };
        len += match special {
            b'"' | b'\\' | 0x08 | 0x0C | b'\n' | b'\r' | b'\t' => 1,
            _ => 5,
        };
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quoted_text_is_as_long_as_it_was_counted(text in prop_oneof![any::<String>(), "[\\x00-\\x7F]{0,40}"]) {
            prop_assert_eq!(quoted_len(&text), quoted(&text).len());
            prop_assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn what_is_plain_ends_at_the_first_special_byte(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x1Eu8..0x24, 0x5Au8..0x5E, 0x80u8..0xA4], 0..40),
        ) {
            for start in 0..bytes.len() {
                let rest = &bytes[start..];
                let first = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                prop_assert_eq!(plain_len(rest), first.unwrap_or(rest.len()));
            }
        }
    }
}
