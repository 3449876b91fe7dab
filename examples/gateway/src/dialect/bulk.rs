//! Many keys by one request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt::Write;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kv_api::{Entry, JsonText, Metadata, SetItem, Timestamp, Value, json_quoted};

use super::expiry::{Expiration, reported};
use super::keys::shown_metadata;
use super::target::check_key;
use super::{Answer, conditions, refuse_encoded, success, success_with};
use crate::body::{Received, receive};
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

/// An item of a bulk write.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    key: String,
    value: Value,
    metadata: Option<Metadata>,
    expiration: Expiration,
}

/// Writes all items; a malformed one refuses the whole request, and nothing is written then.
pub(super) async fn write(gateway: &Gateway, namespace: &Namespace, headers: &HeaderMap, body: Body) -> Answer {
    conditions::refuse(headers)?;
    refuse_encoded(headers)?;
    let received = receive(gateway, body).await?;
    let items = items(parsed(&received)?, gateway.clock().now())?;
    let store = namespace.store();
    for (index, item) in &items {
        store.resolver().write(item.to_set(), gateway.clock()).map_err(|error| at(*index, error.into()))?;
    }
    let results = store.set_many(items.iter().map(|(_, item)| item.to_set())).await;
    let keys = items.iter().map(|(_, item)| item.key.as_str());
    summed_up(keys.zip(results.into_iter().map(|result| result.map(drop))))
}

/// Deletes all keys; a missing one counts as deleted.
pub(super) async fn delete(gateway: &Gateway, namespace: &Namespace, headers: &HeaderMap, body: Body) -> Answer {
    conditions::refuse(headers)?;
    refuse_encoded(headers)?;
    let received = receive(gateway, body).await?;
    let keys = distinct(keys(parsed(&received)?, ITEMS_MAX)?);
    let results = namespace.store().delete_many(keys.iter().map(String::as_str)).await;
    summed_up(keys.iter().map(String::as_str).zip(results.into_iter().map(|result| result.map(drop))))
}

/// Reads up to 100 keys, as text or JSON.
pub(super) async fn get(gateway: &Gateway, namespace: &Namespace, headers: &HeaderMap, body: Body) -> Answer {
    conditions::refuse(headers)?;
    refuse_encoded(headers)?;
    let received = receive(gateway, body).await?;
    let mut members = parsed(&received)?.object().ok_or_else(|| Fault::invalid_body("the body is not an object"))?;
    let keys = keys(members.remove("keys").ok_or_else(|| Fault::invalid_body("keys is missing"))?, GET_KEYS_MAX)?;
    let as_json = match members.remove("type").filter(|kind| !kind.is_null()).map(|kind| kind.as_str()) {
        None => false,
        Some(Some(kind)) if kind == "text" => false,
        Some(Some(kind)) if kind == "json" => true,
        Some(_) => return Err(Fault::invalid_body("type is neither text nor json")),
    };
    let with_metadata = flag(&mut members, "withMetadata")?;
    if keys.is_empty() {
        return Err(Fault::new(StatusCode::BAD_REQUEST, codes::NO_KEYS, "You must request a minimum of 1 key"));
    }
    let keys = distinct(keys);
    let (mut values, mut bytes) = (String::from(r#"{"values":{"#), 0_usize);
    let mut separator = "";
    for keys in keys.chunks(GET_AT_ONCE) {
        let entries = namespace.store().get_entry_many(keys.iter().map(String::as_str)).await?;
        for (key, entry) in keys.iter().zip(entries) {
            values.push_str(separator);
            separator = ",";
            values.push_str(&json_quoted(key));
            values.push(':');
            let Some(entry) = entry else {
                values.push_str("null");
                continue;
            };
            bytes = bytes.saturating_add(entry.value().as_bytes().len());
            if bytes > GET_BYTES_MAX {
                let message = format!("Total value length exceeds limit of {GET_BYTES_MAX}.");
                return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, codes::INVALID, message));
            }
            show(&mut values, &entry, as_json, with_metadata)?;
        }
    }
    values.push_str("}}");
    Ok(success(&values))
}

