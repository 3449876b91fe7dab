//! The recorded exchanges, replayed: the fake gives the answers that documents, official clients and their tests tell
//! of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kv_fakes::Engine;
use kv_fakes::backendless::Fake;
use serde_json::Value;

use crate::application::Application;

/// One recorded exchange to be replayed: its name without the form of address and the number.
struct Replay {
    name: &'static str,
    /// The hives there are.
    hives: &'static [&'static str],
    /// What the hive `countries` holds: key, value as JSON, ttl in seconds.
    given: &'static [(&'static str, &'static str, Option<u64>)],
    /// Seconds between that and the request.
    elapsed: u64,
    /// Headers to be added.
    headers: &'static [(&'static str, &'static str)],
    compare: Compare,
}

#[derive(PartialEq)]
enum Compare {
    /// Status and JSON are equal, or both bodies are empty.
    Exactly,
    /// So they are but for the order of the names of a page, which is the system's own.
    NamesInAnyOrder,
    /// A page of as many names, which names being the system's own choice, and some cursor to go on from.
    ShapeOfPage,
}

const JAPAN: (&str, &str, Option<u64>) = ("Japan", r#""Tokyo""#, None);
const USA: (&str, &str, Option<u64>) = ("USA", r#""Washington DC""#, None);

const fn replay(name: &'static str, given: &'static [(&'static str, &'static str, Option<u64>)]) -> Replay {
    Replay { name, hives: &["countries"], given, elapsed: 0, headers: &[], compare: Compare::Exactly }
}

const REPLAYED: &[Replay] = &[
    Replay { hives: &["workedHours", "countries"], ..replay("hive-names", &[]) },
    Replay { hives: &["other"], ..replay("hive-create", &[]) },
    replay("hive-rename", &[]),
    replay("hive-delete", &[]),
    replay("set-string-no-options", &[]),
    replay("set-instance-form", &[]),
    replay("set-ttl", &[]),
    replay("set-expire-at", &[]),
    replay("set-ttl-and-expire-at", &[]),
    replay("set-if-not-exists-created", &[]),
    replay("set-if-not-exists-refused", &[JAPAN]),
    replay("set-if-exists-updated", &[JAPAN]),
    replay("set-if-exists-refused", &[JAPAN]),
    replay("set-always-all-options", &[]),
    replay("set-value-number", &[]),
    replay("set-value-float", &[]),
    replay("set-value-bool", &[]),
    replay("set-value-object", &[]),
    replay("set-value-array", &[]),
    replay("set-value-empty-string", &[]),
    replay("set-value-json-looking-string", &[]),
    replay("set-value-numeric-string", &[]),
    replay("set-value-unicode", &[]),
    replay("set-many", &[]),
    replay("get-string", &[JAPAN]),
    replay("get-number", &[("answer", "42", None)]),
    replay("get-object", &[("nested", r#"{"a":[1]}"#, None)]),
    replay("get-missing", &[JAPAN]),
    replay("get-many", &[JAPAN, USA]),
    replay("get-many-none", &[JAPAN]),
    replay("delete-one", &[JAPAN]),
    replay("delete-many", &[JAPAN, USA]),
    replay("delete-none", &[JAPAN]),
    replay("exist-one", &[JAPAN]),
    replay("exist-one-missing", &[JAPAN]),
    replay("exist-many", &[JAPAN, USA]),
    replay("touch-one", &[JAPAN]),
    replay("touch-many", &[JAPAN, USA]),
    Replay { compare: Compare::NamesInAnyOrder, ..replay("keys-default", &[JAPAN, USA]) },
    Replay { compare: Compare::ShapeOfPage, ..replay("keys-first-page", &[JAPAN, USA, ("Peru", "1", None)]) },
    replay("keys-next-page", &[("Peru", "1", None)]),
    replay("keys-pattern", &[JAPAN]),
    replay("increment", &[("John", "10", None)]),
    replay("decrement", &[("John", "12", None)]),
    replay("expire-after", &[JAPAN]),
    replay("expire-after-missing", &[]),
    replay("expire-at", &[JAPAN]),
    replay("expire-at-missing", &[]),
    Replay { elapsed: 3, ..replay("get-expiration", &[("Japan", r#""Tokyo""#, Some(60))]) },
    replay("get-expiration-none-set", &[USA]),
    replay("get-expiration-missing", &[]),
    replay("clear-expiration", &[("Japan", r#""Tokyo""#, Some(60))]),
    Replay { elapsed: 3, ..replay("seconds-since-last-operation", &[JAPAN]) },
    replay("seconds-since-last-operation-missing", &[]),
    replay("rename", &[JAPAN]),
    replay("rename-no-overwrite-refused", &[JAPAN, USA]),
    replay("rename-overwrite", &[JAPAN, USA]),
    replay("rename-missing", &[]),
    // The client of the recording sent no token, since it does so only for a user whom it has logged in; the answer is
    // the one to a token.
    Replay { headers: &[("user-token", "bad-token")], ..replay("error-user-token", &[JAPAN]) },
];

/// What is not replayed, since its answer is nobody's word.
const NOT_REPLAYED: &[(&str, &str)] = &[
    ("set-fractional-ttl-zero-expire", "UNKNOWN: no source says what the system makes of such times"),
    ("set-many-null-member", "UNKNOWN: one client refuses null before sending, another does not"),
    ("get-many-empty-list", "ASSUMED: an empty array of keys is not documented"),
    ("increment-negative-float", "UNKNOWN: the documents do not speak of fractions"),
    ("key-space", "UNKNOWN: only the request was of interest"),
    ("key-colon", "UNKNOWN: only the request was of interest"),
    ("key-slash", "UNKNOWN: only the request was of interest"),
    ("key-percent", "the client sends no request: it fails on the key"),
    ("key-percent-encoded-slash", "UNKNOWN: only the request was of interest"),
    ("key-question", "UNKNOWN: only the request was of interest"),
    ("key-hash", "UNKNOWN: only the request was of interest"),
    ("key-plus-amp", "UNKNOWN: only the request was of interest"),
    ("key-unicode", "UNKNOWN: only the request was of interest"),
    ("key-dot-dot", "UNKNOWN: only the request was of interest"),
    ("key-named-keys", "UNKNOWN: only the request was of interest"),
    ("key-in-body-needs-no-encoding", "ASSUMED: that keys in a body are taken as they are"),
    ("init-app-info", "UNKNOWN: the one client that asks ignores the body"),
];

struct Recording {
    file: String,
    name: String,
    json: Value,
}

impl Recording {
    fn basis(&self) -> &str {
        self.json["response_basis"]["basis"].as_str().unwrap_or("no answer")
    }
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/backendless");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: &Path| {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        Recording { file, name: json["name"].as_str().unwrap().to_owned(), json }
    };
    files.iter().map(|path| read(path)).collect()
}

#[test]
fn every_recording_is_replayed_or_has_a_reason() {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for name in REPLAYED.iter().map(|replay| replay.name).chain(NOT_REPLAYED.iter().map(|(name, _)| *name)) {
        assert!(named.insert(name), "{name} is named twice");
    }
    let recordings = recordings();
    for recording in &recordings {
        assert!(named.contains(recording.name.as_str()), "{} is in neither table", recording.file);
        let certain = matches!(recording.basis(), "DOCUMENTED" | "ASSERTED" | "DECLARED");
        let reason = NOT_REPLAYED.iter().find(|(name, _)| *name == recording.name).map(|(_, reason)| *reason);
        match reason {
            Some(reason) => {
                assert!(!certain || recording.json["request"].is_null(), "{} can be replayed", recording.file);
                let begins =
                    if recording.json["request"].is_null() { "the client sends no" } else { recording.basis() };
                assert!(reason.starts_with(begins), "{}: {reason}", recording.file);
            }
            None => assert!(certain, "{}: {}", recording.file, recording.basis()),
        }
    }
    let recorded: BTreeSet<&str> = recordings.iter().map(|recording| recording.name.as_str()).collect();
    assert_eq!(named, recorded);
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_answers() {
    let mut replayed = 0;
    for recording in recordings() {
        let Some(replay) = REPLAYED.iter().find(|replay| replay.name == recording.name) else { continue };
        for engine in [Engine::Wiremock, Engine::Hyper] {
            check(engine, replay, &recording).await;
        }
        replayed += 1;
    }
    // Some are recorded in both forms of address.
    assert!(replayed > REPLAYED.len(), "{replayed}");
}

async fn check(engine: Engine, replay: &Replay, recording: &Recording) {
    let application =
        Application::serve_by(engine, replay.hives.iter().fold(Fake::new(), |fake, hive| fake.with_hive(*hive))).await;
    for (key, value, ttl) in replay.given {
        let ttl = ttl.map(|ttl| format!(r#","ttl":{ttl}"#)).unwrap_or_default();
        let body = format!(r#"{{"value":{value}{ttl}}}"#);
        let path = format!("/api/hive/countries/key-value/{key}");
        let json = [("content-type", "application/json")];
        assert_eq!(application.send("PUT", &path, &json, Some(body)).await, (200, "true".to_owned()));
    }
    application.advance(replay.elapsed * 1000);

    let request = &recording.json["request"];
    let mut headers = replay.headers.to_vec();
    headers.extend(request["headers"]["Content-Type"].as_str().map(|value| ("content-type", value)));
    let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
    let body = request["raw_body"].as_str().map(str::to_owned);
    let (status, text) = application.send(method, path, &headers, body).await;

    let expected = &recording.json["response"];
    let file = &recording.file;
    assert_eq!(Some(status.into()), expected["status"].as_u64(), "{file}: {text}");
    if expected["body_is_empty"] == true {
        assert_eq!(text, "", "{file}");
        return;
    }
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{file}: {text}"));
    let mut expected = expected["body"].clone();
    match replay.compare {
        Compare::Exactly => {}
        Compare::NamesInAnyOrder => {
            sort(&mut answer["keys"]);
            sort(&mut expected["keys"]);
        }
        Compare::ShapeOfPage => {
            let shape = |page: &mut Value| {
                let cursor: u64 = page["cursor"].as_str().unwrap().parse().unwrap();
                let names = page["keys"].as_array().unwrap();
                *page = Value::from(vec![names.len(), usize::from(cursor > 0)]);
            };
            shape(&mut answer);
            shape(&mut expected);
        }
    }
    assert_eq!(answer, expected, "{file}");
}

fn sort(names: &mut Value) {
    names.as_array_mut().unwrap().sort_by_key(|name| name.as_str().map(str::to_owned));
}
