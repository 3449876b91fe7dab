//! JSON as the text it is: checked once, and taken apart in slices.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::NESTING_MAX;
use super::error::{JsonError, JsonProblem};
use super::number::Number;
use super::reader::{self, Rules};
use super::string::{plain_len, quoted, unescaped};

/// JSON text that follows the grammar, borrowed from a longer text or by itself. Members keep their order, numbers
/// their digits, and no name of a member is reserved.
///
/// Adapters and tools take apart with it what holds JSON of users. `serde_json::Value` is not for that: which features
/// of serde_json are on is decided by the whole program, and with some of them it gives two names of members a meaning
/// of their own, or loses the order of members (VAL-3).
///
/// Two are equal when they mean the same (VAL-3). `Debug` shows the length only (ERR-2).
///
/// ```
/// use kv_api::JsonText;
/// let answer = JsonText::parse_foreign(r#"{"ok": true, "result": [{"b": 1.0, "a": "\u0041"}, 5]}"#)?;
/// let members = answer.object().expect("an object, each member once");
/// assert_eq!(members["ok"].as_bool(), Some(true));
/// let result = members["result"].array().expect("an array");
/// assert_eq!(result[0].compact(), r#"{"b":1.0,"a":"A"}"#);
/// assert_eq!(result[0], JsonText::parse(r#"{"a": "A", "b": 1}"#)?);
/// assert_eq!(result[1].as_i64(), Some(5));
/// # Ok::<(), kv_api::JsonError>(())
/// ```
#[derive(Clone, Copy)]
pub struct JsonText<'t>(&'t str);

impl<'t> JsonText<'t> {
    /// Checks JSON that a caller gave, by all that VAL-3 says.
    ///
    /// # Errors
    /// When it is not JSON, is nested deeper than [`NESTING_MAX`] levels, repeats a member, or holds an integer outside
    /// -2^63 to 2^64-1 or a number beyond the finite doubles.
    pub fn parse(text: &'t str) -> Result<Self, JsonError> {
        reader::check(text, Rules::Strict).map(|_| Self(trimmed(text)))
    }

