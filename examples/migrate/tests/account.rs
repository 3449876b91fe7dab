//! What was not copied is counted, named, and never passed over in silence.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{FAR, HOUR, copy_stores, export, import, memory, options};
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, Error, ErrorKind, ListOrder, ListPage, Method, Methods,
    RawPage, Read, ReadMany, Result, Retry, SetItem, SetOutcome, Store, Support, SystemClock, Value, ValueKinds, Write,
    async_trait,
};
use kv_backends::memory::MemoryStore;
use kv_migrate::{
    DifferenceMark, Entries, Failures, KeyReader, Options, Sink, Source, Summary, VerifyOptions, What, copy, verify,
};

/// A memory store whose keys say what goes wrong with them.
#[derive(Debug, Default)]
struct Faulty {
    inner: MemoryStore,
    most_read_at_once: AtomicUsize,
}

#[async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::List)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.inner.read(read).await
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        match write.key() {
            key if key.starts_with("lost") => {
                Err(Error::new(ErrorKind::Unavailable, "no answer").with_retry(Retry::OutcomeUnknown))
            }
            key if key.starts_with("down") => Err(Error::new(ErrorKind::Unavailable, "gone").with_retry(Retry::Safe)),
            _ => self.inner.write(write).await,
        }
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.inner.delete(delete).await
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        self.most_read_at_once.fetch_max(reads.keys().len(), Ordering::Relaxed);
        self.inner.read_many(reads).await
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.inner.list(page).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

async fn store_with(keys: impl IntoIterator<Item = String>) -> Store {
    let store = memory().await;
    for key in keys {
        store.set(&key, "v").await.unwrap();
    }
    store
}

fn counts(summary: &Summary) -> [u64; 5] {
    let counts = [
        summary.counts.read,
        summary.counts.written,
        summary.counts.expired,
        summary.counts.failed,
        summary.counts.unknown,
    ];
    assert_eq!(
        counts[1..].iter().sum::<u64>() + summary.counts.skipped + summary.counts.repeated,
        summary.counts.read,
        "{summary:?}"
    );
    counts
}

#[tokio::test]
async fn exp_5_what_has_expired_on_the_way_is_skipped_and_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let items = [
        r#"{"key":"past","value":"","expiration":1000}"#,
        r#"{"key":"older","value":"","expiration":1}"#,
        r#"{"key":"live","value":"","expiration_ttl":3600}"#,
    ];
    fs::write(&path, items.join("\n")).unwrap();
    let store = memory().await;
    let summary = import(&path, &store).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(counts(&summary), [3, 1, 2, 0, 0]);
}

