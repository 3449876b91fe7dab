//! Verification finds what differs, and only that.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{FAR, HOUR, KEYS, copy_stores, export, import, memory, options, sqlite, with_difficult_items};
use kv_api::{Capabilities, Clock, ListOrder, ManualClock, Store, Support, SystemClock, Timestamp, ValueKinds};
use kv_migrate::{BulkReader, Error, Options, Source, Target, Verification, What, verify};
use serde_json::json;

async fn compare(from: &Store, to: &Store) -> Verification {
    let source = Source::store(from, &options()).unwrap();
    verify(source, Target::Store(to), &options(), SystemClock.now(), |_| {}).await
}

async fn compare_file(from: &Store, to: &Path) -> Verification {
    let source = Source::store(from, &options()).unwrap();
    verify(source, Target::Bulk(BulkReader::open(to).unwrap()), &options(), SystemClock.now(), |_| {}).await
}

fn found(verification: &Verification) -> Vec<(&str, What)> {
    assert!(verification.stopped.is_none(), "{verification:?}");
    verification.differences.iter().map(|difference| (difference.key.as_str(), difference.what)).collect()
}

#[tokio::test]
async fn a_faithful_copy_is_clean() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.json.gz");
    let from = with_difficult_items(memory().await).await;
    let to = sqlite(directory.path()).await;
    copy_stores(&from, &to).await;
    export(&from, &path).await;
    to.set("of its own", "is no difference").await.unwrap();
    for verification in [compare(&from, &to).await, compare_file(&from, &path).await] {
        assert!(verification.is_clean(), "{verification:?}");
        assert_eq!((verification.compared, verification.expired), (KEYS.len() as u64, 0));
    }
}

#[tokio::test]
async fn every_kind_of_tampering_is_found() {
    let from = memory().await;
    for key in ["expiry", "expiry gone", "json", "kind", "metadata", "metadata gone", "missing", "same", "value"] {
        from.set(key, "1").metadata(json!({"a": 1})).expire_at(FAR).await.unwrap();
    }
    from.set("json", json!({"a": [1.0]})).await.unwrap();
    let to = memory().await;
    copy_stores(&from, &to).await;
    assert!(compare(&from, &to).await.is_clean());

    to.set("value", "2").metadata(json!({"a": 1})).expire_at(FAR).await.unwrap();
    to.set("kind", json!(1)).metadata(json!({"a": 1})).expire_at(FAR).await.unwrap();
    to.set("json", json!({"a": [1]})).await.unwrap(); // means the same (VAL-3)
    to.set("metadata", "1").metadata(json!({"a": 2})).expire_at(FAR).await.unwrap();
    to.set("metadata gone", "1").expire_at(FAR).await.unwrap();
    let late = Timestamp::from_unix_seconds(4_000_000_001);
    to.set("expiry", "1").metadata(json!({"a": 1})).expire_at(late).await.unwrap();
    to.expire("expiry gone").never().await.unwrap();
    to.delete("missing").await.unwrap();
    let expected = [
        ("expiry", What::Expiry),
        ("expiry gone", What::Expiry),
        ("kind", What::Kind),
        ("metadata", What::Metadata),
        ("metadata gone", What::Metadata),
        ("missing", What::Missing),
        ("value", What::Value),
    ];
    assert_eq!(found(&compare(&from, &to).await), expected);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tampered.jsonl");
    export(&to, &path).await;
    // In a file an expiry is rounded to seconds, so that one second is no difference there.
    assert_eq!(found(&compare_file(&from, &path).await), expected[1..]);
}

#[tokio::test]
async fn a_file_is_compared_although_the_store_has_changed_since() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let from = with_difficult_items(memory().await).await;
    export(&from, &path).await;
    from.delete("a b").await.unwrap();
    from.set("a new one", "").await.unwrap();
    from.set("zz", "").await.unwrap();
    assert_eq!(found(&compare_file(&from, &path).await), [("a new one", What::Missing), ("zz", What::Missing)]);
}

