//! How a value stands in Puter: JSON as any other client would store it, and the envelope for the rest.

use kv_api::{Envelope, JsonForm, JsonText, Metadata, Result, Value, ValueKind, json_quoted};

/// Names that the system refuses for members of an object, at any depth.
const RESERVED_NAMES: &[&str] = &["__proto__", "constructor", "prototype"];

/// The least magnitude, zero apart, that the storage has a number for; by its vendor's documents.
const MAGNITUDE_MIN: f64 = 1e-130;

/// How deep JSON may be nested and still be kept by the storage, which by its vendor's documents has 32 levels, with
/// the levels that an envelope and the entry itself take.
const NESTING_MAX: usize = 28;

/// The JSON text that stands for a value and its metadata. Plain are text, and the JSON that the system gives back as
/// it was (ENV-1, VAL-3). A number that expires is put into an envelope: the system goes on counting in an expired one
/// that it has not swept (CNT-2).
pub(crate) fn encode(value: &Value, metadata: Option<&Metadata>, expires: bool) -> String {
    match (metadata, value.as_text(), value.as_json()) {
        (None, Some(text), _) => json_quoted(text),
        (None, _, Ok(Some(json))) if is_plain(json, expires) => json.as_text().to_owned(),
        _ => enveloped(value, metadata),
    }
}

fn is_plain(json: JsonText<'_>, expires: bool) -> bool {
    is_kept(json) && !Envelope::is_mistakable_json(json) && !(expires && json.is_number())
}

fn enveloped(value: &Value, metadata: Option<&Metadata>) -> String {
    let envelope = Envelope::new(value.clone());
    let Some(metadata) = metadata else { return envelope.encode(JsonForm::Text) };
    if metadata.as_json().is_ok_and(is_kept) {
        return envelope.with_metadata(metadata.clone()).encode(JsonForm::Text);
    }
    // Every system in JavaScript would keep it, but not this one.
    let spelled = Envelope::new(Value::from_stored(ValueKind::Json, metadata.as_bytes().clone()));
    let mut text = envelope.encode(JsonForm::Text);
    text.truncate(text.len() - 1);
    text + r#","metadata":"# + &spelled.encode(JsonForm::Text) + "}"
}

/// Whether the system takes it and gives back the same.
fn is_kept(json: JsonText<'_>) -> bool {
    json.survives_javascript() && json.nesting() <= NESTING_MAX && is_storable(json)
}

fn is_storable(json: JsonText<'_>) -> bool {
    if let Some(items) = json.array() {
        return items.into_iter().all(is_storable);
    }
    if let Some(mut members) = json.members() {
        return members.all(|(name, member)| !RESERVED_NAMES.contains(&&*name) && is_storable(member));
    }
    !json.is_number() || json.as_f64().is_some_and(|number| number == 0.0 || number.abs() >= MAGNITUDE_MIN)
}

