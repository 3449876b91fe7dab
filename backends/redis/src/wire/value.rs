//! Values as the server has them: plain wherever that reads back as what it was, else in an envelope (ENV-1).

use std::borrow::Cow;

use bytes::Bytes;
use kv_api::{Envelope, JsonForm, Metadata, Result, Value, ValueKind, Version};
use sha1::{Digest, Sha1};

/// What is stored for a value. Texts, bytes that are no UTF-8, and integers of 64 bits are what they are for any other
/// client; the rest is in an envelope.
pub(crate) fn encode<'v>(value: &'v Value, metadata: Option<&Metadata>) -> Cow<'v, [u8]> {
    match metadata {
        None if is_plain(value) => Cow::Borrowed(&value.as_bytes()[..]),
        None => enveloped(Envelope::new(value.clone())),
        Some(metadata) => enveloped(Envelope::new(value.clone()).with_metadata(metadata.clone())),
    }
}

fn enveloped(envelope: Envelope) -> Cow<'static, [u8]> {
    Cow::Owned(envelope.encode(JsonForm::Inline).into_bytes())
}

/// Whether the bytes of the value alone read back as it.
fn is_plain(value: &Value) -> bool {
    let bytes = value.as_bytes();
    match value.kind() {
        ValueKind::Json => is_integer(bytes),
        ValueKind::Bytes => std::str::from_utf8(bytes).is_err(),
        ValueKind::Text => {
            value.as_text().is_some_and(|text| !is_integer(bytes) && !Envelope::is_mistakable_text(text))
        }
        // The envelope names every kind there is.
        _ => false,
    }
}

/// What a stored string stands for, whichever client wrote it (VAL-5).
///
/// # Errors
/// `Protocol` when a newer version of this library put it into an envelope.
pub(crate) fn decode(stored: Vec<u8>) -> Result<(Value, Option<Metadata>)> {
    let Ok(text) = std::str::from_utf8(&stored) else {
        return Ok((Value::from_stored(ValueKind::Bytes, Bytes::from(stored)), None));
    };
    if is_integer(&stored) {
        return Ok((Value::from_stored(ValueKind::Json, Bytes::from(stored)), None));
    }
    if let Some(envelope) = Envelope::decode_text(text)? {
        let (value, metadata, _) = envelope.into_parts();
        return Ok((value, metadata));
    }
    Ok((Value::from_stored(ValueKind::Text, Bytes::from(stored)), None))
}

/// Whether this is an integer of 64 bits in its one decimal form, as counters are stored.
pub(crate) fn is_integer(bytes: &[u8]) -> bool {
    // No integer is longer, and most texts end here.
    const BYTES_MAX: usize = "-9223372036854775808".len();
    let is_number = || std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<i64>().is_ok());
    match bytes.strip_prefix(b"-").unwrap_or(bytes) {
        [b'0'] => bytes.len() == 1,
        [b'1'..=b'9', ..] => bytes.len() <= BYTES_MAX && is_number(),
        _ => false,
    }
}

/// The version of what is stored: SHA-1 over the scope of the store and the stored bytes, as the scripts compute it
/// too. The scope keeps the versions of two stores apart (VER-2).
pub(crate) fn version(scope: &str, stored: &[u8]) -> Result<Version> {
    let mut hasher = Sha1::new();
    hasher.update(scope.as_bytes());
    hasher.update(stored);
    hex(&hasher.finalize()).parse()
}

/// SHA-1, as the server spells it: the name by which it knows a script.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha1::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    // Each set computes a version: formatting byte by byte would cost more than the digest.
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        hex.push(DIGITS[usize::from(byte >> 4)]);
        hex.push(DIGITS[usize::from(byte & 15)]);
    }
    hex
}

