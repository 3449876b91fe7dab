//! What the operations promise, where a single case says it better than the model does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use kv_api::{
    Backend, BatchOutcome, Clock, DeleteOutcome, EntryExpiry, ErrorKind, Fields, IncrementOptions, ManualClock,
    Metadata, Reason, Retry, SetItem, SetStatus, Timestamp, Value,
};
use kv_sqlite::{CAPABILITIES, SqliteConfig, SqliteStore};
use serde_json::json;
use sqlx::Connection;
use support::{
    Place, RESOLVER, all_keys, all_or_nothing, delete, delete_many, exists, expiring, get, get_and_delete, get_many,
    increment, list, set, set_many, told, touch,
};

#[tokio::test]
async fn key_2_every_character_of_a_key_comes_back() {
    let place = Place::new();
    let store = place.open().await;
    let mut keys: Vec<String> = [
        "\0",
        "\0\0",
        "a",
        "a\0",
        "a\0b",
        "\u{1}",
        "\u{7f}",
        "\u{80}",
        "\u{D7FF}",
        "\u{E000}",
        "\u{FFFF}",
        "\u{10FFFF}",
    ]
    .iter()
    .chain(&["\"", "'", "\\", "%", "_", "*", "?", "[", "{\"a\":1}", ",", "1,2,3,", " ", " a ", "A", "e\u{301}", "é"])
    .map(ToString::to_string)
    .collect();
    keys.push("k".repeat(CAPABILITIES.key_bytes_max));
    let metadata = Metadata::from(json!({"n": "\0,\"\u{1F600}"}));
    // One by one, and again as a batch.
    for round in 0..2 {
        let items: Vec<_> = keys.iter().map(|key| SetItem::new(key, key.as_str()).metadata(metadata.clone())).collect();
        if round == 0 {
            for item in items {
                assert_eq!(set(&store, item).await.unwrap().status(), SetStatus::Created);
            }
        } else {
            for outcome in set_many(&store, items).await {
                assert_eq!(outcome.unwrap().status(), SetStatus::Updated);
            }
        }
        let borrowed: Vec<&str> = keys.iter().map(String::as_str).collect();
        for (key, entry) in keys.iter().zip(get_many(&store, &borrowed).await) {
            let entry = entry.unwrap();
            assert_eq!(entry.value().as_text(), Some(key.as_str()));
            assert_eq!(entry.metadata(), Some(&metadata));
            assert_eq!(get(&store, key).await.unwrap(), entry, "{key:?}");
        }
        keys.sort();
        assert_eq!(all_keys(&store, "", 4).await, keys);
        assert_eq!(all_keys(&store, "", 1000).await, keys);
        let page = list(&store, "a\0", 10, None).await;
        assert_eq!(page.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["a\0", "a\0b"]);
        assert_eq!(page.items[0].metadata, Some(metadata.clone()).into());
    }
    assert_eq!(all_keys(&store, "%", 10).await, ["%"]);
    assert_eq!(all_keys(&store, "\u{D7FF}", 10).await, ["\u{D7FF}"]);
    assert_eq!(all_keys(&store, "\u{10FFFF}", 10).await, ["\u{10FFFF}"]);
    for outcome in delete_many(&store, &keys).await {
        assert_eq!(outcome.unwrap(), DeleteOutcome::Deleted);
    }
    assert!(all_keys(&store, "", 10).await.is_empty());
}

#[tokio::test]
async fn val_2_every_kind_comes_back_from_every_path() {
    let place = Place::new();
    let store = place.open().await;
    let values = [
        Value::from(""),
        Value::from("text\0"),
        Value::from(json!([1, {"a": null}])),
        Value::from(u64::MAX),
        Value::from(Vec::new()),
        Value::from(vec![0xff; 40_000]),
        Value::from("x".repeat(32 * 1024 - 1)),
        Value::from("x".repeat(32 * 1024)),
        Value::from(vec![7; 5 * 1024 * 1024]),
    ];
    let names: Vec<String> = (0..values.len()).map(|index| format!("{index}")).collect();
    let items = || names.iter().zip(&values).map(|(name, value)| SetItem::new(name, value.clone()));
    for round in 0..2 {
        if round == 0 {
            for item in items() {
                set(&store, item).await.unwrap();
            }
        } else {
            assert!(set_many(&store, items().collect()).await.iter().all(Result::is_ok));
        }
        for (name, value) in names.iter().zip(&values) {
            let entry = get(&store, name).await.unwrap();
            assert_eq!((entry.value(), entry.value().kind()), (value, value.kind()));
        }
    }
}