    /// Checks JSON that another program wrote, such as an answer: the grammar only, so that reading does not fail for
    /// what this library would not have written (VAL-5). [`object`](Self::object) refuses repeated members where they
    /// matter.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn parse_foreign(text: &'t str) -> Result<Self, JsonError> {
        reader::check(text, Rules::Grammar).map(|_| Self(trimmed(text)))
    }

    /// As [`parse`](Self::parse), of bytes.
    ///
    /// # Errors
    /// As there, and when the bytes are not UTF-8.
    pub fn parse_slice(bytes: &'t [u8]) -> Result<Self, JsonError> {
        Self::parse(utf8(bytes)?)
    }

    /// As [`parse_foreign`](Self::parse_foreign), of bytes.
    ///
    /// # Errors
    /// As there, and when the bytes are not UTF-8.
    pub fn parse_slice_foreign(bytes: &'t [u8]) -> Result<Self, JsonError> {
        Self::parse_foreign(utf8(bytes)?)
    }

    /// The text as it stands, without white space around it.
    #[must_use]
    pub const fn as_text(self) -> &'t str {
        self.0
    }

    /// Where it begins in the `text` that it was taken from, in bytes; `None` when it is no part of that text.
    ///
    /// ```
    /// use kv_api::JsonText;
    /// let text = r#"{"a": [1, 2]}"#;
    /// let members = JsonText::parse(text)?.object().expect("an object");
    /// assert_eq!(members["a"].offset_in(text), Some(6));
    /// # Ok::<(), kv_api::JsonError>(())
    /// ```
    #[must_use]
    pub fn offset_in(self, text: &str) -> Option<usize> {
        let offset = (self.0.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        (offset + self.0.len() <= text.len()).then_some(offset)
    }

    /// The text without white space between tokens and with no more escapes than JSON needs. Members keep their order
    /// and numbers their spelling.
    #[must_use]
    pub fn compact(self) -> Cow<'t, str> {
        // Without any of these there is nothing to leave out.
        if self.0.bytes().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\\')) {
            Cow::Owned(self.with_numbers(|number| Cow::Borrowed(number.0)))
        } else {
            Cow::Borrowed(self.0)
        }
    }

    /// The compact text with each number, at any depth, spelled as `spell` says, which must give the text of a number.
    ///
    /// ```
    /// use kv_api::JsonText;
    /// let json = JsonText::parse(r#"{"a": [1, 2], "5": "5"}"#)?;
    /// assert_eq!(json.with_numbers(|number| format!("{}.0", number.as_text()).into()), r#"{"a":[1.0,2.0],"5":"5"}"#);
    /// # Ok::<(), kv_api::JsonError>(())
    /// ```
    #[must_use]
    pub fn with_numbers<'a>(self, mut spell: impl FnMut(Self) -> Cow<'a, str>) -> String {
        let mut compact = String::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some(first) = rest.bytes().next() {
            let (token, after) = rest.split_at(token_len(rest.as_bytes()));
            match first {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'"' if token.contains('\\') => compact.push_str(&quoted(&unescaped(inner(token)))),
                b'-' | b'0'..=b'9' => compact.push_str(&spell(Self(token))),
                _ => compact.push_str(token),
            }
            rest = after;
        }
        compact
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self.first_byte(), b'-' | b'0'..=b'9')
    }

    /// The boolean, when it is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// The string without its escapes, when it is one.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'t, str>> {
        (self.first_byte() == b'"').then(|| unescaped(inner(self.0)))
    }

    /// The integer, when it is an integer literal within 64 signed bits: `5`, not `5.0`.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self.number()? {
            Number::Integer(integer) => integer.try_into().ok(),
            _ => None,
        }
    }

    /// The integer, when it is an integer literal within 64 unsigned bits.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        match self.number()? {
            Number::Integer(integer) => integer.try_into().ok(),
            _ => None,
        }
    }

    /// The nearest double, when it is a number within the finite doubles.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        self.number()?.as_f64()
    }

    /// The items, when it is an array.
    #[must_use]
    pub fn array(self) -> Option<Vec<Self>> {
        self.items().map(Iterator::collect)
    }

    /// The items one by one, when it is an array: for one of a length without a bound.
    #[must_use]
    pub fn items(self) -> Option<impl Iterator<Item = Self>> {
        (self.first_byte() == b'[').then(|| self.items_unchecked())
    }

    /// The members by name, when it is an object that names none of them twice.
    #[must_use]
    pub fn object(self) -> Option<HashMap<Cow<'t, str>, Self>> {
        let mut members = HashMap::new();
        for (name, member) in self.members()? {
            if members.insert(name, member).is_some() {
                return None;
            }
        }
        Some(members)
    }

    /// The members in their order, when it is an object. A repeated one, as only others write it, comes as often as it
    /// stands there.
    #[must_use]
    pub fn members(self) -> Option<impl Iterator<Item = (Cow<'t, str>, Self)>> {
        (self.first_byte() == b'{').then(|| self.members_unchecked())
    }

    /// How deep arrays and objects are nested: 0 for what is neither.
    #[must_use]
    pub fn nesting(self) -> usize {
        let (mut depth, mut deepest) = (0_usize, 0);
        let mut rest = self.0;
        while let Some(first) = rest.bytes().next() {
            match first {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
            rest = &rest[token_len(rest.as_bytes())..];
        }
        deepest
    }

    /// Whether a system in JavaScript that parses it and writes it again gives back the same (VAL-3): no number lies
    /// beyond ±(2^53-1), where doubles skip integers and large ones are spelled with other digits, and no member is
    /// named `__proto__`, which such a system may drop or refuse.
    ///
    /// ```
    /// use kv_api::JsonText;
    /// let survives = |text| JsonText::parse(text).is_ok_and(|json| json.survives_javascript());
    /// assert!(survives(r#"{"n": 9007199254740991, "x": [0.1, null]}"#));
    /// assert!(!survives(r#"[{"n": 9007199254740992}]"#));
    /// assert!(!survives("-1e16"));
    /// assert!(!survives(r#"{"a": {"__proto__": 1}}"#));
    /// ```
    #[must_use]
    pub fn survives_javascript(self) -> bool {
        // Exact as a double, and so is every whole double below it.
        const GREATEST: f64 = 9_007_199_254_740_991.0;
        let mut rest = self.0;
        while !rest.is_empty() {
            let (token, after) = rest.split_at(token_len(rest.as_bytes()));
            let json = Self(token);
            let survives = match json.as_str() {
                Some(text) => text != "__proto__" || !after.trim_start_matches(SPACE).starts_with(':'),
                // An integer that rounds to a double within the bounds is within them.
                None if json.is_number() => json.as_f64().is_some_and(|number| number.abs() <= GREATEST),
                None => true,
            };
            if !survives {
                return false;
            }
            rest = after;
        }
        true
    }

    /// As a tree, member by member, so that no name has a meaning of its own; `None` when it is nested deeper than
    /// [`NESTING_MAX`] or holds a number beyond the doubles.
    pub(crate) fn to_tree(self) -> Option<serde_json::Value> {
        self.tree_at(0)
    }

    fn tree_at(self, depth: usize) -> Option<serde_json::Value> {
        use serde_json::Value as Tree;
        if depth > NESTING_MAX {
            return None;
        }
        Some(match self.first_byte() {
            b'n' => Tree::Null,
            b't' => Tree::Bool(true),
            b'f' => Tree::Bool(false),
            b'"' => Tree::String(self.as_str()?.into_owned()),
            b'[' => Tree::Array(self.items_unchecked().map(|item| item.tree_at(depth + 1)).collect::<Option<_>>()?),
            b'{' => Tree::Object(
                self.members_unchecked()
                    .map(|(name, member)| Some((name.into_owned(), member.tree_at(depth + 1)?)))
                    .collect::<Option<_>>()?,
            ),
            _ => match (self.as_i64(), self.as_u64()) {
                (Some(integer), _) => Tree::from(integer),
                (_, Some(integer)) => Tree::from(integer),
                _ => Tree::Number(serde_json::Number::from_f64(self.as_f64()?)?),
            },
        })
    }

    /// The name of the first member of each object, at any depth.
    pub(super) fn first_names(self) -> impl Iterator<Item = Cow<'t, str>> {
        let mut rest = self.0;
        let mut opened = false;
        std::iter::from_fn(move || {
            while let Some(first) = rest.bytes().next() {
                let (token, after) = rest.split_at(token_len(rest.as_bytes()));
                rest = after;
                match first {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b'"' if std::mem::take(&mut opened) => return Some(unescaped(inner(token))),
                    _ => opened = first == b'{',
                }
            }
            None
        })
    }

    /// Of text that was checked before.
    pub(crate) const fn from_checked(text: &'t str) -> Self {
        Self(text)
    }

    pub(super) fn first_byte(self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or_default()
    }

    pub(super) fn number(self) -> Option<Number> {
        self.is_number().then(|| Number::of(self.0))
    }

    pub(super) fn items_unchecked(self) -> Items<'t> {
        Items { rest: inner(self.0) }
    }

    pub(super) fn members_unchecked(self) -> impl Iterator<Item = (Cow<'t, str>, Self)> {
        let mut parts = self.items_unchecked();
        std::iter::from_fn(move || {
            let name = parts.next()?;
            Some((unescaped(inner(name.0)), parts.next()?))
        })
    }
}

