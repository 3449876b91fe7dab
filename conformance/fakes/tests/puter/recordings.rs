//! The recorded exchanges, replayed: the fake gives the answers that a real server gave.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kv_api::Timestamp;
use kv_fakes::Engine;
use kv_fakes::puter::{Access, Fake, Grant, Hosts, Rates, Switches, Tier};
use serde_json::{Value, json};

use crate::server::Server;

/// What is not replayed, and why.
const NOT_REPLAYED: &[(&str, &str)] =
    &[("271-rate-concurrent", "its body is described and not recorded, and it is one of many at once")];

/// What is answered differently, and why.
const DIFFERENT: &[(&str, Compare, &str)] = &[
    ("025-http-version", Compare::Without("deploy_timestamp"), "when the real server was started"),
    ("092-getmany-large", Compare::AsManyValues, "which of the values are left out is different at each try"),
];

/// The headers that are compared, where the recording has them: the others are the same for everything, and harden what
/// a browser does.
const HEADERS: &[&str] = &[
    "Content-Type",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "X-Needs-Upgrade",
    "Retry-After",
];

/// Who stood behind the tokens: the ids are in recorded cursors and arguments.
const USER: &str = "e45d0204-af80-479c-ad59-c56758fdb16e";
const APP: &str = "app-d1059bb7-cb62-595a-a920-f16857e0fc2d";
const APP_2: &str = "app-bcff8cca-28c5-5800-9b36-e198109fa828";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    /// Status, compared headers and JSON are equal.
    Exactly,
    /// So they are but for one member.
    Without(&'static str),
    /// An array of as many results as were recorded, as many of them null, and each other one a value that was set.
    AsManyValues,
}

struct Recording {
    name: String,
    json: Value,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/puter");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| Recording {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        json: serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
    };
    files.iter().map(|path| read(path)).collect()
}

/// A token of the present kind that is nobody's secret.
fn token(name: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(json!({"alg": "HS256", "typ": "JWT", "kid": "v2"}));
    format!("{header}.{}.{}", part(json!({"name": name})), URL_SAFE_NO_PAD.encode("not a signature"))
}

fn fake() -> Fake {
    let switches = Switches { hosts: Hosts::Api, rates: Rates::Enforced, ..Switches::default() };
    Fake::new()
        .with_switches(switches)
        .with_token(token("USER"), Grant::user(USER).with_tier(Tier::Paid))
        .with_token(token("PAT"), Grant::user(USER).with_tier(Tier::Paid))
        .with_token(token("APP"), Grant::app(USER, APP).with_tier(Tier::Paid))
        .with_token(token("APP2"), Grant::app(USER, APP_2).with_tier(Tier::Paid))
        .with_token(token("SCOPED"), Grant::user(USER).with_access(Access::Scoped))
        .with_token(token("TEMP"), Grant::user("temporary").with_tier(Tier::Temporary))
        .with_token(token("UNVERIFIED"), Grant::user("unverified").with_access(Access::Unconfirmed))
}

/// A text of a recording with tokens in the place of their names.
fn with_tokens(text: &str) -> String {
    let bad = "<USER_TOKEN with its last 6 characters replaced>";
    let user = token("USER");
    let text = text.replace(bad, &format!("{}AAAAAA", &user[..user.len() - 6]));
    let names = ["USER", "PAT", "APP", "APP2", "SCOPED", "TEMP", "UNVERIFIED"];
    names.iter().fold(text, |text, name| text.replace(&format!("<{name}_TOKEN>"), &token(name)))
}

/// JSON of a recording, with its repeated texts written out.
fn written_out(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("$repeat").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::String(text), times]) => {
                json!(text.repeat(usize::try_from(times.as_u64().unwrap()).unwrap()))
            }
            _ => members.iter().map(|(name, value)| (name.clone(), written_out(value))).collect(),
        },
        Value::Array(items) => items.iter().map(written_out).collect(),
        Value::String(text) => json!(with_tokens(text)),
        other => other.clone(),
    }
}