/// Small entries come to readers packed into one text, large ones in rows; writes of many pack them too.
#[tokio::test]
async fn get_2_and_val_3_many_keys_at_once_hold_what_each_alone_holds() {
    let place = Place::new();
    let store = place.open().await;
    let mut contents: Vec<Vec<u8>> =
        [&b""[..], b"\0", b",", b"5", b",5", b"5,", b"0,2,3,", b"\xff\xfe", b"\0\xff,1,\0", b" ", b"-1"]
            .map(<[u8]>::to_vec)
            .to_vec();
    for length in [4095, 4096, 4097, 32 * 1024 - 1, 32 * 1024, 40_000] {
        contents.push(vec![b','; length]);
        contents.push(vec![0xff; length]);
    }
    let long = Metadata::from(json!("1,".repeat(2100)));
    let metadata = [None, Some(Metadata::from(json!({"n": "1,2,\0"}))), Some(long)];
    let mut entries = Vec::new();
    for content in &contents {
        for metadata in &metadata {
            for expires in [false, true] {
                entries.push((format!("{},", entries.len()), content.clone(), metadata.clone(), expires));
            }
        }
    }
    let items = || {
        entries.iter().map(|(key, content, metadata, expires)| {
            let mut item = SetItem::new(key, content.clone());
            if let Some(metadata) = metadata {
                item = item.metadata(metadata.clone());
            }
            if *expires { item.ttl(Duration::from_secs(60)) } else { item }
        })
    };
    for round in 0..2 {
        if round == 0 {
            assert!(set_many(&store, items().collect()).await.iter().all(Result::is_ok));
        } else {
            for item in items() {
                set(&store, item).await.unwrap();
            }
        }
        // The second half of the keys is missing.
        let keys: Vec<String> = entries
            .iter()
            .map(|(key, ..)| key.clone())
            .chain(entries.iter().map(|(key, ..)| format!("{key}1")))
            .collect();
        let borrowed: Vec<&str> = keys.iter().map(String::as_str).collect();
        let many = get_many(&store, &borrowed).await;
        // All of them, mixed and some twice, wait for the reader together.
        let fields = [Fields::All, Fields::Value, Fields::Existence, Fields::All];
        let asked: Vec<_> = keys.iter().chain(&keys).zip(fields.iter().cycle()).collect();
        let grouped =
            join_all(asked.iter().map(|(key, fields)| store.read(RESOLVER.read(*key, **fields).unwrap()))).await;
        let values: Vec<_> = keys.iter().map(|key| key.as_str().into()).collect();
        let (values, _) = RESOLVER.read_many(values, Fields::Value).unwrap().unwrap();
        let values = store.read_many(values).await.unwrap();
        for (index, key) in keys.iter().enumerate() {
            let alone = get(&store, key).await;
            assert_eq!(alone.is_some(), index < entries.len());
            assert_eq!(many[index], alone, "{key}");
            let value = alone.as_ref().map(|entry| entry.value());
            assert_eq!(values[index].as_ref().map(|entry| entry.value()), value, "{key}");
            let Some((_, content, metadata, expires)) = entries.get(index) else { continue };
            let alone = alone.unwrap();
            assert_eq!(alone.value(), &Value::from(content.clone()), "{key}");
            assert_eq!(alone.metadata(), metadata.as_ref(), "{key}");
            assert_eq!(alone.expiry() != EntryExpiry::Never, *expires, "{key}");
        }
        for ((key, fields), entry) in asked.into_iter().zip(grouped) {
            let (entry, alone) = (entry.unwrap(), get(&store, key).await);
            match fields {
                Fields::Existence => assert_eq!(entry.is_some(), alone.is_some(), "{key}"),
                Fields::Value => {
                    assert_eq!(entry.as_ref().map(|entry| entry.value()), alone.as_ref().map(|entry| entry.value()));
                    assert!(entry.is_none_or(|entry| entry.version().is_none() && entry.metadata().is_none()));
                }
                _ => assert_eq!(entry, alone, "{key}"),
            }
        }
    }
}

#[tokio::test]
async fn get_2_existence_moves_no_value() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("a", "value")).await.unwrap();
    assert!(exists(&store, "a").await && !exists(&store, "b").await);
    let read = |key, fields| store.read(RESOLVER.read(key, fields).unwrap());
    let (value, existence, missing, all) = tokio::join!(
        read("a", Fields::Value),
        read("a", Fields::Existence),
        read("b", Fields::Existence),
        read("a", Fields::All)
    );
    assert_eq!(value.unwrap().unwrap().value(), &Value::from("value"));
    assert!(existence.unwrap().unwrap().value().as_bytes().is_empty());
    assert!(missing.unwrap().is_none());
    assert_eq!(all.unwrap().unwrap().expiry(), EntryExpiry::Never);
}

#[tokio::test]
async fn exp_7_and_set_4_an_expired_entry_is_gone_for_every_operation() {
    let place = Place::new();
    let store = place.open().await;
    let item = || SetItem::new("a", 1i64).ttl(Duration::from_micros(1_500));
    let version = set(&store, item()).await.unwrap().version().cloned().unwrap();
    place.clock.advance(Duration::from_micros(1_999));
    assert!(exists(&store, "a").await, "rounded up to 2 ms");
    place.clock.advance(Duration::from_micros(1));
    assert!(!exists(&store, "a").await && get(&store, "a").await.is_none());
    assert!(get_many(&store, &["a"]).await[0].is_none());
    assert!(list(&store, "", 10, None).await.items.is_empty());
    assert_eq!(set(&store, SetItem::new("a", "v").if_exists()).await.unwrap().status(), SetStatus::NotMet);
    let stale = SetItem::new("a", "v").if_version(version.clone());
    assert_eq!(set(&store, stale).await.unwrap().status(), SetStatus::NotMet);
    assert_eq!(delete(&store, "a", Some(version)).await.unwrap(), DeleteOutcome::NotMet);
    assert!(!store.expire(expiring(&store, "a", None)).await.unwrap());
    assert_eq!(delete(&store, "a", None).await.unwrap(), DeleteOutcome::NotFound);
    set(&store, item()).await.unwrap();
    place.clock.advance(Duration::from_millis(2));
    assert_eq!(increment(&store, "a", 5).await.unwrap(), 5, "counts from nothing");
    assert_eq!(get(&store, "a").await.unwrap().expiry(), EntryExpiry::Never);
    set(&store, item()).await.unwrap();
    place.clock.advance(Duration::from_millis(2));
    assert_eq!(set(&store, SetItem::new("a", "v").if_not_exists()).await.unwrap().status(), SetStatus::Created);
}

