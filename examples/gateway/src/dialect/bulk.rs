//! Many keys by one request.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kv_api::{Capabilities, Entry, JsonText, Metadata, SetItem, Store, Timestamp, Value, json_quoted};

use super::expiry::{Expiration, reported};
use super::target::check_key;
use super::{Answer, OPENING, json, metadata, refuse_encoded};
use crate::admission::Place;
use crate::body::receive;
use crate::budget::{Buffer, Room};
use crate::fault::{Asked, Fault, codes};
use crate::gateway::Gateway;
use crate::namespaces::Namespace;

const ITEMS_MAX: usize = 10_000;
const GET_KEYS_MAX: usize = 100;
/// What the values of one bulk get may have together.
const GET_BYTES_MAX: usize = 26_214_400;
/// How many of them are read at once, so that not all are held before their sum is known.
const GET_AT_ONCE: usize = 8;
/// Of how many items an answer says why they failed.
const MESSAGES_MAX: usize = 100;
/// How much of a text is quoted at once.
const PIECE_BYTES: usize = 16 * 1024;
/// What a byte of a key may be in JSON: an escape.
const ESCAPE_BYTES: usize = 6;
/// What else may stand around a key in JSON: quotes, a comma, and spaces as clients indent.
const AROUND_KEY_BYTES: usize = 64;

/// An item of a bulk write.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    key: String,
    value: Value,
    metadata: Option<Metadata>,
    expiration: Expiration,
}

/// Writes all items; a malformed one refuses the whole request, and nothing is written then.
pub(super) async fn write(
    gateway: &Gateway,
    namespace: &Namespace,
    headers: &HeaderMap,
    body: Body,
    place: &mut Place,
) -> Answer {
    let checked = {
        let (gateway, store) = (gateway.clone(), namespace.store().clone());
        move |body: JsonText<'_>| {
            let items = items(body, gateway.clock().now(), store.capabilities())?;
            for (index, item) in &items {
                store.resolver().write(item.to_set(), gateway.clock()).map_err(|error| at(*index, error.into()))?;
            }
            Ok(items)
        }
    };
    let (items, room) = take_apart(gateway, headers, body, usize::MAX, checked).await?;
    let results = namespace.store().set_many(items.iter().map(|(_, item)| item.to_set())).await;
    let keys = items.iter().map(|(_, item)| item.key.as_str());
    let answer = summed_up(keys.zip(results.into_iter().map(|result| result.map(drop))));
    place.keep(room.shrunk_to(length_of(&answer)));
    Ok(answer)
}

/// Deletes all keys; a missing one counts as deleted.
pub(super) async fn delete(
    gateway: &Gateway,
    namespace: &Namespace,
    headers: &HeaderMap,
    body: Body,
    place: &mut Place,
) -> Answer {
    let bytes_max = keys_bytes_max(namespace.store(), ITEMS_MAX);
    let distinct = |body: JsonText<'_>| Ok(distinct(keys(body, ITEMS_MAX)?));
    let (keys, room) = take_apart(gateway, headers, body, bytes_max, distinct).await?;
    let results = namespace.store().delete_many(keys.iter().map(String::as_str)).await;
    let answer = summed_up(keys.iter().map(String::as_str).zip(results.into_iter().map(|result| result.map(drop))));
    place.keep(room.shrunk_to(length_of(&answer)));
    Ok(answer)
}

/// What `read` makes of a body in JSON of at most so many bytes, and the room that it takes.
async fn take_apart<T: Send + 'static>(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    read: impl FnOnce(JsonText<'_>) -> Result<T, Fault> + Send + 'static,
) -> Result<(T, Room), Fault> {
    refuse_encoded(headers)?;
    let mut received = receive(gateway, body, bytes_max).await?;
    received.take_apart()?;
    let bytes = received.bytes.len();
    gateway.workers().run(bytes, move || Ok((read(parsed(&received.bytes)?)?, received.room))).await
}

/// How long an answer is that may name all keys.
fn length_of(answer: &Response) -> usize {
    answer.body().size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX)
}

/// What a bulk get asks for.
struct Wanted {
    keys: Vec<String>,
    as_json: bool,
    with_metadata: bool,
}

