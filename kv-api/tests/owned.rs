//! Requests that keep the store by themselves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::Future;
use std::time::Duration;

use kv_api::{DeleteOutcome, ErrorKind, Result, SetOutcome, Store, Value};
use kv_memory::MemoryStore;

fn memory() -> Store {
    Store::new(MemoryStore::default())
}

/// As a handler that has the store only lent.
fn remembers(store: &Store, user: &str) -> impl Future<Output = Result<SetOutcome>> + Send + use<> {
    store.set(format!("user/{user}"), user).ttl(Duration::from_secs(60)).if_not_exists().into_owned()
}

#[tokio::test]
async fn a_request_that_keeps_the_store_outlives_the_handle_and_can_be_spawned() {
    let store = memory();
    let watching = store.clone();
    let narrow = store.with_prefix("user/");
    let set = remembers(&store, "Ada");
    let (get, entry, exists) =
        (narrow.get("Ada").into_owned(), narrow.get_entry("Ada").into_owned(), narrow.exists("Ada").into_owned());
    let expire = narrow.expire("Ada").never().into_owned();
    let (increment, delete) = (narrow.increment("n", 2).into_owned(), narrow.delete("Ada").into_owned());
    let touch = narrow.get("n").touch(Duration::from_secs(60)).into_owned();
    let take = narrow.get_and_delete("n").entry().into_owned();
    drop((store, narrow));
    assert!(!watching.exists("user/Ada").await.unwrap(), "nothing happens until it is polled");
    assert!(tokio::spawn(set).await.unwrap().unwrap().is_written());
    assert_eq!(tokio::spawn(get).await.unwrap().unwrap(), Some(Value::from("Ada")));
    assert!(tokio::spawn(entry).await.unwrap().unwrap().is_some());
    assert!(tokio::spawn(exists).await.unwrap().unwrap());
    assert!(tokio::spawn(expire).await.unwrap().unwrap());
    assert_eq!(tokio::spawn(increment).await.unwrap().unwrap(), 2);
    assert_eq!(tokio::spawn(delete).await.unwrap().unwrap(), DeleteOutcome::Deleted);
    assert_eq!(watching.get("user/n").await.unwrap(), Some(Value::from(2)), "the prefix is kept");
    assert_eq!(tokio::spawn(touch).await.unwrap().unwrap(), Some(Value::from(2)));
    assert_eq!(tokio::spawn(take).await.unwrap().unwrap().map(|entry| entry.into_value()), Some(Value::from(2)));
    assert!(!watching.exists("user/n").await.unwrap());
}

#[tokio::test]
async fn a_refusal_names_what_was_asked_for() {
    let error = memory().with_prefix("p").set("", "v").into_owned().await.unwrap_err();
    assert_eq!((error.store(), error.operation(), error.key()), (Some("memory"), Some("set"), Some("p")));
}

#[tokio::test]
async fn a_request_that_has_begun_is_not_begun_again() {
    let store = memory();
    let mut increment = store.increment("n", 1);
    assert_eq!((&mut increment).await.unwrap(), 1);
    let error = increment.into_owned().await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, Some("increment")));
    assert_eq!(store.get("n").await.unwrap(), Some(Value::from(1)));
}
