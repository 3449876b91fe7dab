//! Entries come through unharmed, whatever the way.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::Write;

use common::{KEYS, assert_complete, convert, copy_stores, export, import, memory, sqlite, with_difficult_items};
use flate2::Compression;
use flate2::write::GzEncoder;
use kv_api::{EntryExpiry, Store, Value};
use proptest::prelude::*;

/// Equal to the last byte, when exported in the order of their keys.
async fn assert_same_text(store: &Store, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("again.jsonl");
    export(store, &path).await;
    assert_eq!(fs::read_to_string(path).unwrap(), expected);
}

#[tokio::test]
async fn difficult_entries_go_through_sqlite_and_memory_and_files_unharmed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let origin = with_difficult_items(memory().await).await;
    assert_complete(&export(&origin, &path("origin.jsonl")).await, KEYS.len());
    let text = fs::read_to_string(path("origin.jsonl")).unwrap();
    assert_eq!(text.lines().count(), KEYS.len());

    let in_sqlite = sqlite(directory.path()).await;
    assert_complete(&import(&path("origin.jsonl"), &in_sqlite).await, KEYS.len());
    assert_same_text(&in_sqlite, &text).await;

    let in_memory = memory().await;
    assert_complete(&copy_stores(&in_sqlite, &in_memory).await, KEYS.len());
    assert_same_text(&in_memory, &text).await;

    for key in KEYS {
        let (before, after) = (origin.get_entry(key).await.unwrap(), in_memory.get_entry(key).await.unwrap());
        let (before, after) = (before.expect(key), after.expect(key));
        assert_eq!(before.value(), after.value(), "{key:?}");
        assert_eq!((before.metadata(), before.expiry()), (after.metadata(), after.expiry()), "{key:?}");
    }
}

#[tokio::test]
async fn every_form_of_file_holds_the_same_entries() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let origin = with_difficult_items(memory().await).await;
    export(&origin, &path("origin.jsonl")).await;
    let text = fs::read_to_string(path("origin.jsonl")).unwrap();

    let mut before = path("origin.jsonl");
    for name in ["a.json", "b.jsonl.gz", "c.json.gz", "d.ndjson"] {
        assert_complete(&convert(&before, &path(name)).await, KEYS.len());
        before = path(name);
    }
    assert_eq!(fs::read_to_string(before).unwrap(), text);

    let array = fs::read_to_string(path("a.json")).unwrap();
    let items: serde_json::Value = serde_json::from_str(&array).unwrap();
    assert_eq!(items.as_array().unwrap().len(), KEYS.len());
    assert_eq!(array.lines().count(), KEYS.len() + 2, "one item a line, and the brackets");
}

#[tokio::test]
async fn a_gzip_file_of_several_members_is_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.jsonl.gz");
    let mut bytes = Vec::new();
    for line in ["{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",", "\"value\":\"2\"}\n"] {
        let mut member = GzEncoder::new(Vec::new(), Compression::fast());
        member.write_all(line.as_bytes()).unwrap();
        bytes.extend(member.finish().unwrap());
    }
    fs::write(&path, bytes).unwrap();
    let store = memory().await;
    assert_complete(&import(&path, &store).await, 2);
    assert_eq!(store.get("b").await.unwrap(), Some(Value::from("2")));
}

#[tokio::test]
async fn empty_is_a_size_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let empty = memory().await;
    for (name, text) in [("none.jsonl", ""), ("none.json", "[]\n")] {
        assert_complete(&export(&empty, &path(name)).await, 0);
        assert_eq!(fs::read_to_string(path(name)).unwrap(), text);
        assert_complete(&import(&path(name), &empty).await, 0);
    }
}

#[tokio::test]
async fn the_members_stand_in_a_fixed_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let items = [
        r#"{"metadata": {"b": 1, "a": 2}, "expiration": 4000000000, "value": "x", "key": "1"}"#,
        r#"{"expiration_ttl": 60.0, "base64": true, "value": "/w==", "key": "2", "expiration": 1}"#,
        r#"{"kind": "json", "value": "{ \"b\" : 1 }", "key": "3", "metadata": null}"#,
    ];
    fs::write(path("in.jsonl"), items.join("\n")).unwrap();
    assert_complete(&convert(&path("in.jsonl"), &path("out.jsonl")).await, 3);
    let expected = concat!(
        r#"{"key":"1","value":"x","expiration":4000000000,"metadata":{"b":1,"a":2}}"#,
        "\n",
        r#"{"key":"2","value":"/w==","base64":true,"expiration_ttl":60}"#,
        "\n",
        r#"{"key":"3","value":"{\"b\":1}","kind":"json"}"#,
        "\n",
    );
    assert_eq!(fs::read_to_string(path("out.jsonl")).unwrap(), expected);
}

#[tokio::test]
async fn exp_2_of_both_expiries_in_a_file_the_ttl_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("both.jsonl");
    // By the absolute time the entry has long expired; by the ttl it has not.
    fs::write(&path, r#"{"key":"k","value":"","expiration":1000,"expiration_ttl":3600}"#).unwrap();
    let store = memory().await;
    assert_complete(&import(&path, &store).await, 1);
    let entry = store.get_entry("k").await.unwrap().expect("the ttl counts");
    assert!(matches!(entry.expiry(), EntryExpiry::At(_)));
}

#[tokio::test]
async fn of_a_repeated_key_the_last_item_remains() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("twice.jsonl");
    let mut text = String::new();
    for at in 0..12 {
        text.push_str(&format!("{{\"key\":\"k{}\",\"value\":\"{at}\"}}\n", at % 2));
    }
    fs::write(&path, text).unwrap();
    let store = memory().await;
    let summary = import(&path, &store).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!((summary.counts.read, summary.counts.written, summary.counts.repeated), (12, 2, 10));
    assert_eq!(store.get_many(["k0", "k1"]).await.unwrap(), [Some(Value::from("10")), Some(Value::from("11"))]);
}

#[tokio::test]
async fn the_mime_types_survive_every_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/mime-types.bulk.json");
    assert_complete(&convert(data.as_ref(), &path("canonical.jsonl")).await, 2522);
    let (in_sqlite, in_memory) = (sqlite(directory.path()).await, memory().await);
    assert_complete(&import(data.as_ref(), &in_sqlite).await, 2522);
    assert_complete(&copy_stores(&in_sqlite, &in_memory).await, 2522);
    assert_complete(&export(&in_memory, &path("out.jsonl")).await, 2522);
    let sorted = |name| {
        let text = fs::read_to_string(path(name)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted("out.jsonl"), sorted("canonical.jsonl"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_a_store_holds_comes_back_from_a_file(
        items in proptest::collection::btree_map(
            "(?s).{1,40}",
            prop_oneof![
                any::<String>().prop_map(Value::from),
                any::<Vec<u8>>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                proptest::collection::vec(any::<String>(), 0..4).prop_map(|list| Value::from(serde_json::json!(list))),
            ],
            0..30,
        ),
        extension in prop_oneof![Just("json"), Just("jsonl"), Just("json.gz"), Just("jsonl.gz")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(format!("all.{extension}"));
            let (before, after) = (memory().await, memory().await);
            for (key, value) in &items {
                before.set(key, value.clone()).await.unwrap();
            }
            assert_complete(&export(&before, &path).await, items.len());
            assert_complete(&import(&path, &after).await, items.len());
            for (key, value) in &items {
                assert_eq!(after.get(key).await.unwrap().as_ref(), Some(value), "{key:?}");
            }
        });
    }
}
