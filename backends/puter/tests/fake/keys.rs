//! No key reaches anything but its own entry (KEY-1, KEY-2), and no prefix lists another's (LIST-1).

use kv_api::{Reason, SetItem, Store};
use kv_testkit::remote::keys::{any_key_reaches_its_own_entry_or_is_refused, is_refused};
use kv_testkit::{RemoteSystem as _, pages};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::harness::System;

async fn listed(store: &Store, prefix: &str, limit: usize) -> Vec<String> {
    pages(store, prefix, Some(limit)).await.concat()
}

#[tokio::test]
async fn key_1_1025_bytes_are_refused() {
    is_refused::<System>(&"k".repeat(1025), Reason::Limit { name: "key_bytes_max".into(), allowed: 1024, found: 1025 })
        .await;
    is_refused::<System>(&"é".repeat(513), Reason::Limit { name: "key_bytes_max".into(), allowed: 1024, found: 1026 })
        .await;
}

kv_testkit::remote_tests! { keys for System:
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
    any_key_reaches_its_own_entry_or_is_refused::<System>(64, "[*. \\[\\],\"a]{1,6}", |key| {
        key.is_empty() || key.len() > 1024
    });
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
