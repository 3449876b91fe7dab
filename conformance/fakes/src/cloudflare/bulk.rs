//! Requests for many entries: write, get, delete.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use kv_api::Timestamp;

use super::namespace::{Change, Entry, Namespace};
use super::refusal::{Refusal, success};
use super::rules::{
    KEY_BYTES_MAX, Seconds, check_key, check_key_length, check_metadata, check_value, expiration, illegal_name,
    is_legal_name,
};
use crate::json::{Dialect, Map, Value, json, parse, parse_bytes};
use crate::model::{Answer, Request};

/// The most pairs or keys in a bulk write or delete.
const ITEMS_MAX: usize = 10_000;
/// The longest body of a bulk request, in bytes. Assumed: "100 megabytes" are powers of ten, as the local
/// implementation has it.
pub(super) const BODY_BYTES_MAX: usize = 100_000_000;
/// The most keys in a bulk get.
const GET_KEYS_MAX: usize = 100;
/// How long all the values of a bulk get may be together, in bytes.
const GET_BYTES_MAX: usize = 26_214_400;
/// The mark of byte order, which a decoder of text takes off its beginning.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The standard alphabet; padding may be left out. Assumed to be as lenient as the local implementation.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a bulk write or delete comes down to: each key once, in the order of the request.
#[derive(Debug)]
pub(super) struct Plan(Vec<Change>);

impl Plan {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Does everything but what `fails` says, by position and key, and answers with what is missing. Assumed: under
    /// 200, and as a success, even when all of it is missing.
    pub(super) fn carry_out(self, namespace: &mut Namespace, fails: impl Fn(usize, &str) -> bool) -> Answer {
        let mut unsuccessful = Vec::new();
        let mut changes = Vec::with_capacity(self.0.len());
        for (at, change) in self.0.into_iter().enumerate() {
            if fails(at, &change.0) {
                unsuccessful.push(change.0);
            } else {
                changes.push(change);
            }
        }
        let successful = changes.len();
        if successful > 0 {
            namespace.change(changes);
        }
        success(&json!({ "successful_key_count": successful, "unsuccessful_keys": unsuccessful }))
    }
}

/// A bulk write, all of it checked: one wrong item refuses the others with it.
pub(super) fn plan_write(request: &Request<'_>, now: Timestamp) -> Result<Plan, Refusal> {
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    let mut items: Vec<(usize, Item)> = Vec::new();
    for (at, value) in array(request)?.into_iter().enumerate() {
        let item = Item::parse(at, value)?;
        match positions.entry(item.key.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(items.len());
                items.push((at, item));
            }
            Slot::Occupied(slot) if items[*slot.get()].1 == item => {}
            Slot::Occupied(_) => {
                return Err(Refusal::bad_bulk(format!(
                    "received duplicate key with different values or expiration parameters: {:?}",
                    item.key
                )));
            }
        }
    }
    items.into_iter().map(|(at, item)| item.change(at, now)).collect::<Result<_, _>>().map(Plan)
}

/// A bulk delete; a key named twice counts once.
pub(super) fn plan_delete(request: &Request<'_>) -> Result<Plan, Refusal> {
    let mut keys = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (at, value) in array(request)?.into_iter().enumerate() {
        let Value::String(key) = value else { return Err(wrong_type(&at.to_string(), "string", Some(&value))) };
        check_key(&key)?;
        if seen.insert(key.clone()) {
            keys.push((key, None));
        }
    }
    Ok(Plan(keys))
}

/// The text of many entries in one answer.
pub(super) fn get(namespace: &Namespace, request: &Request<'_>, now: Timestamp) -> Result<Answer, Refusal> {
    let body = json_body(request)?;
    let keys = match &body["keys"] {
        Value::Array(keys) => keys,
        other => return Err(wrong_type("keys", "array", Some(other).filter(|_| body.get("keys").is_some()))),
    };
    if keys.is_empty() {
        return Err(Refusal::no_keys());
    }
    if keys.len() > GET_KEYS_MAX {
        return Err(Refusal::bad_bulk(format!("keys: Too big: expected array to have <={GET_KEYS_MAX} items")));
    }
    let as_json = match &body["type"] {
        Value::Null => false,
        Value::String(kind) if kind == "text" => false,
        Value::String(kind) if kind == "json" => true,
        other => return Err(Refusal::bad_bulk(format!("{other} is not a valid type. Use \"json\" or \"text\""))),
    };
    let with_metadata = match &body["withMetadata"] {
        Value::Null => false,
        Value::Bool(with_metadata) => *with_metadata,
        other => return Err(wrong_type("withMetadata", "boolean", Some(other))),
    };
    let mut bytes = 0;
    let mut values = Map::new();
    for key in keys {
        let Value::String(key) = key else { return Err(wrong_type("keys", "string", Some(key))) };
        check_key(key)?;
        if values.contains_key(key) {
            continue;
        }
        let value = match namespace.get(key, now) {
            Some(entry) => {
                bytes += entry.value.len();
                shown(entry, as_json, with_metadata)?
            }
            None => Value::Null,
        };
        values.insert(key.clone(), value);
    }
    if bytes > GET_BYTES_MAX {
        return Err(Refusal::request_too_large(GET_BYTES_MAX));
    }
    Ok(success(&json!({ "values": values })))
}

