//! Held to what a self-hosted server answered, with a reader of its own. What this store can ask for is asked as
//! recorded, or a table says why not; every answer to a call of a method that it uses is understood.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use kv_api::{ErrorKind, ExpireOptions, ManualClock, Metadata, Resolver, Retry, SetItem, Timestamp, Value};
use kv_remote::Redaction;
use kv_remote::http::{Answer, Body, HeaderMap, StatusCode, Url, header};
use serde_json::{Value as Json, json};

use super::{Item, Pattern, Reply, Request, Requests, Sum};
use crate::CAPABILITIES;

/// What is not sent as it was recorded, by the beginning of its name, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("006-http-query-token", "the token goes into a header"),
    ("007-http-driver-named", "the only driver is the one that is meant without a name"),
    ("013-", "a body that this store never makes"),
    ("014-", "a body that this store never makes"),
    ("015-", "a body that this store never makes"),
    ("016-", "a body that this store never makes"),
    ("017-", "no interface but one is called"),
    ("018-", "the driver is not named"),
    ("019-", "a method that is not there"),
    ("020-", "there are always arguments"),
    ("021-", "there are always arguments"),
    ("022-", "always POST"),
    ("024-", "a preflight is for browsers"),
    ("025-", "another route"),
    ("026-", "arguments that this store never sends"),
    ("032-set-null", "null is refused (VAL-1)"),
    ("034-", "only keys are listed, in pages"),
    ("035-", "there is always a value"),
    ("036-", "there is always a key"),
    ("037-", "a key is a text"),
    ("038-", "the empty key is refused (KEY-1)"),
    ("039-", "a key is a text"),
    ("041-", "a key is a text"),
    ("042-", "a key is a text"),
    ("043-", "a key is a text"),
    ("044-", "keys are listed in pages"),
    ("073-", "in the envelope (VAL-3)"),
    ("075-", "in the envelope (VAL-3)"),
    ("076-", "in the envelope (VAL-3)"),
    ("077-", "in the envelope (VAL-3)"),
    ("079-", "refused before it is sent (KEY-1)"),
    ("080-", "refused before it is sent (KEY-1)"),
    ("081-", "refused before it is sent (KEY-1)"),
    ("082-", "refused before it is sent (KEY-1)"),
    ("084-", "refused before it is sent (CHK-2)"),
    ("085-", "refused before it is sent (CHK-2)"),
    ("086-", "refused before it is sent (CHK-2)"),
    ("089-", "an empty batch sends nothing (CHK-1)"),
    ("090-", "the empty key is refused (KEY-1)"),
    ("091-", "a key is a text"),
    ("095-", "no key comes twice in a request (CHK-1)"),
    ("097-", "a time in the past is refused (EXP-5)"),
    ("099-", "refused before it is sent (BATCH-3)"),
    ("100-", "there is always a key"),
    ("101-", "refused before it is sent (BATCH-3)"),
    ("102-", "refused before it is sent (BATCH-3)"),
    ("104-", "there is always a value"),
    ("105-", "only keys are listed, in pages"),
    ("106-", "null is refused (VAL-1)"),
    ("107-", "only keys are listed, in pages"),
    ("108-", "a key is a text"),
    ("110-", "an empty batch sends nothing (CHK-1)"),
    ("111-", "there are always items"),
    ("112-", "items are an array"),
    ("113-", "no item is null"),
    ("114-", "a batch has a method of its own"),
    ("115-", "the number of the last item goes in the envelope (VAL-3)"),
    ("116-", "keys are listed in pages"),
    ("119-", "a time in the past is refused (EXP-5)"),
    ("121-", "only keys are listed, in pages"),
    ("126-", "only keys are listed, in pages"),
    ("128-", "beyond the year 9999 (EXP-5)"),
    ("129-", "a time in the past is refused (EXP-5)"),
    ("131-", "only keys are listed, in pages"),
    ("132-", "a time in the past is refused (EXP-5)"),
    ("134-", "only keys are listed, in pages"),
    ("135-", "no expiry is left out"),
    ("137-", "only keys are listed, in pages"),
    ("138-", "an expiry is a whole number"),
    ("140-", "only keys are listed, in pages"),
    ("141-", "an expiry is a whole number"),
    ("143-", "only keys are listed, in pages"),
    ("144-", "an expiry is a whole number"),
    ("146-", "only keys are listed, in pages"),
    ("147-", "an expiry is a whole number"),
    ("149-", "only keys are listed, in pages"),
    ("150-", "set knows no ttl"),
    ("153-", "a time in the past is refused (EXP-5)"),
    ("158-", "only keys are listed, in pages"),
    ("159-", "an expiry is a whole number"),
    ("160-", "there is always a time"),
    ("161-", "there is always a key"),
    ("162-", "a ttl is sent as a time, by the handle's clock (EXP-3)"),
    ("163-", "a ttl is sent as a time, by the handle's clock (EXP-3)"),
    ("164-", "a ttl is sent as a time, by the handle's clock (EXP-3)"),
    ("165-", "a ttl is sent as a time, by the handle's clock (EXP-3)"),
    ("169-", "counters are integers (CNT-1)"),
    ("170-", "a negative increment says the same"),
    ("171-", "no paths into a document"),
    ("172-", "no paths into a document"),
    ("173-", "there is always an amount"),
    ("174-", "there is always an amount"),
    ("175-", "there is always an amount"),
    ("176-", "an amount is a number"),
    ("177-", "an amount is a number"),
    ("178-", "no paths into a document"),
    ("182-", "no paths into a document"),
    ("187-", "only keys are listed, in pages"),
    ("189-", "no paths into a document"),
    ("190-", "no paths into a document"),
    ("191-", "no paths into a document"),
    ("192-", "no paths into a document"),
    ("193-", "no paths into a document"),
    ("194-", "it would keep the expiry (SET-1)"),
    ("195-", "it would keep the expiry (SET-1)"),
    ("196-", "it would keep the expiry (SET-1)"),
    ("199-", "no paths into a document"),
    ("20", "no paths into a document"),
    ("210-", "only keys are listed, in pages"),
    ("211-", "keys are listed in pages"),
    ("212-", "only keys are listed, in pages"),
    ("213-", "keys are listed in pages"),
    ("214-", "keys are listed in pages"),
    ("215-", "keys are listed in pages"),
    ("216-", "keys are listed in pages"),
    ("217-", "keys are listed in pages"),
    ("218-", "keys are listed in pages"),
    ("219-", "a pattern is a text"),
    ("220-", "only keys are listed, in pages"),
    ("221-", "only keys are listed, in pages"),
    ("226-", "only keys are listed, in pages"),
    ("227-", "only keys are listed, in pages"),
    ("229-", "a page always has a limit"),
    ("230-", "nobody asks for a total"),
    ("234-", "a list goes on from a cursor"),
    ("235-", "a list goes on from a cursor"),
    ("236-", "a list goes on from a cursor"),
    ("237-", "a list goes on from a cursor"),
    ("238-", "a limit of zero is refused (LIST-1)"),
    ("239-", "a limit is a number"),
    ("240-", "a page always has a limit"),
    ("241-", "a page always has a limit"),
    ("245-", "there is always a key"),
    ("246-", "the empty key is refused (KEY-1)"),
    ("247-", "a delete has one key"),
    ("249-", "clear walks (DEL-3)"),
    ("250-", "keys are listed in pages"),
    ("251-", "clear walks (DEL-3)"),
    ("252-", "clear walks (DEL-3)"),
    ("253-", "keys are listed in pages"),
    ("264-", "clear walks (DEL-3)"),
    ("265-", "no entry is marked as private"),
    ("267-", "no entry is marked as private"),
    ("270-", "keys are listed in pages"),
    ("271-", "its body is described and not recorded"),
];