#[tokio::test]
async fn a_refused_entry_is_named_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let mut text = String::new();
    for at in 0..40 {
        let far = if at % 2 == 1 { ",\"expiration\":999999999999" } else { "" };
        text.push_str(&format!("{{\"key\":\"{at}\",\"value\":\"\"{far}}}\n"));
    }
    fs::write(&path, text).unwrap();
    let store = memory().await;
    let summary = import(&path, &store).await;
    assert!(!summary.is_complete() && summary.stopped.is_none());
    assert_eq!(counts(&summary), [40, 20, 0, 20, 0]);
    let [cause] = summary.failures.causes() else { panic!("{summary:?}") };
    assert_eq!((cause.count, cause.examples.len()), (20, Failures::EXAMPLES_MAX));
    let first = &cause.examples[0];
    assert_eq!((first.key.as_str(), first.line), ("1", Some(2)));
    assert_eq!(first.error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn fail_fast_stops_after_the_batch_of_the_first_failure() {
    let from = store_with((0..40).map(|at| format!("{at:02}"))).await;
    from.set("03", "").metadata(serde_json::json!("x".repeat(100))).await.unwrap();
    static SMALL: Capabilities = Capabilities::new("small")
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 100)
        .with_metadata(Support::Native)
        .with_item_limits(const { &[kv_api::ItemLimit::metadata_bytes(10)] });
    let to = memory().await.restricted_to([&SMALL]);
    let options = Options { fail_fast: true, ..options() };
    let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
    assert!(matches!(summary.stopped, Some(kv_migrate::Error::FailFast)), "{summary:?}");
    assert_eq!(counts(&summary), [5, 4, 0, 1, 0]);
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_is_counted_apart() {
    let from = store_with(["a", "lost/1", "lost/2", "z"].map(str::to_owned)).await;
    let summary = copy_stores(&from, &Store::new(Faulty::default())).await;
    assert!(!summary.is_complete());
    assert_eq!(counts(&summary), [4, 2, 0, 0, 2]);
    assert!(matches!(summary.stopped, Some(kv_migrate::Error::GaveUp { .. })), "{summary:?}");
    assert!(summary.failures.causes().iter().all(|cause| cause.examples[0].error.is_outcome_unknown()));
}

#[tokio::test]
async fn a_target_that_takes_nothing_any_more_ends_the_copy() {
    let from = store_with((0..40).map(|at| format!("{at:02}"))).await;
    let to = kv_backends::open("memory:?entries_max=12").await.unwrap();
    let summary = copy_stores(&from, &to).await;
    match &summary.stopped {
        Some(kv_migrate::Error::Store(error)) => assert_eq!(error.kind(), ErrorKind::Exhausted),
        other => panic!("{other:?}"),
    }
    // Batches of five: two whole ones, and one of which two found room.
    assert_eq!(counts(&summary), [15, 12, 0, 3, 0]);
    assert!(!summary.target_untouched);

    let from = store_with((0..40).map(|at| format!("down{at:02}"))).await;
    let summary = copy_stores(&from, &Store::new(Faulty::default())).await;
    assert_eq!(counts(&summary), [5, 0, 0, 5, 0]);
}

#[tokio::test]
async fn exp_8_an_unknown_expiry_is_copied_only_when_that_was_said() {
    static MUTE: Capabilities = Capabilities::new("mute")
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 100)
        .with_ttl(Support::Native)
        .with_list(Support::Native, ListOrder::Lexicographic);
    let from = memory().await;
    from.set("k", "v").ttl(HOUR).await.unwrap();
    let from = from.restricted_to([&MUTE]);
    let to = memory().await;
    let summary = copy_stores(&from, &to).await;
    assert_eq!(counts(&summary), [0, 0, 0, 0, 0]);
    assert!(matches!(summary.stopped, Some(kv_migrate::Error::Lossy(kv_migrate::Loss::Expiry))), "{summary:?}");
    assert!(!to.exists("k").await.unwrap());

    let options = Options { unknown_expiry_as_never: true, ..options() };
    let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
    assert!(summary.is_complete());
    assert_eq!(to.get_entry("k").await.unwrap().unwrap().expiry(), kv_api::EntryExpiry::Never);
}

#[tokio::test]
async fn a_store_that_cannot_list_is_no_source_and_says_so() {
    static UNLISTED: Capabilities =
        Capabilities::new("unlisted").with_value_kinds(ValueKinds::ALL).with_key_bytes(1, 100);
    let store = memory().await.restricted_to([&UNLISTED]);
    let error = Source::store(&store, &options()).unwrap_err();
    assert!(error.to_string().contains("cannot list its keys"), "{error}");
}

#[tokio::test]
async fn only_the_prefix_that_was_asked_for_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.jsonl");
    let from = store_with(["a", "user/1", "user/2", "user", "users/3"].map(str::to_owned)).await;
    export(&from, &path).await;
    let options = Options { prefix: "user/".to_owned(), ..options() };
    let reader = kv_migrate::BulkReader::open(&path).unwrap();
    for source in [Source::store(&from, &options).unwrap(), Source::bulk(reader, &options)] {
        let to = memory().await;
        let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
        assert_eq!(counts(&summary), [2, 2, 0, 0, 0]);
        let keys: Vec<String> = to.list().await.unwrap().items.into_iter().map(|item| item.key).collect();
        assert_eq!(keys, ["user/1", "user/2"]);
    }
}

#[tokio::test]
async fn no_more_is_read_ahead_than_there_is_room_for() {
    let faulty = Arc::new(Faulty::default());
    let from = Store::from_arc(Arc::<Faulty>::clone(&faulty));
    for at in 0..100 {
        from.set(format!("a{at:02}"), "small").await.unwrap();
    }
    for at in 0..40 {
        from.set(format!("b{at:02}"), vec![0_u8; 1000]).expire_at(FAR).await.unwrap();
    }
    let to = memory().await;
    // This store's list reports no sizes: chunks double until one of them was full of large values.
    for (prefix, entries, at_once) in [("a", 100, 13), ("b", 40, 2), ("", 140, 13)] {
        faulty.most_read_at_once.store(0, Ordering::Relaxed);
        let options = Options { batch_bytes: 4000, prefix: prefix.to_owned(), ..Options::default() };
        let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
        assert_eq!(counts(&summary), [entries, entries, 0, 0, 0]);
        assert_eq!(faulty.most_read_at_once.load(Ordering::Relaxed), at_once, "{prefix}");
    }
}

