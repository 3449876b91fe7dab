//! The recorded exchanges of Backendless: what the official JavaScript SDK sends and what the documents answer. The
//! encoder gives the same method, path and body, or the table says why not; the decoder understands every answer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{ErrorKind, ManualClock, Resolver, SetItem, Timestamp, Value};
use kv_remote::http::{Answer, HeaderMap, StatusCode};
use kv_remote::{Redaction, SecretString};
use serde_json::{Value as Json, json};

use super::{Expiration, Reply, Request, Step, body_of_key, body_of_keys, body_of_members, member};
use crate::capabilities::CAPABILITIES;
use crate::config::BackendlessConfig;

/// How a recorded request is met.
enum Met {
    /// Method, path and body are the same.
    Same(Request),
    /// We send something else, or nothing, and why.
    Otherwise(&'static str),
}
use Met::{Otherwise, Same};

const BULK: &str = "a set without options uses the bulk form, so that no key is in the path";
const IN_BODY: &str = "a get uses the form of many keys, so that no key is in the path";
const NOT_OURS: &str = "no operation of the contract";

struct Recording {
    name: String,
    form: String,
    json: Json,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/recordings/backendless");
    let mut recordings: Vec<Recording> = fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (form, rest) = stem.split_once('-').unwrap();
            let name = rest.split_once('-').unwrap().1.to_owned();
            let json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            Recording { name, form: form.to_owned(), json }
        })
        .collect();
    recordings.sort_by(|left, right| (&left.form, &left.name).cmp(&(&right.form, &right.name)));
    assert!(recordings.len() >= 80, "only {} recordings", recordings.len());
    recordings
}

impl Recording {
    fn config(&self) -> BackendlessConfig {
        let key = SecretString::from("API-KEY");
        match self.form.as_str() {
            "app" => BackendlessConfig::of_application("APP-ID", key, "countries"),
            "domain" => BackendlessConfig::of_domain("xxxx.backendless.app", "countries"),
            form => panic!("a form of address of its own: {form}"),
        }
        .unwrap()
    }

    fn answer(&self) -> Answer {
        let response = &self.json["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let is_empty = response["body_is_empty"] == json!(true);
        let body = if is_empty { String::new() } else { response["body"].to_string() };
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.into() }
    }

    fn check_request(&self, met: &Met) {
        let Same(request) = met else { return };
        let recorded = &self.json["request"];
        let path = format!("{}{}", self.config().hive_url().unwrap().path(), request.path);
        let body = request.body.as_ref().map(|body| std::str::from_utf8(body).unwrap());
        let ours = (request.method.as_str(), path.as_str(), body);
        let theirs =
            (recorded["method"].as_str().unwrap(), recorded["path"].as_str().unwrap(), recorded["raw_body"].as_str());
        assert_eq!(ours, theirs, "{}", self.name);
    }
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_unix_seconds(1_795_000_000))
}

fn resolver() -> Resolver<'static> {
    Resolver::new(&CAPABILITIES)
}

fn set_one(item: SetItem<'_>) -> Met {
    Same(Request::set_one(&resolver().write(item, &clock()).unwrap()).unwrap())
}

fn keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> bytes::Bytes {
    let keys: Vec<String> = keys.into_iter().map(kv_api::json_quoted).collect();
    body_of_keys(keys.iter().map(String::as_str))
}

fn expire(key: &str, options: impl FnOnce(&mut kv_api::ExpireOptions)) -> Met {
    let mut given = kv_api::ExpireOptions::default();
    options(&mut given);
    Same(Request::expire(&resolver().expire(key, given, &clock()).unwrap()).unwrap())
}

fn page(cursor: u64) -> Met {
    Same(Request::keys(&resolver().list("", 2, None).unwrap(), cursor))
}

/// The value that is recorded in the body of a set: encoded alike, whichever route carries it.
fn bulk_set(recording: &Recording) -> Met {
    let recorded = &recording.json["request"];
    let value = Value::from(recorded["body"]["value"].clone());
    let write = resolver().write(SetItem::new("k", value), &clock()).unwrap();
    let ours = body_of_members([&*member(&write)]);
    let theirs = recorded["raw_body"].as_str().unwrap().replacen("\"value\"", "\"k\"", 1);
    assert_eq!(std::str::from_utf8(&ours).unwrap(), theirs, "{}", recording.name);
    Otherwise(BULK)
}

/// The value that the answer to a get of one key is, as an answer to a get of many would hold it.
fn found(mut reply: Reply) -> Option<Value> {
    reply.answer.body = [b"{\"k\":", &*reply.answer.body, b"}"].concat().into();
    let values = reply.values(&["k".to_owned()]).unwrap();
    values.into_iter().next().unwrap().map(|(value, metadata)| {
        assert_eq!(metadata, None);
        value
    })
}

