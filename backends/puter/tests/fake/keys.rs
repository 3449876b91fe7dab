//! No key reaches anything but its own entry (KEY-1, KEY-2), and no prefix lists another's (LIST-1).

use kv_api::{Error, ErrorKind, Reason, SetItem, Store, Value};
use kv_conformance::Time;
use kv_testkit::RemoteSystem as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::harness::System;

async fn listed(store: &Store, prefix: &str, limit: usize) -> Vec<String> {
    let (mut keys, mut cursor) = (Vec::new(), None);
    loop {
        let list = store.list().prefix(prefix).limit(limit);
        let page = match cursor.take() {
            None => list.await.unwrap(),
            Some(cursor) => list.cursor(cursor).await.unwrap(),
        };
        assert!(page.items.len() <= limit);
        keys.extend(page.items.into_iter().map(|item| item.key));
        cursor = page.cursor;
        if cursor.is_none() {
            return keys;
        }
    }
}

/// By every method that names the key: the system must see exactly this one.
async fn reaches_its_own_entry(system: &System, key: &str) {
    let (store, server) = (system.store().allow_best_effort(), &system.server);
    let only = [key.to_owned()];
    store.set(key, "v").await.unwrap();
    assert_eq!(server.keys(), only, "{key:?} by a set");
    assert_eq!(store.get(key).await.unwrap(), Some(Value::from("v")), "{key:?}");
    assert!(store.exists(key).await.unwrap(), "{key:?}");
    assert!(store.set(key, 1).if_exists().await.unwrap().is_written(), "{key:?}");
    assert_eq!(store.increment(key, 2).await.unwrap(), 3, "{key:?} counted in");
    assert!(store.expire(key).ttl(std::time::Duration::from_secs(60)).await.unwrap(), "{key:?}");
    store.set(key, "v").await.unwrap();
    assert!(store.expire(key).ttl(std::time::Duration::from_secs(60)).await.unwrap(), "{key:?}");
    assert_eq!(server.keys(), only, "{key:?} by an expiry");
    assert_eq!(listed(&store, key, 10).await, only, "{key:?} by its own prefix");
    store.delete(key).await.unwrap();
    assert_eq!(server.keys(), [""; 0], "{key:?} deleted");

    let items = [SetItem::new(key, "bulk"), SetItem::new("beside", "bulk")];
    assert!(store.set_many(items).await.iter().all(Result::is_ok), "{key:?} in bulk");
    let mut both = vec![key.to_owned(), "beside".to_owned()];
    both.sort();
    assert_eq!(server.keys(), both, "{key:?} in bulk");
    assert_eq!(store.get_many([key, "nothing"]).await.unwrap(), [Some(Value::from("bulk")), None], "{key:?}");
    assert!(store.delete_many([key, "beside"]).await.iter().all(Result::is_ok), "{key:?} in bulk");
    assert_eq!(server.keys(), [""; 0], "{key:?} deleted in bulk");
}

async fn is_refused(key: &str, reason: Reason) {
    let system = System::start().await;
    let store = system.store();
    let errors: Vec<Error> = vec![
        store.get(key).await.unwrap_err(),
        store.get_many([key]).await.unwrap_err(),
        store.exists(key).await.unwrap_err(),
        store.set(key, "v").await.unwrap_err(),
        store.set_many([SetItem::new(key, "v")]).await.remove(0).unwrap_err(),
        store.increment(key, 1).await.unwrap_err(),
        store.delete(key).await.unwrap_err(),
        store.delete_many([key]).await.remove(0).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&reason)), "{key:?}");
    }
    assert_eq!(system.server.requests(), 0, "{key:?} is refused before anything is sent");
}

#[tokio::test]
async fn key_1_the_empty_key_is_refused() {
    is_refused("", Reason::KeyEmpty).await;
}

#[tokio::test]
async fn key_1_1025_bytes_are_refused() {
    is_refused(&"k".repeat(1025), Reason::Limit { name: "key_bytes_max", allowed: 1024, found: 1025 }).await;
    is_refused(&"é".repeat(513), Reason::Limit { name: "key_bytes_max", allowed: 1024, found: 1026 }).await;
}

macro_rules! traps {
    ($($name:ident: $key:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            reaches_its_own_entry(&System::start().await, &$key).await;
        }
    )*};
}

traps! {
    key_1_1024_bytes: "k".repeat(1024);
    key_1_1024_bytes_of_wide_characters: "😀".repeat(256);
    key_2_an_own_name_of_javascript: "__proto__";
    key_2_a_name_of_a_constructor: "constructor";
    key_2_a_dot: ".";
    key_2_two_dots: "..";
    key_2_dots_in_a_path: "x/../y";
    key_2_a_slash: "a/b";
    key_2_a_comma: "a,b";
    key_2_an_array: "[\"a\",\"b\"]";
    key_2_an_object: "[object Object]";
    key_2_a_number: "123";
    key_2_a_truth: "true";
    key_2_null: "null";
    key_2_quotes: "\"\\'`";
    key_2_a_star: "*";
    key_2_a_star_at_the_end: "a*";
    key_2_two_stars: "**";
    key_2_a_space: " ";
    key_2_spaces_around: " a b ";
    key_2_a_newline_first: "\n";
    key_2_a_space_that_is_none_to_us: "\u{85}a";
    key_2_a_byte_order_mark: "\u{FEFF}k";
    key_2_a_wide_space: "\u{3000}k";
    key_2_a_nul: "a\0b";
    key_2_an_emoji: "😀👩‍👩‍👧";
    key_2_a_combining_mark: "e\u{301}";
    key_2_a_dotted_path: "a.b[0]";
}

