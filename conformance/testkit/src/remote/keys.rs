//! No key reaches anything but its own entry (KEY-1, KEY-2).
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how these tests fail")]

use std::time::Duration;

use kv_api::{Error, ErrorKind, Feature, Reason, SetItem, Support, Value};
use kv_conformance::Time;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::RemoteSystem;
use crate::pages;

/// By every call that names the key: the system must see exactly this one.
pub async fn reaches_its_own_entry<S: RemoteSystem>(system: &S, key: &str) {
    let (store, server) = (system.store().allow_best_effort(), system.server());
    let supports = |feature| store.capabilities().support(feature) != Support::None;
    let only = [key.to_owned()];
    store.set(key, "v").await.unwrap();
    assert_eq!(server.keys(), only, "{key:?} by a set");
    assert_eq!(store.get(key).await.unwrap(), Some(Value::from("v")), "{key:?}");
    assert!(store.exists(key).await.unwrap(), "{key:?}");
    store.set(key, b"\xFF").await.unwrap();
    assert_eq!(store.get(key).await.unwrap(), Some(Value::from(b"\xFF")), "{key:?} by its bytes");
    assert!(store.set(key, 1).if_exists().await.unwrap().is_written(), "{key:?}");
    assert_eq!(server.keys(), only, "{key:?} by a condition");
    if supports(Feature::Counters) {
        assert_eq!(store.increment(key, 2).await.unwrap(), 3, "{key:?} counted in");
    }
    if supports(Feature::Expire) {
        assert!(store.expire(key).ttl(Duration::from_secs(60)).await.unwrap(), "{key:?}");
        store.set(key, "v").await.unwrap();
        assert!(store.expire(key).ttl(Duration::from_secs(60)).await.unwrap(), "{key:?}");
    }
    assert_eq!(server.keys(), only, "{key:?} by a step and an expiry");
    assert_eq!(pages(&store, key, Some(10)).await.concat(), only, "{key:?} by its own prefix");
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

/// By every call that names the key, before anything is sent.
pub async fn is_refused<S: RemoteSystem>(key: &str, reason: Reason) {
    let system = S::start().await;
    let store = system.store();
    let mut errors: Vec<Error> = vec![
        store.get(key).await.unwrap_err(),
        store.get_many([key]).await.unwrap_err(),
        store.exists(key).await.unwrap_err(),
        store.set(key, "v").await.unwrap_err(),
        store.set_many([SetItem::new(key, "v")]).await.remove(0).unwrap_err(),
        store.delete(key).await.unwrap_err(),
        store.delete_many([key]).await.remove(0).unwrap_err(),
    ];
    if store.capabilities().supports(Feature::Counters) {
        errors.push(store.increment(key, 1).await.unwrap_err());
    }
    for error in errors {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&reason)), "{key:?}");
    }
    assert_eq!(system.server().requests(), 0, "{key:?} is refused before anything is sent");
}

/// `odd` is a regular expression of keys that are special to the system.
pub fn any_key_reaches_its_own_entry_or_is_refused<S: RemoteSystem>(
    cases: u32,
    odd: &'static str,
    is_refused: impl Fn(&str) -> bool,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let system = runtime.block_on(S::start());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let key = prop_oneof![any::<String>(), odd, r"\PC{1,20}", "[\\x00-\\x20]{1,4}"];
    let checked = runner.run(&key, |key| {
        runtime.block_on(async {
            if is_refused(&key) {
                let before = system.server().requests();
                prop_assert!(system.store().set(&key, "v").await.is_err());
                prop_assert_eq!(system.server().requests(), before);
            } else if key != "beside" && key != "nothing" {
                reaches_its_own_entry(&system, &key).await;
            }
            system.clocks().advance(Duration::from_secs(1)).await;
            Ok(())
        })
    });
    checked.unwrap();
}
