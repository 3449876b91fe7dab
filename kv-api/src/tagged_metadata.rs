//! The kind of a value in the metadata beside it (ENV-2): for a store whose values are plain bytes and whose metadata
//! is native JSON. The value itself stays as any other client writes it.
//!
//! The tag is one member of the metadata object, `$kv-envelope`: an array that begins with the version of the form,
//! `1`, and a kind.
//!
//! | metadata of the caller | what is stored when a tag is needed |
//! | --- | --- |
//! | none | `{"$kv-envelope": [1, kind]}` |
//! | an object with members, none of them the tag's | the object with one member more, `"$kv-envelope": [1, kind]` |
//! | anything else | `{"$kv-envelope": [1, kind, metadata]}` |
//! | what a system in JavaScript would damage (VAL-3) | `{"$kv-envelope": [1, kind, "its JSON text", "json-text"]}` |
//!
//! A kind is `text`, `json` or `bytes`; or `text-bom` or `bytes-bom`, for a value that begins with a byte order mark,
//! which a system that hands out text may drop without a word.
//!
//! What is almost that is plain metadata. A greater version was written by a newer library, and is an error (ENV-3).

use bytes::Bytes;

use crate::envelope::{MARK, VERSION, newer_version, version};
use crate::error::Result;
use crate::json::{JsonText, quoted};
use crate::metadata::Metadata;
use crate::value::Value;
use crate::value_kind::ValueKind;

/// What the tag says about a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KindTag {
    /// Text. Plain text is tagged only where it holds U+FFFD, which systems put in the place of what is no UTF-8.
    Text,
    /// Text that begins with a byte order mark.
    TextBom,
    /// JSON.
    Json,
    /// Bytes.
    Bytes,
    /// Bytes that begin with a byte order mark.
    BytesBom,
}

impl KindTag {
    const ALL: [Self; 5] = [Self::Text, Self::TextBom, Self::Json, Self::Bytes, Self::BytesBom];

    /// The tag of `value`, needed or not. A text or JSON that a store handed out damaged is bytes.
    fn of(value: &Value) -> Self {
        let has_bom = value.as_bytes().starts_with(BOM);
        let is_utf8 = std::str::from_utf8(value.as_bytes()).is_ok();
        match (if is_utf8 { value.kind() } else { ValueKind::Bytes }, has_bom) {
            (ValueKind::Text, false) => Self::Text,
            (ValueKind::Text, true) => Self::TextBom,
            (ValueKind::Json, _) => Self::Json,
            (ValueKind::Bytes, false) => Self::Bytes,
            (ValueKind::Bytes, true) => Self::BytesBom,
        }
    }

    /// The tag that `value` needs in order to come back as it is (ENV-1); `None` for plain text, and for bytes that are
    /// no UTF-8, which show by themselves what they are (VAL-5).
    ///
    /// ```
    /// use kv_api::{KindTag, Value};
    /// assert_eq!(KindTag::needed_for(&Value::from("text")), None);
    /// assert_eq!(KindTag::needed_for(&Value::from(1)), Some(KindTag::Json));
    /// assert_eq!(KindTag::needed_for(&Value::from(b"UTF-8")), Some(KindTag::Bytes));
    /// assert_eq!(KindTag::needed_for(&Value::from(b"\xFF")), None);
    /// ```
    #[must_use]
    pub fn needed_for(value: &Value) -> Option<Self> {
        let tag = Self::of(value);
        let as_text = std::str::from_utf8(value.as_bytes()).ok();
        let is_needed = match tag {
            Self::Text => as_text.is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER)),
            Self::Bytes | Self::BytesBom => as_text.is_some(),
            Self::TextBom | Self::Json => true,
        };
        is_needed.then_some(tag)
    }

    /// Whether the value begins with a byte order mark.
    #[must_use]
    pub const fn has_bom(self) -> bool {
        matches!(self, Self::TextBom | Self::BytesBom)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextBom => "text-bom",
            Self::Json => "json",
            Self::Bytes => "bytes",
            Self::BytesBom => "bytes-bom",
        }
    }
}

/// A byte order mark in UTF-8.
const BOM: &[u8] = "\u{FEFF}".as_bytes();

