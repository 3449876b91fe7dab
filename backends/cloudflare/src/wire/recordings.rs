//! Held to what real clients sent and the vendor's local implementation answered, with a reader of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kv_api::{
    ErrorKind, Expiry, JsonText, ListedMetadata, ManualClock, Metadata, Resolver, Retry, SetItem, SystemClock,
    TaggedMetadata, Timestamp, Value,
};
use kv_remote::Redaction;
use kv_remote::http::{Answer, Body, HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Url, header};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

use super::{Answers, Requests, joined, write_item, write_key};
use crate::CAPABILITIES;

const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const NAMESPACE: &str = "0f2ac74b498b48028cb68387c421e279";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_161_822);

struct Exchange {
    name: String,
    method: String,
    /// What follows the namespace.
    path: String,
    query: BTreeMap<String, String>,
    content_type: String,
    body: Option<Bytes>,
    answer: Option<Answer>,
}

/// Every recorded exchange in the namespace, but those whose body is cut.
fn exchanges() -> Vec<Exchange> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/recordings/cloudflare"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut exchanges = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let recording: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let each = match (recording.get("exchanges"), recording.get("requests")) {
            (Some(Json::Array(each)), _) | (_, Some(Json::Array(each))) => each.clone(),
            _ if recording.get("request").is_some() => vec![recording],
            _ => continue,
        };
        exchanges.extend(each.iter().filter_map(|exchange| read(&name, exchange)));
    }
    exchanges
}

fn read(name: &str, exchange: &Json) -> Option<Exchange> {
    let request = &exchange["request"];
    let below = format!("/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}");
    let (path, query) = {
        let whole = request["path"].as_str().unwrap().strip_prefix(&below)?;
        whole.split_once('?').unwrap_or((whole, ""))
    };
    let url = Url::parse(&format!("http://host/?{query}")).unwrap();
    let answer = exchange.get("response").map(|answer| {
        let headers = answer["headers"].as_object().unwrap().iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value.as_str().unwrap()).unwrap())
        });
        let status = StatusCode::from_u16(answer["status"].as_u64().unwrap().try_into().unwrap()).unwrap();
        Some(Answer {
            status,
            headers: headers.collect::<HeaderMap>(),
            body: body(&answer["body"])?.unwrap_or_default(),
        })
    });
    Some(Exchange {
        name: name.to_owned(),
        method: request["method"].as_str().unwrap().to_owned(),
        path: path.to_owned(),
        query: url.query_pairs().into_owned().collect(),
        content_type: request["headers"]["content-type"].as_str().unwrap_or_default().to_owned(),
        body: body(&request["body"])?,
        answer: match answer {
            Some(None) => return None,
            Some(answer) => answer,
            None => None,
        },
    })
}

/// `None` where it is cut, `Some(None)` where there is none.
fn body(recorded: &Json) -> Option<Option<Bytes>> {
    match recorded {
        Json::Null => Some(None),
        Json::String(text) if text.ends_with(" bytes in all]") => None,
        Json::String(text) => Some(Some(text.clone().into())),
        other => Some(Some(STANDARD.decode(other["base64"].as_str().unwrap()).unwrap().into())),
    }
}