#[tokio::test]
async fn of_a_repeated_key_only_the_last_item_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let items = ["1", "2", "3"].map(|value| format!("{{\"key\":\"k\",\"value\":\"{value}\"}}"));
    fs::write(&path, items.join("\n")).unwrap();
    let to = memory().await;
    import(&path, &to).await;
    let source = || Source::bulk(BulkReader::open(&path).unwrap(), &options());
    let clean = verify(source(), Target::Store(&to), &options(), SystemClock.now(), |_| {}).await;
    assert!(clean.is_clean(), "{clean:?}");
    to.set("k", "2").await.unwrap();
    let other = verify(source(), Target::Store(&to), &options(), SystemClock.now(), |_| {}).await;
    assert_eq!((found(&other), other.differences[0].line), (vec![("k", What::Value)], Some(3)));
    let file = Target::Bulk(BulkReader::open(&path).unwrap());
    assert!(verify(source(), file, &options(), SystemClock.now(), |_| {}).await.is_clean());
}

#[tokio::test]
async fn what_has_expired_since_is_no_difference() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    fs::write(
        &path,
        "{\"key\":\"k\",\"value\":\"\",\"expiration_ttl\":3600}\n{\"key\":\"gone\",\"value\":\"\",\"expiration\":5}",
    )
    .unwrap();
    let to = memory().await;
    import(&path, &to).await;
    let started = SystemClock.now();
    let clock = ManualClock::new(started);
    let options = Options { clock: std::sync::Arc::new(clock.clone()), ..options() };
    let run = async || {
        let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
        verify(source, Target::Store(&to), &options, started, |_| {}).await
    };
    let before = run().await;
    assert!(before.is_clean() && before.expired == 1, "{before:?}");
    to.delete("k").await.unwrap();
    assert_eq!(found(&run().await), [("k", What::Missing)]);
    clock.advance(HOUR + Duration::from_secs(1));
    let after = run().await;
    assert!(after.is_clean() && after.expired == 2, "{after:?}");
}

#[tokio::test]
async fn a_key_that_the_target_cannot_hold_is_missing_there() {
    static SHORT: Capabilities = Capabilities::new("short").with_value_kinds(ValueKinds::ALL).with_key_bytes(1, 3);
    let from = memory().await;
    for key in ["1", "2222", "333", "4444", "5"] {
        from.set(key, "").await.unwrap();
    }
    let to = memory().await.restricted_to([&SHORT]);
    let summary = copy_stores(&from, &to).await;
    assert_eq!((summary.counts.written, summary.counts.failed), (3, 2));
    let verification = compare(&from, &to).await;
    assert_eq!(found(&verification), [("2222", What::Missing), ("4444", What::Missing)]);
    assert_eq!(verification.expiry_not_reported, 3, "a target without expiry tells none");
}

#[tokio::test]
async fn a_file_cannot_be_compared_with_a_store_without_order() {
    static UNORDERED: Capabilities = Capabilities::new("unordered")
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 100)
        .with_list(Support::Native, ListOrder::Unordered);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let from = memory().await;
    export(&from, &path).await;
    let verification = compare_file(&from.restricted_to([&UNORDERED]), &path).await;
    assert!(matches!(verification.stopped, Some(Error::Unsuitable(_))) && !verification.is_clean());
}

#[tokio::test]
async fn exp_5_an_item_that_had_expired_before_hides_no_loss_of_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let items = [r#"{"key":"k","value":"v"}"#, r#"{"key":"k","value":"w","expiration":5}"#];
    fs::write(&path, items.join("\n")).unwrap();
    let to = memory().await;
    import(&path, &to).await;
    to.delete("k").await.unwrap();
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options());
    let lost = verify(source, Target::Store(&to), &options(), SystemClock.now(), |_| {}).await;
    assert_eq!((found(&lost), lost.compared, lost.expired), (vec![("k", What::Missing)], 1, 1));
}
