//! No key reaches anything but its own entry (KEY-1, KEY-2).

use kv_api::{Error, ErrorKind, Reason, Value};
use kv_conformance::Time;
use kv_fakes::FakeServer;
use kv_testkit::RemoteSystem as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::System;

/// Through every route that carries the key: the server must see exactly this one.
async fn reaches_its_own_entry(system: &System, key: &str) {
    let (store, server): (_, &FakeServer) = (system.store().allow_best_effort(), &system.server);
    let only = [key.to_owned()];
    store.set(key, "raw").await.unwrap();
    assert_eq!(server.keys(), only, "{key:?} by a raw write");
    assert_eq!(store.get(key).await.unwrap(), Some(Value::from("raw")), "{key:?}");
    assert!(store.exists(key).await.unwrap(), "{key:?}");
    store.set(key, b"\xFF").await.unwrap();
    assert_eq!(store.get(key).await.unwrap(), Some(Value::from(b"\xFF")), "{key:?} by its bytes");
    assert!(store.set(key, 1).if_exists().await.unwrap().is_written(), "{key:?}");
    assert_eq!(server.keys(), only, "{key:?} by a form");
    let page = store.list().prefix(key).await.unwrap();
    assert_eq!(page.items.iter().map(|item| &*item.key).collect::<Vec<_>>(), [key], "{key:?} by its own prefix");
    store.delete(key).await.unwrap();
    assert_eq!(server.keys(), [""; 0], "{key:?} deleted");

    let items = [kv_api::SetItem::new(key, "bulk"), kv_api::SetItem::new("beside", "bulk")];
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
        store.set_many([kv_api::SetItem::new(key, "v")]).await.remove(0).unwrap_err(),
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
async fn key_2_a_dot_is_refused() {
    is_refused(".", Reason::KeyForbidden).await;
}

#[tokio::test]
async fn key_2_two_dots_are_refused() {
    is_refused("..", Reason::KeyForbidden).await;
}

#[tokio::test]
async fn key_1_513_bytes_are_refused() {
    let limit = Reason::Limit { name: "key_bytes_max", allowed: 512, found: 513 };
    is_refused(&"k".repeat(513), limit.clone()).await;
    is_refused(&("é".repeat(256) + "k"), limit).await;
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
    key_2_keys: "keys";
    key_2_bulk: "bulk";
    key_2_a_slash: "a/b";
    key_2_slashes_around: "//a//";
    key_2_an_encoded_slash: "a%2Fb";
    key_2_a_percent_sign: "50%";
    key_2_an_encoded_dot: "%2E%2E";
    key_2_a_question_mark: "?";
    key_2_a_query: "a?expiration_ttl=60&b=c";
    key_2_a_hash: "#";
    key_2_dots_in_a_path: "x/../y";
    key_2_dots_first: "../x";
    key_2_three_dots: "...";
    key_2_a_tab: "a\tb";
    key_2_a_newline: "a\nb\r\n";
    key_2_a_nul: "a\0b";
    key_2_a_nul_first: "\0";
    key_2_a_space: " a b ";
    key_2_a_plus: "a+b";
    key_2_a_backslash_and_quotes: "\\\"'`";
    key_2_an_emoji: "😀👩‍👩‍👧";
    key_2_a_combining_mark: "e\u{301}";
    key_2_a_byte_order_mark: "\u{FEFF}k";
    key_1_512_bytes: "k".repeat(512);
    key_1_512_bytes_of_wide_characters: "😀".repeat(128);
}

#[test]
fn key_2_any_key_reaches_its_own_entry_or_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let system = runtime.block_on(System::start());
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let key = prop_oneof![any::<String>(), "[./%?#&=+a]{1,6}", r"\PC{1,20}", "[\\x00-\\x20]{1,4}"];
    let checked = runner.run(&key, |key| {
        runtime.block_on(async {
            if matches!(&*key, "" | "." | "..") || key.len() > 512 {
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