/// Reads up to 100 keys, as text or JSON.
pub(super) async fn get(gateway: &Gateway, namespace: &Namespace, headers: &HeaderMap, body: Body) -> Answer {
    let bytes_max = keys_bytes_max(namespace.store(), GET_KEYS_MAX);
    // The keys keep the room.
    let (wanted, _room) = take_apart(gateway, headers, body, bytes_max, Wanted::of).await?;
    let Wanted { keys, as_json, with_metadata } = wanted;
    let answers = gateway.admission().answers();
    let mut text = Buffer::new(answers.room(0)?, usize::MAX);
    text.push(format!(r#"{OPENING}{{"values":{{"#).as_bytes())?;
    let mut bytes = 0_usize;
    for (chunk, keys) in keys.chunks(GET_AT_ONCE).enumerate() {
        let entries = namespace.store().get_entry_many(keys.iter().map(String::as_str)).await?;
        let came: usize = entries.iter().flatten().map(|entry| shown_bytes(entry, with_metadata)).sum();
        bytes = bytes.saturating_add(came);
        if bytes > GET_BYTES_MAX {
            let message = format!("Total value length exceeds limit of {GET_BYTES_MAX}.");
            return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, codes::INVALID, message));
        }
        // The entries, and JSON once more without its white space.
        let held = answers.room(if as_json { came.saturating_mul(2) } else { came })?;
        let keys: Vec<String> = keys.iter().map(|key| json_quoted(key)).collect();
        let work = move || {
            let _held = held;
            for (place, (key, entry)) in keys.iter().zip(entries).enumerate() {
                text.push(if chunk + place > 0 { b"," } else { b"" })?;
                text.push(key.as_bytes())?;
                text.push(b":")?;
                show(&mut text, entry.as_ref(), as_json, with_metadata)?;
            }
            Ok(text)
        };
        text = gateway.workers().run(came, work).await?;
    }
    text.push(b"}}}")?;
    Ok(json(StatusCode::OK, text.into_bytes()))
}

/// How long a body with so many keys of a store may be.
fn keys_bytes_max(store: &Store, count: usize) -> usize {
    let key = store.capabilities().key_bytes_max.saturating_mul(ESCAPE_BYTES).saturating_add(AROUND_KEY_BYTES);
    key.saturating_mul(count.saturating_add(1))
}

/// How much of an entry is shown.
fn shown_bytes(entry: &Entry, with_metadata: bool) -> usize {
    let metadata = entry.metadata().filter(|_| with_metadata).map_or(0, |metadata| metadata.as_json_text().len());
    entry.value().as_bytes().len().saturating_add(metadata)
}