#[tokio::test]
async fn cnt_1_and_cnt_2_what_cannot_be_counted_in_stays_as_it_is() {
    let place = Place::new();
    let store = place.open().await;
    let range = Reason::CounterRange { min: i64::MIN, max: i64::MAX };
    let cases = [
        ("text", SetItem::new("text", "5"), ErrorKind::WrongType, Reason::NotACounter),
        ("bytes", SetItem::new("bytes", b"5"), ErrorKind::WrongType, Reason::NotACounter),
        ("float", SetItem::new("float", json!(5.0)), ErrorKind::WrongType, Reason::NotACounter),
        ("array", SetItem::new("array", json!([5])), ErrorKind::WrongType, Reason::NotACounter),
        ("unsigned", SetItem::new("unsigned", u64::MAX), ErrorKind::WrongType, Reason::NotACounter),
        ("metadata", SetItem::new("metadata", 5i64).metadata(json!(1)), ErrorKind::WrongType, Reason::NotACounter),
        ("full", SetItem::new("full", i64::MAX), ErrorKind::InvalidArgument, range),
    ];
    for (key, item, kind, reason) in cases {
        set(&store, item).await.unwrap();
        let before = get(&store, key).await;
        // Alone, and in a group.
        let error = increment(&store, key, 1).await.unwrap_err();
        assert_eq!(told(&error), (kind, Some(reason.clone())), "{key}");
        let (error, other) = tokio::join!(increment(&store, key, 1), increment(&store, "other", 1));
        assert_eq!(told(&error.unwrap_err()), (kind, Some(reason)), "{key}");
        other.unwrap();
        assert_eq!(get(&store, key).await, before, "{key}");
    }
    assert_eq!(increment(&store, "new", -7).await.unwrap(), -7);
    assert_eq!(get(&store, "new").await.unwrap().value(), &Value::from(-7i64));
    assert_eq!(increment(&store, "full", -1).await.unwrap(), i64::MAX - 1);
}

#[tokio::test]
async fn cnt_2_a_restricted_handle_narrows_the_range_and_refuses_expiry() {
    let place = Place::new();
    let store = place.open().await;
    let restrict = CAPABILITIES.clone().with_counters(kv_api::Support::Native, -10, 10).with_counter_expiry(false);
    let restrict = kv_api::Resolver::new(&restrict);
    let count =
        |key, by| store.increment(restrict.increment(key, by, IncrementOptions::default(), store.clock()).unwrap());
    let range = Some(Reason::CounterRange { min: -10, max: 10 });
    assert_eq!(count("a", 11).await.unwrap_err().reason(), range.as_ref());
    assert!(!exists(&store, "a").await);
    assert_eq!(count("a", 10).await.unwrap(), 10);
    assert_eq!(count("a", 1).await.unwrap_err().reason(), range.as_ref());
    assert_eq!(count("a", -20).await.unwrap(), -10);
    set(&store, SetItem::new("b", 1i64).ttl(Duration::from_secs(9))).await.unwrap();
    assert_eq!(told(&count("b", 1).await.unwrap_err()), (ErrorKind::WrongType, Some(Reason::NotACounter)));
    let (grouped, _) = tokio::join!(count("b", 1), count("c", 1));
    assert_eq!(told(&grouped.unwrap_err()), (ErrorKind::WrongType, Some(Reason::NotACounter)));
    assert_eq!(increment(&store, "b", 1).await.unwrap(), 2);
    assert_eq!(
        get(&store, "b").await.unwrap().expiry(),
        EntryExpiry::At(place.clock.now().checked_add(Duration::from_secs(9)).unwrap())
    );
}

