//! How a value stands in Hive: JSON as any other client would store it, and the envelope for the rest.

use std::borrow::Cow;

use bytes::Bytes;
use kv_api::{Envelope, JsonForm, JsonText, Metadata, Result, Value, ValueKind, json_quoted_into};

use crate::capabilities::COUNTER_MAX;

/// The JSON text that stands for a value and its metadata. Plain are text and the JSON that Hive gives back as it was;
/// bytes, whatever has metadata, and what would be read back as something else are put into an envelope (ENV-1, ENV-3,
/// VAL-3).
pub(crate) fn encode(value: &Value, metadata: Option<&Metadata>) -> String {
    let mut text = String::new();
    encode_into(value, metadata, &mut text);
    text
}

/// The same, behind what is there.
pub(crate) fn encode_into(value: &Value, metadata: Option<&Metadata>, out: &mut String) {
    let is_plain = |json: JsonText<'_>| json.survives_javascript() && !Envelope::is_mistakable_json(json);
    match (metadata, value.as_text(), value.as_json()) {
        (None, Some(text), _) => json_quoted_into(text, out),
        (None, None, Ok(Some(json))) if is_plain(json) => out.push_str(json.as_text()),
        _ => {
            let envelope = Envelope::new(value.clone());
            let envelope = match metadata {
                Some(metadata) => envelope.with_metadata(metadata.clone()),
                None => envelope,
            };
            out.push_str(&envelope.encode(JsonForm::Text));
        }
    }
}

/// The value and metadata that stored JSON stands for, from any client; `None` for null, which Hive's own clients
/// cannot tell from a missing key (VAL-5).
pub(crate) fn decode(json: JsonText<'_>) -> Result<Option<(Value, Option<Metadata>)>> {
    if json.is_null() {
        return Ok(None);
    }
    if let Some(text) = json.as_str() {
        return Ok(Some((Value::from(text), None)));
    }
    // A system that counts in doubles may give back `5.0` for `5`: an integer stays an integer (VAL-5).
    let text = json.with_numbers(|number| match whole(number) {
        Some(integer) => Cow::Owned(integer.to_string()),
        None => Cow::Borrowed(number.as_text()),
    });
    let (value, metadata) = match Envelope::decode_text(&text)? {
        None => (Value::from_stored(ValueKind::Json, Bytes::from(text)), None),
        Some(envelope) => {
            let (value, metadata, _) = envelope.into_parts();
            (value, metadata)
        }
    };
    Ok(Some((value, metadata)))
}

/// The integer that a number is, also one spelled as a double, where doubles skip none.
pub(super) fn whole(number: JsonText<'_>) -> Option<i64> {
    number.as_i64().or_else(|| {
        let double = number.as_f64().filter(|double| double.fract() == 0.0)?;
        #[allow(clippy::cast_possible_truncation, reason = "whole; saturates beyond the range, which is refused below")]
        let integer = double as i64;
        (-COUNTER_MAX..=COUNTER_MAX).contains(&integer).then_some(integer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn read(text: &str) -> Result<Option<(Value, Option<Metadata>)>> {
        decode(JsonText::parse_foreign(text).unwrap())
    }

    fn stored(value: impl Into<Value>, metadata: Option<Json>) -> Json {
        let text = encode(&value.into(), metadata.map(Metadata::from).as_ref());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn env_1_what_hive_holds_is_stored_as_its_own_clients_store_it() {
        assert_eq!(stored("Tokyo", None), json!("Tokyo"));
        assert_eq!(stored("", None), json!(""));
        assert_eq!(stored("{\"$kv-envelope\":1}", None), json!("{\"$kv-envelope\":1}"), "a text is never an envelope");
        for plain in [json!(42), json!(1.5), json!(false), json!({"a": 1, "b": [true, null]}), json!(COUNTER_MAX)] {
            assert_eq!(stored(plain.clone(), None), plain);
        }
    }

    #[test]
    fn env_1_what_hive_would_change_is_in_the_envelope() {
        assert_eq!(stored(b"\0", None), json!({"$kv-envelope": 1, "kind": "bytes", "value": "AA=="}));
        assert_eq!(
            stored(COUNTER_MAX + 1, None),
            json!({"$kv-envelope": 1, "kind": "json-text", "value": "9007199254740992"})
        );
        assert_eq!(
            stored("v", Some(json!({"n": 1}))),
            json!({"$kv-envelope": 1, "kind": "text", "value": "v", "metadata": {"n": 1}})
        );
    }

    #[test]
    fn env_3_what_looks_like_an_envelope_comes_back_as_it_is() {
        for version in [1, 2] {
            let value = Value::from(json!({"$kv-envelope": version, "kind": "text", "value": "v"}));
            assert_eq!(read(&encode(&value, None)).unwrap(), Some((value, None)));
        }
    }

    #[test]
    fn val_3_an_integer_given_back_as_a_double_is_an_integer() {
        for (given, expected) in
            [("5.0", "5"), ("[-1.0,{\"a\":1e3}]", "[-1,{\"a\":1000}]"), ("1.5", "1.5"), ("1e300", "1e300")]
        {
            let (value, _) = read(given).unwrap().unwrap();
            assert_eq!(value.as_json_text(), Some(expected));
        }
    }

    #[test]
    fn val_5_foreign_data_reads_as_what_it_is_and_null_as_missing() {
        assert_eq!(read("\"10\"").unwrap(), Some((Value::from("10"), None)));
        assert_eq!(read(r#"{"code":1,"message":"m"}"#).unwrap().unwrap().0.kind(), ValueKind::Json);
        assert_eq!(read("null").unwrap(), None);
    }

    #[test]
    fn val_3_json_keeps_its_members_and_their_order_both_ways() {
        for json in [
            r#"{"z":1,"a":{"y":[],"b":0.1}}"#,
            r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
            r#"[{"$serde_json::private::RawValue":":5"},{"$serde_json::private::Number":"1e400"}]"#,
        ] {
            let value = Value::from_json_text(json).unwrap();
            assert_eq!(encode(&value, None), json);
            let metadata = Metadata::from_json_text(json).unwrap();
            for text in [json.to_owned(), encode(&value, Some(&metadata))] {
                let (read, read_metadata) = read(&text).unwrap().unwrap();
                assert_eq!(read.as_json_text(), Some(json));
                assert!(read_metadata.is_none_or(|read| read.as_json_text() == json));
            }
        }
    }

    /// As a server in JavaScript would: every number through a double.
    fn through_doubles(json: Json) -> Json {
        match json {
            Json::Number(number) => json!(number.as_f64().unwrap()),
            Json::Array(items) => items.into_iter().map(through_doubles).collect(),
            Json::Object(members) => {
                members.into_iter().map(|(name, member)| (name, through_doubles(member))).collect()
            }
            other => other,
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            (-9i64..9).prop_map(Json::from),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let member = prop_oneof![any::<String>(), Just("__proto__".to_owned()), Just("$kv-envelope".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(member, inner, 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn val_3_every_value_and_metadata_survives_a_server_of_doubles(
            value in prop_oneof![
                any::<String>().prop_map(Value::from),
                any::<Vec<u8>>().prop_map(Value::from),
                any_json().prop_map(Value::from),
            ],
            metadata in prop::option::of(any_json()),
        ) {
            let stored = through_doubles(stored(value.clone(), metadata.clone())).to_string();
            let (read, read_metadata) = read(&stored).unwrap().unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(read_metadata, metadata.map(Metadata::from));
        }
    }
}