impl fmt::Debug for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.0.len())
    }
}

/// The values between the brackets of an array or object, names of members among them.
pub(super) struct Items<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Items<'t> {
    type Item = JsonText<'t>;

    fn next(&mut self) -> Option<JsonText<'t>> {
        let bytes = self.rest.as_bytes();
        let start = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':'))?;
        let end = start + value_len(&bytes[start..]);
        let item = self.rest.get(start..end)?;
        self.rest = self.rest.get(end..)?;
        Some(JsonText(item))
    }
}

const SPACE: &[char] = &[' ', '\t', '\n', '\r'];

fn trimmed(text: &str) -> &str {
    text.trim_matches(SPACE)
}

fn utf8(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes).map_err(|error| JsonError::new(JsonProblem::NotUtf8, "", bytes, error.valid_up_to()))
}

/// What stands between the first and the last byte, which are brackets or quotes.
fn inner(text: &str) -> &str {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// How long the value is that checked text begins with.
fn value_len(bytes: &[u8]) -> usize {
    if !matches!(bytes.first(), Some(b'[' | b'{')) {
        return token_len(bytes);
    }
    let (mut depth, mut at) = (1_usize, 1);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    at
}

/// Where a string of checked text is over that has begun before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at += plain_len(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at + 1,
            // An escape, and the byte behind the backslash with it.
            Some(_) => at += 2,
        }
    }
}

