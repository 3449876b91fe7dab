//! How many requests each call takes (GET-1, BATCH-1, BATCH-5), and which.

use kv_api::{SetItem, SetStatus, Value};
use kv_testkit::{RemoteSystem as _, pages};
use serde_json::json;

use crate::harness::System;

/// Method and path below the namespace of every request so far.
fn lines(system: &System) -> Vec<String> {
    let below =
        |path: &str| path.split_once("/namespaces/").unwrap().1.split_once('/').map_or("", |(_, rest)| rest).to_owned();
    system.server.exchanges().iter().map(|exchange| format!("{} {}", exchange.method, below(&exchange.path))).collect()
}

#[tokio::test]
async fn life_1_opening_sends_nothing_and_a_ping_is_one_read() {
    let system = System::start().await;
    let store = system.store();
    assert_eq!(system.server.requests(), 0);
    store.ping().await.unwrap();
    assert_eq!(lines(&system), ["GET "]);
}

#[tokio::test]
async fn get_1_an_entry_is_one_request_unless_its_text_is_damaged() {
    let system = System::start().await;
    let store = system.store();
    for (value, requests) in [
        (Value::from("text"), 1),
        (Value::from("\u{FFFD}"), 2),
        (Value::from("\u{FEFF}text"), 1),
        (Value::from(json!({"a": "\u{FFFD}"})), 2),
        (Value::from(b"UTF-8"), 1),
        (Value::from("\u{FEFF}UTF-8".as_bytes()), 1),
        (Value::from(b"\xFF"), 2),
        (Value::from("\u{FFFD}".as_bytes()), 2),
        (Value::from("\u{FEFF}\u{FEFF}text"), 3),
    ] {
        store.set("k", value.clone()).metadata(json!({"a": 1})).await.unwrap();
        let (found, sent) = system.counted(store.get_entry("k")).await;
        let found = found.unwrap().unwrap();
        assert_eq!((found.value(), sent), (&value, requests), "{:?}", value.as_bytes());
        assert_eq!(found.metadata(), Some(&json!({"a": 1}).into()));
        assert_eq!(system.counted(store.exists("k")).await.1, 1);
    }
    assert_eq!(system.counted(store.get("missing")).await.1, 1);
}

#[tokio::test]
async fn a_single_call_is_one_request_and_a_condition_one_more() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    store.set("a/b", "v").await.unwrap();
    store.set("a/b", 1).await.unwrap();
    assert!(!store.set("a/b", "v").if_not_exists().await.unwrap().is_written());
    assert_eq!(store.set("a/b", "v").if_exists().await.unwrap().status(), SetStatus::Updated);
    store.delete("a/b").await.unwrap();
    store.list().await.unwrap();
    assert_eq!(
        lines(&system),
        [
            "PUT values/a%2Fb",
            "PUT values/a%2Fb",
            "GET metadata/a%2Fb",
            "GET metadata/a%2Fb",
            "PUT values/a%2Fb",
            "DELETE values/a%2Fb",
            "GET keys"
        ]
    );
}

#[tokio::test]
async fn batch_5_ten_thousand_and_one_sets_are_two_requests() {
    let system = System::start().await;
    let store = system.store();
    let keys: Vec<String> = (0..10_001).map(|number| format!("k{number:05}")).collect();
    let items = keys.iter().enumerate().map(|(number, key)| match number % 3 {
        0 => SetItem::new(key, "v"),
        1 => SetItem::new(key, 1).metadata(json!({"n": number})),
        _ => SetItem::new(key, b"\xFF").ttl(std::time::Duration::from_secs(600)),
    });
    let (results, sent) = system.counted(store.set_many(items)).await;
    assert_eq!(sent, 2);
    assert!(results.into_iter().all(|result| result.unwrap().status() == SetStatus::Stored));
    assert_eq!(system.server.keys(), keys);
    assert_eq!(store.get("k10000").await.unwrap(), Some(Value::from(1)));

    let (entries, sent) = system.counted(store.get_entry_many(keys[..250].iter().map(String::as_str))).await;
    assert_eq!(entries.unwrap().len(), 250);
    assert_eq!(sent, 3 + 83, "three of many, and the bytes of those that are no text");

    let (results, sent) = system.counted(store.delete_many(keys.iter().map(String::as_str))).await;
    assert_eq!((results.iter().filter(|result| result.is_ok()).count(), sent), (10_001, 2));
    assert_eq!(system.server.keys(), [""; 0]);
}

