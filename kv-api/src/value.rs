//! Values: text, JSON or bytes (VAL-1 to VAL-6).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Reason, Result};
use crate::json::{self, JsonText};
use crate::value_kind::ValueKind;

/// A value: a kind and its bytes. Cheap to clone; reading one copies nothing.
///
/// JSON is kept as compact text and parsed on typed access only. Two values are equal when they are of one kind and
/// equal by that kind: JSON by meaning (VAL-3), so `1.0` equals `1` and the order of members does not count.
///
/// `Debug` shows kind and length, never the content (ERR-2).
///
/// ```
/// use kv_api::{Value, ValueKind};
/// use serde_json::json;
/// assert_eq!(Value::from("text").kind(), ValueKind::Text);
/// assert_eq!(Value::from(json!("text")), Value::from("text")); // a JSON string is text
/// assert_eq!(Value::from(json!({"a": 1, "b": [2]})), Value::from(json!({"b": [2.0], "a": 1})));
/// assert_ne!(Value::from(json!(1)), Value::from("1"));
/// ```
///
/// It is made from what a program has: text from `&str`, `String`, `Cow<str>`, `Box<str>`, `Arc<str>` and `char`; bytes
/// from slices, arrays, `Vec<u8>` and `Bytes`; JSON from booleans, integers, floats and trees.
///
/// ```
/// use std::borrow::Cow;
/// use std::sync::Arc;
/// use kv_api::{Value, ValueKind};
/// assert_eq!(Value::from(Cow::from("text")), Value::from(Arc::<str>::from("text")));
/// assert_eq!(Value::from(vec![0x5a_u8]).kind(), ValueKind::Bytes);
/// assert_eq!(Value::from(0.1_f64).as_json_text(), Some("0.1"));
/// let value = Value::from(2);
/// assert_eq!(Value::from(&value), Value::from(2.0)); // copies nothing
/// ```
#[derive(Clone)]
pub struct Value {
    kind: ValueKind,
    /// It is known to be what its kind says, by VAL-1 and VAL-3, so that the resolver need not check it.
    is_checked: bool,
    bytes: Bytes,
}

