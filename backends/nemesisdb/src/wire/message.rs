//! What goes out: one JSON object in a text message, with the command as its only member (the README, "What goes
//! over the wire"). Pure.

use std::borrow::Cow;
use std::fmt;

use kv_api::{
    Envelope, Expiry, JsonForm, Metadata, Timestamp, Value, ValueKind, Write, json_quoted, json_quoted_into,
    json_quoted_len,
};

/// The commands in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    /// Reads keys.
    Get,
    /// Sets pairs.
    Set,
    /// Sets pairs whose keys are not there.
    Add,
    /// Removes keys.
    Remove,
    /// Asks for figures of the server.
    ServerInfo,
}

impl Command {
    pub(crate) const ALL: [Self; 5] = [Self::Get, Self::Set, Self::Add, Self::Remove, Self::ServerInfo];

    /// How a message names it; a reply adds `_RSP`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Set => "SET",
            Self::Add => "ADD",
            Self::Remove => "RMV",
            Self::ServerInfo => "SERVER_INFO",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bytes of a message around its keys or pairs: `{"GET":[` and `]}`, `{"SET":{` and `}}`.
pub(crate) const ENDS_BYTES: usize = 10;

/// What stands around a key without escapes in the message that sets it: the ends, two quotation marks, a colon, and
/// room for a short value. A longer key could be read and deleted, and hardly ever set.
pub(crate) const PAIR_BYTES_LEAST: usize = ENDS_BYTES + 2 + 1 + VALUE_BYTES_LEAST;

/// What the longest key leaves to its value: room for a number or a word.
const VALUE_BYTES_LEAST: usize = 11;

/// The message that asks for the figures of the server.
pub(crate) const SERVER_INFO: &str = r#"{"SERVER_INFO":{}}"#;

/// A message that names keys.
pub(crate) fn keys_message<'k>(command: Command, keys: impl Iterator<Item = &'k str>) -> String {
    let mut text = format!(r#"{{"{command}":["#);
    for (at, key) in keys.enumerate() {
        if at > 0 {
            text.push(',');
        }
        json_quoted_into(key, &mut text);
    }
    text.push_str("]}");
    text
}

/// A message of pairs: keys, and values as [`encoded`] made them.
pub(crate) fn pairs_message<'k>(command: Command, pairs: impl Iterator<Item = (&'k str, Cow<'k, str>)>) -> String {
    let mut text = format!(r#"{{"{command}":{{"#);
    for (at, (key, value)) in pairs.enumerate() {
        if at > 0 {
            text.push(',');
        }
        json_quoted_into(key, &mut text);
        text.push(':');
        text.push_str(&value);
    }
    text.push_str("}}");
    text
}

/// The value of a set as JSON text, in an envelope where its plain form would read as something else (ENV-1). A ttl
/// counts from `now` (ERR-5: from this attempt).
pub(crate) fn encoded<'w>(write: &'w Write<'_>, now: Timestamp) -> Cow<'w, str> {
    value_text(write.value(), write.metadata(), write.expiry().deadline(now))
}

fn value_text<'v>(value: &'v Value, metadata: Option<&Metadata>, expires_at: Option<Timestamp>) -> Cow<'v, str> {
    if let Some(text) = plain(value).filter(|_| metadata.is_none() && expires_at.is_none()) {
        return match text {
            Plain::Text(text) => Cow::Owned(json_quoted(text)),
            Plain::Json(json) => Cow::Borrowed(json),
        };
    }
    let mut envelope = Envelope::new(value.clone());
    if let Some(metadata) = metadata {
        envelope = envelope.with_metadata(metadata.clone());
    }
    if let Some(at) = expires_at {
        envelope = envelope.with_expires_at(at);
    }
    Cow::Owned(envelope.encode(JsonForm::Inline))
}

enum Plain<'v> {
    Text(&'v str),
    Json(&'v str),
}

/// What the server keeps as it is: a text as a JSON string, and JSON that is no lookalike of an envelope (ENV-3). It
/// keeps every number that this library accepts, so none is kept as text (VAL-3).
fn plain(value: &Value) -> Option<Plain<'_>> {
    match value.kind() {
        ValueKind::Text => value.as_text().map(Plain::Text),
        ValueKind::Json => value.as_json_text().filter(|json| !Envelope::is_mistakable_text(json)).map(Plain::Json),
        _ => None,
    }
}

/// The most bytes that a pair takes in a message: an expiry counts as the longest there is, so that the size of an item
/// does not depend on the time (CHK-2).
pub(crate) fn pair_bytes(key: &str, value: &Value, metadata: Option<&Metadata>, expires: bool) -> usize {
    let expires_at = expires.then_some(Timestamp::YEAR_9999_END);
    let value_bytes = match plain(value).filter(|_| metadata.is_none() && !expires) {
        Some(Plain::Text(text)) => json_quoted_len(text),
        Some(Plain::Json(json)) => json.len(),
        None => value_text(value, metadata, expires_at).len(),
    };
    json_quoted_len(key) + 1 + value_bytes
}

