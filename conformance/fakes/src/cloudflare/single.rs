//! Requests for one entry: write, read, read metadata, delete.

use kv_api::Timestamp;

use super::multipart;
use super::namespace::{Entry, Namespace};
use super::refusal::{Refusal, success};
use super::route::parameter;
use super::rules::{Seconds, check_metadata, check_value, expiration};
use crate::json::{Dialect, Value, parse_bytes};
use crate::model::{Answer, Request};

/// The one type a value is read as, whatever it was written as.
const VALUE_TYPE: &str = "application/octet-stream";

/// The entry that a write asks for.
pub(super) fn entry_of(request: &Request<'_>, now: Timestamp) -> Result<Entry, Refusal> {
    let seconds = |name| parameter(request.query, name).map(Seconds::from_query);
    let expiration = expiration(0, seconds("expiration_ttl").as_ref(), seconds("expiration").as_ref(), now)?;
    let (value, metadata) = match request.header("content-type").and_then(multipart::boundary) {
        Some(boundary) => form_of(request.body, boundary)?,
        // Any other type is taken as it is: clients send all sorts of types around all sorts of bytes.
        None => (request.body.to_vec(), None),
    };
    check_value(&value)?;
    Ok(Entry { value, metadata, expiration })
}

/// Value and metadata out of a form, in either order.
fn form_of(body: &[u8], boundary: Result<String, multipart::Malformed>) -> Result<(Vec<u8>, Option<Value>), Refusal> {
    let parts = boundary
        .and_then(|boundary| multipart::parse(body, &boundary))
        .map_err(|multipart::Malformed| Refusal::bad_request("Invalid multipart body"))?;
    let part = |name| parts.iter().find(|part| part.name == name);
    let value = part("value").ok_or_else(|| Refusal::bad_request("Missing value field"))?;
    let metadata = match part("metadata") {
        Some(metadata) => {
            let json = parse_bytes(metadata.content, Dialect::JavaScript);
            let json = json.map_err(|_| Refusal::bad_request("Invalid metadata JSON"))?;
            check_metadata(&json)?;
            Some(json)
        }
        None => None,
    };
    // Without a file name a part is text to a form parser, and what is not UTF-8 in it is lost. Seen locally; that
    // production does so too is assumed, so that a client which relies on the opposite is found out.
    let value = if value.is_file {
        value.content.to_vec()
    } else {
        String::from_utf8_lossy(value.content).into_owned().into_bytes()
    };
    Ok((value, metadata))
}

pub(super) fn write(namespace: &mut Namespace, key: String, entry: Entry) -> Answer {
    namespace.change([(key, Some(entry))]);
    nothing()
}

/// A missing key is deleted as well as any.
pub(super) fn delete(namespace: &mut Namespace, key: String) -> Answer {
    namespace.change([(key, None)]);
    nothing()
}

/// The result of single writes, deletes and removals. Assumed, as documentation and fixtures differ: `null`, which all
/// the clients take.
pub(super) fn nothing() -> Answer {
    success(&Value::Null)
}

pub(super) fn read(namespace: &Namespace, key: &str, now: Timestamp) -> Result<Answer, Refusal> {
    let entry = namespace.get(key, now).ok_or_else(Refusal::key_not_found)?;
    let mut headers = vec![("content-type", VALUE_TYPE.to_owned())];
    headers.extend(entry.expiration.map(|second| ("expiration", second.to_string())));
    Ok(Answer { status: 200, headers, body: entry.value.clone() })
}

/// Assumed: a key without metadata has `null`.
pub(super) fn read_metadata(namespace: &Namespace, key: &str, now: Timestamp) -> Result<Answer, Refusal> {
    let entry = namespace.get(key, now).ok_or_else(Refusal::key_not_found)?;
    Ok(success(entry.metadata.as_ref().unwrap_or(&Value::Null)))
}
