//! The fake is asked what Cloudflare's local implementation was asked, and must say the same.
//!
//! What the recorder's own front has answered proves nothing about the system and is left out. Where the fake differs
//! on purpose a table says so; a row that no recording needs any more is an error. The fake is asked for the refusals
//! of the local implementation here; those of production are in the tests of the rules.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kv_api::{ManualClock, Timestamp};
use kv_fakes::cloudflare::{Fake, Refusals};
use kv_fakes::{Engine, FakeServer, ServerOptions};
use serde_json::{Value, json};

const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const NAMESPACE: &str = "0f2ac74b498b48028cb68387c421e279";
const TOKEN: &str = "test-token";

/// The second in which the recorded expiries were counted.
const RECORDED_AT: i64 = 1_795_162_272;

/// The recorder began with an empty namespace before these.
const EMPTIED_BEFORE: [u32; 2] = [39, 85];

/// An error that the fake gives another code or text, for a reason.
struct Difference {
    recordings: &'static [u32],
    theirs: (u32, &'static str),
    ours: (u32, &'static str),
    reason: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        recordings: &[78],
        theirs: (10001, "Invalid input: expected array, received object"),
        ours: (10001, "Expected a body of type application/json"),
        reason: "the explorer takes a body of another type for an empty object",
    },
    Difference {
        recordings: &[84],
        theirs: (10009, "get: 'key not found'"),
        ours: (10009, "Not Found"),
        reason: "the explorer has no route for metadata: the recorder composed the answer",
    },
];

/// A listing in which the fake shows something else.
struct Listed {
    recording: u32,
    theirs: &'static str,
    ours: &'static str,
    /// Why.
    _reason: &'static str,
}

const LISTED: &[Listed] = &[Listed {
    recording: 35,
    theirs: "[]",
    ours: r#"[{"name":"\u0000nul"}]"#,
    _reason: "the local listing loses a prefix that begins with NUL, which nothing suggests of production",
}];

struct Exchange {
    recording: u32,
    request: Value,
    response: Value,
}

fn exchanges() -> Vec<Exchange> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../recordings/cloudflare");
    let mut exchanges = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let Some(rest) = name.strip_prefix("peer-") else { continue };
        let recording = rest[..2].parse().unwrap();
        let content: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        let several = match &content["exchanges"] {
            Value::Array(several) => several.clone(),
            _ => vec![content],
        };
        exchanges.extend(several.into_iter().map(|exchange| Exchange {
            recording,
            request: exchange["request"].clone(),
            response: exchange["response"].clone(),
        }));
    }
    exchanges.sort_by_key(|exchange| exchange.recording);
    assert!(exchanges.len() > 200, "the recordings are not where they should be: {}", exchanges.len());
    exchanges
}

