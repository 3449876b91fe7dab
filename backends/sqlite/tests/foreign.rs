//! What other programs did to the file: triggers that refuse rows, and tables that are gone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{Backend, DeleteOutcome, ErrorKind, Fields, Reason, Result, Retry, SetItem, SetStatus, Value};
use kv_sqlite::SqliteStore;
use support::{
    Place, RESOLVER, all_keys, all_or_nothing, delete, delete_many, exists, expiring, get, increment, set, set_many,
    told,
};

/// A store with the entries `kept` and `count`, in which triggers of another program drop every change of a key that
/// begins with "no", without a word.
async fn store_that_drops_rows(place: &Place, when: &str) -> SqliteStore {
    let store = place.open().await;
    set(&store, SetItem::new("no/kept", "old").ttl(Duration::from_secs(60))).await.unwrap();
    set(&store, SetItem::new("no/count", 5i64)).await.unwrap();
    for (event, row) in [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")] {
        let sql = format!(
            "CREATE TRIGGER drop_{event} {when} {event} ON kv WHEN {row}.key LIKE 'no%' \
             BEGIN SELECT RAISE(IGNORE); END"
        );
        place.run(&sql).await;
    }
    store
}

/// An error that says that the row was not stored, and that the same call would fail again.
fn check_rejected<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::RowRejected)), "{error}");
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert!(error.to_string().contains("was not stored"), "{error}");
}

async fn check_unchanged(store: &SqliteStore) {
    let kept = get(store, "no/kept").await.unwrap();
    assert_eq!(kept.value(), &Value::from("old"));
    assert_eq!(get(store, "no/count").await.unwrap().value(), &Value::from(5i64));
    assert!(!exists(store, "no/new").await);
}