#[tokio::test]
async fn get_2_two_hundred_and_fifty_texts_are_three_requests() {
    let system = System::start().await;
    let store = system.store();
    let keys: Vec<String> = (0..250).map(|number| format!("k{number}")).collect();
    let items = keys.iter().map(|key| SetItem::new(key, key.as_str()).metadata(json!({"key": key})));
    assert!(store.set_many(items).await.iter().all(Result::is_ok));
    let (entries, sent) = system.counted(store.get_entry_many(keys.iter().map(String::as_str))).await;
    assert_eq!(sent, 3);
    for (key, entry) in keys.iter().zip(entries.unwrap()) {
        let entry = entry.unwrap();
        assert_eq!((entry.value(), entry.metadata()), (&Value::from(key), Some(&json!({"key": key}).into())));
    }
}

#[tokio::test]
async fn batch_5_a_lone_set_goes_singly() {
    let system = System::start().await;
    let store = system.store();
    assert!(store.set_many([SetItem::new("lone", "v")]).await.remove(0).is_ok());
    assert!(store.delete_many(["lone"]).await.remove(0).is_ok());
    assert_eq!(lines(&system), ["PUT values/lone", "DELETE values/lone"]);
}

#[tokio::test]
async fn list_1_a_page_smaller_than_the_service_makes_is_cut_and_goes_on() {
    let system = System::start().await;
    let store = system.store();
    let keys: Vec<String> = (0..25).map(|number| format!("k{number:02}")).collect();
    assert!(store.set_many(keys.iter().map(|key| SetItem::new(key, "v"))).await.iter().all(Result::is_ok));
    for limit in [1, 3, 9, 10, 11, 24, 25, 26] {
        assert_eq!(pages(&store, "k", Some(limit)).await.concat(), keys, "limit {limit}");
    }
    // The limit may change on the way.
    let first = store.list().limit(4).await.unwrap();
    let second = store.list().limit(1000).cursor(first.cursor.unwrap()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.cursor), (4, 21, None));
    // No key is that long.
    let (page, sent) = system.counted(store.list().prefix("k".repeat(513))).await;
    let page = page.unwrap();
    assert_eq!((page.items.len(), page.cursor, sent), (0, None, 0));
}

#[tokio::test]
async fn list_2_a_key_that_stays_is_listed_once_though_others_come_in_front_of_it() {
    for limit in [3, 10] {
        let system = System::start().await;
        let store = system.store();
        let keys: Vec<String> = (0..25).map(|number| format!("k{number:02}")).collect();
        assert!(store.set_many(keys.iter().map(|key| SetItem::new(key, "v"))).await.iter().all(Result::is_ok));
        let mut page = store.list().limit(limit).await.unwrap();
        let mut found: Vec<String> = page.items.drain(..).map(|item| item.key).collect();
        // A page that is asked for again now ends before what was handed out of it.
        let late: Vec<String> = (0..10).map(|number| format!("a{number}")).collect();
        assert!(store.set_many(late.iter().map(|key| SetItem::new(key, "v"))).await.iter().all(Result::is_ok));
        while let Some(cursor) = page.cursor.take() {
            page = store.list().limit(limit).cursor(cursor).await.unwrap();
            found.extend(page.items.drain(..).map(|item| item.key));
        }
        assert_eq!(found, keys, "limit {limit}");
    }
}