/// A recorded body, what was cut from it put back.
fn body(recorded: &Value) -> Vec<u8> {
    match recorded {
        Value::Null => Vec::new(),
        Value::String(text) => match text.split_once("...[") {
            None => text.clone().into_bytes(),
            Some((beginning, rest)) => {
                let bytes = rest.strip_suffix(" bytes in all]").unwrap().parse().unwrap();
                let whole = if beginning.bytes().all(|byte| byte == b'x') {
                    "x".repeat(bytes)
                } else {
                    let items: Vec<_> = (0..10_001).map(|n| format!(r#"{{"key": "t{n}", "value": ""}}"#)).collect();
                    format!("[{}]", items.join(", "))
                };
                assert!(whole.starts_with(beginning) && whole.len() == bytes, "not what was cut: {beginning}");
                whole.into_bytes()
            }
        },
        bytes => STANDARD.decode(bytes["base64"].as_str().unwrap()).unwrap(),
    }
}

async fn start(engine: Engine) -> FakeServer {
    start_at(RECORDED_AT, Refusals::Local, engine).await
}

async fn start_at(second: i64, refusals: Refusals, engine: Engine) -> FakeServer {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(second));
    let fake = Fake::new().with_account(ACCOUNT).with_namespace(NAMESPACE).with_token(TOKEN);
    let fake = fake.with_refusals(refusals);
    fake.serve(ServerOptions::new().with_engine(engine).with_clock(Arc::new(clock))).await.unwrap()
}

#[tokio::test]
async fn answers_as_the_local_implementation_did() {
    answers_as_recorded(Engine::Wiremock).await;
}

#[tokio::test]
async fn answers_as_the_local_implementation_did_also_where_it_stands() {
    answers_as_recorded(Engine::Hyper).await;
}

async fn answers_as_recorded(engine: Engine) {
    let client = reqwest::Client::new();
    let mut server = start(engine).await;
    let mut mismatches = Vec::new();
    let mut needed = BTreeSet::new();
    let mut needed_listed = BTreeSet::new();
    let mut emptied = BTreeSet::new();
    let mut compared = 0;
    for Exchange { recording, request, response } in exchanges() {
        let answered_by = response["headers"]["x-peer-answer"].as_str().unwrap();
        if answered_by == "front" {
            continue;
        }
        assert!(matches!(answered_by, "explorer" | "composed"), "{answered_by}");
        if EMPTIED_BEFORE.contains(&recording) && emptied.insert(recording) {
            server = start(engine).await;
        }
        let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        let url = format!("{}{}", server.base_url().strip_suffix("/client/v4").unwrap(), path);
        let mut sent = client.request(method.parse().unwrap(), url).body(body(&request["body"]));
        for (name, value) in request["headers"].as_object().unwrap() {
            sent = sent.header(name, value.as_str().unwrap());
        }
        let answer = sent.send().await.unwrap();

        let what = format!("{recording:02} {method} {}", &path[..path.len().min(160)]);
        let mut check = |fixture: &str, found: &str, expected: &str| {
            if found != expected {
                mismatches.push(format!("{what}: {fixture} is {found}, was {expected}"));
            }
        };
        check("status", answer.status().as_str(), &response["status"].to_string());
        for name in ["content-type", "expiration"] {
            let found = answer.headers().get(name).map_or("absent", |value| value.to_str().unwrap());
            check(name, found, response["headers"][name].as_str().unwrap_or("absent"));
        }
        let found = answer.bytes().await.unwrap();
        let recorded = body(&response["body"]);
        compared += 1;
        if response["headers"]["content-type"] != "application/json" {
            check("body", &format!("{found:?}"), &format!("{:?}", bytes(&recorded)));
            continue;
        }
        let mut expected: Value = serde_json::from_slice(&recorded).unwrap();
        let unchanged = expected.clone();
        // Documentation shows `{}`, fixtures of the vendor's clients show null, and one of them takes nothing else.
        if expected["result"] == json!({}) && path.contains("/values/") && method != "GET" {
            expected["result"] = Value::Null;
        }
        if path.contains("/keys?") {
            for (row, listed) in LISTED.iter().enumerate().filter(|(_, listed)| listed.recording == recording) {
                let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                assert_eq!(expected["result"], parsed(listed.theirs), "{what}");
                expected["result"] = parsed(listed.ours);
                expected["result_info"]["count"] = expected["result"].as_array().unwrap().len().into();
                needed_listed.insert(row);
            }
        }
        if let Some(error) = expected["errors"].get_mut(0) {
            let rows = DIFFERENCES.iter().enumerate();
            for (row, difference) in rows.filter(|(_, difference)| difference.recordings.contains(&recording)) {
                if *error == json!({ "code": difference.theirs.0, "message": difference.theirs.1 }) {
                    *error = json!({ "code": difference.ours.0, "message": difference.ours.1 });
                    needed.insert((row, recording));
                    break;
                }
            }
        }
        // Text by text, so that the order of members and the digits of numbers count too.
        if expected == unchanged {
            check("body", &String::from_utf8_lossy(&found), &String::from_utf8_lossy(&recorded));
        }
        let found: Value = serde_json::from_slice(&found).unwrap();
        check("body", &found.to_string(), &expected.to_string());
    }
    assert!(mismatches.is_empty(), "{} of {compared} differ:\n{}", mismatches.len(), mismatches.join("\n"));
    let idle: Vec<_> = DIFFERENCES
        .iter()
        .enumerate()
        .flat_map(|(row, difference)| difference.recordings.iter().map(move |recording| (row, *recording)))
        .filter(|row| !needed.contains(row))
        .map(|(row, recording)| (recording, DIFFERENCES[row].theirs, DIFFERENCES[row].reason))
        .collect();
    assert!(idle.is_empty(), "no recording needs these any more: {idle:?}");
    assert_eq!(needed_listed.len(), LISTED.len());
    assert!(compared > 200, "{compared}");
}

fn bytes(bytes: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}

/// The requests of five clients, each in its own form, and whether the local implementation took them.
#[tokio::test]
async fn takes_what_the_clients_send() {
    for engine in [Engine::Wiremock, Engine::Hyper] {
        takes_the_requests_of_clients(engine).await;
    }
}

async fn takes_the_requests_of_clients(engine: Engine) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../recordings/cloudflare/client-requests.json");
    let content: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let client = reqwest::Client::new();
    let server = start(engine).await;
    let mut mismatches = Vec::new();
    let mut compared = 0;
    for recorded in content["requests"].as_array().unwrap() {
        let request = &recorded["request"];
        if request["body"].as_str().is_some_and(|body| body.contains(" bytes in all]")) {
            // Cut, and of a form that others show whole.
            continue;
        }
        let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        let url = format!("{}{}", server.base_url().strip_suffix("/client/v4").unwrap(), path);
        let mut sent = client.request(method.parse().unwrap(), url).body(body(&request["body"]));
        for (name, value) in request["headers"].as_object().unwrap() {
            if name != "content-length" {
                sent = sent.header(name, value.as_str().unwrap());
            }
        }
        let status = sent.send().await.unwrap().status();
        compared += 1;
        if json!(status.as_u16()) != recorded["status_from_peer"] {
            mismatches.push(format!(
                "{} {method} {path}: {status}, was {}",
                recorded["client"], recorded["status_from_peer"]
            ));
        }
    }
    assert!(mismatches.is_empty(), "{} of {compared} differ:\n{}", mismatches.len(), mismatches.join("\n"));
    assert!(compared > 40, "{compared}");
}

