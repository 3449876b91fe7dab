//! The envelope: one versioned JSON form for what a backend cannot hold itself.
//!
//! An object with exactly these members, in any order:
//!
//! | member | value |
//! | --- | --- |
//! | `$kv-envelope` | the version of the form: `1` |
//! | `kind` | `text`, `json`, `json-text` or `bytes` |
//! | `value` | text: a string; json: a number, boolean, array or object, inline; json-text: a string that spells it; bytes: a string in base64 with padding |
//! | `metadata` | optional: any JSON but null; what the system would damage, or what looks like an envelope, in an envelope of its own |
//! | `expires_at` | optional: milliseconds since the Unix epoch, an integer |
//!
//! What is almost that is plain data. An object whose `$kv-envelope` is a greater integer was written by a newer
//! version, and is an error, not data (ENV-3).

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{JsonText, quoted};
use crate::metadata::Metadata;
use crate::value::Value;
use crate::value_kind::ValueKind;

pub(crate) const MARK: &str = "$kv-envelope";
pub(crate) const VERSION: u64 = 1;

/// How JSON is kept inside an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonForm {
    /// As it is, so that a neighbour finds it (ENV-1).
    Inline,
    /// As a string that spells it, where the system itself would damage it (VAL-3).
    Text,
}

/// A value with what the backend cannot keep beside it.
///
/// ```
/// use kv_api::{Envelope, JsonForm, Metadata, Value};
/// use serde_json::json;
/// let envelope = Envelope::new(Value::from("v")).with_metadata(Metadata::from(json!({"n": 1})));
/// let text = envelope.encode(JsonForm::Inline);
/// assert_eq!(text, r#"{"$kv-envelope":1,"kind":"text","value":"v","metadata":{"n":1}}"#);
/// assert_eq!(Envelope::decode_text(&text)?, Some(envelope));
/// assert_eq!(Envelope::decode_text("plain")?, None);
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    value: Value,
    metadata: Option<Metadata>,
    expires_at: Option<Timestamp>,
}

impl Envelope {
    /// An envelope that holds the kind of its value and nothing else.
    #[must_use]
    pub const fn new(value: Value) -> Self {
        Self { value, metadata: None, expires_at: None }
    }