/// The key in a segment of a path.
fn key(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes().iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [*rest.next().unwrap(), *rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn requests() -> Requests {
    Requests::new(&Url::parse("https://api.cloudflare.com/client/v4").unwrap(), ACCOUNT, NAMESPACE).unwrap()
}

/// Method, path below the namespace and query of one of our own requests.
fn line(request: &Request) -> (String, String, BTreeMap<String, String>) {
    let path = request.url.path().rsplit_once(NAMESPACE).unwrap().1.to_owned();
    (request.method.to_string(), path, request.url.query_pairs().into_owned().collect())
}

fn expiry(query: &BTreeMap<String, String>) -> Expiry {
    let seconds = |name| query.get(name).map(|text: &String| text.parse().unwrap());
    match (seconds("expiration_ttl"), seconds("expiration")) {
        (Some(ttl), _) => Expiry::After(Duration::from_secs(ttl)),
        (None, Some(at)) => Expiry::At(Timestamp::from_unix_seconds(at.try_into().unwrap())),
        (None, None) => Expiry::Never,
    }
}

/// Name and content of the parts of a recorded form.
fn parts(body: &[u8], content_type: &str) -> BTreeMap<String, Bytes> {
    let boundary = format!("--{}", content_type.split_once("boundary=").unwrap().1);
    let find = |text: &[u8], needle: &[u8]| text.windows(needle.len()).position(|window| window == needle);
    let mut parts = BTreeMap::new();
    let mut rest = body;
    while let Some(at) = find(rest, boundary.as_bytes()) {
        rest = &rest[at + boundary.len()..];
        let Some(end) = find(rest, boundary.as_bytes()) else { break };
        let part = &rest[..end];
        let head = find(part, b"\r\n\r\n").unwrap();
        let names = String::from_utf8_lossy(&part[..head]).into_owned();
        let name = names.split_once(" name=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        parts.insert(name, Bytes::copy_from_slice(&part[head + 4..part.len() - 2]));
    }
    parts
}

fn our_parts(request: &Request) -> BTreeMap<String, Bytes> {
    let Body::Multipart(parts) = &request.body else { panic!("no form") };
    parts.iter().map(|part| (part.name.to_owned(), part.bytes.clone())).collect()
}

/// A recorded metadata part can be spaced and escaped as it likes.
fn compact(mut parts: BTreeMap<String, Bytes>) -> BTreeMap<String, Bytes> {
    if let Some(metadata) = parts.get_mut("metadata") {
        let json: Json = serde_json::from_slice(metadata).unwrap();
        *metadata = json.to_string().into();
    }
    parts
}

#[test]
fn our_requests_are_those_that_were_recorded() {
    let mut reproduced: BTreeMap<&str, usize> = BTreeMap::new();
    for recorded in exchanges() {
        let Exchange { name, method, path, query, content_type, body, .. } = recorded;
        // What is sent on purpose as no client of ours would: wrong keys, forms, limits, methods; a key half-encoded.
        let on_purpose = ["peer-10", "peer-11", "peer-16", "peer-17", "peer-36", "peer-37", "peer-38", "peer-81"];
        if on_purpose.iter().any(|peer| name.starts_with(peer)) {
            continue;
        }
        let segment = |route: &str| path.strip_prefix(route).map(key).filter(|key| key.len() <= 512);
        let check = |ours: Request, what| {
            let context = format!("{name}: {method} {path}");
            assert_eq!(line(&ours), (method.clone(), path.clone(), query.clone()), "{context}");
            (ours, what)
        };
        let (ours, what) = match (&*method, &*path) {
            ("GET", "/keys") => {
                let of = |name| query.get(name).map_or("", String::as_str);
                let limit = query.get("limit").map_or(Some(1000), |limit| limit.parse::<usize>().ok());
                // An empty cursor is the same as none, which is what we send.
                let Some(limit @ 10..=1000) = limit else { continue };
                let ours = requests().list(of("prefix"), limit, Some(of("cursor"))).unwrap();
                let mut query_of_ours = line(&ours).2;
                if !query.contains_key("limit") {
                    query_of_ours.remove("limit");
                }
                let recorded: BTreeMap<_, _> =
                    query.clone().into_iter().filter(|(_, value)| !value.is_empty()).collect();
                assert_eq!(query_of_ours, recorded, "{name}");
                (ours, "list")
            }
            ("GET", _) if segment("/values/").is_some() => {
                check(requests().get_value(&segment("/values/").unwrap()).unwrap(), "get")
            }
            ("GET", _) if segment("/metadata/").is_some() => {
                check(requests().get_metadata(&segment("/metadata/").unwrap()).unwrap(), "metadata")
            }
            ("DELETE", _) if segment("/values/").is_some() => {
                check(requests().delete_value(&segment("/values/").unwrap()).unwrap(), "delete")
            }
            // Both forms of expiry at once is what never leaves here (EXP-2), and a ttl may be too small on purpose.
            ("PUT", _) if segment("/values/").is_some() && query.len() < 2 => {
                let key = segment("/values/").unwrap();
                let body = body.unwrap_or_default();
                if content_type.starts_with("multipart/") {
                    let parts = compact(parts(&body, &content_type));
                    let metadata = parts.get("metadata").map(|text| Metadata::from_stored(text.clone()));
                    let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) else { continue };
                    let value = Value::from_foreign(parts["value"].clone());
                    let ours = requests().put_value(&key, &value, Some(&metadata), expiry(&query), NOW).unwrap();
                    assert_eq!(our_parts(&ours), parts, "{name}");
                    check(ours, "put with metadata")
                } else {
                    let value = Value::from_foreign(body.clone());
                    let ours = requests().put_value(&key, &value, None, expiry(&query), NOW).unwrap();
                    assert_eq!(ours.body, Body::Bytes(body), "{name}");
                    assert_eq!(ours.headers[header::CONTENT_TYPE], "application/octet-stream");
                    check(ours, "put")
                }
            }
            ("PUT", "/bulk") => {
                let Ok(items) = serde_json::from_slice::<Vec<BTreeMap<String, Json>>>(&body.unwrap()) else { continue };
                let Some(ours) = items.iter().map(our_item).collect::<Option<Vec<_>>>() else { continue };
                let body = joined(0..ours.len(), 0, |at, out| {
                    let write = Resolver::new(&CAPABILITIES).write(ours[at].clone(), &ManualClock::new(NOW)).unwrap();
                    write_item(&write, NOW, out)
                });
                let sent: Vec<BTreeMap<String, Json>> = serde_json::from_slice(&body.unwrap()).unwrap();
                let plain = |items: Vec<BTreeMap<String, Json>>| -> Vec<_> {
                    items.into_iter().map(without_defaults).collect()
                };
                assert_eq!(plain(sent), plain(items), "{name}");
                check(requests().bulk_put(Bytes::new(), 0).unwrap(), "bulk put")
            }
            ("POST", "/bulk/delete") => {
                let body = body.unwrap();
                let Ok(keys) = serde_json::from_slice::<Vec<String>>(&body) else { continue };
                let ours = joined(0..keys.len(), 0, |at, out| {
                    write_key(&keys[at], out);
                    Ok(())
                })
                .unwrap();
                assert_eq!(serde_json::from_slice::<Vec<String>>(&ours).unwrap(), keys, "{name}");
                check(requests().bulk_delete(ours, 0).unwrap(), "bulk delete")
            }
            ("POST", "/bulk/get") => {
                let Ok(asked) = serde_json::from_slice::<Json>(&body.unwrap()) else { continue };
                let Some(keys) = asked["keys"].as_array() else { continue };
                let keys: Vec<_> = keys.iter().map(|key| key.as_str().unwrap()).collect();
                let ours = requests().bulk_get(&keys).unwrap();
                let Body::Bytes(body) = &ours.body else { panic!("no body") };
                let expected = json!({"keys": keys, "type": "text", "withMetadata": true});
                assert_eq!(serde_json::from_slice::<Json>(body).unwrap(), expected, "{name}");
                check(ours, "bulk get")
            }
            _ => continue,
        };
        drop(ours);
        *reproduced.entry(what).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("bulk delete", 6),
        ("bulk get", 8),
        ("bulk put", 12),
        ("delete", 25),
        ("get", 60),
        ("list", 49),
        ("metadata", 6),
        ("put", 36),
        ("put with metadata", 10),
    ]);
    for (what, least) in expected {
        let found = reproduced.get(what).copied().unwrap_or_default();
        assert!(found >= least, "{what}: only {found} reproduced, of at least {least}");
    }
}

/// The item that a caller of ours would set, where there is one.
fn our_item(item: &BTreeMap<String, Json>) -> Option<SetItem<'_>> {
    let key = item.get("key")?.as_str()?;
    let text = item.get("value")?.as_str()?;
    let value = match item.get("base64") {
        Some(Json::Bool(true)) => Value::from_foreign(STANDARD.decode(text).ok()?.into()),
        _ => Value::from(text),
    };
    let mut ours = SetItem::new(key, value);
    match (item.get("expiration_ttl"), item.get("expiration")) {
        (Some(_), Some(_)) => return None,
        (Some(ttl), None) => ours = ours.ttl(Duration::from_secs(ttl.as_u64()?)),
        (None, Some(at)) => ours = ours.expire_at(Timestamp::from_unix_seconds(at.as_i64()?)),
        (None, None) => {}
    }
    if let Some(metadata) = item.get("metadata") {
        ours = ours.metadata(metadata.clone());
    }
    let is_acceptable = Resolver::new(&CAPABILITIES).write(ours.clone(), &ManualClock::new(NOW)).is_ok();
    is_acceptable.then_some(ours)
}