/// What no file of the folder may be left out of, silently or twice.
#[test]
fn every_recording_is_accounted_for() {
    let names: BTreeSet<String> = recordings().into_iter().map(|recording| recording.name).collect();
    assert_eq!(names.len(), 271);
    let mut named = BTreeSet::new();
    for name in NOT_REPLAYED.iter().map(|own| own.0).chain(DIFFERENT.iter().map(|own| own.0)) {
        assert!(names.contains(name) && named.insert(name), "{name}");
    }
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_answers() {
    replay_all(Engine::Wiremock).await;
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_answers_also_where_it_stands() {
    replay_all(Engine::Hyper).await;
}

async fn replay_all(engine: Engine) {
    // One server for all: the sequence on deletes begins with what the one on listings has left.
    let server = Server::serve_by(engine, fake()).await;
    let mut replayed = 0;
    for recording in recordings() {
        if replayed == 0 {
            server.clock.set(Timestamp::from_unix_seconds(recording.json["recorded_at_unix"].as_i64().unwrap()));
        }
        replayed += usize::from(replay(&server, &recording).await);
    }
    assert_eq!(replayed, 271 - NOT_REPLAYED.len());
}

/// Whether it was replayed.
async fn replay(server: &Server, recording: &Recording) -> bool {
    let Recording { name, json } = recording;
    for step in json["setup"].as_array().into_iter().flatten() {
        set_up(server, step).await;
    }
    if NOT_REPLAYED.iter().any(|(own, _)| own == name) {
        return false;
    }
    show(server, json["recorded_at_unix"].as_i64().unwrap());

    let request = &json["request"];
    let own = |value: &Value| with_tokens(value.as_str().unwrap());
    let headers: Vec<(String, String)> =
        request["headers"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), own(value))).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = match &request["body"] {
        Value::Null => None,
        Value::String(raw) => Some(with_tokens(raw)),
        body => Some(written_out(body).to_string()),
    };
    let answer = server.send(request["method"].as_str().unwrap(), &own(&request["path"]), &headers, body).await;

    let expected = &json["response"];
    let status = answer.status().as_u16();
    for header in HEADERS {
        let answered = answer.headers().get(*header).map(|value| value.to_str().unwrap());
        assert_eq!(answered, expected["headers"][header].as_str(), "{name}: {header}");
    }
    let text = answer.text().await.unwrap();
    let shown: String = text.chars().take(300).collect();
    assert_eq!(json!(status), expected["status"], "{name}: {shown}");
    let mut answered: Value = serde_json::from_str(&text).unwrap_or(json!(text));
    let mut expected = written_out(&expected["body"]);
    match DIFFERENT.iter().find(|(own, ..)| own == name).map_or(Compare::Exactly, |(_, compare, _)| *compare) {
        Compare::Exactly => {}
        Compare::Without(member) => {
            for body in [&mut answered, &mut expected] {
                assert!(body.as_object_mut().unwrap().remove(member).is_some(), "{name}");
            }
        }
        Compare::AsManyValues => {
            let set: Vec<Value> =
                json["setup"].as_array().unwrap().iter().map(|step| written_out(&step["args"])).collect();
            for body in [&mut answered, &mut expected] {
                let results = body["result"].as_array_mut().unwrap();
                assert_eq!(results.len(), set.len(), "{name}");
                assert!(results.iter().zip(&set).all(|(own, set)| own.is_null() || *own == set["value"]), "{name}");
                results.sort_by_key(Value::is_null);
                results.iter_mut().filter(|own| !own.is_null()).for_each(|own| *own = json!("a value"));
            }
        }
    }
    assert!(answered == expected, "{name}: {shown}");
    true
}

/// What was done between two recorded exchanges.
async fn set_up(server: &Server, step: &Value) {
    if let Some(seconds) = step["pause_seconds"].as_f64() {
        server.clock.advance(std::time::Duration::from_secs_f64(seconds));
        return;
    }
    if let Some(time) = step["at_unix"].as_i64() {
        show(server, time);
    }
    let token = with_tokens(step["token"].as_str().unwrap());
    let (method, args) = (step["method"].as_str().unwrap(), written_out(&step["args"]));
    for _ in 0..step["times"].as_u64().unwrap_or(1) {
        let (status, body) = server.call_as(&token, method, args.clone()).await;
        // Of the listings the real server refused the last ones too.
        assert!(status == 200 || (status == 429 && method == "list"), "{method}: {body}");
    }
    if step["until"] == "store is empty" {
        while server.ok_as(&token, "list", json!({"as": "keys"})).await != Some(json!([])) {
            server.ok_as(&token, "flush", json!({})).await;
        }
    }
}

/// Moves the clock to a recorded time, never back.
fn show(server: &Server, unix_seconds: i64) {
    use kv_api::Clock;
    let time = Timestamp::from_unix_seconds(unix_seconds);
    if time > server.clock.now() {
        server.clock.set(time);
    }
}
