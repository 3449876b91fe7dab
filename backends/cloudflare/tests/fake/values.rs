//! What is stored, as other clients see it (ENV-2), and reads that a write comes between (GET-1).

use kv_api::{EntryExpiry, ErrorKind, Retry, SetItem, Timestamp, Value};
use kv_fakes::Fault;
use kv_testkit::RemoteSystem as _;
use serde_json::json;

use crate::harness::System;
use crate::scripted::{JSON, Scripted, success};

#[tokio::test]
async fn env_2_values_stay_plain_and_metadata_gains_a_member_where_needed() {
    let system = System::start().await;
    let store = system.store();
    store.set("a text", "plain").await.unwrap();
    store.set("b json", json!({"n": 1})).await.unwrap();
    store.set("c bytes", b"UTF-8").metadata(json!({"by": "Ada"})).await.unwrap();
    store.set("d raw", b"\xFF").await.unwrap();
    store.set("e wrapped", 1).metadata(json!(["m"])).await.unwrap();
    store.set("f big", "v").metadata(json!({"n": u64::MAX})).await.unwrap();
    let expected = json!([
        {"name": "a text"},
        {"name": "b json", "metadata": {"$kv-envelope": [1, "json"]}},
        {"name": "c bytes", "metadata": {"$kv-envelope": [1, "bytes"], "by": "Ada"}},
        {"name": "d raw"},
        {"name": "e wrapped", "metadata": {"$kv-envelope": [1, "json", ["m"]]}},
        {"name": "f big", "metadata": {"$kv-envelope": [1, "text", r#"{"n":18446744073709551615}"#, "json-text"]}},
    ]);
    assert_eq!(json!(system.listed().await), expected);
    assert_eq!(system.raw("b%20json").await, r#"{"n":1}"#);
    assert_eq!(system.raw("d%20raw").await, &b"\xFF"[..]);
    let before = system.listed().await;

    // In bulk the same.
    let entries: Vec<_> =
        store.get_entry_many(["a text", "b json", "c bytes", "d raw", "e wrapped", "f big"]).await.unwrap();
    let items = before.iter().zip(&entries).map(|(listed, entry)| {
        let (entry, key) = (entry.as_ref().unwrap(), listed["name"].as_str().unwrap());
        let item = SetItem::new(key, entry.value().clone());
        match entry.metadata() {
            Some(metadata) => item.metadata(metadata.clone()),
            None => item,
        }
    });
    assert!(store.set_many(items).await.iter().all(Result::is_ok));
    assert_eq!(system.listed().await, before);
    assert_eq!(system.raw("d%20raw").await, &b"\xFF"[..]);
}

#[tokio::test]
async fn val_5_what_others_wrote_is_read_for_what_it_is() {
    let system = System::start().await;
    let store = system.store();
    system
        .bulk_put(json!([
            {"key": "text", "value": "[1]", "metadata": ["theirs"]},
            {"key": "tagged", "value": "[1]", "metadata": {"$kv-envelope": [1, "json"], "a": 1}},
            {"key": "almost", "value": "[1]", "metadata": {"$kv-envelope": "json"}},
            {"key": "bytes", "value": "/w==", "base64": true},
            {"key": "odd", "value": "\u{FFFD}"},
            {"key": "marked", "value": "77u//w==", "base64": true, "metadata": {"$kv-envelope": [1, "bytes"]}},
            {"key": "newer", "value": "v", "metadata": {"$kv-envelope": [2, "json"]}},
        ]))
        .await;
    let found = store.get_entry_many(["text", "tagged", "almost", "bytes", "odd", "marked"]).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|entry| entry.unwrap()).collect();
    let values: Vec<_> = found.iter().map(|entry| entry.value().clone()).collect();
    let expected = [
        Value::from("[1]"),
        Value::from(json!([1])),
        Value::from("[1]"),
        Value::from(b"\xFF"),
        Value::from("\u{FFFD}"),
        Value::from(b"\xEF\xBB\xBF\xFF"),
    ];
    assert_eq!(values, expected);
    assert_eq!(found[0].metadata(), Some(&json!(["theirs"]).into()));
    assert_eq!(found[1].metadata(), Some(&json!({"a": 1}).into()));
    assert_eq!(found[2].metadata(), Some(&json!({"$kv-envelope": "json"}).into()));
    assert_eq!(store.get("newer").await.unwrap_err().kind(), ErrorKind::Protocol, "ENV-3");
    assert!(store.exists("newer").await.unwrap() && store.list().await.unwrap().items.len() == 7);
}

#[tokio::test]
async fn get_1_a_write_between_two_requests_of_a_read_is_noticed() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", b"a\xFF").metadata(json!("old")).await.unwrap();
    store.set("k", b"b\xFF").metadata(json!("new")).await.unwrap();
    // The texts are those of before the last write, the bytes those of after it.
    system.server.inject(Fault::Stale, 1);
    let (entry, sent) = system.counted(store.get_entry("k")).await;
    let entry = entry.unwrap().unwrap();
    assert_eq!((entry.value(), sent), (&Value::from(b"b\xFF"), 4));
    assert_eq!(entry.metadata(), Some(&json!("new").into()));

    store.delete("k").await.unwrap();
    system.server.inject(Fault::Stale, 1);
    assert_eq!(store.get("k").await.unwrap(), None, "gone in between");

    // The text that the byte was shown as, written over it.
    store.set("k", b"\xFF").await.unwrap();
    store.set("k", "\u{FFFD}".as_bytes()).await.unwrap();
    system.server.inject(Fault::Stale, 1);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("\u{FFFD}".as_bytes())));
}

