//! The range of keys that a prefix means.

use kv_api::{Error, Reason, Result};

/// Where a page begins: at the prefix, or right after the position of the page before, which is its last key.
///
/// # Errors
/// `InvalidArgument` with [`Reason::CursorInvalid`] when the position is no key below the prefix (LIST-3).
///
/// ```
/// assert_eq!(kv_sql::first_key("a", Some(b"ab"))?, "ab\0"); // no key lies between the two
/// assert!(kv_sql::first_key("a", Some(b"b")).is_err());
/// # Ok::<(), kv_api::Error>(())
/// ```
pub fn first_key(prefix: &str, position: Option<&[u8]>) -> Result<String> {
    let Some(position) = position else { return Ok(prefix.to_owned()) };
    match std::str::from_utf8(position) {
        // No key lies between a key and the same with a NUL behind it.
        Ok(last) if last.starts_with(prefix) => Ok(format!("{last}\0")),
        _ => Err(Error::invalid(Reason::CursorInvalid, "the cursor names no key of this list")),
    }
}

/// The first key after all that begin with `prefix`; `None` when nothing lies after them. Counted in code points, whose
/// order is that of their UTF-8 bytes, so that it is a text too.
#[must_use]
pub fn key_after(prefix: &str) -> Option<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        if let Some(next) = next_char(last) {
            rest.push(next);
            return Some(rest);
        }
    }
    None
}

fn next_char(last: char) -> Option<char> {
    const BEFORE_SURROGATES: char = '\u{D7FF}';
    const AFTER_SURROGATES: char = '\u{E000}';
    match last {
        char::MAX => None,
        BEFORE_SURROGATES => Some(AFTER_SURROGATES),
        last => char::from_u32(u32::from(last) + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_1_the_bound_of_a_prefix_is_the_next_text_after_it() {
        for (prefix, after) in [
            ("", None),
            ("a", Some("b")),
            ("a%_*?[", Some("a%_*?\\")),
            ("a\u{7f}", Some("a\u{80}")),
            ("\u{D7FF}", Some("\u{E000}")),
            ("\u{FFFF}", Some("\u{10000}")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{10FFFF}\u{10FFFF}", None),
            ("a\0", Some("a\u{1}")),
        ] {
            assert_eq!(key_after(prefix).as_deref(), after, "{prefix:?}");
            assert!(after.is_none_or(|after| prefix < after));
        }
    }

    #[test]
    fn list_3_a_position_is_a_key_of_the_list() {
        assert_eq!(first_key("a", None).unwrap(), "a");
        assert_eq!(first_key("a", Some(b"ab")).unwrap(), "ab\0");
        for foreign in [&b"b"[..], b"a\xff"] {
            assert_eq!(first_key("a", Some(foreign)).unwrap_err().reason(), Some(&Reason::CursorInvalid));
        }
    }
}