struct Recording {
    name: String,
    json: Json,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/recordings/puter");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| Recording {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        json: spelled_out(serde_json::from_slice(&fs::read(path).unwrap()).unwrap()),
    };
    files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "json")).map(|path| read(path)).collect()
}

/// Long texts are recorded as a letter and how often it comes.
fn spelled_out(json: Json) -> Json {
    match json {
        Json::Object(members) => match members.get("$repeat").and_then(Json::as_array).map(Vec::as_slice) {
            Some([letter, times]) => {
                Json::from(letter.as_str().unwrap().repeat(times.as_u64().unwrap().try_into().unwrap()))
            }
            _ => members.into_iter().map(|(name, member)| (name, spelled_out(member))).collect(),
        },
        Json::Array(items) => items.into_iter().map(spelled_out).collect(),
        other => other,
    }
}

impl Recording {
    /// The body of the call, also where it was sent as it stands.
    fn body(&self) -> Json {
        match &self.json["request"]["body"] {
            Json::String(text) => serde_json::from_str(text).unwrap_or(Json::Null),
            body => body.clone(),
        }
    }

    fn answer(&self) -> Answer {
        let response = &self.json["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let body = response["body"].to_string().into();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body }
    }

    /// The same call, made by this store; `None` where its arguments are such that nobody can ask for it.
    fn ours(&self) -> Option<Request> {
        let call = self.body();
        let arguments = &call["args"];
        let base = Url::parse("http://api.puter.localhost:4155").unwrap();
        let requests = Requests::new(&base, arguments["optConfig"]["appUuid"].as_str()).unwrap();
        let clock = ManualClock::new(Timestamp::from_unix_seconds(self.json["recorded_at_unix"].as_i64().unwrap()));
        let now = kv_api::Clock::now(&clock);
        let resolver = Resolver::new(&CAPABILITIES);
        let key = || {
            let key = arguments["key"].as_str()?.to_owned();
            resolver.read(key.clone(), kv_api::Fields::Value).is_ok().then_some(key)
        };
        match call["method"].as_str()? {
            "get" => match arguments["key"].as_array() {
                None => Some(requests.get(&key()?)),
                Some(keys) => {
                    let keys: Vec<&str> = keys.iter().map(Json::as_str).collect::<Option<_>>()?;
                    resolver.read_many(keys.iter().map(|key| (*key).into()), kv_api::Fields::Value).ok()??;
                    Some(requests.get_many(keys))
                }
            },
            "set" => Some(requests.set(&written(&resolver, &clock, arguments)?, now)),
            "batchPut" => {
                let given = arguments["items"].as_array()?;
                let keys: BTreeSet<&str> = given.iter().filter_map(|item| item["key"].as_str()).collect();
                let items: Vec<Item<'_>> =
                    given.iter().map(|given| written(&resolver, &clock, given)).collect::<Option<_>>()?;
                if items.is_empty() || keys.len() < items.len() {
                    return None;
                }
                Some(requests.batch_put(&items, now))
            }
            "del" => Some(requests.del(&key()?)),
            "expireAt" => {
                let mut options = ExpireOptions::default();
                options.best_effort = true;
                options.expire_at = Some(Timestamp::from_unix_seconds(arguments["timestamp"].as_i64()?));
                let expire = resolver.expire(key()?, options, &clock).ok()?;
                Some(requests.expire_at(expire.key(), expire.expiry().deadline(now)?.as_unix_seconds_ceil()))
            }
            "incr" => Some(requests.incr(&key()?, arguments["pathAndAmountMap"][""].as_i64()?)),
            "list" => {
                let limit = usize::try_from(arguments["limit"].as_u64()?).unwrap();
                let prefix = arguments["pattern"].as_str().unwrap_or_default();
                let pattern = Pattern::of(prefix.strip_suffix('*').unwrap_or(prefix));
                Some(requests.list(pattern, limit, arguments["cursor"].as_str()))
            }
            _ => None,
        }
    }

    /// The recorded body, in those ways of saying the same that this store uses.
    fn theirs(&self) -> Json {
        let mut body = self.body();
        if body["method"] == "list" && body["args"]["limit"].is_u64() {
            let arguments = body["args"].as_object_mut().unwrap();
            arguments.insert("fetchUntilFull".to_owned(), json!(true));
            if let Some(Json::String(pattern)) = arguments.get_mut("pattern")
                && !pattern.ends_with('*')
            {
                pattern.push('*');
            }
        }
        body
    }
}

/// An item as this store writes it.
fn written<'g>(resolver: &Resolver<'_>, clock: &ManualClock, given: &'g Json) -> Option<Item<'g>> {
    let key = given["key"].as_str()?;
    let set = SetItem::new(key, Value::from(given.get("value")?.clone()));
    let set = match given.get("expireAt") {
        None => set,
        Some(time) => set.expire_at(Timestamp::from_unix_seconds(time.as_i64()?)),
    };
    let write = resolver.write(set, clock).ok()?;
    Some(Item::new(key, write.value(), write.metadata(), write.expiry()))
}

#[test]
fn every_recorded_request_is_sent_or_known_not_to_be() {
    let mut reasons: BTreeSet<&str> = OTHERWISE.iter().map(|(name, _)| *name).collect();
    let mut same = 0;
    for recording in recordings() {
        let request = &recording.json["request"];
        let is_same = recording.ours().is_some_and(|ours| {
            let Request { http: ours, .. } = ours;
            let Body::Bytes(body) = &ours.body else { panic!("no body") };
            assert_eq!(ours.headers[header::CONTENT_TYPE], "application/json");
            let body: Json = serde_json::from_slice(body).unwrap();
            let mut theirs = recording.theirs();
            // In the header, as this store has it.
            theirs.as_object_mut().unwrap().remove("auth_token");
            (ours.method.as_str(), ours.url.path())
                == (request["method"].as_str().unwrap(), request["path"].as_str().unwrap())
                && body == theirs
        });
        let reason = OTHERWISE.iter().find(|(name, _)| recording.name.starts_with(name));
        assert_eq!(is_same, reason.is_none(), "{}: {reason:?}, {:.300}", recording.name, recording.body().to_string());
        reason.map(|(name, _)| reasons.remove(name));
        same += usize::from(is_same);
    }
    assert!(reasons.is_empty(), "{reasons:?}");
    assert!(same >= 100, "{same}");
}

#[test]
fn every_recorded_answer_is_understood() {
    let clock: Arc<dyn kv_api::Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let mut seen = [0; 3];
    for recording in recordings() {
        let (name, call, answer) = (&recording.name, recording.body(), recording.answer());
        let reply = Reply { answer, redaction: Redaction::Everything, clock: Arc::clone(&clock) };
        let response = &recording.json["response"];
        let result = &response["body"]["result"];
        let value = |result: &Json| (!result.is_null()).then(|| (Value::from(result.clone()), None::<Metadata>));
        let error = match call["method"].as_str() {
            Some("set" | "batchPut" | "del") => reply.done().err(),
            Some("expireAt") => reply.expired().err(),
            Some("get") => match result.as_array().filter(|_| call["args"]["key"].is_array()) {
                Some(values) => {
                    let keys = call["args"]["key"].as_array().unwrap().iter();
                    let keys: Vec<String> = keys.filter_map(Json::as_str).map(str::to_owned).collect();
                    let found = reply.values(&keys).unwrap();
                    let found: Vec<_> = found.into_iter().map(|found| found.map(|f| (f.value, f.metadata))).collect();
                    assert_eq!(found, values.iter().map(value).collect::<Vec<_>>(), "{name}");
                    None
                }
                None => match reply.value() {
                    Ok(found) => {
                        assert_eq!(found.map(|f| (f.value, f.metadata)), value(result), "{name}");
                        None
                    }
                    Err(error) => Some(error),
                },
            },
            Some("incr") if !result.is_object() => match reply.sum() {
                Ok(sum) => {
                    assert_eq!(sum, result.as_i64().map_or(Sum::Other, Sum::Integer), "{name}");
                    None
                }
                Err(error) => Some(error),
            },
            Some("list") if !result.is_array() => match reply.page() {
                Ok((keys, cursor)) => {
                    assert_eq!(json!(keys), result["items"], "{name}");
                    assert_eq!(cursor.as_deref(), result["cursor"].as_str(), "{name}");
                    None
                }
                // Entries and not keys.
                Err(_) if result["items"][0].is_object() => continue,
                Err(error) => Some(error),
            },
            _ if !response["body"]["code"].is_string() => continue,
            _ => reply.done().err(),
        };
        seen[usize::from(error.is_some())] += 1;
        let status = response["status"].as_u64().unwrap();
        assert_eq!(error.is_some(), status >= 400, "{name}: {error:?}");
        let Some(error) = error else { continue };
        let is_of_no_number = response["body"]["message"].as_str().is_some_and(|said| said.contains("operand"));
        let kind = match status {
            400 if is_of_no_number => (ErrorKind::WrongType, Retry::Never),
            400 | 413 => (ErrorKind::InvalidArgument, Retry::Never),
            401 | 403 => (ErrorKind::Unauthorized, Retry::Never),
            404 => (ErrorKind::Misconfigured, Retry::Never),
            429 => (ErrorKind::RateLimited, Retry::Safe),
            500 => (ErrorKind::Unavailable, Retry::OutcomeUnknown),
            other => panic!("{name}: {other}"),
        };
        assert_eq!((error.kind(), error.retry()), kind, "{name}");
        let code = format!("HTTP {status}, {}", response["body"]["code"].as_str().unwrap());
        assert_eq!(error.native_code(), Some(&*code), "{name}: a code that nobody has named");
    }
    assert!(seen[0] >= 100 && seen[1] >= 60, "{seen:?}");
}