#[test]
fn every_recorded_exchange_is_met() {
    let mut seen = BTreeSet::new();
    for recording in recordings() {
        let met = meet(&recording);
        recording.check_request(&met);
        if let Otherwise(reason) = met {
            assert!(!reason.is_empty());
        }
        seen.insert(recording.name);
    }
    assert!(seen.contains("set-many") && seen.contains("error-user-token"));
}

/// What we send in place of the recorded request; the answer is checked on the way.
fn meet(recording: &Recording) -> Met {
    if recording.json["response"].is_null() {
        assert_eq!(recording.name, "key-percent");
        return Otherwise("the SDK throws; ours is in the body");
    }
    let clock = clock();
    let redaction = Redaction::Secrets([SecretString::from("bad-token")].into());
    let reply = Reply { answer: recording.answer(), redaction, clock: Arc::new(clock.clone()) };
    let owned = |keys: &[&str]| -> Vec<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
    let japan = || SetItem::new("Japan", "Tokyo");
    match recording.name.as_str() {
        "set-string-no-options" | "set-instance-form" => {
            assert!(reply.flag().unwrap());
            bulk_set(recording)
        }
        name if name.starts_with("set-value-") => {
            assert!(reply.flag().unwrap());
            bulk_set(recording)
        }
        "set-ttl" => {
            assert!(reply.flag().unwrap());
            set_one(japan().ttl(Duration::from_secs(100)))
        }
        "set-expire-at" => {
            assert!(reply.flag().unwrap());
            set_one(japan().expire_at(Timestamp::from_unix_seconds(1_900_000_000)))
        }
        "set-if-not-exists-created" => {
            assert!(reply.flag().unwrap());
            set_one(japan().if_not_exists())
        }
        "set-if-not-exists-refused" => {
            assert!(!reply.flag().unwrap());
            set_one(SetItem::new("Japan", "Kyoto").if_not_exists())
        }
        "set-if-exists-updated" => {
            assert!(reply.flag().unwrap());
            set_one(SetItem::new("Japan", "Kyoto").if_exists())
        }
        "set-if-exists-refused" => {
            assert!(!reply.flag().unwrap());
            set_one(SetItem::new("Atlantis", "x").if_exists())
        }
        "set-ttl-and-expire-at" | "set-always-all-options" => {
            assert!(reply.flag().unwrap());
            Otherwise("one form of expiry at most leaves the process (EXP-2); Always is the default")
        }
        "set-fractional-ttl-zero-expire" => {
            assert!(reply.flag().unwrap());
            Otherwise("a ttl is rounded up to whole seconds (EXP-4), a time in the past refused (EXP-5)")
        }
        "set-many" => {
            reply.done().unwrap();
            let items = [
                SetItem::new("Japan", "Tokyo"),
                SetItem::new("USA", "Washington DC"),
                SetItem::new("answer", 42),
                SetItem::new("nested", json!({"a": [1]})),
            ];
            let writes: Vec<_> = items.into_iter().map(|item| resolver().write(item, &clock).unwrap()).collect();
            let members: Vec<String> = writes.iter().map(member).collect();
            Same(Request::set(body_of_members(members.iter().map(String::as_str))))
        }
        "set-many-null-member" => {
            reply.done().unwrap();
            Otherwise("null is refused (VAL-1)")
        }
        "get-string" => {
            assert_eq!(found(reply), Some(Value::from("Tokyo")));
            Otherwise(IN_BODY)
        }
        "get-number" => {
            assert_eq!(found(reply), Some(Value::from(42)));
            Otherwise(IN_BODY)
        }
        "get-object" => {
            assert_eq!(found(reply), Some(Value::from(json!({"a": [1]}))));
            Otherwise(IN_BODY)
        }
        "get-missing" => {
            assert_eq!(found(reply), None);
            Otherwise(IN_BODY)
        }
        "get-many" => {
            let values = reply.values(&owned(&["USA", "Japan", "Atlantis"])).unwrap();
            let values: Vec<_> = values.into_iter().map(|found| found.map(|(value, _)| value)).collect();
            assert_eq!(values, [Some(Value::from("Washington DC")), Some(Value::from("Tokyo")), None]);
            Same(Request::get(keys(["USA", "Japan", "Atlantis"])))
        }
        "get-many-none" => {
            assert_eq!(reply.values(&owned(&["Atlantis"])).unwrap(), [None]);
            Same(Request::get(body_of_key("Atlantis")))
        }
        "get-many-empty-list" => {
            assert_eq!(reply.values(&[]).unwrap(), []);
            Otherwise("an empty batch sends nothing (CHK-1)")
        }
        "key-in-body-needs-no-encoding" => {
            let names = ["a/b", "50%", "a?b", "ключ"];
            assert_eq!(reply.values(&owned(&names)).unwrap(), [None, None, None, None]);
            Same(Request::get(keys(names)))
        }
        "delete-one" => {
            assert_eq!(reply.count(1).unwrap(), 1);
            Same(Request::delete(body_of_key("Japan")))
        }
        "delete-many" => {
            assert_eq!(reply.count(3).unwrap(), 2);
            Same(Request::delete(keys(["Japan", "USA", "Atlantis"])))
        }
        "delete-none" => {
            assert_eq!(reply.count(1).unwrap(), 0);
            Same(Request::delete(body_of_key("Atlantis")))
        }
        "exist-one" => {
            assert_eq!(reply.count(1).unwrap(), 1);
            Same(Request::exist(body_of_key("Japan")))
        }
        "exist-one-missing" => {
            assert_eq!(reply.count(1).unwrap(), 0);
            Same(Request::exist(body_of_key("Atlantis")))
        }
        "exist-many" => {
            assert_eq!(reply.count(3).unwrap(), 2);
            Same(Request::exist(keys(["Japan", "USA", "Atlantis"])))
        }
        "keys-default" => {
            assert_eq!(reply.page("").unwrap(), (vec!["Japan".to_owned(), "USA".to_owned()], None));
            Otherwise("pageSize is always sent: its default is documented twice, with two numbers")
        }
        "keys-first-page" => {
            assert_eq!(reply.page("").unwrap(), (vec!["Japan".to_owned(), "USA".to_owned()], Some(185)));
            page(0)
        }
        "keys-next-page" => {
            assert_eq!(reply.page("").unwrap(), (vec!["Peru".to_owned()], None));
            page(185)
        }
        "keys-pattern" => {
            assert_eq!(reply.page("leader board1").unwrap(), (Vec::new(), None));
            Otherwise("a prefix is literal, so its signs of a pattern are escaped (LIST-1)")
        }
        "increment" => {
            assert_eq!(reply.step().unwrap(), Step::To(12));
            Same(Request::increment("John", 2))
        }
        "increment-negative-float" => {
            assert_eq!(reply.step().unwrap(), Step::To(10));
            Otherwise("counters are integers (CNT-1)")
        }
        "decrement" => {
            assert_eq!(reply.step().unwrap(), Step::To(10));
            Otherwise("a negative increment says the same")
        }
        "expire-after" => {
            assert!(reply.expired(false).unwrap());
            expire("Japan", |options| options.ttl = Some(Duration::from_secs(60)))
        }
        "expire-after-missing" => {
            assert!(!reply.expired(false).unwrap());
            expire("Atlantis", |options| options.ttl = Some(Duration::from_secs(60)))
        }
        "expire-at" => {
            assert!(reply.expired(false).unwrap());
            expire("Japan", |options| options.expire_at = Some(Timestamp::from_unix_seconds(1_900_000_000)))
        }
        "expire-at-missing" => {
            assert!(!reply.expired(false).unwrap());
            expire("Atlantis", |options| options.expire_at = Some(Timestamp::from_unix_seconds(1_900_000_000)))
        }
        "clear-expiration" => {
            assert!(reply.expired(true).unwrap());
            expire("Japan", |options| options.never = true)
        }
        "get-expiration" => {
            assert_eq!(reply.expiration().unwrap(), Expiration::Seconds(57));
            Same(Request::expiration("Japan"))
        }
        "get-expiration-none-set" => {
            assert_eq!(reply.expiration().unwrap(), Expiration::Never);
            Same(Request::expiration("USA"))
        }
        "get-expiration-missing" => {
            assert_eq!(reply.expiration().unwrap(), Expiration::Missing);
            Same(Request::expiration("Atlantis"))
        }
        "error-user-token" => {
            let error = reply.count(1).unwrap_err();
            assert_eq!((error.kind(), error.native_code()), (ErrorKind::Unauthorized, Some("HTTP 400, code 3064")));
            assert!(!error.to_string().contains("bad-token"), "{error}");
            Otherwise(IN_BODY)
        }
        name if name.starts_with("key-") => {
            assert_eq!(found(reply), None);
            Otherwise(IN_BODY)
        }
        name if name.starts_with("hive-") || name.starts_with("touch-") || name.starts_with("rename") => {
            Otherwise(NOT_OURS)
        }
        name if name.starts_with("seconds-since-last-operation") || name == "init-app-info" => Otherwise(NOT_OURS),
        name => panic!("nobody has said how {name} is met"),
    }
}