/// What some clients spell out and others leave out.
fn without_defaults(mut item: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    item.retain(|name, value| {
        matches!(name.as_str(), "key" | "value" | "base64" | "expiration" | "expiration_ttl" | "metadata")
            && !value.is_null()
            && *value != Json::Bool(false)
    });
    item
}

#[test]
fn recorded_answers_are_understood() {
    let answers = Answers { clock: Arc::new(SystemClock), redaction: Redaction::Everything };
    let mut understood: BTreeMap<&str, usize> = BTreeMap::new();
    for recorded in exchanges() {
        let Exchange { name, method, path, query, body, answer, .. } = recorded;
        let Some(answer) = answer else { continue };
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is_success = answer.status.is_success();
        let missing = answer.status == StatusCode::NOT_FOUND && json["errors"][0]["code"] == 10009;
        let route = path.split('/').nth(1).unwrap_or_default();
        let result = match (&*method, route) {
            ("GET", "values") => answers.raw(&answer).map(|raw| {
                assert_eq!(raw.is_none(), missing, "{name}");
                assert!(raw.is_none_or(|raw| raw.bytes == answer.body), "{name}");
            }),
            ("GET", "metadata") => answers.metadata(&answer).map(|metadata| {
                let metadata = metadata.map(|text| serde_json::from_str::<Json>(&text).unwrap());
                assert_eq!(metadata, (!missing).then(|| json["result"].clone()), "{name}");
            }),
            ("GET", "keys") => {
                let prefix = query.get("prefix").map_or("", String::as_str);
                answers.page(&answer, prefix, 1000).map(|(items, cursor)| {
                    let listed = json["result"].as_array().unwrap();
                    assert_eq!(items.len(), listed.len(), "{name}");
                    for (item, listed) in items.iter().zip(listed) {
                        assert_eq!(listed["name"], *item.key);
                        let metadata = listed.get("metadata").filter(|metadata| !metadata.is_null());
                        let expected = ListedMetadata::from(metadata.cloned().map(Metadata::from));
                        assert_eq!(item.metadata, expected, "{name}");
                    }
                    let more = json["result_info"]["cursor"].as_str().filter(|cursor| !cursor.is_empty());
                    assert_eq!(cursor.as_deref(), more, "{name}");
                })
            }
            // Recorded without metadata, which is what we never ask for; so only the refusals are ours to understand.
            ("POST", "bulk") if path == "/bulk/get" && is_success => continue,
            ("POST", "bulk") if path == "/bulk/get" => answers.bulk_get(&answer, &[]).map(drop),
            ("PUT" | "POST" | "DELETE", "bulk") => {
                let count = body.and_then(|body| serde_json::from_slice::<Vec<Json>>(&body).ok()).unwrap_or_default();
                let mut distinct = count;
                distinct.dedup();
                answers.unsuccessful(&answer, distinct.len()).map(|named| assert!(named.is_empty(), "{name}"))
            }
            ("PUT" | "DELETE", "values") => answers.done(&answer),
            _ => continue,
        };
        let status = answer.status.as_u16();
        match result {
            Ok(()) => assert!(is_success || missing, "{name}: {status}"),
            Err(error) => {
                assert!(!is_success, "{name}: {error}");
                assert_eq!(error.retry(), Retry::Never, "{name}: {error}");
                let kind = match (status, json["errors"][0]["code"].as_u64()) {
                    (404, _) => ErrorKind::Misconfigured,
                    (405, Some(7001)) | (400 | 413 | 414, _) => ErrorKind::InvalidArgument,
                    (401 | 403, _) => ErrorKind::Unauthorized,
                    other => panic!("{name}: {other:?} is new"),
                };
                assert_eq!(error.kind(), kind, "{name}: {error}");
            }
        }
        *understood.entry(if is_success { "successes" } else { "refusals" }).or_default() += 1;
    }
    assert!(understood["successes"] >= 150 && understood["refusals"] >= 70, "{understood:?}");
}

#[test]
fn recorded_metadata_bears_no_tag() {
    for metadata in [r#"{"tag": "x", "n": 1}"#, r#""just a string""#] {
        assert_eq!(TaggedMetadata::decode_json(JsonText::parse(metadata).unwrap()).unwrap().tag, None);
    }
}