impl Value {
    /// JSON from text, checked and made compact; a string becomes text (VAL-1). Members keep their order, numbers their
    /// digits.
    ///
    /// # Errors
    /// `InvalidArgument` when the text is not JSON, is nested deeper than 100 levels, names a member twice, or holds an
    /// integer outside -2^63 to 2^64-1 or a number beyond the finite doubles, which would not survive (VAL-3). The
    /// error names line and column, never a part of the text (ERR-2).
    ///
    /// ```
    /// use kv_api::{Reason, Value};
    /// assert_eq!(Value::from_json_text(r#" {"b": 1.50, "a": 2} "#)?.as_json_text(), Some(r#"{"b":1.50,"a":2}"#));
    /// let error = Value::from_json_text("18446744073709551616").unwrap_err(); // 2^64
    /// assert_eq!(error.reason(), Some(&Reason::InvalidJson));
    /// let error = Value::from_json_text(r#"{"a": 1, "a": 2}"#).unwrap_err();
    /// assert_eq!(error.reason(), Some(&Reason::RepeatedMember));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_json_text(text: &str) -> Result<Self> {
        json::parse(text).map(Self::of_checked_json)
    }

    /// The value that `T` serialises to, text when that is a string (VAL-6).
    ///
    /// # Errors
    /// `InvalidArgument` when JSON cannot represent it: a NaN or an infinity at any depth, a map with keys that are not
    /// strings or a repeated one, an integer beyond 64 bits, nesting deeper than 100 levels, or an error of `T`'s own.
    ///
    /// ```
    /// use kv_api::{Reason, Value};
    /// assert_eq!(Value::serialize(&[1.0, 0.5])?.as_json_text(), Some("[1.0,0.5]"));
    /// assert_eq!(Value::serialize(&[1.0, f64::NAN]).unwrap_err().reason(), Some(&Reason::InvalidJson));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        json::from_serialize(value).map(Self::of_checked_json)
    }

    const fn of_checked_text(bytes: Bytes) -> Self {
        Self { kind: ValueKind::Text, is_checked: true, bytes }
    }

    fn of_checked_json(compact: String) -> Self {
        let json = JsonText::from_checked(&compact);
        match json.as_str() {
            Some(text) => Self::from(&*text),
            None => Self { kind: ValueKind::Json, is_checked: true, bytes: Bytes::from(compact) },
        }
    }

    /// From what a store kept, without a check: for adapters that stored exactly these bytes of this kind before.
    ///
    /// Text that is not UTF-8, or JSON that does not parse, is then found on access: [`as_text`](Self::as_text) and
    /// [`as_json_text`](Self::as_json_text) give `None`, typed access an error. Written again it is `InvalidArgument`.
    #[must_use]
    pub const fn from_stored(kind: ValueKind, bytes: Bytes) -> Self {
        Self { kind, is_checked: false, bytes }
    }

    /// Data written by another client into a store without kinds: text where it is UTF-8, bytes otherwise (VAL-5).
    #[must_use]
    pub fn from_foreign(bytes: Bytes) -> Self {
        let kind = if std::str::from_utf8(&bytes).is_ok() { ValueKind::Text } else { ValueKind::Bytes };
        Self::from_stored(kind, bytes)
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Its bytes: UTF-8 of a text, compact UTF-8 text of JSON, or the bytes themselves.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its bytes, without the kind.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The text, when it is of kind text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if self.kind == ValueKind::Text { std::str::from_utf8(&self.bytes).ok() } else { None }
    }

    /// The compact JSON text, when it is of kind JSON.
    #[must_use]
    pub fn as_json_text(&self) -> Option<&str> {
        if self.kind == ValueKind::Json { std::str::from_utf8(&self.bytes).ok() } else { None }
    }

    /// The JSON, taken apart where it lies; `None` when it is not of kind JSON.
    ///
    /// # Errors
    /// `Protocol` when the store handed out text as JSON that is not JSON.
    ///
    /// ```
    /// use kv_api::Value;
    /// let value = Value::from_json_text(r#"{"b": [1, 2], "a": true}"#)?;
    /// let json = value.as_json()?.expect("it is JSON");
    /// let names: Vec<_> = json.members().expect("an object").map(|(name, _)| name).collect();
    /// assert_eq!(names, ["b", "a"]);
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn as_json(&self) -> Result<Option<JsonText<'_>>> {
        if self.kind != ValueKind::Json {
            return Ok(None);
        }
        let json = if self.is_checked {
            self.as_json_text().map(JsonText::from_checked)
        } else {
            JsonText::parse_slice_foreign(&self.bytes).ok()
        };
        json.map(Some).ok_or_else(|| damaged(ValueKind::Json))
    }

    /// The value as a JSON tree: of a text the string, of bytes nothing. No name of a member has a meaning of its own
    /// in it, whatever features of serde_json the program turns on.
    ///
    /// # Errors
    /// `WrongType` for bytes; `Protocol` when the store handed out text that is not UTF-8, text as JSON that is not
    /// JSON, or JSON that such a tree does not hold: nested deeper than 100 levels, or with a number beyond the finite
    /// doubles.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        match self.kind {
            ValueKind::Text => match self.as_text() {
                Some(text) => Ok(serde_json::Value::String(text.to_owned())),
                None => Err(damaged(ValueKind::Text)),
            },
            ValueKind::Json => self.as_json()?.and_then(JsonText::to_tree).ok_or_else(|| damaged(ValueKind::Json)),
            ValueKind::Bytes => Err(wrong_type(ValueKind::Bytes, "the value is bytes, which have no JSON form")),
        }
    }

    /// Decodes it as `T` (VAL-6): JSON as it is; text as a string first and then as the JSON it spells, so that
    /// `String` always gets the text and a struct also reads what a Worker wrote as plain JSON.
    ///
    /// `serde_json::Value` gives two names of members a meaning of their own when some crate of the program turns on
    /// serde_json's `raw_value` or `arbitrary_precision`. Then JSON with an object that begins with such a name is
    /// `WrongType`; [`to_json`](Self::to_json) reads it whatever is turned on.
    ///
    /// # Errors
    /// `WrongType` with the kind found, never the content, when it is bytes or `T` does not fit.
    ///
    /// ```
    /// use kv_api::{ErrorKind, Value};
    /// assert_eq!(Value::from("5").decode::<String>()?, "5");
    /// assert_eq!(Value::from("5").decode::<u8>()?, 5); // the text spells JSON
    /// assert_eq!(Value::from("x").decode::<u8>().unwrap_err().kind(), ErrorKind::WrongType);
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        let misfit = || wrong_type(self.kind, "the stored value does not fit the type asked for");
        match self.kind {
            ValueKind::Text => {
                let text = self.as_text().ok_or_else(|| damaged(ValueKind::Text))?;
                // As a JSON tree, which also fits an option, a newtype and the name of an enum's variant.
                let as_string = serde_json::Value::from(text);
                T::deserialize(as_string).ok().or_else(|| json::decode(text.as_bytes())).ok_or_else(misfit)
            }
            ValueKind::Json => json::decode(&self.bytes).ok_or_else(misfit),
            ValueKind::Bytes => Err(misfit()),
        }
    }

    /// Whether it is JSON `null`: readable from foreign data, refused on writing (VAL-1).
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind == ValueKind::Json && self.bytes.trim_ascii() == b"null"
    }

    /// The value as an integer, when it is a JSON integer within 64 signed bits: what a counter holds (CNT-1).
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_json().ok()??.as_i64()
    }

    /// Refuses what cannot be written: null and JSON that VAL-3 does not accept, and text that is not UTF-8 (VAL-1).
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        // Most values; the rest may have to be read through.
        let is_plain = self.kind == ValueKind::Bytes || (self.kind == ValueKind::Text && self.is_checked);
        if is_plain { Ok(()) } else { self.check_content() }
    }

    fn check_content(&self) -> Result<()> {
        match self.kind {
            ValueKind::Json if self.is_null() => {
                Err(Error::invalid(Reason::NullValue, "JSON null cannot be stored: it reads as a missing key"))
            }
            _ if self.is_checked => Ok(()),
            ValueKind::Json => Ok(JsonText::parse_slice(&self.bytes).map(drop)?),
            ValueKind::Text if std::str::from_utf8(&self.bytes).is_err() => {
                Err(Error::new(ErrorKind::InvalidArgument, "the text is not UTF-8"))
            }
            ValueKind::Text | ValueKind::Bytes => Ok(()),
        }
    }
}