#[tokio::test]
async fn batch_3_all_or_nothing_names_the_first_unmet_item_and_writes_nothing() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("b", "old")).await.unwrap();
    let items =
        || vec![SetItem::new("a", 1i64), SetItem::new("b", 2i64).if_not_exists(), SetItem::new("c", 3i64).if_exists()];
    assert_eq!(all_or_nothing(&store, items()).await.unwrap(), BatchOutcome::NotMet { index: 1 });
    assert_eq!(all_keys(&store, "", 10).await, ["b"]);
    delete(&store, "b", None).await.unwrap();
    set(&store, SetItem::new("c", "old")).await.unwrap();
    let BatchOutcome::Written(outcomes) = all_or_nothing(&store, items()).await.unwrap() else {
        panic!("every condition holds")
    };
    let statuses: Vec<_> = outcomes.iter().map(kv_api::SetOutcome::status).collect();
    assert_eq!(statuses, [SetStatus::Created, SetStatus::Created, SetStatus::Updated]);
    for (key, outcome) in ["a", "b", "c"].iter().zip(&outcomes) {
        assert_eq!(get(&store, key).await.unwrap().version(), outcome.version());
    }
    // Larger than any one statement.
    let keys: Vec<String> = (0..2_500).map(|index| format!("many/{index:05}")).collect();
    let items = || keys.iter().map(|key| SetItem::new(key, "v").if_not_exists());
    assert!(all_or_nothing(&store, items().collect()).await.unwrap().is_written());
    assert_eq!(all_keys(&store, "many/", 999).await, keys);
    let outcome = all_or_nothing(&store, items().rev().collect()).await.unwrap();
    assert_eq!(outcome, BatchOutcome::NotMet { index: 0 });
    place
        .run("CREATE TRIGGER refuse AFTER INSERT ON kv WHEN NEW.key = 'refused' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    let error =
        all_or_nothing(&store, vec![SetItem::new("fresh", "v"), SetItem::new("refused", "v")]).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::RowRejected)));
    assert!(!exists(&store, "fresh").await);
    set(&store, SetItem::new("fresh", "v")).await.unwrap();
}

#[tokio::test]
async fn batch_2_a_large_batch_answers_each_item_in_order() {
    let place = Place::new();
    let store = place.open().await;
    let keys: Vec<String> = (0..2_300).map(|index| format!("{}/{index}", index % 7)).collect();
    for key in keys.iter().step_by(3) {
        set(&store, SetItem::new(key, "old")).await.unwrap();
    }
    let items = keys.iter().map(|key| SetItem::new(key, key.as_str()).if_not_exists()).collect();
    for (index, outcome) in set_many(&store, items).await.into_iter().enumerate() {
        let expected = if index % 3 == 0 { SetStatus::NotMet } else { SetStatus::Created };
        assert_eq!(outcome.unwrap().status(), expected, "{index}");
    }
    let borrowed: Vec<&str> = keys.iter().map(String::as_str).rev().collect();
    for (key, entry) in borrowed.iter().zip(get_many(&store, &borrowed).await) {
        let text = entry.unwrap().value().as_text().unwrap().to_owned();
        assert!(text == *key || text == "old");
    }
    assert!(delete_many(&store, &keys).await.into_iter().all(|outcome| outcome.unwrap() == DeleteOutcome::Deleted));
    assert!(
        delete_many(&store, &keys[..2]).await.into_iter().all(|outcome| outcome.unwrap() == DeleteOutcome::NotFound)
    );
}

#[tokio::test]
async fn ns_1_namespaces_of_one_file_share_nothing() {
    let place = Place::new();
    let left = place.open().await;
    let right = SqliteStore::open(place.config().with_namespace("de\0fault")).await.unwrap();
    let version = set(&left, SetItem::new("a", 1i64)).await.unwrap().version().cloned().unwrap();
    assert!(get(&right, "a").await.is_none() && list(&right, "", 10, None).await.items.is_empty());
    assert_eq!(delete(&right, "a", None).await.unwrap(), DeleteOutcome::NotFound);
    assert_eq!(increment(&right, "a", 5).await.unwrap(), 5);
    let outcome = set(&right, SetItem::new("a", 6i64).if_version(version)).await.unwrap();
    assert_eq!(outcome.status(), SetStatus::NotMet, "the version is the other entry's");
    assert_eq!(get(&left, "a").await.unwrap().value(), &Value::from(1i64));
    assert_ne!(left.scope(), right.scope());
    // The same namespace again is the same data, and cursors of the one fit the other (LIST-3).
    let again = place.open().await;
    assert_eq!(again.scope(), left.scope());
    assert_eq!(get(&again, "a").await, get(&left, "a").await);
    for name in ["", &"n".repeat(256)] {
        let error = SqliteStore::open(place.config().with_namespace(name)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn ver_1_versions_are_never_given_twice_by_any_store_on_the_file() {
    let place = Place::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let (left, right) = (place.open().await, place.open().await);
        for store in [&left, &right] {
            for _ in 0..3 {
                let outcome = set(store, SetItem::new("a", "v")).await.unwrap();
                assert!(seen.insert(outcome.version().cloned().unwrap()));
                delete(store, "a", None).await.unwrap();
            }
        }
        left.close().await.unwrap();
        right.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn set_7_a_read_that_starts_after_the_answer_sees_the_write() {
    let place = Place::new();
    let store = Arc::new(SqliteStore::open(place.config().with_readers(3.try_into().unwrap())).await.unwrap());
    let busy: Vec<_> = (0..8)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..100i64 {
                    let key = format!("{task}");
                    set(&store, SetItem::new(&key, round)).await.unwrap();
                    assert_eq!(get(&store, &key).await.unwrap().value(), &Value::from(round));
                    let page = list(&store, &key, 1, None).await;
                    assert_eq!(page.items.len(), 1);
                }
            })
        })
        .collect();
    for task in join_all(busy).await {
        task.unwrap();
    }
}