fn show(values: &mut String, entry: &Entry, as_json: bool, with_metadata: bool) -> Result<(), Fault> {
    let bytes = entry.value().as_bytes();
    if with_metadata {
        values.push_str(r#"{"value":"#);
    }
    if as_json {
        let not_json = |_| Fault::invalid("At least one of the requested keys corresponds to a non-json value");
        values.push_str(&JsonText::parse_slice_foreign(bytes).map_err(not_json)?.compact());
    } else {
        // The dialect has no bytes here: what is no UTF-8 shows U+FFFD, and a single read gives the bytes.
        values.push_str(&json_quoted(&String::from_utf8_lossy(bytes)));
    }
    if with_metadata {
        // Writing to a string cannot fail.
        let _ = write!(values, r#","metadata":{}"#, entry.metadata().map_or("null", shown_metadata));
        if let Some(second) = reported(entry.expiry()) {
            let _ = write!(values, r#","expiration":{second}"#);
        }
        values.push('}');
    }
    Ok(())
}

impl Item {
    fn of(json: JsonText<'_>, now: Timestamp) -> Result<Self, Fault> {
        let mut members =
            json.object().ok_or_else(|| Fault::invalid_body("it is not an object, or repeats a member"))?;
        let mut text = |name: &str| {
            let text = members.remove(name).and_then(JsonText::as_str);
            text.ok_or_else(|| Fault::invalid_body(format!("{name} is missing or no string")))
        };
        let (key, value) = (text("key")?.into_owned(), text("value")?);
        check_key(&key)?;
        let is_base64 = flag(&mut members, "base64")?;
        let value = if is_base64 {
            let bytes = STANDARD.decode(value.as_bytes()).map_err(|_| Fault::invalid("Invalid base64 value"))?;
            Value::from_foreign(bytes.into())
        } else {
            Value::from(value.into_owned())
        };
        let metadata = match members.remove("metadata").filter(|metadata| !metadata.is_null()) {
            None => None,
            Some(json) => {
                let checked = Metadata::from_json_text(json.as_text());
                Some(checked.map_err(|_| Fault::invalid("Invalid metadata JSON"))?)
            }
        };
        let expiration = Expiration::of_json(members.remove("expiration_ttl"), members.remove("expiration"), now)?;
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

/// Takes a member that is true or false; what is missing or null is false.
fn flag(members: &mut HashMap<Cow<'_, str>, JsonText<'_>>, name: &str) -> Result<bool, Fault> {
    match members.remove(name).filter(|flag| !flag.is_null()) {
        None => Ok(false),
        Some(flag) => flag.as_bool().ok_or_else(|| Fault::invalid_body(format!("{name} is not true or false"))),
    }
}

fn parsed(received: &Received) -> Result<JsonText<'_>, Fault> {
    JsonText::parse_slice_foreign(&received.bytes).map_err(|_| Fault::invalid_body("Invalid JSON request body"))
}

/// Each with its place in the body. An item that comes twice is written once; two that differ under one key are
/// refused.
fn items(body: JsonText<'_>, now: Timestamp) -> Result<Vec<(usize, Item)>, Fault> {
    let given = array(body, ITEMS_MAX)?;
    let mut items: Vec<(usize, Item)> = Vec::with_capacity(given.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(given.len());
    for (index, json) in given.into_iter().enumerate() {
        let item = Item::of(json, now).map_err(|fault| at(index, fault))?;
        match places.entry(item.key.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(items.len());
                items.push((index, item));
            }
            Slot::Occupied(slot) if items.get(*slot.get()).is_some_and(|(_, first)| *first == item) => {}
            Slot::Occupied(slot) => {
                let key = json_quoted(slot.key());
                return Err(Fault::invalid(format!(
                    "received duplicate key with different values or expiration parameters: {key}"
                )));
            }
        }
    }
    Ok(items)
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
    let mut seen = std::collections::HashSet::with_capacity(keys.len());
    keys.into_iter().filter(|key| seen.insert(key.clone())).collect()
}

/// Says which item it is, by its place.
fn at(index: usize, mut fault: Fault) -> Fault {
    fault.message = format!("{index}: {}", fault.message).into();
    fault
}

/// What became of each key (BATCH-2). Where nothing is known to be done the answer is the gravest failure, so that an
/// outcome which is unknown is not passed over; else it is a success that names the keys which failed, and says why in
/// `messages`.
fn summed_up<'k>(results: impl Iterator<Item = (&'k str, kv_api::Result<()>)>) -> Answer {
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
        Some(fault) if done == 0 => Ok(fault.of_call(Asked::State).with_result(&result, &messages.join(","))),
        _ => Ok(success_with(&result, &messages.join(","), "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Error, ErrorKind, Retry, ValueKind};
    use serde_json::json;
    use std::time::Duration;

    fn read(text: &str) -> Result<Vec<Item>, Fault> {
        let items = items(JsonText::parse_foreign(text).unwrap(), Timestamp::UNIX_EPOCH)?;
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
        async fn body(response: axum::response::Response) -> serde_json::Value {
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        }
        let failed = || Err(Error::new(ErrorKind::Exhausted, "full"));
        let some = summed_up([("a", Ok(())), ("b", failed())].into_iter()).unwrap();
        assert_eq!(some.status(), 200);
        let some = body(some).await;
        assert_eq!(some["result"], json!({"successful_key_count": 1, "unsuccessful_keys": ["b"]}));
        assert_eq!((&some["success"], &some["messages"][0]["code"]), (&json!(true), &json!(99507)));
        let none = summed_up([("a", failed()), ("b", failed())].into_iter()).unwrap();
        assert_eq!(none.status(), 507);
        assert_eq!(body(none).await["result"]["unsuccessful_keys"], json!(["a", "b"]));
        assert_eq!(summed_up(std::iter::empty()).unwrap().status(), 200);
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
        let response = summed_up(results.into_iter()).unwrap();
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
        let response = summed_up(results.into_iter()).unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-should-retry"]),
            (507, &"false".parse().unwrap())
        );
    }
}