fn wrong_type(found: ValueKind, message: &'static str) -> Error {
    Error::new(ErrorKind::WrongType, format!("{message} (found {found})")).with_reason(Reason::Found(found))
}

fn damaged(kind: ValueKind) -> Error {
    Error::new(ErrorKind::Protocol, format!("the store handed out a value marked as {kind} that is not {kind}"))
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.bytes == other.bytes
                || matches!((self.as_json(), other.as_json()), (Ok(Some(left)), Ok(Some(right))) if left == right))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({}, {} bytes)", self.kind, self.bytes.len())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::of_checked_text(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::of_checked_text(Bytes::from(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl From<Box<str>> for Value {
    fn from(text: Box<str>) -> Self {
        Self::from(String::from(text))
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::from(&*text)
    }
}

impl From<char> for Value {
    fn from(text: char) -> Self {
        Self::from(text.encode_utf8(&mut [0; 4]) as &str)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::from_stored(ValueKind::Bytes, bytes)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::from(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

/// Copies nothing.
impl From<&Self> for Value {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

/// A string becomes text (VAL-1); everything else JSON, which is checked when it is written (VAL-3).
impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::String(text) => Self::from(text),
            other => Self::from_stored(ValueKind::Json, Bytes::from(other.to_string())),
        }
    }
}

macro_rules! from_json_scalar {
    ($($scalar:ty),*) => {$(
        impl From<$scalar> for Value {
            fn from(scalar: $scalar) -> Self {
                Self { kind: ValueKind::Json, is_checked: true, bytes: Bytes::from(scalar.to_string()) }
            }
        }
    )*};
}
from_json_scalar!(bool, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

macro_rules! from_float {
    ($($float:ty),*) => {$(
        /// A JSON number. A NaN or an infinity is not JSON, and is refused when it is written (VAL-3).
        impl From<$float> for Value {
            fn from(float: $float) -> Self {
                Self::serialize(&float)
                    .unwrap_or_else(|_| Self::from_stored(ValueKind::Json, Bytes::from_static(b"NaN")))
            }
        }
    )*};
}
from_float!(f32, f64);

impl JsonText<'_> {
    /// The value that it stands for: text when it is a string (VAL-1).
    #[must_use]
    pub fn to_value(self) -> Value {
        match self.as_str() {
            Some(text) => Value::from(text),
            None => Value::from_stored(ValueKind::Json, Bytes::from(self.compact().into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn val_6_text_is_tried_as_a_string_first() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        enum Unit {
            A,
        }
        assert_eq!(Value::from("A").decode::<Unit>().unwrap(), Unit::A);
        assert_eq!(Value::from("\"A\"").decode::<String>().unwrap(), "\"A\"");
        assert_eq!(Value::from("{\"a\":1}").decode::<serde_json::Value>().unwrap(), json!("{\"a\":1}"));
        assert_eq!(Value::from("[1]").decode::<Vec<u8>>().unwrap(), [1]);
        assert_eq!(
            Value::from(vec![1u8]).decode::<Vec<u8>>().unwrap_err().reason(),
            Some(&Reason::Found(ValueKind::Bytes))
        );
    }

    #[test]
    fn val_6_what_was_serialised_decodes_to_itself() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Name(String);
        fn check<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T) {
            assert_eq!(Value::serialize(&value).unwrap().decode::<T>().unwrap(), value);
        }
        check(Some("5".to_owned()));
        check("null".to_owned());
        check(Name("[1]".to_owned()));
        check('5');
        check((1u8, "x".to_owned(), [0.1f32, f32::MIN_POSITIVE]));
        check(u64::MAX);
        check(true);
        check(std::collections::BTreeMap::from([(1u32, f64::MAX)]));
    }

    #[test]
    fn debug_never_shows_the_content() {
        assert_eq!(format!("{:?}", Value::from("secret")), "Value(text, 6 bytes)");
    }

    #[test]
    fn a_json_integer_is_a_counter_and_nothing_else_is() {
        assert_eq!(Value::from(-5i64).as_i64(), Some(-5));
        for other in [Value::from("5"), Value::from(json!(5.0)), Value::from(u64::MAX), Value::from(json!([5]))] {
            assert_eq!(other.as_i64(), None, "{other:?}");
        }
    }
}