/// What the binding inside a Worker did, asked over REST: it refuses in the words that production uses too.
#[tokio::test]
async fn refuses_in_the_words_of_the_binding() {
    /// When these calls were made.
    const CALLED_AT: i64 = 1_795_161_275;
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../recordings/cloudflare/binding.json");
    let content: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let client = reqwest::Client::new();
    let server = start_at(CALLED_AT, Refusals::Production, Engine::default()).await;
    let inside = format!("{}/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}", server.base_url());
    let (mut written, mut refused, mut listed) = (0, 0, 0);
    for call in content["calls"].as_array().unwrap() {
        let arguments = &call["args"];
        match call["call"].as_str() {
            Some("put") => {
                let error = call["error"].as_str().unwrap_or("");
                // Refused by the runtime without asking, or cut in the recording.
                let options = &arguments[2];
                if error.starts_with("TypeError") || options.is_string() {
                    continue;
                }
                let mut url =
                    reqwest::Url::parse(&format!("{inside}/values/{}", arguments[0].as_str().unwrap())).unwrap();
                for (option, parameter) in [("expiration", "expiration"), ("expirationTtl", "expiration_ttl")] {
                    if let Some(seconds) = options.get(option) {
                        url.query_pairs_mut().append_pair(parameter, &seconds.to_string());
                    }
                }
                let form = reqwest::multipart::Form::new()
                    .text("value", arguments[1].as_str().unwrap().to_owned())
                    .text("metadata", options["metadata"].to_string());
                let answer = client.put(url).bearer_auth(TOKEN).multipart(form).send().await.unwrap();
                let status = answer.status().as_u16();
                let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                if error.is_empty() {
                    assert_eq!(status, 200, "{call}");
                    written += 1;
                } else {
                    let said = format!("{status} {}", answer["errors"][0]["message"].as_str().unwrap());
                    assert_eq!(error.strip_prefix("Error: KV PUT failed: "), Some(said.as_str()));
                    refused += 1;
                }
            }
            Some("list") if arguments[0]["limit"] == 0 => {
                let answer = client.get(format!("{inside}/keys")).bearer_auth(TOKEN).send().await.unwrap();
                let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                let theirs: Vec<_> = call["result"]["keys"].as_array().unwrap().iter().map(without_metadata).collect();
                let ours: Vec<_> = answer["result"].as_array().unwrap().iter().map(without_metadata).collect();
                assert_eq!(ours, theirs);
                listed += theirs.len();
            }
            _ => {}
        }
    }
    assert_eq!((written, refused, listed), (8, 5, 7));
}

fn without_metadata(key: &Value) -> (Value, Value) {
    (key["name"].clone(), key["expiration"].clone())
}