/// How long the token is that checked text begins with: a string, a number or word, or one byte.
fn token_len(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'"') => string_end(bytes, 1),
        Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => bytes
            .iter()
            .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'))
            .unwrap_or(bytes.len()),
        Some(_) => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_slices_of_the_text() {
        let json = JsonText::parse(" { \"a\" : [ 1 , \"],\\\"}\" , { } ] , \"b\\u0062\":null,\"\":-1.5e+3 } ").unwrap();
        let members: Vec<_> = json.members().unwrap().map(|(name, json)| (name.into_owned(), json.as_text())).collect();
        let expected = [("a", "[ 1 , \"],\\\"}\" , { } ]"), ("bb", "null"), ("", "-1.5e+3")];
        assert_eq!(members, expected.map(|(name, text)| (name.to_owned(), text)));
        let items = json.object().unwrap()["a"].array().unwrap();
        assert_eq!(items.iter().map(|item| item.as_text()).collect::<Vec<_>>(), ["1", "\"],\\\"}\"", "{ }"]);
        assert_eq!(items[1].as_str().unwrap(), "],\"}");
        assert!(items[2].object().unwrap().is_empty() && items[2].array().is_none());
        assert_eq!(json.compact(), "{\"a\":[1,\"],\\\"}\",{}],\"bb\":null,\"\":-1.5e+3}");
        assert_eq!(json.nesting(), 3);
    }

    #[test]
    fn a_repeated_member_makes_no_object_but_is_there() {
        let json = JsonText::parse_foreign(r#"{"a":1,"\u0061":2}"#).unwrap();
        assert!(json.object().is_none());
        assert_eq!(json.members().unwrap().count(), 2);
    }

    #[test]
    fn a_number_is_an_integer_by_its_literal() {
        let read = |text| JsonText::parse_foreign(text).unwrap();
        assert_eq!(read("-9223372036854775808").as_i64(), Some(i64::MIN));
        assert_eq!(read("18446744073709551615").as_u64(), Some(u64::MAX));
        for none in ["9223372036854775808", "5.0", "5e0", "-0", "\"5\"", "null", "[5]"] {
            assert_eq!(read(none).as_i64(), None, "{none}");
        }
        assert_eq!(read("18446744073709551616").as_u64(), None);
        assert_eq!(read("18446744073709551616").as_f64(), Some(18_446_744_073_709_551_616.0));
        assert_eq!((read("1e400").as_f64(), read("1e-400").as_f64()), (None, Some(0.0)));
        assert_eq!(read("-0").as_f64().map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }

    #[test]
    fn every_escape_is_the_character_it_stands_for() {
        let text = r#""\"\\\/\b\f\n\r\t\u00e9\u0000\ud83d\ude00x\u0041""#;
        let read = JsonText::parse(text).unwrap().as_str().unwrap();
        assert_eq!(read, "\"\\/\u{8}\u{C}\n\r\té\0\u{1F600}xA");
        assert_eq!(quoted(&read), serde_json::to_string(&*read).unwrap());
    }
}
