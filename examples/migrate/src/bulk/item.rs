//! One item of the bulk format as text, in both directions.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kv_api::{ErrorKind, Metadata, NESTING_MAX, Timestamp, Value, ValueKind};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Number, Value as Json};

use crate::record::{Record, RecordExpiry};

/// What is wrong with the text of an item.
#[derive(Debug, PartialEq)]
pub(super) struct ItemError {
    /// The line within the text, from 1.
    pub(super) line: u64,
    pub(super) member: Option<String>,
    pub(super) problem: String,
}

/// The members of an item as they stand.
#[derive(Default)]
struct Members {
    key: Option<String>,
    value: Option<String>,
    base64: Option<bool>,
    kind: Option<String>,
    expiration: Option<Number>,
    expiration_ttl: Option<Number>,
    metadata: Option<Json>,
}

/// Reads an item that begins in `line` of its file.
pub(super) fn parse(text: &[u8], line: u64) -> Result<Record, ItemError> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        ItemError { line, member: None, problem: "is not UTF-8".to_owned() }
    })?;
    let blame = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = ItemSeed { blame: &blame }
        .deserialize(&mut deserializer)
        .and_then(|members| deserializer.end().map(|()| members))
        .map_err(|error| {
            let (member, expected) =
                blame.take().map_or((None, None), |blame: Blame| (Some(blame.member), blame.problem));
            let problem = match (error.classify(), expected) {
                (serde_json::error::Category::Data, Some(expected)) => expected.to_owned(),
                (serde_json::error::Category::Data, None) => "expected an item, which is a JSON object".to_owned(),
                // The parser's own words hold no part of a value; only its position has to go, which is our line.
                _ => format!("is not JSON: {}", without_position(&error.to_string())),
            };
            ItemError { line: error.line().max(1) as u64, member, problem }
        })?;
    members.into_record(text, line)
}

impl Members {
    fn into_record(self, text: &str, line: u64) -> Result<Record, ItemError> {
        let wrong = |member: &str, problem: &str| ItemError {
            line: 1,
            member: Some(member.to_owned()),
            problem: problem.to_owned(),
        };
        let key = self.key.ok_or_else(|| wrong("key", "is missing"))?;
        let value = self.value.ok_or_else(|| wrong("value", "is missing"))?;
        let value = match (self.base64.unwrap_or(false), self.kind.as_deref()) {
            (false, None) => Value::from(value),
            (true, None) => {
                Value::from(STANDARD.decode(&value).map_err(|_| wrong("value", "is not base64 (standard alphabet)"))?)
            }
            (false, Some("json")) => Value::from_json_text(&value)
                .map_err(|error| wrong("value", &format!("is not JSON that can be kept: {}", error.message())))?,
            (true, Some("json")) => return Err(wrong("kind", "must not stand beside base64")),
            (_, Some(_)) => return Err(wrong("kind", "must be \"json\"")),
        };
        // With both given the ttl counts and the time takes no part: that is the format's own rule (Cloudflare KV), and
        // so it is decided here, whatever the store that the item goes to would do (EXP-2).
        let expiry = if let Some(ttl) = self.expiration_ttl {
            let seconds = whole_seconds(&ttl).and_then(|seconds| u64::try_from(seconds).ok());
            let seconds = seconds.ok_or_else(|| wrong("expiration_ttl", "must be a whole number of seconds"))?;
            RecordExpiry::After(Duration::from_secs(seconds))
        } else if let Some(at) = self.expiration {
            let seconds = whole_seconds(&at);
            let seconds = seconds.ok_or_else(|| wrong("expiration", "must be a whole number of seconds since 1970"))?;
            let at = Timestamp::from_unix_seconds(seconds);
            if at.as_unix_seconds_ceil() != seconds {
                return Err(wrong("expiration", "is beyond the times that can be kept"));
            }
            RecordExpiry::At(at)
        } else {
            RecordExpiry::Never
        };
        let metadata = match self.metadata {
            None | Some(Json::Null) => None,
            Some(json) => {
                // An integer beyond 64 bits has become the nearest double by now; only the text still tells.
                if holds_huge_number(&json) && Value::from_json_text(text).is_err() {
                    return Err(wrong("metadata", "holds an integer outside -2^63 to 2^64-1, which would lose digits"));
                }
                if nesting(&json) > NESTING_MAX {
                    return Err(wrong("metadata", "is nested deeper than 100 levels"));
                }
                Some(Metadata::from(json))
            }
        };
        Ok(Record { key, value, metadata, expiry, line: Some(line) })
    }
}