/// The value and metadata that stored JSON stands for, from any client; `None` for null, which a get cannot tell from
/// a missing key (VAL-5).
///
/// # Errors
/// `Protocol` for the envelope of a newer version (ENV-3).
pub(crate) fn decode(json: JsonText<'_>) -> Result<Option<(Value, Option<Metadata>)>> {
    if json.is_null() {
        return Ok(None);
    }
    Ok(Some(match Envelope::decode_json(json)? {
        None => (json.to_value(), None),
        Some(envelope) => {
            let (value, metadata, _) = envelope.into_parts();
            (value, metadata)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::COUNTER_MAX;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn read(text: &str) -> Result<Option<(Value, Option<Metadata>)>> {
        decode(JsonText::parse_foreign(text).unwrap())
    }

    fn stored(value: impl Into<Value>, metadata: Option<Json>) -> Json {
        let text = encode(&value.into(), metadata.map(Metadata::from).as_ref(), false);
        serde_json::from_str(&text).unwrap()
    }

    fn nested(levels: usize) -> Json {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn env_1_what_puter_holds_is_stored_as_its_own_clients_store_it() {
        assert_eq!(stored("Tokyo", None), json!("Tokyo"));
        assert_eq!(stored("", None), json!(""));
        assert_eq!(stored("{\"$kv-envelope\":1}", None), json!("{\"$kv-envelope\":1}"), "a text is never an envelope");
        for plain in [
            json!(42),
            json!(-0.5),
            json!(1e-130),
            json!(false),
            json!({"a": 1, "": [true, null], "a.b": {}}),
            json!(COUNTER_MAX),
            json!(-COUNTER_MAX),
            nested(28),
        ] {
            assert_eq!(stored(plain.clone(), None), plain);
        }
    }

    #[test]
    fn env_1_what_puter_would_change_or_refuse_is_in_the_envelope() {
        assert_eq!(stored(b"\0", None), json!({"$kv-envelope": 1, "kind": "bytes", "value": "AA=="}));
        assert_eq!(
            stored("v", Some(json!({"n": 1}))),
            json!({"$kv-envelope": 1, "kind": "text", "value": "v", "metadata": {"n": 1}})
        );
        for json in [
            json!(COUNTER_MAX + 1),
            json!(1e20),
            json!([1e100]),
            json!(-1e-131),
            json!(5e-324),
            json!({"a": [{"__proto__": 1}]}),
            json!([{"constructor": 1}]),
            json!({"prototype": {}}),
            nested(29),
            nested(100),
        ] {
            assert_eq!(
                stored(json.clone(), None),
                json!({"$kv-envelope": 1, "kind": "json-text", "value": json.to_string()})
            );
            // In the metadata too.
            let spelled = json!({"$kv-envelope": 1, "kind": "json-text", "value": json.to_string()});
            assert_eq!(stored("v", Some(json))["metadata"], spelled);
        }
    }

    #[test]
    fn cnt_2_a_number_that_expires_is_in_the_envelope() {
        for number in [json!(5), json!(-0.5)] {
            let text = encode(&Value::from(number.clone()), None, true);
            let expected = json!({"$kv-envelope": 1, "kind": "json-text", "value": number.to_string()});
            assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), expected);
        }
        for other in [json!([5]), json!(true)] {
            assert_eq!(encode(&Value::from(other.clone()), None, true), other.to_string());
        }
        assert_eq!(encode(&Value::from("5"), None, true), r#""5""#);
    }

    #[test]
    fn env_3_what_looks_like_an_envelope_comes_back_as_it_is() {
        for version in [1, 2] {
            let value = Value::from(json!({"$kv-envelope": version, "kind": "text", "value": "v"}));
            assert_eq!(read(&encode(&value, None, false)).unwrap(), Some((value, None)));
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
            r#"{"z":1,"a":{"constructor":[],"b":1e20}}"#,
            r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
            r#"[{"$serde_json::private::RawValue":":5"},{"$serde_json::private::Number":"1e400"}]"#,
        ] {
            let value = Value::from_json_text(json).unwrap();
            let metadata = Metadata::from_json_text(json).unwrap();
            for text in [json.to_owned(), encode(&value, None, false), encode(&value, Some(&metadata), false)] {
                let (read, read_metadata) = read(&text).unwrap().unwrap();
                assert_eq!(read.as_json_text(), Some(json));
                assert!(read_metadata.is_none_or(|read| read.as_json_text() == json));
            }
        }
    }

    /// As the system would: every number through a double, and refused what it refuses.
    fn through_puter(json: Json) -> Json {
        match json {
            Json::Number(number) => {
                let number = number.as_f64().unwrap();
                assert!(number.abs() <= 9_007_199_254_740_991.0 && (number == 0.0 || number.abs() >= 1e-130));
                if number.fract() == 0.0 { format!("{number:.0}").parse().unwrap() } else { json!(number) }
            }
            Json::Array(items) => items.into_iter().map(through_puter).collect(),
            Json::Object(members) => members
                .into_iter()
                .map(|(name, member)| {
                    assert!(!["__proto__", "constructor", "prototype"].contains(&&*name));
                    (name, through_puter(member))
                })
                .collect(),
            other => other,
        }
    }

    pub(in crate::wire) fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            (-9i64..9).prop_map(Json::from),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Json::from),
            (-1e9..1e9f64).prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let member = prop_oneof![
                any::<String>(),
                Just("__proto__".to_owned()),
                Just("constructor".to_owned()),
                Just("prototype".to_owned()),
                Just("$kv-envelope".to_owned())
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(member, inner, 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn val_3_every_value_and_metadata_survives_the_system(
            value in prop_oneof![
                any::<String>().prop_map(Value::from),
                any::<Vec<u8>>().prop_map(Value::from),
                any_json().prop_map(Value::from),
            ],
            metadata in prop::option::of(any_json()),
            expires: bool,
        ) {
            let text = encode(&value, metadata.clone().map(Metadata::from).as_ref(), expires);
            let stored: Json = serde_json::from_str(&text).unwrap();
            prop_assert!(!(expires && stored.is_number()));
            let (read, read_metadata) = read(&through_puter(stored).to_string()).unwrap().unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(read_metadata, metadata.map(Metadata::from));
        }
    }
}