/// The third kind of entry in the array: the metadata before it is a string that spells JSON.
const JSON_TEXT: &str = "json-text";

/// Metadata as it stands in the store, taken apart: the caller's own, and the tag of the value.
///
/// ```
/// use kv_api::{KindTag, Metadata, TaggedMetadata, Value};
/// use serde_json::json;
/// let metadata = Metadata::from(json!({"by": "Ada"}));
/// let stored = TaggedMetadata::encode(&Value::from(json!([1, 2])), Some(&metadata)).expect("JSON needs a tag");
/// assert_eq!(stored.as_json_text(), r#"{"$kv-envelope":[1,"json"],"by":"Ada"}"#);
///
/// let read = TaggedMetadata::decode_json(stored.as_json()?)?;
/// assert_eq!((read.tag, read.metadata), (Some(KindTag::Json), Some(metadata)));
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TaggedMetadata {
    /// The tag of the value, if it has one.
    pub tag: Option<KindTag>,
    /// The metadata that the caller gave, if any.
    pub metadata: Option<Metadata>,
}

impl TaggedMetadata {
    /// What to store beside `value`: the metadata as it is where nothing more is needed; `None` for no metadata at all.
    #[must_use]
    pub fn encode(value: &Value, metadata: Option<&Metadata>) -> Option<Metadata> {
        let needed = KindTag::needed_for(value);
        let Some(metadata) = metadata else {
            return needed.map(|tag| tagged(tag.name(), "", ""));
        };
        let name = needed.unwrap_or_else(|| KindTag::of(value)).name();
        let text = metadata.as_json_text();
        // What is no JSON can only be spelled, and comes back as what it was stored as.
        let Some(json) = metadata.as_json().ok().filter(|json| json.survives_javascript()) else {
            return Some(tagged(name, &format!(r#",{},"{JSON_TEXT}""#, quoted(text)), ""));
        };
        let has_mark = json.members().is_some_and(|mut members| members.any(|(name, _)| name == MARK));
        if needed.is_none() && !has_mark {
            return Some(metadata.clone());
        }
        let has_members = json.members().is_some_and(|mut members| members.next().is_some());
        Some(match json.as_text().strip_prefix('{') {
            Some(members) if has_members && !has_mark => tagged(name, "", members),
            _ => tagged(name, &format!(",{text}"), ""),
        })
    }

    /// Takes apart what was stored, whichever client wrote it; null is no metadata.
    ///
    /// # Errors
    /// `Protocol` when the tag was written by a newer version (ENV-3).
    pub fn decode_json(stored: JsonText<'_>) -> Result<Self> {
        if stored.is_null() {
            return Ok(Self::default());
        }
        let mark = stored.members().and_then(|mut members| members.find(|(name, _)| name == MARK));
        let claimed = mark.and_then(|(_, mark)| version(*mark.array()?.first()?));
        match claimed {
            None => {}
            Some(VERSION) => {
                if let Some(tagged) = Self::decode_tag(stored) {
                    return Ok(tagged);
                }
            }
            Some(newer) => return Err(newer_version(newer)),
        }
        Ok(Self { tag: None, metadata: Some(stored.to_metadata()) })
    }

    fn decode_tag(stored: JsonText<'_>) -> Option<Self> {
        let members = stored.object()?;
        let parts = members.get(MARK)?.array()?;
        let name = parts.get(1)?.as_str()?;
        let tag = KindTag::ALL.into_iter().find(|tag| tag.name() == name);
        let metadata = match parts.get(2..)? {
            [] => {
                let others = stored.members()?.filter(|(name, _)| name != MARK);
                let others: Vec<_> =
                    others.map(|(name, member)| format!("{}:{}", quoted(&name), member.compact())).collect();
                (!others.is_empty()).then(|| stored_metadata(format!("{{{}}}", others.join(","))))
            }
            _ if members.len() > 1 => return None,
            [metadata] if metadata.is_null() => return None,
            [metadata] => Some(metadata.to_metadata()),
            [text, form] if form.as_str().is_some_and(|form| form == JSON_TEXT) => {
                let metadata = Metadata::from_json_text(&text.as_str()?).ok();
                Some(metadata.filter(|metadata| !metadata.is_null())?)
            }
            _ => return None,
        };
        Some(Self { tag: Some(tag?), metadata })
    }
}

/// An object that begins with the tag; `parts` are more items of it, `members` are what stands behind it, with the
/// bracket that ends them.
fn tagged(kind: &str, parts: &str, members: &str) -> Metadata {
    let (comma, end) = if members.is_empty() { ("", "}") } else { (",", members) };
    stored_metadata(format!(r#"{{"{MARK}":[{VERSION},"{kind}"{parts}]{comma}{end}"#))
}

fn stored_metadata(json: String) -> Metadata {
    Metadata::from_stored(Bytes::from(json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::tests::{any_json, any_value};
    use crate::error::ErrorKind;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn decode(json: Json) -> Result<TaggedMetadata> {
        TaggedMetadata::decode_json(JsonText::parse(&json.to_string()).unwrap())
    }

    fn stored(value: impl Into<Value>, metadata: Option<Json>) -> Option<Json> {
        let metadata = metadata.map(Metadata::from);
        TaggedMetadata::encode(&value.into(), metadata.as_ref()).map(|stored| stored.decode().unwrap())
    }

    #[test]
    fn env_2_a_tag_is_stored_where_the_value_needs_one() {
        for (value, tag) in [
            (Value::from("plain"), None),
            (Value::from(""), None),
            (Value::from(json!([1])), Some("json")),
            (Value::from(b"UTF-8"), Some("bytes")),
            (Value::from(b""), Some("bytes")),
            (Value::from(b"\xFF\xFE"), None),
            (Value::from(b"\xEF\xBB\xBF\xFF"), None),
            (Value::from(b"\xEF\xBB\xBFx"), Some("bytes-bom")),
            (Value::from("\u{FEFF}x"), Some("text-bom")),
            (Value::from("x\u{FEFF}"), None),
            (Value::from_stored(ValueKind::Text, b"\xFF".as_slice().into()), None),
            (Value::from_stored(ValueKind::Json, b"\"\xFF\"".as_slice().into()), None),
            (Value::from("x\u{FFFD}"), Some("text")),
        ] {
            let expected = tag.map(|tag| json!({"$kv-envelope": [1, tag]}));
            assert_eq!(stored(value.clone(), None), expected, "{:?}", value.as_bytes());
        }
    }

    #[test]
    fn env_2_the_metadata_of_the_caller_stays_readable() {
        let check = |value: Value, metadata: Json, expected: Json| {
            assert_eq!(stored(value, Some(metadata.clone())), Some(expected), "{metadata}");
        };
        check("plain".into(), json!({"a": 1}), json!({"a": 1}));
        check("plain".into(), json!([1]), json!([1]));
        check("plain".into(), json!({}), json!({}));
        check(1.into(), json!({"a": 1}), json!({"a": 1, "$kv-envelope": [1, "json"]}));
        check(1.into(), json!({}), json!({"$kv-envelope": [1, "json", {}]}));
        check(1.into(), json!("m"), json!({"$kv-envelope": [1, "json", "m"]}));
        check(1.into(), json!(false), json!({"$kv-envelope": [1, "json", false]}));
        let forged = json!({"$kv-envelope": [1, "bytes"], "a": 1});
        check("plain".into(), forged.clone(), json!({"$kv-envelope": [1, "text", forged]}));
        check("plain".into(), json!({"$kv-envelope": 0}), json!({"$kv-envelope": [1, "text", {"$kv-envelope": 0}]}));
        let damaged = r#"{"n":9007199254740993}"#;
        let expected = json!({"$kv-envelope": [1, "text", damaged, "json-text"]});
        check("plain".into(), serde_json::from_str(damaged).unwrap(), expected);
        let expected = json!({"$kv-envelope": [1, "bytes", r#"[{"__proto__":1}]"#, "json-text"]});
        check(b"\xFF".into(), json!([{"__proto__": 1}]), expected);
    }

    #[test]
    fn env_2_what_is_no_json_harms_nobody() {
        let broken = Metadata::from_stored("1},{".into());
        let stored = TaggedMetadata::encode(&Value::from("v"), Some(&broken)).unwrap();
        assert_eq!(stored.decode::<Json>().unwrap(), json!({"$kv-envelope": [1, "text", "1},{", "json-text"]}));
    }

    #[test]
    fn env_3_what_is_almost_a_tag_is_plain_metadata() {
        for plain in [
            json!({"$kv-envelope": 1}),
            json!({"$kv-envelope": []}),
            json!({"$kv-envelope": [1]}),
            json!({"$kv-envelope": [0, "text"]}),
            json!({"$kv-envelope": [1.5, "text"]}),
            json!({"$kv-envelope": ["1", "text"]}),
            json!({"$kv-envelope": [1, "other"]}),
            json!({"$kv-envelope": [1, 1]}),
            json!({"$kv-envelope": [1, "text", null]}),
            json!({"$kv-envelope": [1, "text", 1], "more": 1}),
            json!({"$kv-envelope": [1, "text", "1", "other"]}),
            json!({"$kv-envelope": [1, "text", "not json", "json-text"]}),
            json!({"$kv-envelope": [1, "text", "null", "json-text"]}),
            json!({"$kv-envelope": [1, "text", 1, "json-text"]}),
            json!({"$kv-envelope": [1, "text", "1", "json-text", 1]}),
            json!([{"$kv-envelope": [1, "text"]}]),
            json!({}),
            json!("text"),
        ] {
            let read = decode(plain.clone()).unwrap();
            assert_eq!(read, TaggedMetadata { tag: None, metadata: Some(plain.clone().into()) }, "{plain}");
        }
        assert_eq!(decode(Json::Null).unwrap(), TaggedMetadata::default());
    }

    #[test]
    fn env_3_a_version_counts_by_its_value_and_a_newer_one_is_an_error() {
        let read = decode(json!({"$kv-envelope": [1.0, "json"]})).unwrap();
        assert_eq!(read, TaggedMetadata { tag: Some(KindTag::Json), metadata: None });
        for newer in [json!([2]), json!([2.0, "json"]), json!([u64::MAX, {}])] {
            let error = decode(json!({"$kv-envelope": newer, "a": 1})).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }

    /// What a system in JavaScript gives back: every number a double, and `__proto__` lost.
    fn through_javascript(json: Json) -> Json {
        match json {
            Json::Number(number) => Json::from(number.as_f64()),
            Json::Array(items) => items.into_iter().map(through_javascript).collect(),
            Json::Object(members) => members
                .into_iter()
                .filter(|(name, _)| name != "__proto__")
                .map(|(name, member)| (name, through_javascript(member)))
                .collect(),
            other => other,
        }
    }

    fn any_metadata() -> impl Strategy<Value = Json> {
        let mark = any_json().prop_map(|json| json!({MARK: json}));
        let forged = prop::collection::vec(
            prop_oneof![Just(json!(1)), Just(json!("text")), Just(json!("json-text")), any_json()],
            0..5,
        );
        prop_oneof![
            any_json(),
            mark,
            forged.prop_map(|parts| json!({MARK: parts})),
            Just(json!({"a": {"__proto__": 1}}))
        ]
    }

    proptest! {
        #[test]
        fn env_2_kind_and_metadata_come_back_through_a_system_in_javascript(
            value in any_value(),
            metadata in prop::option::of(any_metadata().prop_map(Metadata::from)),
        ) {
            let stored = TaggedMetadata::encode(&value, metadata.as_ref());
            let stored = stored.map_or(Json::Null, |stored| through_javascript(stored.decode().unwrap()));
            let read = decode(stored).unwrap();
            prop_assert_eq!(read.metadata, metadata);
            match KindTag::needed_for(&value) {
                None => prop_assert!(read.tag.is_none_or(|tag| tag == KindTag::of(&value))),
                needed => prop_assert_eq!(read.tag, needed),
            }
        }

        #[test]
        fn env_3_metadata_without_the_mark_is_never_read_as_a_tag(json in any_json()) {
            prop_assume!(json.get(MARK).is_none());
            prop_assert_eq!(decode(json).unwrap().tag, None);
        }
    }
}