#[tokio::test]
async fn err_6_a_dropped_write_happens_and_disturbs_nobody() {
    let place = Place::new();
    let store = place.open().await;
    let mut left = Box::pin(set(&store, SetItem::new("left", "v")));
    assert!(futures_util::poll!(&mut left).is_pending());
    drop(left);
    let mut unsent = Box::pin(set(&store, SetItem::new("unsent", "v")));
    let right = set(&store, SetItem::new("right", "v"));
    assert_eq!(right.await.unwrap().status(), SetStatus::Created);
    // The order in the channel is the order of effect, so what was handed over before is there.
    assert!(exists(&store, "left").await);
    assert!(!exists(&store, "unsent").await);
    assert!(futures_util::poll!(&mut unsent).is_pending());
    unsent.await.unwrap();
    assert!(exists(&store, "unsent").await);
}

#[tokio::test]
async fn exp_7_expired_rows_are_reclaimed_by_and_by() {
    let place = Place::new();
    let store = place.open().await;
    let keys: Vec<String> = (0..900).map(|index| format!("{index}")).collect();
    let items = keys.iter().map(|key| SetItem::new(key, "v").ttl(Duration::from_secs(1))).collect();
    assert!(set_many(&store, items).await.into_iter().all(|outcome| outcome.is_ok()));
    set(&store, SetItem::new("stays", "v").ttl(Duration::from_secs(9))).await.unwrap();
    place.clock.advance(Duration::from_secs(1));
    assert_eq!(place.number("SELECT count(*) FROM kv").await, 901);
    // One group begins; the idle writer goes on until nothing is left.
    set_many(&store, vec![SetItem::new("x", "v"), SetItem::new("y", "v")]).await;
    while place.number("SELECT count(*) FROM kv WHERE expires_at IS NOT NULL").await > 1 {
        tokio::task::yield_now().await;
    }
    assert!(exists(&store, "stays").await);
    // Single writes alone have it done too.
    place.clock.advance(Duration::from_secs(9));
    for _ in 0..64 {
        set(&store, SetItem::new("z", "v")).await.unwrap();
    }
    while place.number("SELECT count(*) FROM kv WHERE expires_at IS NOT NULL").await > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn life_2_close_ends_every_task_and_leaves_one_file() {
    let place = Place::new();
    let store = place.open().await;
    let mut calls: Vec<_> = (0..20).map(|index| Box::pin(increment_owned(&store, index % 2))).collect();
    for call in &mut calls {
        assert!(futures_util::poll!(call).is_pending());
    }
    store.close().await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(place.files(), ["app.db"], "the log was moved into the file");
    assert_eq!(set(&store, SetItem::new("a", "v")).await.unwrap_err().kind(), ErrorKind::Closed);
    let read = store.read(RESOLVER.read("a", Fields::All).unwrap()).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Closed);
    store.close().await.unwrap();
    let again = place.open().await;
    assert_eq!(get(&again, "0").await.unwrap().value(), &Value::from(10i64));
}

#[tokio::test]
async fn life_2_every_one_of_several_closings_waits_for_the_end() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("a", "v")).await.unwrap();
    let close = || async {
        store.close().await.unwrap();
        assert_eq!(place.files(), ["app.db"]);
    };
    tokio::join!(close(), close(), close());
    close().await;
}

async fn increment_owned(store: &SqliteStore, key: i32) -> kv_api::Result<i64> {
    increment(store, &key.to_string(), 1).await
}

#[test]
fn life_2_a_dropped_store_ends_its_tasks_and_has_kept_what_it_acknowledged() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = place.open().await;
        set(&store, SetItem::new("a", "v")).await.unwrap();
        assert!(tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0);
        drop(store);
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(exists(&place.open().await, "a").await);
    });
}

#[test]
fn a_store_outlives_its_runtime_with_clear_errors() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(place.open());
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = other.block_on(set(&store, SetItem::new("a", "v"))).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Closed, Retry::Never));
}

#[test]
fn life_3_a_call_ends_on_a_runtime_that_nobody_drives() {
    let place = Place::new();
    let new_runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (runtime, other) = (new_runtime(), new_runtime());
    let config = place.config().with_timer(Arc::new(place.clock.clone()));
    let store = runtime.block_on(SqliteStore::open(config)).unwrap();
    other.block_on(async {
        let item = SetItem::new("a", "v");
        let batch = || vec![SetItem::new("a", "v"), SetItem::new("b", "v")];
        let set_many_first = async { set_many(&store, batch()).await.remove(0).map(|_| ()) };
        let calls: [BoxFuture<'_, kv_api::Result<()>>; 6] = [
            Box::pin(async { set(&store, item).await.map(|_| ()) }),
            Box::pin(set_many_first),
            Box::pin(async { all_or_nothing(&store, batch()).await.map(|_| ()) }),
            Box::pin(async { store.read(RESOLVER.read("a", Fields::All).unwrap()).await.map(|_| ()) }),
            Box::pin(store.ping()),
            Box::pin(store.close()),
        ];
        for mut call in calls {
            assert!(futures_util::poll!(&mut call).is_pending());
            place.clock.advance(Duration::from_secs(5));
            let error = call.await.unwrap_err();
            assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::RuntimeStalled)));
            assert_eq!(error.retry(), Retry::Safe);
        }
    });
    // Once a thread drives it, calls from elsewhere are answered, and none of the others was handed over.
    std::thread::scope(|scope| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        scope.spawn(|| runtime.block_on(stopped));
        other.block_on(async {
            assert!(!exists(&store, "a").await);
            set(&store, SetItem::new("a", "v")).await.unwrap();
            store.close().await.unwrap();
        });
        stop.send(()).unwrap();
    });
}

