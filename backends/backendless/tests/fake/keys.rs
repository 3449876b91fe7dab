//! Each key reaches exactly the entry it names, through every route (KEY-2).

use std::time::Duration;

use kv_api::{DeleteOutcome, SetStatus, Store, Value};
use kv_backendless::CAPABILITIES;
use kv_testkit::RemoteSystem as _;
use proptest::prelude::*;

use crate::harness::System;

async fn reaches_its_entry_alone(system: &System, store: &Store, key: &str) {
    let alone = |what: &str| assert_eq!(system.server.keys(), [key], "{what} of {key:?}");
    let minute = Duration::from_secs(60);

    assert_eq!(store.increment(key, 2).await.unwrap(), 2);
    alone("increment");
    assert_eq!(store.set(key, "1").if_not_exists().await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(store.set(key, "1").if_exists().await.unwrap().status(), SetStatus::Updated);
    store.set(key, "2").ttl(minute).await.unwrap();
    alone("set with options");
    store.set(key, "3").await.unwrap();
    alone("set");
    assert!(store.set_many([kv_api::SetItem::new(key, "4")]).await.remove(0).is_ok());
    alone("set_many");

    let value = Value::from("4");
    assert_eq!(store.get(key).await.unwrap().as_ref(), Some(&value), "{key:?}");
    assert_eq!(store.get_entry(key).await.unwrap().map(kv_api::Entry::into_value).as_ref(), Some(&value), "{key:?}");
    assert_eq!(store.get_many([key, "another"]).await.unwrap(), [Some(value), None], "{key:?}");
    assert!(store.exists(key).await.unwrap(), "{key:?}");
    let page = store.list().prefix(key).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), [key]);

    assert!(store.expire(key).ttl(minute).await.unwrap(), "{key:?}");
    assert!(store.expire(key).expire_at(crate::harness::NOW.checked_add(minute).unwrap()).await.unwrap(), "{key:?}");
    assert!(store.expire(key).never().await.unwrap(), "{key:?}");
    alone("expire");
    assert_eq!(store.delete(key).await.unwrap(), DeleteOutcome::Deleted, "{key:?}");
    assert_eq!(store.set(key, "5").if_not_exists().await.unwrap().status(), SetStatus::Created);
    assert_eq!(*store.delete_many([key]).await[0].as_ref().unwrap(), DeleteOutcome::Deleted, "{key:?}");
    assert!(system.server.keys().is_empty(), "{key:?}");
}

#[tokio::test]
async fn key_2_traps_reach_their_entries() {
    let system = System::start().await;
    let store = system.store();
    let longest = CAPABILITIES.key_bytes_max;
    let long = ["k".repeat(longest), "\0".repeat(longest), "\u{1f38c}".repeat(longest / 4), "/".repeat(longest)];
    let traps = [
        "keys",
        "action",
        "action/exist",
        "exist",
        "touch",
        "increment",
        "a/b",
        "a%2Fb",
        "a%2fb",
        "50%",
        "%",
        "%00",
        "%2E%2E",
        "?",
        "a?b=c",
        "#",
        "a#b",
        "\t",
        "\n",
        "\0",
        "a\0b",
        " ",
        " a ",
        "+",
        "a+b&c=d",
        "&",
        "=",
        ":",
        ";",
        "\"",
        "'",
        "\\",
        "..\\x",
        "/",
        "//",
        "../x",
        "./x",
        "x/..",
        "...",
        "*",
        "?*[a]",
        "[",
        "~",
        "|",
        "`",
        "{}",
        "é",
        "e\u{301}",
        "日本",
        "🎌",
        "\u{202e}x",
        "\u{feff}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{85}",
        "\u{2028}",
        "__proto__",
        "code",
        "message",
        "null",
        "0",
        "-1",
    ];
    for key in traps.into_iter().chain(long.iter().map(String::as_str)) {
        reaches_its_entry_alone(&system, &store, key).await;
    }
}

#[tokio::test]
async fn get_1_values_that_look_like_errors_are_values() {
    let system = System::start().await;
    let store = system.store();
    let error = serde_json::json!({"code": 27003, "message": "no such key"});
    store.set("code", 3064).await.unwrap();
    store.set("message", "no such key").await.unwrap();
    store.set("k", error.clone()).await.unwrap();
    let values = store.get_many(["code", "message", "k"]).await.unwrap();
    assert_eq!(values, [Some(Value::from(3064)), Some(Value::from("no such key")), Some(Value::from(error))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn key_2_any_unicode_reaches_its_entry(key in "\\PC{1,40}|[\\x00-\\x7f]{1,12}|(?s:.{1,9})") {
        prop_assume!(!matches!(key.as_str(), "." | ".."));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let system = System::start().await;
            reaches_its_entry_alone(&system, &system.store(), &key).await;
        });
    }
}