fn show(text: &mut Buffer, entry: Option<&Entry>, as_json: bool, with_metadata: bool) -> Result<(), Fault> {
    let Some(entry) = entry else { return text.push(b"null") };
    let bytes = entry.value().as_bytes();
    if with_metadata {
        text.push(br#"{"value":"#)?;
    }
    if as_json {
        let not_json = |_| Fault::invalid("At least one of the requested keys corresponds to a non-json value");
        text.push(JsonText::parse_slice_foreign(bytes).map_err(not_json)?.compact().as_bytes())?;
    } else {
        quote(text, bytes)?;
    }
    if with_metadata {
        text.push(br#","metadata":"#)?;
        text.push(metadata::shown(entry.metadata()).as_bytes())?;
        if let Some(second) = reported(entry.expiry()) {
            text.push(format!(r#","expiration":{second}"#).as_bytes())?;
        }
        text.push(b"}")?;
    }
    Ok(())
}

/// The dialect has no bytes here: what is no UTF-8 shows U+FFFD, and a single read gives the bytes.
fn quote(text: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
    text.push(b"\"")?;
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while !rest.is_empty() {
            // A bit of it at a time, so that little is quoted before there is room for it.
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
            let quoted = json_quoted(piece);
            text.push(quoted.get(1..quoted.len() - 1).unwrap_or_default().as_bytes())?;
            rest = after;
        }
        if !chunk.invalid().is_empty() {
            text.push("\u{FFFD}".as_bytes())?;
        }
    }
    text.push(b"\"")
}

impl Wanted {
    fn of(body: JsonText<'_>) -> Result<Self, Fault> {
        let members = members(body, ["keys", "type", "withMetadata"]);
        let [given, kind, with_metadata] =
            members.ok_or_else(|| Fault::invalid_body("the body is not an object, or repeats a member"))?;
        let keys = keys(given.ok_or_else(|| Fault::invalid_body("keys is missing"))?, GET_KEYS_MAX)?;
        let as_json = match kind.filter(|kind| !kind.is_null()).map(|kind| kind.as_str()) {
            None => false,
            Some(Some(kind)) if kind == "text" => false,
            Some(Some(kind)) if kind == "json" => true,
            Some(_) => return Err(Fault::invalid_body("type is neither text nor json")),
        };
        let with_metadata = flag(with_metadata, "withMetadata")?;
        if keys.is_empty() {
            return Err(Fault::new(StatusCode::BAD_REQUEST, codes::NO_KEYS, "You must request a minimum of 1 key"));
        }
        Ok(Self { keys: distinct(keys), as_json, with_metadata })
    }
}

impl Item {
    fn of(json: JsonText<'_>, now: Timestamp, capabilities: &Capabilities) -> Result<Self, Fault> {
        let members = members(json, ["key", "value", "base64", "metadata", "expiration_ttl", "expiration"]);
        let [key, value, is_base64, metadata, ttl, at] =
            members.ok_or_else(|| Fault::invalid_body("it is not an object, or repeats a member"))?;
        let key = text(key, "key")?.into_owned();
        let value = text(value, "value")?;
        check_key(&key)?;
        let is_base64 = flag(is_base64, "base64")?;
        let value = if is_base64 {
            let bytes = STANDARD.decode(value.as_bytes()).map_err(|_| Fault::invalid("Invalid base64 value"))?;
            Value::from_foreign(bytes.into())
        } else {
            Value::from(value.into_owned())
        };
        let metadata = metadata.map(|json| metadata::given(json, capabilities)).transpose()?.flatten();
        let expiration = Expiration::of_json(ttl, at, now)?;
        Ok(Self { key, value, metadata, expiration })
    }

    fn to_set(&self) -> SetItem<'_> {
        let item = self.expiration.give(SetItem::new(self.key.as_str(), self.value.clone()));
        match &self.metadata {
            Some(metadata) => item.metadata(metadata),
            None => item,
        }
    }
}

/// A member that is a string; without escapes it is no copy.
fn text<'t>(member: Option<JsonText<'t>>, name: &str) -> Result<Cow<'t, str>, Fault> {
    member.and_then(JsonText::as_str).ok_or_else(|| Fault::invalid_body(format!("{name} is missing or no string")))
}

/// The members of these names; others, of which there may be any number, are passed over. `None` when it is no object,
/// or repeats one of them.
fn members<'t, const N: usize>(json: JsonText<'t>, names: [&str; N]) -> Option<[Option<JsonText<'t>>; N]> {
    let mut found = [None; N];
    for (name, member) in json.members()? {
        let slot = names.iter().position(|known| *known == name).and_then(|place| found.get_mut(place));
        if slot.is_some_and(|slot| slot.replace(member).is_some()) {
            return None;
        }
    }
    Some(found)
}

/// A member that is true or false; what is missing or null is false.
fn flag(member: Option<JsonText<'_>>, name: &str) -> Result<bool, Fault> {
    match member.filter(|flag| !flag.is_null()) {
        None => Ok(false),
        Some(flag) => flag.as_bool().ok_or_else(|| Fault::invalid_body(format!("{name} is not true or false"))),
    }
}

fn parsed(body: &Bytes) -> Result<JsonText<'_>, Fault> {
    JsonText::parse_slice_foreign(body).map_err(|_| Fault::invalid_body("Invalid JSON request body"))
}

/// Each with its place in the body. An item that comes twice is written once; two that differ under one key are
/// refused.
fn items(body: JsonText<'_>, now: Timestamp, capabilities: &Capabilities) -> Result<Vec<(usize, Item)>, Fault> {
    let items = array(body, ITEMS_MAX)?.into_iter().enumerate().map(|(index, json)| {
        let item = Item::of(json, now, capabilities).map_err(|fault| at(index, fault))?;
        Ok((index, item))
    });
    let items = items.collect::<Result<Vec<_>, Fault>>()?;
    let mut firsts: HashMap<&str, &Item> = HashMap::with_capacity(items.len());
    let mut is_first = Vec::with_capacity(items.len());
    for (_, item) in &items {
        let first = *firsts.entry(&item.key).or_insert(item);
        let is_the_first = std::ptr::eq(first, item);
        if !is_the_first && first != item {
            let key = json_quoted(&item.key);
            return Err(Fault::invalid(format!(
                "received duplicate key with different values or expiration parameters: {key}"
            )));
        }
        is_first.push(is_the_first);
    }
    Ok(items.into_iter().zip(is_first).filter_map(|(item, is_first)| is_first.then_some(item)).collect())
}