#[tokio::test]
async fn a_store_for_reading_only_refuses_every_write() {
    let place = Place::new();
    let writer = place.open().await;
    set(&writer, SetItem::new("a", "v")).await.unwrap();
    let store = SqliteStore::open(place.config().with_read_only(true)).await.unwrap();
    assert_eq!(get(&store, "a").await, get(&writer, "a").await);
    let read_only = (ErrorKind::Misconfigured, Some(Reason::ReadOnly));
    assert_eq!(told(&set(&store, SetItem::new("a", "w")).await.unwrap_err()), read_only);
    assert_eq!(told(&delete(&store, "a", None).await.unwrap_err()), read_only);
    assert_eq!(told(&increment(&store, "n", 1).await.unwrap_err()), read_only);
    assert_eq!(told(&store.expire(expiring(&store, "a", None)).await.unwrap_err()), read_only);
    assert_eq!(told(&all_or_nothing(&store, vec![SetItem::new("a", "w")]).await.unwrap_err()), read_only);
    for outcome in set_many(&store, vec![SetItem::new("a", "w"), SetItem::new("b", "w")]).await {
        assert_eq!(told(&outcome.unwrap_err()), read_only);
    }
    store.ping().await.unwrap();
    store.close().await.unwrap();
    writer.close().await.unwrap();
    // Nobody else has it open, and its log is gone.
    let alone = SqliteStore::open(place.config().with_read_only(true)).await.unwrap();
    assert!(exists(&alone, "a").await);
}

#[tokio::test]
async fn ver_1_a_damaged_count_of_versions_is_told() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let past_the_end = i64::MAX / 2 + 1 - (1 << 20);
    for (next, told_as) in [
        (i64::MAX, ErrorKind::Misconfigured),
        (past_the_end, ErrorKind::Protocol),
        (0, ErrorKind::Protocol),
        (-1, ErrorKind::Protocol),
    ] {
        place.run(&format!("UPDATE meta SET next_version = {next}")).await;
        let store = place.open().await;
        let (left, right) = tokio::join!(set(&store, SetItem::new("a", "v")), increment(&store, "b", 1));
        for error in [left.unwrap_err(), right.unwrap_err()] {
            assert_eq!((error.kind(), error.is_outcome_unknown()), (told_as, false), "{next}: {error}");
        }
        assert!(all_keys(&store, "", 10).await.is_empty());
    }
    place.run(&format!("UPDATE meta SET next_version = {}", past_the_end - 1)).await;
    let store = place.open().await;
    let version = set(&store, SetItem::new("a", "v")).await.unwrap().version().unwrap().clone();
    assert!(set(&store, SetItem::new("a", "w").if_version(version)).await.unwrap().is_written());
}

#[tokio::test]
async fn rows_that_this_library_did_not_write_are_told() {
    let place = Place::new();
    let store = place.open().await;
    for key in ["kind", "utf8", "fine"] {
        set(&store, SetItem::new(key, "v").metadata(json!(1))).await.unwrap();
    }
    place.run("UPDATE kv SET kind = 99 WHERE key = 'kind'; UPDATE kv SET value = x'ff' WHERE key = 'utf8'").await;
    let read = |key| store.read(RESOLVER.read(key, Fields::All).unwrap());
    assert_eq!(read("kind").await.unwrap_err().kind(), ErrorKind::Protocol);
    // Read together with others, it fails alone.
    let (damaged, fine) = tokio::join!(read("kind"), read("fine"));
    assert_eq!(damaged.unwrap_err().kind(), ErrorKind::Protocol);
    assert!(fine.unwrap().is_some());
    let text = read("utf8").await.unwrap().unwrap().into_value();
    assert_eq!((text.as_text(), text.as_bytes().as_ref()), (None, &[0xff][..]));
    assert_eq!(increment(&store, "kind", 1).await.unwrap_err().kind(), ErrorKind::WrongType, "it has metadata");
    place.run("UPDATE kv SET metadata = NULL WHERE key = 'kind'").await;
    assert_eq!(increment(&store, "kind", 1).await.unwrap_err().kind(), ErrorKind::Protocol);
    set(&store, SetItem::new("kind", "mended")).await.unwrap();
    assert_eq!(get(&store, "kind").await.unwrap().value(), &Value::from("mended"));
}

#[tokio::test]
async fn val_7_what_cannot_be_read_is_neither_touched_nor_taken() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("damaged", "v")).await.unwrap();
    set(&store, SetItem::new("fine", "v")).await.unwrap();
    place.run("UPDATE kv SET kind = 99 WHERE key = 'damaged'").await;
    let second = Duration::from_secs(1);
    // Alone, and in a group.
    assert_eq!(touch(&store, "damaged", second).await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(get_and_delete(&store, "damaged").await.unwrap_err().kind(), ErrorKind::Protocol);
    let (touched, taken, fine) = tokio::join!(
        touch(&store, "damaged", second),
        get_and_delete(&store, "damaged"),
        touch(&store, "fine", second)
    );
    assert_eq!(touched.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Protocol);
    assert!(fine.unwrap().is_some());
    assert_eq!(place.number("SELECT count(*) FROM kv WHERE key = 'damaged' AND expires_at IS NULL").await, 1);
}