/// How long the stored form is, for limits (CHK-2). The exact length is computed only where it may matter: an envelope
/// is at most about six times as long as what is in it.
pub(crate) fn stored_bytes(value: &Value, metadata: Option<&Metadata>) -> u64 {
    const SMALL: usize = 64 * 1024 * 1024;
    let bytes = value.as_bytes().len() + metadata.map_or(0, |metadata| metadata.as_bytes().len());
    if bytes <= SMALL { bytes as u64 } else { encode(value, metadata).len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ErrorKind;
    use proptest::prelude::*;
    use serde_json::json;

    fn stored(value: impl Into<Value>) -> String {
        String::from_utf8(encode(&value.into(), None).into_owned()).unwrap()
    }

    #[test]
    fn chk_2_a_value_and_its_metadata_are_measured_together() {
        let metadata = Metadata::from(json!({"a": 1}));
        assert_eq!(stored_bytes(&Value::from("abc"), None), 3);
        assert_eq!(stored_bytes(&Value::from("abc"), Some(&metadata)), 3 + metadata.as_bytes().len() as u64);
    }

    #[test]
    fn env_1_plain_data_is_what_any_client_would_write() {
        assert_eq!(stored("Ada"), "Ada");
        assert_eq!(stored(""), "");
        assert_eq!(stored(42), "42");
        assert_eq!(stored(i64::MIN), i64::MIN.to_string());
        assert_eq!(stored("007"), "007");
        assert_eq!(encode(&Value::from(b"\xff\x00".as_slice()), None), b"\xff\x00".as_slice());
        assert_eq!(stored("42"), r#"{"$kv-envelope":1,"kind":"text","value":"42"}"#);
        assert_eq!(stored(1.5), r#"{"$kv-envelope":1,"kind":"json","value":1.5}"#);
        assert_eq!(stored(u64::MAX), format!(r#"{{"$kv-envelope":1,"kind":"json","value":{}}}"#, u64::MAX));
        assert_eq!(stored(json!({"a": 1})), r#"{"$kv-envelope":1,"kind":"json","value":{"a":1}}"#);
        assert_eq!(stored(b"abc".as_slice()), r#"{"$kv-envelope":1,"kind":"bytes","value":"YWJj"}"#);
        let metadata = Metadata::from(json!({"n": 1}));
        let with_metadata = encode(&Value::from("v"), Some(&metadata)).into_owned();
        assert_eq!(with_metadata, br#"{"$kv-envelope":1,"kind":"text","value":"v","metadata":{"n":1}}"#);
        assert_eq!(decode(with_metadata).unwrap(), (Value::from("v"), Some(metadata)));
    }

    #[test]
    fn val_5_what_others_wrote_reads_as_what_it_is() {
        for (stored, value) in [
            (&b"text"[..], Value::from("text")),
            (b"12", Value::from(12)),
            (b"-9223372036854775808", Value::from(i64::MIN)),
            (b"9223372036854775808", Value::from("9223372036854775808")),
            (b"-9223372036854775809", Value::from("-9223372036854775809")),
            (b"-0", Value::from("-0")),
            (b"+1", Value::from("+1")),
            (b"01", Value::from("01")),
            (b"1.0", Value::from("1.0")),
            (b" 1", Value::from(" 1")),
            (b"{\"a\":1}", Value::from("{\"a\":1}")),
            (b"\xc3\x28", Value::from(b"\xc3\x28".as_slice())),
        ] {
            assert_eq!(decode(stored.to_vec()).unwrap().0, value, "{stored:?}");
        }
    }

    #[test]
    fn env_3_what_a_newer_version_wrote_is_an_error_and_what_looks_like_it_is_enveloped() {
        let newer = r#"{"$kv-envelope":2,"anything":true}"#;
        assert_eq!(decode(newer.as_bytes().to_vec()).unwrap_err().kind(), ErrorKind::Protocol);
        let kept = stored(newer);
        assert_ne!(kept, newer);
        assert_eq!(decode(kept.into_bytes()).unwrap().0, Value::from(newer));
    }

    #[test]
    fn ver_2_another_scope_has_other_versions() {
        let (one, other) = (version("a", b"v").unwrap(), version("b", b"v").unwrap());
        assert_ne!(one, other);
        assert_eq!(one.to_string().len(), 40);
        // As redis-cli says: EVAL "return redis.sha1hex('av')" 0
        assert_eq!(one.to_string(), digest(b"av"));
        assert_eq!(digest(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    }

    proptest! {
        #[test]
        fn val_2_what_was_written_comes_back(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40), n: i64) {
            for value in [Value::from(text), Value::from(bytes), Value::from(n), Value::from(n.to_string())] {
                prop_assert_eq!(decode(encode(&value, None).into_owned()).unwrap().0, value);
            }
        }

        #[test]
        fn cnt_1_exactly_the_integers_of_64_bits_are_counters(n: i128, text in "-?[0-9]{0,21}") {
            prop_assert_eq!(is_integer(n.to_string().as_bytes()), i64::try_from(n).is_ok());
            let is_canonical = text.parse::<i64>().is_ok_and(|n| n.to_string() == text);
            prop_assert_eq!(is_integer(text.as_bytes()), is_canonical);
        }
    }
}
