//! Through the handle that callers hold: cursors that outlive the process, and stores that share a file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use kv_api::{Cursor, ErrorKind, Page, Reason, SetItem, Store, Version};
use kv_sqlite::SqliteStore;
use support::Place;

async fn open(place: &Place, namespace: &str) -> Store {
    Store::new(SqliteStore::open(place.config().with_namespace(namespace)).await.unwrap())
}

fn keys(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.key.as_str()).collect()
}

#[tokio::test]
async fn list_3_a_cursor_goes_on_in_another_process_and_in_no_other_place() {
    let place = Place::new();
    let store = open(&place, "users").await;
    let outcomes = store.set_many(["a", "b", "b\0", "c", "d"].map(|key| SetItem::new(key, key))).await;
    assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    let first = store.list().limit(2).await.unwrap();
    assert_eq!(keys(&first), ["a", "b"]);
    let kept = first.cursor.unwrap().to_string();
    store.close().await.unwrap();

    let cursor = || kept.parse::<Cursor>().unwrap();
    let again = open(&place, "users").await;
    // Keys that vanish or come in between move nothing (LIST-2).
    again.delete("b").await.unwrap();
    again.set("aa", "before").await.unwrap();
    let second = again.list().limit(2).cursor(cursor()).await.unwrap();
    assert_eq!(keys(&second), ["b\0", "c"]);
    let last = again.list().limit(2).cursor(second.cursor.unwrap()).await.unwrap();
    assert_eq!((keys(&last), &last.cursor), (vec!["d"], &None));

    let elsewhere = Place::new();
    for foreign in [open(&place, "others").await, open(&elsewhere, "users").await] {
        let error = foreign.list().limit(2).cursor(cursor()).await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::CursorInvalid)));
    }
}

#[tokio::test]
async fn ver_2_a_version_of_another_file_is_never_this_files() {
    let (left, right) = (Place::new(), Place::new());
    let (left, right) = (open(&left, "default").await, open(&right, "default").await);
    let version = left.set("a", "v").await.unwrap().version().unwrap().to_string();
    let own = right.set("a", "v").await.unwrap().version().unwrap().to_string();
    let kept = version.parse::<Version>().unwrap();
    assert!(!right.set("a", "w").if_version(kept.clone()).await.unwrap().is_written());
    assert!(left.set("a", "w").if_version(kept).await.unwrap().is_written());
    assert!(right.set("a", "w").if_version(own.parse::<Version>().unwrap()).await.unwrap().is_written());
}

#[tokio::test]
async fn err_2_an_error_names_store_operation_and_key() {
    let place = Place::new();
    let store = open(&place, "default").await;
    store.set("text", "secret").await.unwrap();
    let error = store.increment("text", 1).await.unwrap_err();
    assert_eq!((error.store(), error.operation(), error.key()), (Some("sqlite"), Some("increment"), Some("text")));
    assert!(!format!("{error} {error:?}").contains("secret"));
}