#[tokio::test]
async fn what_a_store_holds_and_a_file_cannot_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let from = memory().await;
    from.set("whole", "v").await.unwrap();
    let broken = Store::new(Broken(MemoryStore::default()));
    for item in [SetItem::new("broken", "v"), SetItem::new("whole", "v")] {
        broken.set(item.key(), item.value().clone()).await.unwrap();
    }
    let summary = export(&broken, &path).await;
    assert_eq!(counts(&summary), [2, 1, 0, 1, 0]);
    assert_eq!(summary.failures.causes()[0].examples[0].key, "broken");
    assert!(summary.target_untouched && !path.exists());
    let kept = summary.kept_beside.unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "{\"key\":\"whole\",\"value\":\"v\"}\n");
}

/// Hands out text that is not UTF-8 for one key.
#[derive(Debug)]
struct Broken(MemoryStore);

#[async_trait]
impl Backend for Broken {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::List)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let broken = read.key() == "broken";
        let entry = self.0.read(read).await?;
        Ok(entry.map(|entry| {
            if !broken {
                return entry;
            }
            let value = Value::from_stored(kv_api::ValueKind::Text, vec![0xff].into());
            Entry::with_details(value, None, entry.expiry(), None)
        }))
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.0.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.0.delete(delete).await
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.0.list(page).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Holds what is no value under one key, such as a list: it is listed, and cannot be read.
#[derive(Debug)]
struct Foreign(MemoryStore);

#[async_trait]
impl Backend for Foreign {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::List)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        if read.key() == "list" {
            return Err(Error::new(ErrorKind::WrongType, "the key holds a list"));
        }
        self.0.read(read).await
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.0.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.0.delete(delete).await
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.0.list(page).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn val_7_what_is_no_value_is_counted_and_named() {
    let from = Store::new(Foreign(MemoryStore::default()));
    let to = memory().await;
    for key in ["a", "list", "z"] {
        from.set(key, "v").await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let named = directory.path().join("keys.txt");
    fs::write(&named, "a\nlist\nmissing\nz\n").unwrap();
    let options = Options { batch_entries: Some(std::num::NonZeroUsize::MIN), ..options() };
    let sources = || {
        let keys = Source::keys(&from, KeyReader::open(&named).unwrap(), &options);
        [(Source::store(&from, &options).unwrap(), None, 0), (keys, Some(2), 1)]
    };
    for (source, line, missing) in sources() {
        let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
        assert!(!summary.is_complete());
        assert_eq!((counts(&summary), summary.counts.missing), ([3, 2, 0, 1, 0], missing));
        let failure = &summary.failures.causes()[0].examples[0];
        assert_eq!((failure.key.as_str(), failure.line, failure.error.kind()), ("list", line, ErrorKind::WrongType));
    }
    for (source, line) in [(Entries::Store(&from), None), (Entries::Keys(&from, named.clone()), Some(2))] {
        let mut found = Vec::new();
        let (target, how) = (Entries::Store(&to), VerifyOptions::default());
        let verification = verify(&source, &target, &options, &how, |_| {}, |difference| found.push(difference)).await;
        assert_eq!((verification.compared, verification.same, verification.no_value), (3, 2, 1));
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!((found.key.as_str(), found.line, found.mark), ("list", line, DifferenceMark::OnlyInSource));
        assert_eq!(found.what, What::NoValue);
    }
    // In the target it is there, and not the same.
    to.set("list", "v").await.unwrap();
    let mut found = Vec::new();
    let (source, target, how) = (Entries::Store(&to), Entries::Store(&from), VerifyOptions::default());
    let verification = verify(&source, &target, &options, &how, |_| {}, |difference| found.push(difference)).await;
    assert_eq!((verification.different, verification.no_value), (1, 0));
    assert_eq!((found[0].key.as_str(), found[0].mark, found[0].what), ("list", DifferenceMark::Different, What::Kind));
}