    /// Adds metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Adds an expiry, kept in whole milliseconds, rounded up (EXP-4).
    #[must_use]
    pub fn with_expires_at(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = Some(Timestamp::from_unix_millis(expires_at.as_unix_millis_ceil()));
        self
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The metadata, if there is any.
    #[must_use]
    pub const fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The expiry, if there is one.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Value, metadata and expiry, by themselves.
    #[must_use]
    pub fn into_parts(self) -> (Value, Option<Metadata>, Option<Timestamp>) {
        (self.value, self.metadata, self.expires_at)
    }

    /// Its compact JSON text. A text or JSON that a store handed out damaged is kept as bytes.
    #[must_use]
    pub fn encode(&self, json: JsonForm) -> String {
        let (kind, value) = match (self.value.as_text(), self.value.as_json_text(), json) {
            (Some(text), _, _) => ("text", quoted(text)),
            (_, Some(json), JsonForm::Inline) => ("json", json.to_owned()),
            (_, Some(json), JsonForm::Text) => ("json-text", quoted(json)),
            (None, None, _) => ("bytes", quoted(&STANDARD.encode(self.value.as_bytes()))),
        };
        let mut text = format!(r#"{{"{MARK}":{VERSION},"kind":"{kind}","value":{value}"#);
        if let Some(metadata) = &self.metadata {
            text.push_str(r#","metadata":"#);
            text.push_str(&encode_metadata(metadata, json));
        }
        if let Some(at) = self.expires_at {
            text.push_str(&format!(r#","expires_at":{}"#, at.as_unix_millis_ceil()));
        }
        text.push('}');
        text
    }

    /// The envelope that `json` is, whichever client wrote it; `None` when it is plain data (ENV-3).
    ///
    /// # Errors
    /// `Protocol` when it was written by a newer version.
    pub fn decode_json(json: JsonText<'_>) -> Result<Option<Self>> {
        match mark(json) {
            None => Ok(None),
            Some(VERSION) => Self::decode_members(json),
            Some(newer) => Err(newer_version(newer)),
        }
    }

    /// The envelope that `text` spells; `None` when it is plain data (ENV-3).
    ///
    /// # Errors
    /// `Protocol` when it was written by a newer version.
    pub fn decode_text(text: &str) -> Result<Option<Self>> {
        parse_marked(text).map_or(Ok(None), Self::decode_json)
    }

    /// Whether plain `json` could be taken for an envelope, of any version, and so must be put into one (ENV-3).
    #[must_use]
    pub fn is_mistakable_json(json: JsonText<'_>) -> bool {
        mark(json).is_some()
    }

    /// Whether plain `text` could be taken for an envelope, of any version, and so must be put into one (ENV-3).
    #[must_use]
    pub fn is_mistakable_text(text: &str) -> bool {
        parse_marked(text).is_some()
    }

    fn decode_members(json: JsonText<'_>) -> Result<Option<Self>> {
        let Some(members) = json.object() else { return Ok(None) };
        let metadata = match members.get("metadata") {
            None => None,
            Some(metadata) => match decode_metadata(*metadata)? {
                None => return Ok(None),
                metadata => metadata,
            },
        };
        Ok(Self::decode_value(&members).map(|envelope| Self { metadata, ..envelope }))
    }

    fn decode_value(members: &HashMap<Cow<'_, str>, JsonText<'_>>) -> Option<Self> {
        let known = |name: &Cow<'_, str>| matches!(&**name, MARK | "kind" | "value" | "metadata" | "expires_at");
        if !members.keys().all(known) {
            return None;
        }
        let content = *members.get("value")?;
        let string = content.as_str();
        let value = match (&*members.get("kind")?.as_str()?, string) {
            ("text", Some(text)) => Value::from(text),
            ("json", None) if !content.is_null() => content.to_value(),
            ("json-text", Some(text)) => {
                let value = Value::from_json_text(&text).ok()?;
                Some(value).filter(|value| value.kind() == ValueKind::Json)?
            }
            ("bytes", Some(text)) => Value::from(Bytes::from(STANDARD.decode(&*text).ok()?)),
            _ => return None,
        };
        let expires_at = match members.get("expires_at") {
            None => None,
            Some(millis) => Some(Timestamp::from_unix_millis(millis.as_i64()?)),
        };
        Some(Self { value, metadata: None, expires_at })
    }
}

/// Metadata as it may stand in an envelope: as it is, unless it would be read back as something else (VAL-3, ENV-3).
fn encode_metadata(metadata: &Metadata, form: JsonForm) -> Cow<'_, str> {
    let is_plain =
        |json: JsonText<'_>| mark(json).is_none() && (form == JsonForm::Inline || json.survives_javascript());
    if metadata.as_json().is_ok_and(is_plain) {
        Cow::Borrowed(metadata.as_json_text())
    } else {
        Cow::Owned(Envelope::new(Value::from_stored(ValueKind::Json, metadata.as_bytes().clone())).encode(form))
    }
}

/// `None` where no envelope has such metadata. What is wrapped stands one envelope deep, so that nothing recurses by
/// what others wrote.
fn decode_metadata(json: JsonText<'_>) -> Result<Option<Metadata>> {
    let wrapped = match mark(json) {
        None => None,
        Some(VERSION) => json.object().and_then(|members| Envelope::decode_value(&members)),
        Some(newer) => return Err(newer_version(newer)),
    };
    Ok(match wrapped {
        None => Some(json).filter(|json| !json.is_null()).map(JsonText::to_metadata),
        Some(wrapped) => match wrapped.value.as_text() {
            Some(text) => Some(Metadata::from_stored(Bytes::from(quoted(text)))),
            None => {
                wrapped.value.as_json_text().map(|json| Metadata::from_stored(Bytes::copy_from_slice(json.as_bytes())))
            }
        },
    })
}

/// The version an object claims as an envelope.
fn mark(json: JsonText<'_>) -> Option<u64> {
    let mut members = json.members()?;
    members.find_map(|(name, member)| if name == MARK { version(member) } else { None })
}

/// The version that a number says. `1.0` says what `1` does: a system that keeps numbers by their value
/// gives back the one for the other (VAL-3), and plain data must not become an envelope on the way (ENV-3).
pub(crate) fn version(version: JsonText<'_>) -> Option<u64> {
    version.as_u64().or_else(|| whole(version.as_f64()?)).filter(|version| *version >= 1)
}

pub(crate) fn newer_version(newer: u64) -> Error {
    let message = format!("the entry is in envelope version {newer}; this library knows up to {VERSION}");
    Error::new(ErrorKind::Protocol, message)
}

fn whole(float: f64) -> Option<u64> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and positive; saturates at the top"
    )]
    (float.fract() == 0.0 && float >= 1.0).then_some(float as u64)
}

/// The JSON object that `text` spells if it bears the mark. The two searches keep plain text from being parsed: a mark
/// that is not spelt out can only be written with escapes.
fn parse_marked(text: &str) -> Option<JsonText<'_>> {
    if !text.trim_start().starts_with('{') || !(text.contains(MARK) || text.contains("\\u")) {
        return None;
    }
    JsonText::parse_foreign(text).ok().filter(|json| mark(*json).is_some())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn env_3_what_is_almost_an_envelope_is_plain_data() {
        for plain in [
            json!({}),
            json!({"kind": "text", "value": "v"}),
            json!({"$kv-envelope": 0, "kind": "text", "value": "v"}),
            json!({"$kv-envelope": -1, "kind": "text", "value": "v"}),
            json!({"$kv-envelope": "1", "kind": "text", "value": "v"}),
            json!({"$kv-envelope": 1, "value": "v"}),
            json!({"$kv-envelope": 1, "kind": "text"}),
            json!({"$kv-envelope": 1, "kind": "text", "value": 1}),
            json!({"$kv-envelope": 1, "kind": "json", "value": null}),
            json!({"$kv-envelope": 1, "kind": "json", "value": "a string is text"}),
            json!({"$kv-envelope": 1, "kind": "json-text", "value": "not json"}),
            json!({"$kv-envelope": 1, "kind": "bytes", "value": "*"}),
            json!({"$kv-envelope": 1, "kind": "other", "value": "v"}),
            json!({"$kv-envelope": 1, "kind": "text", "value": "v", "metadata": null}),
            json!({"$kv-envelope": 1, "kind": "text", "value": "v", "expires_at": "soon"}),
            json!({"$kv-envelope": 1, "kind": "text", "value": "v", "more": 1}),
            json!([{"$kv-envelope": 1, "kind": "text", "value": "v"}]),
        ] {
            assert_eq!(Envelope::decode_text(&plain.to_string()).unwrap(), None, "{plain}");
        }
    }