/// The same of a set.
pub(crate) fn write_bytes(key: &str, write: &Write<'_>) -> usize {
    pair_bytes(key, write.value(), write.metadata(), write.expiry() != Expiry::Never)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::{CAPABILITIES, CAPABILITIES_WITH_EXPIRY};
    use kv_api::{ManualClock, Resolver, SetItem, SystemClock};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            Just(Json::Null),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let name = prop_oneof![any::<String>(), Just("$kv-envelope".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(name, inner, 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..64).prop_map(Value::from),
            any_json().prop_filter("null is refused", |json| !json.is_null()).prop_map(Value::from),
        ]
    }

    /// What a server gets, by a parser that shares nothing with what made it.
    fn received(text: &str, command: &str) -> Json {
        let Json::Object(mut message) = serde_json::from_str(text).unwrap() else { panic!("no object") };
        assert_eq!(message.len(), 1, "one command");
        message.remove(command).unwrap()
    }

    proptest! {
        #[test]
        fn chk_2_keys_arrive_whole_and_their_bytes_are_known(keys in prop::collection::vec(any::<String>(), 1..20)) {
            let text = keys_message(Command::Remove, keys.iter().map(String::as_str));
            let bytes: usize = keys.iter().map(|key| json_quoted_len(key)).sum();
            prop_assert_eq!(text.len(), ENDS_BYTES + bytes + keys.len() - 1);
            prop_assert_eq!(received(&text, "RMV"), json!(keys));
        }

        #[test]
        fn val_2_pairs_arrive_whole_and_their_bytes_are_known(
            pairs in prop::collection::btree_map(".{6,20}", (any_value(), prop::option::of(any_json())), 1..10),
        ) {
            let capabilities = CAPABILITIES.clone().with_item_limits(const { &[] }).with_key_bytes(1, usize::MAX);
            let resolver = Resolver::new(&capabilities);
            let write = |(key, (value, metadata)): (&'static str, (Value, Option<Json>))| {
                let mut item = SetItem::new(key, value);
                if let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) {
                    item = item.metadata(metadata);
                }
                resolver.write(item, &SystemClock).unwrap()
            };
            let writes: Vec<_> = pairs.clone().into_iter().map(|(key, rest)| write((key.leak(), rest))).collect();
            let text = pairs_message(
                Command::Set,
                writes.iter().map(|write| (write.key(), encoded(write, Timestamp::UNIX_EPOCH))),
            );
            let bytes: usize = writes.iter().map(|write| write_bytes(write.key(), write)).sum();
            prop_assert_eq!(text.len(), ENDS_BYTES + bytes + writes.len() - 1);
            let Json::Object(received) = received(&text, "SET") else { panic!("no object") };
            prop_assert_eq!(received.len(), pairs.len());
            for (key, (value, metadata)) in pairs {
                let found = &received[&key];
                let metadata = metadata.filter(|metadata| !metadata.is_null()).map(Metadata::from);
                match Envelope::decode_text(&found.to_string()).unwrap() {
                    Some(envelope) => {
                        prop_assert_eq!(envelope.value(), &value);
                        prop_assert_eq!(envelope.metadata(), metadata.as_ref());
                    }
                    None => {
                        prop_assert!(metadata.is_none());
                        prop_assert_eq!(Value::from(found.clone()), value);
                    }
                }
            }
        }
    }

    #[test]
    fn env_1_only_what_would_read_as_something_else_is_enveloped() {
        let text = |value: Value| value_text(&value, None, None).into_owned();
        for (value, plain) in [
            (Value::from(""), r#""""#),
            (Value::from("{\"$kv-envelope\":1}"), r#""{\"$kv-envelope\":1}""#),
            (Value::from("a\u{0}\u{1f}\n\u{7f}é"), "\"a\\u0000\\u001f\\n\u{7f}é\""),
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::from(i64::MIN), "-9223372036854775808"),
            (Value::from(json!(1e300)), "1e+300"),
            (Value::from(json!({"a": [null]})), r#"{"a":[null]}"#),
        ] {
            assert_eq!(text(value), plain);
        }
        let lookalike = json!({"$kv-envelope": 1, "kind": "text", "value": "x"});
        for value in [Value::from(b"\0"), Value::from(lookalike), Value::from(json!({"$kv-envelope": 7}))] {
            let enveloped = text(value.clone());
            assert_eq!(Envelope::decode_text(&enveloped).unwrap(), Some(Envelope::new(value)));
        }
    }

    #[test]
    fn err_5_a_ttl_counts_from_the_attempt_and_an_expiry_counts_as_the_longest() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
        let resolver = Resolver::new(&CAPABILITIES_WITH_EXPIRY);
        let write = resolver.write(SetItem::new("session", "v").ttl(Duration::from_millis(1_500)), &clock).unwrap();
        for now in [1_000, 2_000] {
            let sent = encoded(&write, Timestamp::from_unix_seconds(now));
            let found = Envelope::decode_text(&sent).unwrap().and_then(|envelope| envelope.expires_at());
            assert_eq!(found, Some(Timestamp::from_unix_millis(now * 1000 + 1_500)));
            let counted = write_bytes("session", &write) - json_quoted_len("session") - 1;
            assert_eq!(counted - sent.len(), "253402300799000".len() - "1001500".len());
        }
    }
}