#[tokio::test]
async fn set_5_a_row_that_a_trigger_drops_is_never_acknowledged_by_a_call_alone() {
    let place = Place::new();
    let store = store_that_drops_rows(&place, "BEFORE").await;
    let version = get(&store, "no/kept").await.unwrap().version().unwrap().clone();
    check_rejected(set(&store, SetItem::new("no/new", "v")).await);
    check_rejected(set(&store, SetItem::new("no/kept", "v")).await);
    check_rejected(set(&store, SetItem::new("no/new", "v").if_not_exists()).await);
    check_rejected(set(&store, SetItem::new("no/kept", "v").if_exists()).await);
    check_rejected(set(&store, SetItem::new("no/kept", "v").if_version(version.clone())).await);
    check_rejected(set(&store, SetItem::new("no/new", vec![7; 40_000])).await);
    check_rejected(delete(&store, "no/kept", None).await);
    check_rejected(delete(&store, "no/kept", Some(version)).await);
    check_rejected(increment(&store, "no/count", 1).await);
    check_rejected(increment(&store, "no/new", 1).await);
    check_rejected(store.expire(expiring(&store, "no/kept", None)).await);
    check_unchanged(&store).await;
    // What changes nothing is told as ever.
    assert_eq!(set(&store, SetItem::new("no/kept", "v").if_not_exists()).await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(set(&store, SetItem::new("no/new", "v").if_exists()).await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(delete(&store, "no/new", None).await.unwrap(), DeleteOutcome::NotFound);
    assert!(!store.expire(expiring(&store, "no/new", None)).await.unwrap());
}

#[tokio::test]
async fn batch_6_a_row_that_a_trigger_drops_fails_alone_in_a_group_and_in_a_batch() {
    let place = Place::new();
    let store = store_that_drops_rows(&place, "BEFORE").await;
    for large in [false, true] {
        let value = || if large { Value::from(vec![7; 40_000]) } else { Value::from("v") };
        let item = |key| SetItem::new(key, value());
        let outcomes = set_many(&store, vec![item("a"), item("no/new"), item("no/kept"), item("b")]).await;
        for (index, outcome) in outcomes.into_iter().enumerate() {
            match index {
                1 | 2 => check_rejected(outcome),
                _ => assert!(outcome.unwrap().is_written()),
            }
        }
        let outcomes = join_all(["c", "no/new", "d"].map(|key| set(&store, item(key)))).await;
        for (index, outcome) in outcomes.into_iter().enumerate() {
            if index == 1 { check_rejected(outcome) } else { assert!(outcome.unwrap().is_written()) }
        }
        check_rejected(all_or_nothing(&store, vec![item("e"), item("no/new")]).await);
        assert!(!exists(&store, "e").await, "none of the batch is there");
    }
    let (set_beside, expired, counted) = tokio::join!(
        set(&store, SetItem::new("f", "v")),
        store.expire(expiring(&store, "no/kept", None)),
        increment(&store, "no/count", 1)
    );
    assert!(set_beside.unwrap().is_written());
    check_rejected(expired);
    check_rejected(counted);
    let keys = ["a", "no/kept", "no/new"].map(str::to_owned);
    let mut outcomes = delete_many(&store, &keys).await.into_iter();
    assert_eq!(outcomes.next().unwrap().unwrap(), DeleteOutcome::Deleted);
    check_rejected(outcomes.next().unwrap());
    assert_eq!(outcomes.next().unwrap().unwrap(), DeleteOutcome::NotFound);
    check_unchanged(&store).await;
    assert_eq!(all_keys(&store, "", 100).await, ["b", "c", "d", "f", "no/count", "no/kept"]);
    assert_eq!(place.number("SELECT count(*) FROM kv").await, 6, "no transaction was left open");
}

/// After a row was changed, the same word ends only what the trigger had to do.
#[tokio::test]
async fn set_5_a_trigger_that_comes_after_the_change_takes_nothing_back() {
    let place = Place::new();
    let store = store_that_drops_rows(&place, "AFTER").await;
    assert_eq!(set(&store, SetItem::new("no/new", "v")).await.unwrap().status(), SetStatus::Created);
    assert_eq!(increment(&store, "no/count", 1).await.unwrap(), 6);
    let outcomes = set_many(&store, vec![SetItem::new("no/new", "w"), SetItem::new("no/more", "w")]).await;
    let statuses: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().status()).collect();
    assert_eq!(statuses, [SetStatus::Updated, SetStatus::Created]);
    assert_eq!(get(&store, "no/new").await.unwrap().value(), &Value::from("w"));
    assert_eq!(delete(&store, "no/new", None).await.unwrap(), DeleteOutcome::Deleted);
    assert!(!exists(&store, "no/new").await);
}

#[tokio::test]
async fn err_1_a_table_that_another_program_dropped_is_a_matter_of_the_file() {
    for (sql, reads_too) in [
        ("DROP TABLE kv", true),
        ("ALTER TABLE kv RENAME TO other", true),
        ("ALTER TABLE kv RENAME COLUMN value TO content", false),
        ("DROP TABLE kv; CREATE TABLE kv (id INTEGER PRIMARY KEY, a)", true),
        ("CREATE TABLE new AS SELECT * FROM kv; DROP TABLE kv; ALTER TABLE new RENAME TO kv", false),
    ] {
        let place = Place::new();
        let store = place.open().await;
        set(&store, SetItem::new("a", "v")).await.unwrap();
        place.run(sql).await;
        let mut errors = vec![
            set(&store, SetItem::new("a", "w")).await.unwrap_err(),
            increment(&store, "n", 1).await.unwrap_err(),
            all_or_nothing(&store, vec![SetItem::new("a", "w"), SetItem::new("b", "w")]).await.unwrap_err(),
        ];
        for outcome in set_many(&store, vec![SetItem::new("a", "w"), SetItem::new("b", "w")]).await {
            errors.push(outcome.unwrap_err());
        }
        if reads_too {
            errors.push(delete(&store, "a", None).await.unwrap_err());
            errors.push(store.read(RESOLVER.read("a", Fields::Value).unwrap()).await.unwrap_err());
            errors.push(store.list(RESOLVER.list("", 10, None).unwrap()).await.unwrap_err());
        }
        for error in errors {
            assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::Foreign)), "{sql}: {error}");
            assert_eq!(error.retry(), Retry::Never, "{sql}: {error}");
        }
    }
}