    #[test]
    fn env_3_a_newer_envelope_is_an_error() {
        let newer = json!({"$kv-envelope": 2, "anything": true});
        assert_eq!(Envelope::decode_text(&newer.to_string()).unwrap_err().kind(), ErrorKind::Protocol);
        assert!(Envelope::is_mistakable_text(&newer.to_string()), "so a user's own value of that look is wrapped");
    }

    #[test]
    fn env_3_a_mark_counts_by_its_value_as_systems_may_give_it_back() {
        for (text, version) in
            [("1.0", 1), ("1e0", 1), ("2.0", 2), ("1e19", 10_000_000_000_000_000_000), ("1e300", u64::MAX)]
        {
            let text = format!(r#"{{"$kv-envelope":{text},"kind":"text","value":"v"}}"#);
            assert!(Envelope::is_mistakable_text(&text), "{text}");
            let decoded = Envelope::decode_text(&text);
            if version == VERSION {
                assert_eq!(decoded.unwrap(), Some(Envelope::new(Value::from("v"))), "{text}");
            } else {
                assert_eq!(decoded.unwrap_err().kind(), ErrorKind::Protocol, "{text}");
            }
        }
        for plain in ["0.0", "-1.0", "1.5", "0.5", "true"] {
            assert!(!Envelope::is_mistakable_text(&format!(r#"{{"$kv-envelope":{plain}}}"#)), "{plain}");
        }
    }

    #[test]
    fn val_3_metadata_that_the_system_would_damage_is_spelled_as_text() {
        for metadata in [json!({"n": u64::MAX}), json!([{"__proto__": 1}]), json!(i64::MIN)] {
            let envelope = Envelope::new(Value::from("v")).with_metadata(Metadata::from(metadata.clone()));
            let text = envelope.encode(JsonForm::Text);
            assert!(JsonText::parse(&text).unwrap().survives_javascript(), "{text}");
            assert_eq!(Envelope::decode_text(&text).unwrap().as_ref(), Some(&envelope), "{text}");
            assert!(envelope.encode(JsonForm::Inline).ends_with(&format!("\"metadata\":{metadata}}}")));
        }
    }

    #[test]
    fn env_3_metadata_that_looks_like_an_envelope_comes_back() {
        for metadata in [json!({"$kv-envelope": 1, "kind": "text", "value": "v"}), json!({"$kv-envelope": 7})] {
            let envelope = Envelope::new(Value::from("v")).with_metadata(Metadata::from(metadata));
            for form in [JsonForm::Inline, JsonForm::Text] {
                assert_eq!(Envelope::decode_text(&envelope.encode(form)).unwrap().as_ref(), Some(&envelope));
            }
        }
        let newer = json!({"$kv-envelope": 1, "kind": "text", "value": "v", "metadata": {"$kv-envelope": 2}});
        assert_eq!(Envelope::decode_text(&newer.to_string()).unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn env_3_envelopes_within_envelopes_do_not_recurse() {
        let levels = 100_000;
        let value = r#"{"$kv-envelope":1,"kind":"json","value":"#;
        for (open, has_metadata) in [(value.to_owned(), false), (format!(r#"{value}1,"metadata":"#), true)] {
            let text = open.repeat(levels) + "[1]" + &"}".repeat(levels);
            let envelope = Envelope::decode_text(&text).unwrap().unwrap();
            assert_eq!(envelope.metadata().is_some(), has_metadata);
            assert!(Envelope::is_mistakable_text(&envelope.encode(JsonForm::Text)));
        }
    }

    #[test]
    fn env_3_an_escaped_mark_is_a_mark() {
        let text = r#" {"\u0024kv-envelope":1,"kind":"text","value":"v"}"#;
        assert!(Envelope::is_mistakable_text(text));
        assert_eq!(Envelope::decode_text(text).unwrap(), Some(Envelope::new(Value::from("v"))));
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let member =
                prop_oneof![any::<String>(), Just(MARK.to_owned()), Just("kind".to_owned()), Just("value".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(member, inner, 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<Vec<u8>>().prop_map(Value::from),
            any_json().prop_map(Value::from)
        ]
    }

    proptest! {
        #[test]
        fn env_1_every_value_comes_back_equal_and_of_its_kind(
            value in any_value(),
            metadata in prop::option::of(any_json()),
            millis in prop::option::of(any::<i32>()),
            inline: bool,
        ) {
            let mut envelope = Envelope::new(value);
            if let Some(metadata) = metadata {
                envelope = envelope.with_metadata(Metadata::from(metadata));
            }
            if let Some(millis) = millis {
                envelope = envelope.with_expires_at(Timestamp::from_unix_millis(millis.into()));
            }
            let text = envelope.encode(if inline { JsonForm::Inline } else { JsonForm::Text });
            prop_assert!(Envelope::is_mistakable_text(&text), "an envelope is itself wrapped when it is a user's value");
            prop_assert_eq!(Envelope::decode_text(&text).unwrap(), Some(envelope));
        }

        #[test]
        fn env_3_plain_data_is_never_read_as_an_envelope_unless_it_is_wrapped(json in any_json()) {
            let text = json.to_string();
            if !Envelope::is_mistakable_text(&text) {
                prop_assert_eq!(Envelope::decode_text(&text).unwrap(), None);
            }
        }

        #[test]
        fn env_3_no_text_makes_it_panic(text in r#"\{?("\$kv-envelope":[0-9]{0,3})?[\PC]{0,40}\}?"#) {
            let _ = Envelope::decode_text(&text);
        }
    }
}