/// An entry in the answer to a bulk get. Bytes that are not UTF-8 come out damaged and without a word, and a mark of
/// byte order in front is lost, both as the local implementation does; that production does so too is assumed.
fn shown(entry: &Entry, as_json: bool, with_metadata: bool) -> Result<Value, Refusal> {
    let text = String::from_utf8_lossy(&entry.value);
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    let value = if as_json {
        parse(text, Dialect::JavaScript).map_err(|_| {
            Refusal::bad_bulk("At least one of the requested keys corresponds to a non-json value".to_owned())
        })?
    } else {
        Value::String(text.to_owned())
    };
    if !with_metadata {
        return Ok(value);
    }
    let mut shown = json!({ "value": value, "metadata": entry.metadata.as_ref() });
    if let Some(second) = entry.expiration {
        shown["expiration"] = second.into();
    }
    Ok(shown)
}

/// One item of a bulk write, as it was sent.
#[derive(Debug, PartialEq)]
struct Item {
    key: String,
    value: String,
    base64: bool,
    ttl: Option<Seconds>,
    absolute: Option<Seconds>,
    metadata: Option<Value>,
}

impl Item {
    /// Checks the shape; unknown members are passed over.
    fn parse(at: usize, mut item: Value) -> Result<Self, Refusal> {
        if !item.is_object() {
            return Err(wrong_type(&at.to_string(), "object", Some(&item)));
        }
        let mut text = |name: &str| match item.get_mut(name).map(Value::take) {
            Some(Value::String(text)) => Ok(text),
            other => Err(wrong_type(&format!("{at}.{name}"), "string", other.as_ref())),
        };
        let key = text("key")?;
        // Characters here, bytes later, as the local implementation does.
        if key.chars().count() > KEY_BYTES_MAX {
            return Err(Refusal::bad_bulk(format!(
                "{at}.key: Too big: expected string to have <={KEY_BYTES_MAX} characters"
            )));
        }
        let value = text("value")?;
        let base64 = match item.get("base64") {
            None => false,
            Some(Value::Bool(base64)) => *base64,
            other => return Err(wrong_type(&format!("{at}.base64"), "boolean", other)),
        };
        let seconds = |name: &str| match item.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) if number.as_f64().is_finite() => Ok(Some(Seconds::from_json(*number))),
            other => Err(wrong_type(&format!("{at}.{name}"), "number", other)),
        };
        let (ttl, absolute) = (seconds("expiration_ttl")?, seconds("expiration")?);
        Ok(Self { key, value, base64, ttl, absolute, metadata: item.get_mut("metadata").map(Value::take) })
    }

    fn change(self, at: usize, now: Timestamp) -> Result<Change, Refusal> {
        if !is_legal_name(&self.key) {
            return Err(illegal_name(&self.key, Refusal::bad_bulk));
        }
        check_key_length(&self.key)?;
        let expiration = expiration(at, self.ttl.as_ref(), self.absolute.as_ref(), now)?;
        self.metadata.as_ref().map(check_metadata).transpose()?;
        let value = if self.base64 {
            BASE64.decode(self.value).map_err(|_| Refusal::bad_bulk("Invalid base64 value"))?
        } else {
            self.value.into_bytes()
        };
        check_value(&value)?;
        Ok((self.key, Some(Entry { value, metadata: self.metadata, expiration })))
    }
}

fn array(request: &Request<'_>) -> Result<Vec<Value>, Refusal> {
    match json_body(request)? {
        Value::Array(items) if items.len() > ITEMS_MAX => {
            Err(Refusal::bad_bulk(format!("Too big: expected array to have <={ITEMS_MAX} items")))
        }
        Value::Array(items) => Ok(items),
        other => Err(wrong_type("", "array", Some(&other))),
    }
}

/// The body, which must call itself JSON and be it.
fn json_body(request: &Request<'_>) -> Result<Value, Refusal> {
    if request.body.len() > BODY_BYTES_MAX {
        return Err(Refusal::request_too_large(BODY_BYTES_MAX));
    }
    let content_type = request.header("content-type").unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::bad_bulk("Expected a body of type application/json"));
    }
    parse_bytes(request.body, Dialect::JavaScript).map_err(|_| Refusal::bad_bulk("Invalid JSON request body"))
}

fn wrong_type(place: &str, expected: &str, found: Option<&Value>) -> Refusal {
    let found = match found {
        None => "undefined",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(number)) if number.as_f64().is_infinite() => "Infinity",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
    };
    let colon = if place.is_empty() { "" } else { ": " };
    Refusal::bad_bulk(format!("{place}{colon}Invalid input: expected {expected}, received {found}"))
}