/// `60` and, as some write it, `60.0`.
fn whole_seconds(number: &Number) -> Option<i64> {
    /// Up to here every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
        #[allow(clippy::cast_possible_truncation, reason = "whole and within range, by the line above")]
        Some(float as i64)
    })
}

fn holds_huge_number(json: &Json) -> bool {
    const BEYOND_I64: f64 = 9_223_372_036_854_775_808.0;
    match json {
        Json::Number(number) => number.is_f64() && number.as_f64().is_some_and(|float| float.abs() >= BEYOND_I64),
        Json::Array(items) => items.iter().any(holds_huge_number),
        Json::Object(members) => members.values().any(holds_huge_number),
        Json::Null | Json::Bool(_) | Json::String(_) => false,
    }
}

/// How many arrays and objects lie inside one another; the parser has bounded it.
fn nesting(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Json::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

/// Which member is at fault, so that the error can name it, and what is wrong when it is not the JSON itself.
struct Blame {
    member: String,
    problem: Option<&'static str>,
}

struct ItemSeed<'b> {
    blame: &'b RefCell<Option<Blame>>,
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_> {
    type Value = Members;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ItemSeed<'_> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "key" => self.member(&mut map, &mut members.key, name, "must be a string"),
                "value" => self.member(&mut map, &mut members.value, name, "must be a string"),
                "base64" => self.member(&mut map, &mut members.base64, name, "must be true or false"),
                "kind" => self.member(&mut map, &mut members.kind, name, "must be a string"),
                "expiration" => self.member(&mut map, &mut members.expiration, name, "must be a number"),
                "expiration_ttl" => self.member(&mut map, &mut members.expiration_ttl, name, "must be a number"),
                "metadata" => self.member(&mut map, &mut members.metadata, name, "must be JSON"),
                _ => Err(self.blame(name, Some("is no member of an item"))),
            }?;
        }
        Ok(members)
    }
}

impl ItemSeed<'_> {
    fn member<'de, A: MapAccess<'de>, T: de::Deserialize<'de>>(
        &self,
        map: &mut A,
        slot: &mut Option<T>,
        name: String,
        expected: &'static str,
    ) -> Result<(), A::Error> {
        if slot.is_some() {
            return Err(self.blame(name, Some("is given twice")));
        }
        match map.next_value() {
            Ok(value) => {
                *slot = Some(value);
                Ok(())
            }
            Err(error) => {
                self.blame::<A::Error>(name, Some(expected));
                Err(error)
            }
        }
    }

    fn blame<E: de::Error>(&self, member: String, problem: Option<&'static str>) -> E {
        self.blame.replace(Some(Blame { member, problem }));
        E::custom("see the blame")
    }
}

