//! The file of what was not copied: the bulk format with one member more, to be fed back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use kv_api::{Capabilities, Support, Timestamp, Value, ValueKind, ValueKinds};
use kv_migrate::{BulkReader, Options, Record, RecordExpiry, Rejects, Rewrite, Sink, Source, ZeroExpiry, copy};
use serde_json::json;

fn record(key: &str, value: impl Into<Value>, expiry: RecordExpiry) -> Record {
    Record { key: key.to_owned(), value: value.into(), metadata: None, expiry, line: None }
}

fn read(path: &Path) -> Vec<Record> {
    let mut reader = BulkReader::open(path).unwrap();
    std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| Record { line: None, ..record }).collect()
}

#[test]
fn what_was_rejected_is_read_back_as_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejects.jsonl");
    let at = RecordExpiry::At(Timestamp::from_unix_seconds(4_000_000_000));
    let records = [
        record("text", "line\nend", RecordExpiry::Never),
        record("json", json!({"a": [1, "\""]}), at),
        record("bytes", vec![0, 255], RecordExpiry::NotPositive),
        Record { metadata: Some(json!({"m": 1}).into()), ..record("unknown", "v", RecordExpiry::Unknown) },
    ];
    let mut rejects = Rejects::create(&path).unwrap();
    for record in &records {
        rejects.write(record, "a \"reason\"\nin two lines").unwrap();
    }
    assert_eq!(rejects.flush().unwrap(), fs::metadata(&path).unwrap().len());
    let mut expected = records.to_vec();
    // The format has no words for it: the reason says so.
    expected[3].expiry = RecordExpiry::Never;
    assert_eq!(read(&path), expected);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    let reason = r#","reason":"a \"reason\"\nin two lines"}"#;
    assert_eq!(lines[2], format!(r#"{{"key":"bytes","value":"AP8=","base64":true,"expiration_ttl":0{reason}"#));
    assert_eq!(lines[3], format!(r#"{{"key":"unknown","value":"v","metadata":{{"m":1}}{reason}"#));
}

#[test]
fn a_reason_is_a_text_and_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    for (members, problem) in [
        (r#""reason":5"#, "member \"reason\" must be a string"),
        (r#""reason":"a","reason":"b""#, "member \"reason\" is given twice"),
    ] {
        fs::write(&path, format!(r#"{{"key":"a","value":"",{members}}}"#)).unwrap();
        let error = BulkReader::open(&path).unwrap().next_record().unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_later_run_goes_on_where_the_earlier_one_had_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejects.jsonl");
    let mut rejects = Rejects::create(&path).unwrap();
    rejects.write(&record("a", "", RecordExpiry::Never), "why").unwrap();
    let bytes = rejects.flush().unwrap();
    rejects.write(&record("again", "", RecordExpiry::Never), "why").unwrap();
    drop(rejects);
    let mut rejects = Rejects::resume(&path, bytes).unwrap();
    assert_eq!(rejects.flush().unwrap(), bytes);
    rejects.write(&record("b", "", RecordExpiry::Never), "why").unwrap();
    assert_eq!(rejects.flush().unwrap(), 2 * bytes);
    let keys: Vec<String> = read(&path).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, ["a", "b"]);

    let error = Rejects::resume(&path, 2 * bytes + 1).unwrap_err().to_string();
    assert!(error.contains("rejects.jsonl: cannot be resumed: it is shorter than it was"), "{error}");
    fs::remove_file(&path).unwrap();
    assert!(Rejects::resume(&path, 0).is_err());
    assert!(!path.exists());
    let error = Rejects::create(&folder.path().join("missing/r.jsonl")).unwrap_err().to_string();
    assert!(error.contains("missing/r.jsonl: cannot write there"), "{error}");
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejects.jsonl");
    let mut rejects = Rejects::create(&path).unwrap();
    let damaged = Value::from_stored(ValueKind::Text, vec![0xff].into());
    let error = rejects.write(&record("a", damaged, RecordExpiry::Never), "why").unwrap_err().to_string();
    assert!(error.contains("text that is not UTF-8"), "{error}");
    assert_eq!(rejects.flush().unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_can_take_what_was_rejected() {
    let mut rejects = Rejects::create(Path::new("/dev/null")).unwrap();
    rejects.write(&record("a", "", RecordExpiry::Never), "why").unwrap();
    assert!(rejects.flush().unwrap() > 0);
    let mut full = Rejects::create(Path::new("/dev/full")).unwrap();
    full.write(&record("a", "", RecordExpiry::Never), "why").unwrap();
    assert!(full.flush().unwrap_err().to_string().starts_with("/dev/full: cannot write: "));
}

#[tokio::test]
async fn what_a_target_refuses_is_kept_with_its_reason_and_can_be_fed_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rejects) = (folder.path().join("in.jsonl"), folder.path().join("rejects.jsonl"));
    let lines = [
        r#"{"key":"old/good","value":"v"}"#,
        r#"{"key":"old/too long","value":"v","metadata":{"m":1}}"#,
        r#"{"key":"other","value":"v"}"#,
        r#"{"key":"old/zero","value":"v","expiration":0}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    static SMALL: Capabilities = Capabilities::new("small")
        .with_value_kinds(ValueKinds::ALL)
        .with_metadata(Support::Native)
        .with_ttl(Support::Native)
        .with_key_bytes(1, 5);
    let to = kv_backends::open("memory:").await.unwrap();
    let options = Options {
        rewrite: Rewrite { strip_prefix: "old/".to_owned(), add_prefix: String::new() },
        rejects: Some(rejects.clone()),
        ..Options::default()
    };
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
    let summary = copy(source, Sink::store(&to.restricted_to([&SMALL])), &options, |_| {}).await;
    assert_eq!((summary.counts.read, summary.counts.written, summary.counts.failed), (4, 1, 3), "{summary:?}");
    let rejected = read(&rejects);
    let keys: Vec<&str> = rejected.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(keys, ["old/zero", "other", "old/too long"]);
    let text = fs::read_to_string(&rejects).unwrap();
    for reason in ["does not begin with the prefix", "key_bytes_max is 5, found 8", "--zero-expiry says which"] {
        assert!(text.contains(reason), "{text}");
    }

    let options = Options { zero_expiry: ZeroExpiry::Never, rejects: None, ..options };
    let source = Source::bulk(BulkReader::open(&rejects).unwrap(), &options);
    let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
    assert_eq!((summary.counts.written, summary.counts.failed), (2, 1), "{summary:?}");
    let entry = to.get_entry("too long").await.unwrap().unwrap();
    assert_eq!(entry.metadata(), Some(&json!({"m": 1}).into()));
}