#[test]
fn key_2_any_key_reaches_its_own_entry_or_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let system = runtime.block_on(System::start());
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let key = prop_oneof![any::<String>(), "[*. \\[\\],\"a]{1,6}", r"\PC{1,20}", "[\\x00-\\x20]{1,4}"];
    let checked = runner.run(&key, |key| {
        runtime.block_on(async {
            if key.is_empty() || key.len() > 1024 {
                let before = system.server.requests();
                prop_assert!(system.store().set(&key, "v").await.is_err());
                prop_assert_eq!(system.server.requests(), before);
            } else if key != "beside" && key != "nothing" {
                reaches_its_own_entry(&system, &key).await;
            }
            system.clocks().advance(std::time::Duration::from_secs(1)).await;
            Ok(())
        })
    });
    checked.unwrap();
}

#[test]
fn list_1_any_prefix_lists_the_keys_that_begin_with_it_in_the_order_of_their_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let keys = prop::collection::btree_set("[ \\n\\t*ab.\u{85}\u{A0}\u{FEFF}\u{3000}😀]{1,3}", 1..12);
    let prefix = "[ \\n\\t*ab.\u{85}\u{A0}\u{FEFF}\u{3000}😀]{0,2}";
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&(keys, prefix, 1..6usize), |(keys, prefix, limit)| {
        runtime.block_on(async {
            let system = System::start().await;
            let store = system.store();
            assert!(store.set_many(keys.iter().map(|key| SetItem::new(&**key, "v"))).await.iter().all(Result::is_ok));
            let expected: Vec<String> = keys.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
            prop_assert_eq!(listed(&store, &prefix, limit).await, expected);
            Ok(())
        })
    });
    checked.unwrap();
}

#[tokio::test]
async fn list_1_a_prefix_that_begins_with_white_space_is_listed_wider_and_filtered() {
    let system = System::start().await;
    let store = system.store();
    let keys: Vec<String> = (0..2500).map(|number| format!(" k{number:04}")).collect();
    let others: Vec<String> = (0..2500).map(|number| format!("k{number:04}")).collect();
    let all = keys.iter().chain(&others).map(|key| SetItem::new(key, "v"));
    assert!(store.set_many(all).await.iter().all(Result::is_ok));
    let (found, sent) = system.counted(listed(&store, " k", 1000)).await;
    assert_eq!((found == keys, sent), (true, 3), "and it ends where such keys do");
    let (found, sent) = system.counted(listed(&store, " k24", 1000)).await;
    assert_eq!((found.len(), sent), (100, 3));
    assert_eq!(listed(&store, " k000", 3).await, keys[..10]);
    assert_eq!(listed(&store, "k", 1000).await, others);
}

#[tokio::test]
async fn list_2_no_key_comes_twice_when_new_ones_push_it_onto_the_next_page() {
    let system = System::start().await;
    let store = system.store();
    let keys = [" k0", " k1", " k2", " k3"];
    assert!(store.set_many(keys.map(|key| SetItem::new(key, "v"))).await.iter().all(Result::is_ok));
    let first = store.list().prefix(" k").limit(2).await.unwrap();
    let mut found: Vec<String> = first.items.into_iter().map(|item| item.key).collect();
    let new: Vec<String> = (0..1000).map(|number| format!(" a{number:03}")).collect();
    assert!(store.set_many(new.iter().map(|key| SetItem::new(key, "v"))).await.iter().all(Result::is_ok));
    let mut cursor = first.cursor;
    while let Some(next) = cursor {
        let page = store.list().prefix(" k").limit(2).cursor(next).await.unwrap();
        found.extend(page.items.into_iter().map(|item| item.key));
        cursor = page.cursor;
    }
    assert_eq!(found, keys);
}

#[tokio::test]
async fn list_2_expired_entries_and_large_ones_shorten_no_walk() {
    let system = System::start().await;
    let store = system.store();
    for number in 0..12 {
        let expires = if (2..5).contains(&number) { json!(1_795_161_000) } else { json!(1_895_161_000) };
        let arguments = json!({"key": format!("k{number:02}"), "value": "v".repeat(300_000), "expireAt": expires});
        assert_eq!(system.foreign("set", arguments).await["result"], true);
    }
    let expected: Vec<String> = [0, 1, 5, 6, 7, 8, 9, 10, 11].map(|number| format!("k{number:02}")).into();
    for limit in [1, 2, 5, 1000] {
        assert_eq!(listed(&store, "k", limit).await, expected, "limit {limit}");
    }
    let (cleared, _) = system.counted(store.clear()).await;
    assert_eq!(cleared.unwrap(), 9);
    assert!(listed(&store, "", 10).await.is_empty());
}

#[tokio::test]
async fn list_1_a_prefix_longer_than_any_key_lists_nothing_and_sends_nothing() {
    let system = System::start().await;
    let (page, sent) = system.counted(system.store().list().prefix("k".repeat(1025))).await;
    let page = page.unwrap();
    assert_eq!((page.items.len(), page.cursor, sent), (0, None, 0));
}