fn keys(body: JsonText<'_>, max: usize) -> Result<Vec<String>, Fault> {
    let keys = array(body, max)?.into_iter().enumerate().map(|(index, json)| {
        let key = json.as_str().ok_or_else(|| Fault::invalid_body("it is no string"));
        let key = key.and_then(|key| check_key(&key).map(|()| key.into_owned()));
        key.map_err(|fault| at(index, fault))
    });
    keys.collect()
}

fn array(body: JsonText<'_>, max: usize) -> Result<Vec<JsonText<'_>>, Fault> {
    // One more than allowed is enough to know.
    let items = body.items().ok_or_else(|| Fault::invalid_body("expected an array"))?;
    let items: Vec<_> = items.take(max + 1).collect();
    if items.len() > max {
        return Err(Fault::invalid_body(format!("Too big: expected array to have <={max} items")));
    }
    Ok(items)
}

/// Each once, in the order of its first place.
fn distinct(keys: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::with_capacity(keys.len());
    let is_first: Vec<_> = keys.iter().map(|key| seen.insert(key.as_str())).collect();
    keys.into_iter().zip(is_first).filter_map(|(key, is_first)| is_first.then_some(key)).collect()
}

/// Says which item it is, by its place.
fn at(index: usize, mut fault: Fault) -> Fault {
    fault.message = format!("{index}: {}", fault.message).into();
    fault
}

/// What became of each key (BATCH-2). Where nothing is known to be done the answer is the gravest failure, so that an
/// outcome which is unknown is not passed over; else it is a success that names the keys which failed, and says why in
/// `messages`.
fn summed_up<'k>(results: impl Iterator<Item = (&'k str, kv_api::Result<()>)>) -> Response {
    let (mut done, mut failed, mut messages): (usize, Vec<_>, Vec<_>) = (0, Vec::new(), Vec::new());
    let (mut gravest, mut failures): (Option<Fault>, usize) = (None, 0);
    let mut logged: Option<Fault> = None;
    for (key, result) in results {
        match result {
            Ok(()) => done += 1,
            Err(error) => {
                let fault = Fault::from(error);
                let quoted = json_quoted(key);
                if messages.len() < MESSAGES_MAX {
                    messages.push(fault.clone().of_item(&quoted).as_json());
                }
                if fault.is_failure() {
                    failures += 1;
                    logged.get_or_insert_with(|| fault.clone());
                }
                if gravest.as_ref().is_none_or(|gravest| gravest.gravity() < fault.gravity()) {
                    gravest = Some(fault);
                }
                failed.push(quoted);
            }
        }
    }
    let result = format!(r#"{{"successful_key_count":{done},"unsuccessful_keys":[{}]}}"#, failed.join(","));
    // Once for all, since a store that fails does so for thousands.
    if let Some(fault) = logged {
        fault.log(failures);
    }
    match gravest {
        Some(fault) if done == 0 => fault.of_call(Asked::State).with_result(&result, &messages.join(",")),
        _ => {
            let messages = messages.join(",");
            let body = format!(r#"{{"success":true,"errors":[],"messages":[{messages}],"result":{result}}}"#);
            json(StatusCode::OK, body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Error, ErrorKind, Retry, ValueKind};
    use serde_json::json;
    use std::time::Duration;

    fn read(text: &str) -> Result<Vec<Item>, Fault> {
        let items = items(JsonText::parse_foreign(text).unwrap(), Timestamp::UNIX_EPOCH, &kv_memory::CAPABILITIES)?;
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    #[test]
    fn an_item_is_taken_as_it_is_meant() {
        let text = r#"[
            {"key":"a","value":"t","metadata":{"n":1.50,"a":[]},"expiration_ttl":60,"expiration":1},
            {"key":"b","value":"/wA=","base64":true,"metadata":null},
            {"key":"c","value":"AA==","base64":false,"unknown":1}]"#;
        let items = read(text).unwrap();
        assert_eq!(items[0].expiration, Expiration::After(Duration::from_secs(60)));
        assert_eq!(items[0].metadata.as_ref().unwrap().as_json_text(), r#"{"n":1.50,"a":[]}"#);
        assert_eq!((items[1].value.kind(), &items[1].value.as_bytes()[..]), (ValueKind::Bytes, &b"\xFF\0"[..]));
        assert_eq!(items[1].metadata, None);
        assert_eq!(items[2].value, Value::from("AA=="));
    }

    #[test]
    fn what_is_no_item_refuses_all() {
        for item in [
            r#"1"#,
            r#"{"key":"k"}"#,
            r#"{"value":"v"}"#,
            r#"{"key":1,"value":"v"}"#,
            r#"{"key":"k","value":1}"#,
            r#"{"key":"","value":"v"}"#,
            r#"{"key":"..","value":"v"}"#,
            r#"{"key":"k","key":"l","value":"v"}"#,
            r#"{"key":"k","value":"not base64!","base64":true}"#,
            r#"{"key":"k","value":"v","base64":"true"}"#,
            r#"{"key":"k","value":"v","expiration_ttl":"60"}"#,
            r#"{"key":"k","value":"v","expiration_ttl":0}"#,
            r#"{"key":"k","value":"v","metadata":{"a":1,"a":2}}"#,
        ] {
            let fault = read(&format!(r#"[{{"key":"a","value":"v"}},{item}]"#)).unwrap_err();
            assert_eq!(fault.status, 400, "{item}");
            assert!(fault.message.starts_with("1: "), "{item}: {}", fault.message);
        }
        assert!(read("{}").is_err());
    }

    #[test]
    fn a_key_that_comes_twice_is_one_item_or_refused() {
        assert_eq!(read(r#"[{"key":"a","value":"1"},{"value":"1","key":"a"}]"#).unwrap().len(), 1);
        let fault = read(r#"[{"key":"a","value":"1"},{"key":"a","value":"2"}]"#).unwrap_err();
        assert!(fault.message.ends_with(r#": "a""#), "{}", fault.message);
    }

    #[test]
    fn more_than_the_dialect_takes_are_refused() {
        let text = |count: usize| format!("[{}]", vec![r#""k""#; count].join(","));
        let keys = |text: &str| keys(JsonText::parse_foreign(text).unwrap(), 100);
        assert_eq!(keys(&text(100)).map(distinct), Ok(vec!["k".to_owned()]));
        assert!(keys(&text(101)).is_err());
        assert_eq!(keys("[]"), Ok(Vec::new()));
    }

    #[tokio::test]
    async fn batch_2_each_key_has_a_result_of_its_own() {
        async fn body(response: Response) -> serde_json::Value {
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        }
        let failed = || Err(Error::new(ErrorKind::Exhausted, "full"));
        let some = summed_up([("a", Ok(())), ("b", failed())].into_iter());
        assert_eq!(some.status(), 200);
        let some = body(some).await;
        assert_eq!(some["result"], json!({"successful_key_count": 1, "unsuccessful_keys": ["b"]}));
        assert_eq!((&some["success"], &some["messages"][0]["code"]), (&json!(true), &json!(99507)));
        let none = summed_up([("a", failed()), ("b", failed())].into_iter());
        assert_eq!(none.status(), 507);
        assert_eq!(body(none).await["result"]["unsuccessful_keys"], json!(["a", "b"]));
        assert_eq!(summed_up(std::iter::empty()).status(), 200);
    }

    #[tokio::test]
    async fn err_3_an_unknown_outcome_of_one_item_is_not_passed_over() {
        let failed = |kind, retry| Err(Error::new(kind, "m").with_retry(retry));
        let results = [
            ("a", failed(ErrorKind::RateLimited, Retry::Safe)),
            ("b", failed(ErrorKind::Exhausted, Retry::Never)),
            ("c", failed(ErrorKind::Unavailable, Retry::OutcomeUnknown)),
            ("d", failed(ErrorKind::Exhausted, Retry::Never)),
        ];
        let response = summed_up(results.into_iter());
        assert_eq!(
            (response.status(), &response.headers()["x-kv-outcome"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"unknown".parse().unwrap())
        );
        assert!(!response.headers().contains_key("x-should-retry"));
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let envelope: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let messages = envelope["messages"].as_array().unwrap();
        let is_unknown = |message: &serde_json::Value| message["message"].as_str().unwrap().contains("not known");
        assert_eq!(messages.iter().map(is_unknown).collect::<Vec<_>>(), [false, false, true, false]);

        let results =
            [("a", failed(ErrorKind::RateLimited, Retry::Safe)), ("b", failed(ErrorKind::Exhausted, Retry::Never))];
        let response = summed_up(results.into_iter());
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-should-retry"]),
            (507, &"false".parse().unwrap())
        );
    }
}
