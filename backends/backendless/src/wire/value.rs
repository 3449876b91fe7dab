//! How a value stands in Hive: JSON as any other client would store it, and the envelope for the rest.

use kv_api::{Envelope, JsonForm, Metadata, Result, Value, ValueKind, json_survives_javascript};
use serde_json::{Number, Value as Json};

use crate::capabilities::COUNTER_MAX;

/// The JSON text that stands for a value and its metadata. Plain are text and the JSON that Hive gives back as it was; bytes,
/// whatever has metadata, and what would be read back as something else are put into an envelope (ENV-1, ENV-3, VAL-3).
pub(crate) fn encode(value: &Value, metadata: Option<&Metadata>) -> String {
    let plain = match (metadata, value.kind()) {
        (None, ValueKind::Text) => value.as_text().and_then(|text| serde_json::to_string(text).ok()),
        (None, ValueKind::Json) => value
            .to_json()
            .is_ok_and(|json| json_survives_javascript(&json) && !Envelope::is_mistakable(&json))
            .then(|| value.as_json_text().map(str::to_owned))
            .flatten(),
        _ => None,
    };
    plain.unwrap_or_else(|| {
        let envelope = Envelope::new(value.clone());
        let envelope = match metadata {
            Some(metadata) => envelope.with_metadata(metadata.clone()),
            None => envelope,
        };
        envelope.encode(JsonForm::Text)
    })
}

/// The value and metadata that stored JSON stands for, whoever wrote it; `None` for null, which Hive's own clients cannot tell
/// from a missing key (VAL-5).
pub(crate) fn decode(mut json: Json) -> Result<Option<(Value, Option<Metadata>)>> {
    if json.is_null() {
        return Ok(None);
    }
    make_integers_whole(&mut json);
    let (value, metadata) = match Envelope::decode(&json)? {
        None => (Value::from(json), None),
        Some(envelope) => {
            let (value, metadata, _) = envelope.into_parts();
            (value, metadata)
        }
    };
    Ok(Some((value, metadata)))
}

/// A system that counts in doubles may give back `5.0` for `5`: an integer stays an integer (VAL-3), and a whole double may
/// come back as one.
fn make_integers_whole(json: &mut Json) {
    match json {
        Json::Number(number) => {
            if let Some(integer) = whole(number) {
                *number = Number::from(integer);
            }
        }
        Json::Array(items) => items.iter_mut().for_each(make_integers_whole),
        Json::Object(members) => members.values_mut().for_each(make_integers_whole),
        Json::Null | Json::Bool(_) | Json::String(_) => {}
    }
}

/// The integer that a number is, also one spelled as a double, where doubles skip none.
pub(super) fn whole(number: &Number) -> Option<i64> {
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
    use kv_api::json_equal;
    use proptest::prelude::*;
    use serde_json::json;

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
            assert_eq!(decode(stored(value.clone(), None)).unwrap(), Some((value, None)));
        }
    }

    #[test]
    fn val_3_an_integer_given_back_as_a_double_is_an_integer() {
        for (given, read) in
            [("5.0", "5"), ("[-1.0,{\"a\":1e3}]", "[-1,{\"a\":1000}]"), ("1.5", "1.5"), ("1e300", "1e+300")]
        {
            let (value, _) = decode(serde_json::from_str(given).unwrap()).unwrap().unwrap();
            assert_eq!(value.as_json_text(), Some(read));
        }
    }

    #[test]
    fn val_5_foreign_data_reads_as_what_it_is_and_null_as_missing() {
        assert_eq!(decode(json!("10")).unwrap(), Some((Value::from("10"), None)));
        assert_eq!(decode(json!({"code": 1, "message": "m"})).unwrap().unwrap().0.kind(), ValueKind::Json);
        assert_eq!(decode(Json::Null).unwrap(), None);
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
            let (read, read_metadata) = decode(through_doubles(stored(value.clone(), metadata.clone()))).unwrap().unwrap();
            prop_assert_eq!(read, value);
            match (metadata, read_metadata) {
                (None, None) => {}
                (Some(given), Some(read)) => prop_assert!(json_equal(&given, &read.decode::<Json>().unwrap())),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