/// Each call sees what those before it in the group have left, wherever that is by then.
#[tokio::test]
async fn get_4_and_exp_12_calls_of_one_group_see_what_those_before_left() {
    let place = Place::new();
    let store = place.open().await;
    let second = Duration::from_secs(1);
    let end = EntryExpiry::At(place.clock.now().checked_add(second).unwrap());
    let large = vec![7_u8; 100_000];
    set(&store, SetItem::new("stored", large.clone()).metadata(json!(1))).await.unwrap();
    let before = get(&store, "stored").await.unwrap();
    // Two rounds: read out of the file, and as the group itself has left it.
    let (touched, taken, again, missing) = tokio::join!(
        touch(&store, "stored", second),
        get_and_delete(&store, "stored"),
        get_and_delete(&store, "stored"),
        touch(&store, "stored", second)
    );
    let touched = touched.unwrap().unwrap();
    assert_eq!((touched.value(), touched.metadata()), (before.value(), before.metadata()));
    assert_eq!((touched.version(), touched.expiry()), (before.version(), end));
    assert_eq!(taken.unwrap(), Some(touched));
    assert_eq!((again.unwrap(), missing.unwrap()), (None, None));
    assert_eq!(place.number("SELECT count(*) FROM kv").await, 0);

    let (count, counted, written, touched, taken) = tokio::join!(
        increment(&store, "counter", 5),
        touch(&store, "counter", second),
        set(&store, SetItem::new("fresh", "v").metadata(json!(2))),
        touch(&store, "fresh", second),
        get_and_delete(&store, "counter")
    );
    assert_eq!(count.unwrap(), 5);
    assert_eq!(counted.unwrap(), taken.unwrap());
    let touched = touched.unwrap().unwrap();
    assert_eq!((touched.expiry(), touched.version()), (end, written.unwrap().version()));
    assert_eq!(get(&store, "fresh").await, Some(touched));
    assert_eq!(all_keys(&store, "", 10).await, ["fresh"]);
    place.clock.advance(second);
    assert_eq!(get_and_delete(&store, "fresh").await.unwrap(), None);
    let (expired, _) = tokio::join!(touch(&store, "fresh", second), increment(&store, "other", 1));
    assert_eq!(expired.unwrap(), None);
}

/// What a group gives that has to be done again, one by one.
#[tokio::test]
async fn cnt_1_an_expired_counter_beside_a_refused_row_begins_at_zero() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("n", 5i64).ttl(Duration::from_millis(1))).await.unwrap();
    place.clock.advance(Duration::from_millis(1));
    place
        .run("CREATE TRIGGER refuse BEFORE INSERT ON kv WHEN NEW.key = 'no' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    for expiring_allowed in [true, false] {
        let capabilities =
            CAPABILITIES.clone().with_counters(kv_api::Support::Native, -10, 10).with_counter_expiry(expiring_allowed);
        let restrict = kv_api::Resolver::new(&capabilities);
        let (refused, counted) = tokio::join!(
            set(&store, SetItem::new("no", "v")),
            store.increment(restrict.increment("n", 11, IncrementOptions::default(), store.clock()).unwrap())
        );
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misconfigured);
        let range = Reason::CounterRange { min: -10, max: 10 };
        assert_eq!(told(&counted.unwrap_err()), (ErrorKind::InvalidArgument, Some(range)));
    }
}

