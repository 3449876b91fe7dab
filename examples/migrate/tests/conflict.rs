//! What happens to an entry whose key the target has already.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{FAR, HOUR, memory, options};
use kv_api::{MinTtl, Store, Support, Value};
use kv_migrate::{BulkReader, Error, OnConflict, Options, Sink, Source, Summary, copy};

async fn copied(from: &Store, to: &Store, options: &Options) -> Summary {
    copy(Source::store(from, options).unwrap(), Sink::store(to), options, |_| {}).await
}

/// Entries of which the target has some as they are, some others, and some not at all.
async fn stores() -> (Store, Store) {
    let (from, to) = (memory().await, memory().await);
    for store in [&from, &to] {
        store.set("same/plain", "v").await.unwrap();
        store.set("same/metadata", "v").metadata("m").expire_at(FAR).await.unwrap();
    }
    for (key, value) in [("other/value", "new"), ("other/expiry", "v"), ("other/metadata", "v"), ("new", "v")] {
        from.set(key, value).await.unwrap();
    }
    to.set("other/value", "old").await.unwrap();
    to.set("other/expiry", "v").expire_at(FAR).await.unwrap();
    to.set("other/metadata", "v").metadata("m").await.unwrap();
    to.set("own", "v").await.unwrap();
    (from, to)
}

#[tokio::test]
async fn what_is_there_stays_and_is_counted_as_kept() {
    let (from, to) = stores().await;
    let options = Options { on_conflict: OnConflict::Skip, ..options() };
    let summary = copied(&from, &to, &options).await;
    assert!(summary.is_complete(), "{summary:?}");
    let counts = summary.counts;
    assert_eq!((counts.read, counts.written, counts.unchanged, counts.kept, counts.failed), (6, 1, 2, 3, 0));
    assert_eq!(to.get("other/value").await.unwrap(), Some(Value::from("old")));
    assert_eq!(to.get("new").await.unwrap(), Some(Value::from("v")));
}

#[tokio::test]
async fn what_is_there_stays_and_is_a_failure_that_names_the_key() {
    let (from, to) = stores().await;
    let options = Options { on_conflict: OnConflict::Fail, ..options() };
    let summary = copied(&from, &to, &options).await;
    let counts = summary.counts;
    assert_eq!((counts.read, counts.written, counts.unchanged, counts.kept, counts.failed), (6, 1, 2, 0, 3));
    let [cause] = summary.failures.causes() else { panic!("{summary:?}") };
    assert_eq!((cause.count, cause.examples[0].key.as_str()), (3, "other/expiry"));
    assert_eq!(to.get("other/value").await.unwrap(), Some(Value::from("old")));
    // All that could be written is there, so nothing is left to do.
    let again = copied(&from, &to, &options).await;
    assert_eq!((again.counts.written, again.counts.unchanged, again.counts.failed), (0, 3, 3));
}

#[tokio::test]
async fn an_entry_with_a_ttl_that_was_just_written_is_no_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    std::fs::write(&path, "{\"key\":\"a\",\"value\":\"v\",\"expiration_ttl\":3600}\n").unwrap();
    let to = memory().await;
    let options = Options { on_conflict: OnConflict::Fail, ..options() };
    for unchanged in [0, 1] {
        let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
        let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
        assert_eq!((summary.counts.written, summary.counts.unchanged), (1 - unchanged, unchanged), "{summary:?}");
    }
    to.set("a", "v").ttl(2 * HOUR).await.unwrap();
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
    assert_eq!(copy(source, Sink::store(&to), &options, |_| {}).await.counts.failed, 1);
}

#[tokio::test]
async fn a_target_that_cannot_decide_it_is_refused_before_anything_is_written() {
    let (from, to) = stores().await;
    let capabilities = kv_backends::memory::CAPABILITIES.clone();
    let refused = |support| capabilities.clone().with_if_not_exists(support);
    let options = Options { on_conflict: OnConflict::Skip, ..options() };
    for (support, message) in [(Support::None, "cannot"), (Support::BestEffort, "--allow-race")] {
        let summary = copied(&from, &to.restricted_to([&refused(support)]), &options).await;
        let Some(Error::Unsuitable(error)) = &summary.stopped else { panic!("{summary:?}") };
        assert!(error.contains(message), "{error}");
        assert!(!to.exists("new").await.unwrap());
    }
    let options = Options { allow_race: true, ..options };
    let summary = copied(&from, &to.restricted_to([&refused(Support::BestEffort)]), &options).await;
    assert_eq!((summary.counts.written, summary.counts.kept), (1, 3), "{summary:?}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let summary = copy(Source::store(&from, &options).unwrap(), Sink::file(&path), &options, |_| {}).await;
    assert!(matches!(&summary.stopped, Some(Error::Unsuitable(_))), "{summary:?}");
    assert!(!path.exists());
}

/// A copy that is resumed finds what it has written itself.
#[tokio::test]
async fn an_expiry_that_was_rounded_up_is_no_conflict() {
    let minimum = kv_backends::memory::CAPABILITIES.clone().with_expiry_min(10 * HOUR);
    let to = memory().await.restricted_to([&minimum]).with_min_ttl(MinTtl::RoundUp);
    let from = memory().await;
    from.set("a", "v").ttl(HOUR).await.unwrap();
    let options = Options { on_conflict: OnConflict::Fail, ..options() };
    for unchanged in [0, 1] {
        let summary = copied(&from, &to, &options).await;
        assert_eq!((summary.counts.written, summary.counts.unchanged), (1 - unchanged, unchanged), "{summary:?}");
    }
}