#[tokio::test]
async fn get_1_an_entry_that_never_rests_is_an_error() {
    let server = Scripted::serve(|asked| match asked.path {
        "/bulk/get" => success(&json!({"values": {"k": {"value": "\u{FFFD}", "metadata": null}}})),
        _ => (200, "application/octet-stream", format!("version {}", asked.number)),
    })
    .await;
    let error = server.store.get("k").await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), error.key()), (ErrorKind::Unavailable, Retry::Safe, Some("k")));
    assert_eq!(server.requests(), 17, "eight rounds of two, and the answer that began the ninth");
}

#[tokio::test]
async fn get_1_what_one_answer_cannot_hold_is_asked_in_parts() {
    let too_large = || {
        let errors = json!([{"code": 10001, "message": "too large"}]);
        (413, JSON, json!({"success": false, "errors": errors, "result": null}).to_string())
    };
    let server = Scripted::serve(move |asked| {
        if asked.path != "/bulk/get" {
            assert_eq!(asked.method, "GET");
            return match asked.path.split_once('/').unwrap().1 {
                "metadata/huge" => success(&json!({"$kv-envelope": [1, "json"], "m": 1})),
                "values/huge" => (200, "application/octet-stream", "[1]".to_owned()),
                other => panic!("{other} was not to be read by itself"),
            };
        }
        let body: serde_json::Value = serde_json::from_str(asked.body).unwrap();
        let keys: Vec<&str> = body["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        if keys.len() > 3 || keys.contains(&"huge") {
            return too_large();
        }
        let told =
            |key: &&str| ((*key).to_owned(), json!({"value": key, "metadata": null, "expiration": 1_795_161_822}));
        success(&json!({"values": keys.iter().map(told).collect::<serde_json::Map<_, _>>()}))
    })
    .await;
    let keys = ["a", "b", "huge", "c", "d", "e", "f"];
    let entries = server.store.get_entry_many(keys).await.unwrap();
    for (key, entry) in keys.iter().zip(entries) {
        let entry = entry.unwrap();
        if *key == "huge" {
            assert_eq!((entry.value(), entry.metadata()), (&Value::from(json!([1])), Some(&json!({"m": 1}).into())));
            assert_eq!(entry.expiry(), EntryExpiry::Never);
        } else {
            assert_eq!(entry.value(), &Value::from(*key));
            assert_eq!(entry.expiry(), EntryExpiry::At(Timestamp::from_unix_seconds(1_795_161_822)));
        }
    }
}

#[tokio::test]
async fn get_1_a_value_read_by_itself_lies_between_two_looks_at_the_same_metadata() {
    // Written between the first look and the read of the value.
    let versions = [("", 1), ("", 1), ("new", 1), ("", 2), ("new", 2), ("", 2)];
    let server = Scripted::serve(move |asked| {
        let (value, version) = versions[asked.number];
        match asked.path {
            "/bulk/get" => (413, JSON, json!({"success": false, "errors": [], "result": null}).to_string()),
            "/metadata/k" => success(&json!({ "version": version })),
            _ => (200, "application/octet-stream", value.to_owned()),
        }
    })
    .await;
    let entry = server.store.get_entry("k").await.unwrap().unwrap();
    assert_eq!((entry.value(), entry.metadata()), (&Value::from("new"), Some(&json!({"version": 2}).into())));
    assert_eq!(server.requests(), versions.len());
}

#[tokio::test]
async fn get_1_a_key_that_an_answer_does_not_mention_is_not_taken_for_missing() {
    let server = Scripted::serve(|asked| match asked.path {
        "/bulk/get" => success(&json!({"values": {}})),
        "/metadata/k" => success(&serde_json::Value::Null),
        _ => (200, "application/octet-stream", "v".to_owned()),
    })
    .await;
    assert_eq!(server.store.get("k").await.unwrap(), Some(Value::from("v")));
}