#[tokio::test]
async fn set_8_a_failed_commit_is_never_an_acknowledgement() {
    let place = Place::new();
    let store = place.open().await;
    // A deferred constraint is checked by the commit alone.
    place
        .run(
            "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
             CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED); \
             CREATE TRIGGER doom AFTER INSERT ON kv WHEN NEW.key = 'doomed' BEGIN INSERT INTO children VALUES (7); END",
        )
        .await;
    let error = set(&store, SetItem::new("doomed", "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let (doomed, beside) = tokio::join!(set(&store, SetItem::new("doomed", "v")), increment(&store, "beside", 1));
    assert!(doomed.unwrap_err().is_outcome_unknown() && beside.unwrap_err().is_outcome_unknown());
    let batch = all_or_nothing(&store, vec![SetItem::new("doomed", "v"), SetItem::new("beside", 1i64)]).await;
    assert!(batch.unwrap_err().is_outcome_unknown());
    assert!(all_keys(&store, "", 10).await.is_empty());
    // No transaction was left open: what is acknowledged now is there for others.
    set(&store, SetItem::new("beside", "v")).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM kv").await, 1);
}

#[tokio::test]
async fn a_lock_that_is_kept_ends_in_busy() {
    let place = Place::new();
    let config = place.config().with_busy_timeout(Duration::from_millis(20));
    let store = SqliteStore::open(config.clone()).await.unwrap();
    set(&store, SetItem::new("a", "v")).await.unwrap();
    let mut holder = place.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    let busy = (ErrorKind::Unavailable, Some(Reason::Busy));
    let error = set(&store, SetItem::new("a", "w")).await.unwrap_err();
    assert_eq!((told(&error), error.retry()), (busy.clone(), Retry::Safe));
    for error in join_all((0..3).map(|_| increment(&store, "n", 1))).await {
        let error = error.unwrap_err();
        assert_eq!((told(&error), error.retry()), (busy.clone(), Retry::Safe));
    }
    assert_eq!(told(&all_or_nothing(&store, vec![SetItem::new("b", "v")]).await.unwrap_err()), busy);
    // Readers are not concerned.
    assert_eq!(get(&store, "a").await.unwrap().value(), &Value::from("v"));
    let waiting = async {
        let patient = SqliteStore::open(config.with_busy_timeout(Duration::from_secs(60))).await.unwrap();
        let mut call = Box::pin(set(&patient, SetItem::new("a", "x")));
        assert!(futures_util::poll!(&mut call).is_pending());
        sqlx::query("COMMIT").execute(&mut holder).await.unwrap();
        call.await
    };
    assert_eq!(waiting.await.unwrap().status(), SetStatus::Updated);
    holder.close().await.unwrap();
    assert_eq!(increment(&store, "n", 1).await.unwrap(), 1, "none of the refused ones was applied");
}

/// The wall clock is set by an hour while a call waits.
#[tokio::test]
async fn exp_10_a_wait_for_a_lock_does_not_count_by_the_wall_clock() {
    let place = Place::new();
    let timer = ManualClock::new(Timestamp::UNIX_EPOCH);
    let config = place.config().with_timer(Arc::new(timer.clone())).with_busy_timeout(Duration::from_secs(60));
    let store = SqliteStore::open(config).await.unwrap();
    set(&store, SetItem::new("a", "v")).await.unwrap();
    let mut holder = place.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    let mut call = Box::pin(set(&store, SetItem::new("a", "w")));
    for step in 0..3 {
        while timer.sleepers() == 0 {
            assert!(futures_util::poll!(&mut call).is_pending(), "step {step}");
            tokio::task::yield_now().await;
        }
        place.clock.advance(Duration::from_secs(3600));
        timer.advance(Duration::from_millis(2));
    }
    while timer.sleepers() == 0 {
        assert!(futures_util::poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }
    // Its own time does count.
    timer.advance(Duration::from_secs(60));
    let error = call.await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unavailable, Some(Reason::Busy)));
    holder.close().await.unwrap();
}

#[tokio::test]
async fn meta_1_large_metadata_makes_pages_shorter_and_is_told_whole() {
    let place = Place::new();
    let store = place.open().await;
    let metadata = Metadata::from(json!("m".repeat(1024 * 1024 - 3)));
    for index in 0..12 {
        set(&store, SetItem::new(format!("{index:02}"), "v").metadata(metadata.clone())).await.unwrap();
    }
    set(&store, SetItem::new("zz", "v")).await.unwrap();
    let first = list(&store, "", 1000, None).await;
    assert_eq!(first.items.len(), 8, "8 MiB");
    assert!(first.items.iter().all(|item| item.metadata == Some(metadata.clone()).into()));
    let second = list(&store, "", 1000, first.next).await;
    let keys: Vec<_> = second.items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(keys, ["08", "09", "10", "11", "zz"]);
    assert_eq!(second.next, None);
    let too_large = RESOLVER.write(SetItem::new("a", "v").metadata(json!("m".repeat(1024 * 1024))), store.clock());
    assert!(
        matches!(too_large.unwrap_err().reason(), Some(Reason::Limit { name, .. }) if name == "metadata_bytes_max")
    );
}

#[tokio::test]
async fn debug_shows_path_and_namespace() {
    let place = Place::new();
    let store = SqliteStore::open(SqliteConfig::new(place.path()).with_namespace("users")).await.unwrap();
    let shown = format!("{store:?}");
    assert!(shown.contains("app.db") && shown.contains("users"), "{shown}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn err_2_no_control_character_of_a_name_reaches_a_reader() {
    const HARMFUL: &str = "a\n\r\u{1b}[31m\u{7f}\u{202e}b";
    let place = Place::new();
    let directory = place.directory.path().join(HARMFUL);
    let mut shown = Vec::new();
    let missing = SqliteConfig::new(directory.join("app.db"));
    shown.push(format!("{missing:?}"));
    let error = SqliteStore::open(missing).await.unwrap_err();
    shown.extend([error.to_string(), format!("{error:?}")]);
    std::fs::create_dir(&directory).unwrap();
    let config = SqliteConfig::new(directory.join(HARMFUL)).with_namespace(HARMFUL);
    let error = SqliteStore::open(config.clone().with_read_only(true)).await.unwrap_err();
    shown.extend([error.to_string(), format!("{error:?}")]);
    let store = SqliteStore::open(config.clone()).await.unwrap();
    shown.push(format!("{store:?}"));
    std::fs::remove_file(directory.join(HARMFUL)).unwrap();
    let error = store.close().await.unwrap_err();
    shown.extend([error.to_string(), format!("{error:?}")]);
    for shown in shown {
        assert!(!shown.chars().any(|shown| shown.is_control() || shown == '\u{202e}'), "{shown:?}");
    }
}