/// Writes an item as one line without its end: members in a fixed order, so that equal entries give equal text.
///
/// # Errors
/// When the text could not be read back: what a store handed out as text, JSON or metadata is none.
pub(super) fn write(record: &Record, text: &mut Vec<u8>) -> kv_api::Result<()> {
    let damaged = |what: &str| {
        kv_api::Error::new(ErrorKind::Protocol, format!("the store handed out {what}")).with_key(&record.key)
    };
    text.extend_from_slice(b"{\"key\":");
    string(&record.key, text);
    text.extend_from_slice(b",\"value\":");
    match record.value.kind() {
        ValueKind::Text => string(record.value.as_text().ok_or_else(|| damaged("text that is not UTF-8"))?, text),
        ValueKind::Json => {
            let json = record.value.as_json_text().ok_or_else(|| damaged("JSON that is not UTF-8"))?;
            Value::from_json_text(json).map_err(|_| damaged("JSON that is none"))?;
            string(json, text);
            text.extend_from_slice(b",\"kind\":\"json\"");
        }
        ValueKind::Bytes => {
            string(&STANDARD.encode(record.value.as_bytes()), text);
            text.extend_from_slice(b",\"base64\":true");
        }
        _ => return Err(damaged("a kind of value that the bulk format has no words for")),
    }
    // Writing to a vector cannot fail.
    let _ = match record.expiry {
        RecordExpiry::Never | RecordExpiry::Unknown => Ok(()),
        // Rounded up: a file never makes an entry end early (EXP-4).
        RecordExpiry::At(at) => write!(text, ",\"expiration\":{}", at.as_unix_seconds_ceil()),
        RecordExpiry::After(ttl) => {
            write!(text, ",\"expiration_ttl\":{}", ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
        }
    };
    if let Some(metadata) = &record.metadata {
        // Read again, since a line end in it would cut the item in two.
        let metadata =
            Metadata::from_json_text(metadata.as_json_text()).map_err(|_| damaged("metadata that is not JSON"))?;
        text.extend_from_slice(b",\"metadata\":");
        text.extend_from_slice(metadata.as_bytes());
    }
    text.push(b'}');
    Ok(())
}

fn string(string: &str, text: &mut Vec<u8>) {
    // Writing a string to a vector cannot fail.
    let _ = serde_json::to_writer(text, string);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check_refused(text: &str, line: u64, member: Option<&str>, problem: &str) {
        let error = parse(text.as_bytes(), 7).map(|record| record.key).expect_err(text);
        assert_eq!((error.line, error.member.as_deref()), (line, member), "{text}: {}", error.problem);
        assert!(error.problem.contains(problem), "{text}: {}", error.problem);
    }

    #[test]
    fn names_line_and_member_of_what_is_wrong_and_shows_no_value() {
        check_refused("5", 1, None, "expected an item");
        check_refused("\"secret\"", 1, None, "expected an item");
        check_refused("{}", 1, Some("key"), "is missing");
        check_refused(r#"{"key":"a"}"#, 1, Some("value"), "is missing");
        check_refused(r#"{"value":"a"}"#, 1, Some("key"), "is missing");
        check_refused("{\"key\":\"a\",\n\"value\":12345}", 2, Some("value"), "must be a string");
        check_refused("{\"key\":\"a\",\n\n\"value\":null}", 3, Some("value"), "must be a string");
        check_refused(r#"{"key":["secret"],"value":""}"#, 1, Some("key"), "must be a string");
        for far in ["9223372036854775807", "-9223372036854775808", "9223372036856"] {
            let text = format!(r#"{{"key":"a","value":"b","expiration":{far}}}"#);
            check_refused(&text, 1, Some("expiration"), "beyond the times");
        }
        for levels in [101, 120] {
            let metadata = "[".repeat(levels) + &"]".repeat(levels);
            let text = format!(r#"{{"key":"a","value":"b","metadata":{metadata}}}"#);
            check_refused(&text, 1, Some("metadata"), "deeper than 100");
        }
        check_refused(r#"{"key":"a","value":"b","base64":"true"}"#, 1, Some("base64"), "true or false");
        check_refused(r#"{"key":"a","value":"@@","base64":true}"#, 1, Some("value"), "is not base64");
        check_refused(r#"{"key":"a","value":"YQ","base64":true}"#, 1, Some("value"), "is not base64");
        check_refused(r#"{"key":"a","value":"1","kind":"xml"}"#, 1, Some("kind"), "must be");
        check_refused(r#"{"key":"a","value":"1","kind":"json","base64":true}"#, 1, Some("kind"), "beside base64");
        check_refused(r#"{"key":"a","value":"{","kind":"json"}"#, 1, Some("value"), "is not JSON");
        check_refused(r#"{"key":"a","value":"","expiration":"1"}"#, 1, Some("expiration"), "must be a number");
        check_refused(r#"{"key":"a","value":"","expiration":1.5}"#, 1, Some("expiration"), "whole number");
        check_refused(r#"{"key":"a","value":"","expiration":1e300}"#, 1, Some("expiration"), "whole number");
        check_refused(r#"{"key":"a","value":"","expiration_ttl":-1}"#, 1, Some("expiration_ttl"), "whole number");
        check_refused(
            r#"{"key":"a","value":"","metadata":[18446744073709551616]}"#,
            1,
            Some("metadata"),
            "lose digits",
        );
        check_refused(r#"{"key":"a","value":"","metadata":1e400}"#, 1, Some("metadata"), "is not JSON");
        check_refused("{\"key\":\"a\",\"value\":\"\",\"ttl\":5}", 1, Some("ttl"), "is no member");
        check_refused("{\"key\":\"a\",\"key\":\"b\",\"value\":\"\"}", 1, Some("key"), "is given twice");
        check_refused(r#"{"key":"a","value":"\ud800"}"#, 1, Some("value"), "hex escape");
        check_refused(r#"{"key":"a","value":"b"#, 1, Some("value"), "EOF");
        check_refused(r#"{"key":"a","value":"b"} x"#, 1, None, "trailing characters");
        let error = parse(b"{\n\"key\":\"\xff\"}", 1).map(|record| record.key).unwrap_err();
        assert_eq!((error.line, error.problem.as_str()), (2, "is not UTF-8"));
    }

    #[test]
    fn reads_each_member() {
        let read = |text: &str| parse(text.as_bytes(), 7).unwrap();
        let plain = read(r#"{"value":"{\"a\":1}","key":"k"}"#);
        assert_eq!((plain.value, plain.line), (Value::from("{\"a\":1}"), Some(7)));
        assert_eq!(read(r#"{"key":"k","value":"/wA=","base64":true}"#).value, Value::from(vec![0xff, 0]));
        assert_eq!(read(r#"{"key":"k","value":"/wA=","base64":false}"#).value, Value::from("/wA="));
        assert_eq!(read(r#"{"key":"k","value":"{\"a\": 1}","kind":"json"}"#).value, Value::from(json!({"a": 1})));
        assert_eq!(read(r#"{"key":"k","value":"","metadata":null}"#).metadata, None);
        assert_eq!(read(r#"{"key":"k","value":"","metadata":[1e20]}"#).metadata, Some(json!([1e20]).into()));
        let at = |seconds| RecordExpiry::At(Timestamp::from_unix_seconds(seconds));
        assert_eq!(read(r#"{"key":"k","value":"","expiration":1795161822}"#).expiry, at(1_795_161_822));
        assert_eq!(read(r#"{"key":"k","value":"","expiration":1795161822.0}"#).expiry, at(1_795_161_822));
    }

    #[test]
    fn exp_2_the_ttl_wins_as_the_format_has_it() {
        let both = parse(br#"{"key":"k","value":"","expiration":1795161822,"expiration_ttl":60}"#, 1).unwrap();
        assert_eq!(both.expiry, RecordExpiry::After(Duration::from_secs(60)));
    }

    #[test]
    fn exp_4_an_expiry_is_rounded_up_to_whole_seconds() {
        let written = |expiry| {
            let record = Record { key: "k".into(), value: "".into(), metadata: None, expiry, line: None };
            let mut text = Vec::new();
            write(&record, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let at = RecordExpiry::At(Timestamp::from_unix_micros(1_000_001));
        assert_eq!(written(at), r#"{"key":"k","value":"","expiration":2}"#);
        let after = RecordExpiry::After(Duration::from_millis(1001));
        assert_eq!(written(after), r#"{"key":"k","value":"","expiration_ttl":2}"#);
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let refused = |value: Value, metadata| {
            let record = Record { key: "k".into(), value, metadata, expiry: RecordExpiry::Never, line: None };
            let error = write(&record, &mut Vec::new()).unwrap_err();
            assert_eq!((error.kind(), error.key()), (ErrorKind::Protocol, Some("k")));
        };
        refused(Value::from_stored(ValueKind::Text, vec![0xff].into()), None);
        refused(Value::from_stored(ValueKind::Json, "{".into()), None);
        refused("".into(), Some(Metadata::from_stored("{".into())));
        let two_lines = Metadata::from_stored("{\n\"a\": 1}".into());
        let record = Record {
            key: "k".into(),
            value: "".into(),
            metadata: Some(two_lines),
            expiry: RecordExpiry::Never,
            line: None,
        };
        let mut text = Vec::new();
        write(&record, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), r#"{"key":"k","value":"","metadata":{"a":1}}"#);
    }

    fn json_value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Json::from)),
            any::<bool>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_equal(
            key in any::<String>(),
            value in prop_oneof![
                any::<String>().prop_map(Value::from),
                any::<Vec<u8>>().prop_map(Value::from),
                json_value().prop_map(Value::from),
            ],
            metadata in proptest::option::of(json_value().prop_map(Metadata::from)),
            expiry in prop_oneof![
                Just(RecordExpiry::Never),
                (0..1_i64 << 40).prop_map(|seconds| RecordExpiry::At(Timestamp::from_unix_seconds(seconds))),
                (0..1_u64 << 40).prop_map(|seconds| RecordExpiry::After(Duration::from_secs(seconds))),
            ],
        ) {
            let record = Record { key, value, metadata, expiry, line: Some(3) };
            let mut text = Vec::new();
            write(&record, &mut text).unwrap();
            prop_assert!(!text.contains(&b'\n'));
            let read = parse(&text, 3).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            prop_assert_eq!(&read, &record);
            let mut again = Vec::new();
            write(&read, &mut again).unwrap();
            prop_assert_eq!(text, again);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<Vec<u8>>()) {
            let _ = parse(&text, 1);
        }
    }
}
