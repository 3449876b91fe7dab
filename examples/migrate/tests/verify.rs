//! Verification finds what differs, and only that.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{FAR, HOUR, KEYS, copy_stores, export, import, memory, options, sqlite, with_difficult_items};
use kv_api::async_trait;
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, ErrorKind, ListOrder, ListPage, ManualClock, Method,
    Methods, MinTtl, RawPage, Read, ReadMany, Result, Retry, SetOutcome, Store, Support, SystemClock, Timer, Timestamp,
    ValueKinds, Write,
};
use kv_backends::memory::MemoryStore;
use kv_migrate::{
    BulkReader, Difference, DifferenceMark, Entries, Error, Event, Filter, Loss, Options, Rewrite, Side, Sink, Source,
    Verification, VerifyOptions, What, copy, verify,
};
use serde_json::json;

/// A verification, and what it found in order of line and key.
struct Outcome {
    verification: Verification,
    found: Vec<Difference>,
}

impl Outcome {
    fn found(&self) -> Vec<(&str, What)> {
        assert!(self.verification.stopped.is_none(), "{:?}", self.verification);
        assert_eq!(self.verification.differences(), self.found.len() as u64);
        self.found.iter().map(|difference| (difference.key.as_str(), difference.what)).collect()
    }

    #[track_caller]
    fn assert_clean(&self, compared: u64) {
        assert!(self.verification.is_clean() && self.found.is_empty(), "{:?}: {:?}", self.verification, self.found);
        assert_eq!((self.verification.compared, self.verification.same), (compared, compared));
    }
}

async fn compare_with(from: &Entries<'_>, to: &Entries<'_>, options: &Options, how: &VerifyOptions) -> Outcome {
    let mut found = Vec::new();
    let verification = verify(from, to, options, how, |_| {}, |difference| found.push(difference)).await;
    found.sort_by(|one, other| (one.line, &one.key).cmp(&(other.line, &other.key)));
    Outcome { verification, found }
}

/// As a copy is verified.
fn after_copy() -> VerifyOptions {
    VerifyOptions { both_ways: false, started: Some(SystemClock.now()), ..VerifyOptions::default() }
}

async fn compare(from: &Store, to: &Store) -> Outcome {
    compare_with(&Entries::Store(from), &Entries::Store(to), &options(), &after_copy()).await
}

async fn compare_file(from: &Store, to: &Path) -> Outcome {
    compare_with(&Entries::Store(from), &Entries::File(to.to_owned()), &options(), &after_copy()).await
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
    for outcome in [compare(&from, &to).await, compare_file(&from, &path).await] {
        outcome.assert_clean(KEYS.len() as u64);
        assert_eq!(outcome.verification.expired, 0);
    }
    let both_ways = compare_with(&Entries::Store(&from), &Entries::Store(&to), &options(), &Default::default()).await;
    assert_eq!(both_ways.found(), [("of its own", What::Extra)]);
    assert_eq!((both_ways.verification.only_in_target, both_ways.verification.same), (1, KEYS.len() as u64));
    let other_way = compare_with(&Entries::Store(&to), &Entries::File(path), &options(), &Default::default()).await;
    assert_eq!(other_way.found(), [("of its own", What::Missing)]);
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
    assert!(compare(&from, &to).await.verification.is_clean());

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
    let outcome = compare(&from, &to).await;
    assert_eq!(outcome.found(), expected);
    let Verification { compared, same, only_in_source, different, .. } = outcome.verification;
    assert_eq!((compared, same, only_in_source, different), (9, 2, 1, 6));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tampered.jsonl");
    export(&to, &path).await;
    // In a file an expiry is rounded to seconds, so that one second is no difference there.
    assert_eq!(compare_file(&from, &path).await.found(), expected[1..]);
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
    let expected = [("a new one", What::Missing), ("zz", What::Missing)];
    assert_eq!(compare_file(&from, &path).await.found(), expected);
    let both_ways = compare_with(&Entries::Store(&from), &Entries::File(path), &options(), &Default::default()).await;
    assert_eq!(both_ways.found(), [("a b", What::Extra), expected[0], expected[1]]);
}

#[tokio::test]
async fn of_a_repeated_key_only_the_last_item_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let items = ["1", "2", "3"].map(|value| format!("{{\"key\":\"k\",\"value\":\"{value}\"}}"));
    fs::write(&path, items.join("\n")).unwrap();
    let to = memory().await;
    import(&path, &to).await;
    let source = Entries::File(path.clone());
    compare_with(&source, &Entries::Store(&to), &options(), &after_copy()).await.assert_clean(1);
    to.set("k", "2").await.unwrap();
    let other = compare_with(&source, &Entries::Store(&to), &options(), &after_copy()).await;
    assert_eq!((other.found(), other.found[0].line), (vec![("k", What::Value)], Some(3)));
    compare_with(&source, &source, &options(), &after_copy()).await.assert_clean(1);
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
    let options = Options { clock: Arc::new(clock.clone()), ..options() };
    let how = VerifyOptions { started: Some(started), ..VerifyOptions::default() };
    let run = async || compare_with(&Entries::File(path.clone()), &Entries::Store(&to), &options, &how).await;
    let before = run().await;
    before.assert_clean(1);
    assert_eq!(before.verification.expired, 1);
    to.delete("k").await.unwrap();
    assert_eq!(run().await.found(), [("k", What::Missing)]);
    clock.advance(HOUR + Duration::from_secs(1));
    let after = run().await;
    after.assert_clean(0);
    assert_eq!(after.verification.expired, 2);
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
    let outcome = compare(&from, &to).await;
    assert_eq!(outcome.found(), [("2222", What::Missing), ("4444", What::Missing)]);
    assert_eq!(outcome.verification.expiry_not_reported, 3, "a target without expiry reports none");
}

#[tokio::test]
async fn what_a_target_without_lists_has_beside_is_said_to_be_unknown() {
    static UNLISTED: Capabilities =
        Capabilities::new("unlisted").with_value_kinds(ValueKinds::ALL).with_key_bytes(1, 99);
    let from = memory().await;
    from.set("k", "v").await.unwrap();
    let to = memory().await;
    copy_stores(&from, &to).await;
    to.set("beside", "").await.unwrap();
    let to = to.restricted_to([&UNLISTED]);
    let sides = [Entries::Store(&from), Entries::Store(&to)];
    for both_ways in [true, false] {
        let how = VerifyOptions { both_ways, ..VerifyOptions::default() };
        let outcome = compare_with(&sides[0], &sides[1], &options(), &how).await;
        outcome.assert_clean(1);
        assert_eq!(outcome.verification.target_not_listed, both_ways);
    }
    // With keys from a file it is known again.
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.txt");
    fs::write(&keys, "beside\nk\nnone\n").unwrap();
    let named = Entries::Keys(&to, keys);
    let outcome = compare_with(&sides[0], &named, &options(), &Default::default()).await;
    assert_eq!(outcome.found(), [("beside", What::Extra)]);
    assert!(!outcome.verification.target_not_listed);
    // Of a source nothing can be compared.
    let outcome = compare_with(&sides[1], &sides[0], &options(), &Default::default()).await;
    assert!(matches!(outcome.verification.stopped, Some(Error::Unsuitable(_))), "{:?}", outcome.verification);
    assert!(!outcome.verification.is_clean());
}

#[tokio::test]
async fn exp_5_an_item_that_had_expired_before_hides_no_loss_of_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let items = [r#"{"key":"k","value":"v"}"#, r#"{"key":"k","value":"w","expiration":5}"#];
    fs::write(&path, items.join("\n")).unwrap();
    let to = memory().await;
    import(&path, &to).await;
    let source = Entries::File(path);
    let kept = compare_with(&source, &Entries::Store(&to), &options(), &after_copy()).await;
    kept.assert_clean(1);
    assert_eq!(kept.verification.expired, 1);
    to.delete("k").await.unwrap();
    let lost = compare_with(&source, &Entries::Store(&to), &options(), &after_copy()).await;
    assert_eq!((lost.found(), lost.found[0].line), (vec![("k", What::Missing)], Some(1)));
    assert_eq!((lost.verification.compared, lost.verification.expired), (1, 1));
}

#[tokio::test]
async fn keys_are_compared_as_they_were_rewritten() {
    let from = memory().await;
    for key in ["old/1", "old/2", "other", "unselected"] {
        from.set(key, "v").await.unwrap();
    }
    let options = Options {
        rewrite: Rewrite { strip_prefix: "old/".to_owned(), add_prefix: "new/".to_owned() },
        filter: Filter::new(["o*"], []).unwrap(),
        ..options()
    };
    let to = memory().await;
    let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
    assert_eq!((summary.counts.written, summary.counts.failed), (2, 1));
    to.set("new/3", "v").await.unwrap();
    to.set("not in question", "v").await.unwrap();
    to.set("new/2", "w").await.unwrap();
    let sides = [Entries::Store(&from), Entries::Store(&to)];
    let outcome = compare_with(&sides[0], &sides[1], &options, &Default::default()).await;
    let expected = [("new/3", What::Extra), ("old/2", What::Value), ("other", What::Missing)];
    assert_eq!(outcome.found(), expected);
    let marks: String = outcome.found.iter().map(|difference| difference.mark.to_string()).collect();
    assert_eq!(marks, "+*-");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("to.jsonl");
    export(&to, &path).await;
    let outcome = compare_with(&sides[0], &Entries::File(path), &options, &Default::default()).await;
    assert_eq!(outcome.found(), expected);
}

/// Shows an older value of a key the first times it is read, as a cache may.
#[derive(Debug)]
struct Stale {
    now: MemoryStore,
    before: MemoryStore,
    stale_reads: AtomicU64,
}

#[async_trait]
impl Backend for Stale {
    fn capabilities(&self) -> &Capabilities {
        self.now.capabilities()
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
        let left = self.stale_reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { self.before.read(read).await } else { self.now.read(read).await }
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.now.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.now.delete(delete).await
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.now.list(page).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_differs_is_looked_at_again_before_it_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("from.jsonl");
    let from = memory().await;
    for key in ["a", "b", "c"] {
        from.set(key, "new").await.unwrap();
    }
    export(&from, &path).await;
    for source in [Entries::Store(&from), Entries::File(path)] {
        for recheck in [false, true] {
            let (now, before) = (MemoryStore::default(), MemoryStore::default());
            for (store, value) in [(&now, "new"), (&before, "old")] {
                let store = Store::new(store.clone());
                store.set("a", value).await.unwrap();
                store.set("b", value).await.unwrap();
                store.set("c", "other").await.unwrap();
            }
            let to = Store::new(Stale { now, before, stale_reads: AtomicU64::new(3) });
            let how = VerifyOptions { recheck, ..VerifyOptions::default() };
            let outcome = compare_with(&source, &Entries::Store(&to), &options(), &how).await;
            let expected: &[(&str, What)] = if recheck {
                &[("c", What::Value)]
            } else {
                &[("a", What::Value), ("b", What::Value), ("c", What::Value)]
            };
            assert_eq!(outcome.found(), expected);
            let counts = (outcome.verification.compared, outcome.verification.changed_meanwhile);
            assert_eq!(counts, (3, if recheck { 2 } else { 0 }));
        }
    }
}

#[tokio::test]
async fn a_sample_is_as_large_as_asked_for() {
    let (from, to) = (memory().await, memory().await);
    for at in 0..3000 {
        from.set(format!("{at}"), "v").await.unwrap();
    }
    copy_stores(&from, &to).await;
    for at in 3000..6000 {
        to.set(format!("{at}"), "v").await.unwrap();
    }
    let sides = [Entries::Store(&from), Entries::Store(&to)];
    for (sample, is_sample) in [(1, true), (2000, true), (3000, false), (9000, false)] {
        let how = VerifyOptions { sample: NonZeroU64::new(sample), ..VerifyOptions::default() };
        let outcome = compare_with(&sides[0], &sides[1], &options(), &how).await;
        let Verification { same, only_in_target, .. } = outcome.verification;
        assert_eq!((same, outcome.verification.is_sample), (sample.min(3000), is_sample));
        assert!(outcome.found.iter().all(|difference| difference.mark == DifferenceMark::OnlyInTarget));
        // As great a part of what only the target has: 2000 of 3000, and a deviation of eight times the usual one.
        match sample {
            1 => {}
            2000 => assert!((1700..=2300).contains(&only_in_target), "{only_in_target}"),
            _ => assert_eq!(only_in_target, 3000),
        }
    }
}

#[tokio::test]
async fn progress_and_what_ends_it_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    fs::write(&path, "{\"key\":\"k\",\"value\":\"\"}\n{\"key\":\n").unwrap();
    assert!(BulkReader::open(&path).unwrap().next_record().unwrap().is_some());
    let to = memory().await;
    let damaged = compare_with(&Entries::File(path), &Entries::Store(&to), &options(), &Default::default()).await;
    assert!(matches!(damaged.verification.stopped, Some(Error::Damaged { line: 2, .. })), "{:?}", damaged.verification);
    let from = with_difficult_items(memory().await).await;
    let good = directory.path().join("good.jsonl");
    export(&from, &good).await;
    let mut events = Vec::new();
    let observe = |event: Event<'_>| match event {
        Event::Progress(progress) => events.push((progress.entries, progress.bytes)),
        other => panic!("{other:?}"),
    };
    let (source, target) = (Entries::File(good.clone()), Entries::Store(&from));
    let verification = verify(&source, &target, &options(), &Default::default(), observe, |_| {}).await;
    assert!(verification.is_clean());
    let length = fs::metadata(&good).unwrap().len();
    assert!(events.contains(&(0, Some((length, length)))), "{events:?}");
    assert_eq!(events.last(), Some(&(KEYS.len() as u64, None)));
}

/// What was allowed to get lost is no difference, and what was not is one.
#[tokio::test]
async fn what_the_target_was_allowed_to_lose_is_no_difference() {
    static PLAIN: Capabilities = Capabilities::new("plain")
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 99)
        .with_expiry_read(true)
        .with_bulk_items(1, 1);
    let from = memory().await;
    from.set("both", "v").metadata(1).expire_at(FAR).await.unwrap();
    from.set("neither", "v").await.unwrap();
    let to = memory().await.restricted_to([&PLAIN]);
    let lossy = Options { allow_loss: [Loss::Expiry, Loss::Metadata].into(), ..options() };
    let summary = copy(Source::store(&from, &lossy).unwrap(), Sink::store(&to), &lossy, |_| {}).await;
    assert_eq!(summary.counts.written, 2, "{summary:?}");
    let sides = [Entries::Store(&from), Entries::Store(&to)];
    let clean = compare_with(&sides[0], &sides[1], &lossy, &after_copy()).await;
    clean.assert_clean(2);
    assert_eq!(compare(&from, &to).await.found(), [("both", What::Metadata)]);
    let lossy = Options { allow_loss: [Loss::Metadata].into(), ..options() };
    let expiry = compare_with(&sides[0], &sides[1], &lossy, &after_copy()).await;
    assert_eq!(expiry.found(), [("both", What::Expiry)]);
    // The target must not have what it cannot keep.
    to.set("neither", "w").await.unwrap();
    assert_eq!(compare_with(&sides[0], &sides[1], &lossy, &after_copy()).await.found().len(), 2);
}

#[tokio::test]
async fn an_expiry_that_the_source_does_not_report_was_copied_as_none() {
    static SILENT: Capabilities = Capabilities::new("silent")
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 99)
        .with_list(Support::Native, ListOrder::Lexicographic)
        .with_expire_at(Support::Native);
    let (from, to) = (memory().await, memory().await);
    for (key, store) in [("a", &from), ("b", &from), ("a", &to)] {
        store.set(key, "v").await.unwrap();
    }
    to.set("b", "v").expire_at(FAR).await.unwrap();
    let from = from.restricted_to([&SILENT]);
    let sides = [Entries::Store(&from), Entries::Store(&to)];
    let kept = Options { unknown_expiry_as_never: true, ..options() };
    let lossy = Options { allow_loss: [Loss::Expiry].into(), ..options() };
    for options in [kept, lossy] {
        let outcome = compare_with(&sides[0], &sides[1], &options, &after_copy()).await;
        assert_eq!(outcome.found(), [("b", What::Expiry)]);
        assert_eq!(outcome.verification.expiry_not_reported, 0);
    }
    // When that is not known, nothing can be said of it.
    let outcome = compare(&from, &to).await;
    outcome.assert_clean(2);
    assert_eq!(outcome.verification.expiry_not_reported, 2);
}

#[tokio::test]
async fn keys_that_neither_side_has_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.txt");
    fs::write(&keys, "a\nmistyped\nonly there\nmistyped\nfiltered out\n").unwrap();
    let (from, to) = (memory().await, memory().await);
    for (key, store) in [("a", &from), ("a", &to), ("only there", &to)] {
        store.set(key, "v").await.unwrap();
    }
    let options = Options { filter: Filter::new([""; 0], ["filtered*"]).unwrap(), ..options() };
    let source = Entries::Keys(&from, keys);
    let outcome = compare_with(&source, &Entries::Store(&to), &options, &VerifyOptions::default()).await;
    assert_eq!(outcome.found(), [("only there", What::Extra)]);
    assert_eq!((outcome.verification.compared, outcome.verification.missing), (1, 1));
}

/// Each part of the keys is read anew, so that a key could be in none of them.
#[tokio::test]
async fn a_file_that_changes_meanwhile_ends_the_verification() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one.jsonl"), directory.path().join("other.jsonl"));
    let store = memory().await;
    for (at, changed) in [&one, &other, &one].into_iter().enumerate() {
        let item = "{\"key\":\"a\",\"value\":\"v\"}\n";
        fs::write(&one, if at == 2 { "a\n" } else { item }).unwrap();
        fs::write(&other, item).unwrap();
        store.set("a", "v").await.unwrap();
        let source = if at == 2 { Entries::Keys(&store, one.clone()) } else { Entries::File(one.clone()) };
        let observe = |_: Event<'_>| fs::write(changed, item.repeat(2)).unwrap();
        let target = Entries::File(other.clone());
        let verification = verify(&source, &target, &options(), &after_copy(), observe, |_| {}).await;
        let error = verification.stopped.expect("stopped").to_string();
        let name = changed.display().to_string();
        assert!(error.starts_with(&name) && error.contains("has changed since the verification began"), "{error}");
    }
}

/// A store that answers every third call, and refuses the others for a while.
#[derive(Debug)]
struct Busy {
    inner: MemoryStore,
    calls: AtomicU64,
}

impl Busy {
    fn refuse(&self) -> Result<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return Ok(());
        }
        let error = kv_api::Error::new(ErrorKind::RateLimited, "too many calls").with_retry(Retry::Safe);
        Err(error.with_retry_after(Duration::from_secs(7)))
    }
}

#[async_trait]
impl Backend for Busy {
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
        self.refuse()?;
        self.inner.read(read).await
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        self.refuse()?;
        self.inner.read_many(reads).await
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.inner.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.inner.delete(delete).await
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.refuse()?;
        self.inner.list(page).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Waits no real time.
#[derive(Debug, Default)]
struct Hasty(AtomicU64);

impl Timer for Hasty {
    fn monotonic_now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn what_passes_by_waiting_is_waited_out_on_both_sides() {
    let inner = MemoryStore::default();
    let plain = Store::new(inner.clone());
    // More than a page of keys.
    for at in 0..2500 {
        plain.set(format!("{at}"), "v").await.unwrap();
    }
    let busy = Store::new(Busy { inner, calls: AtomicU64::new(0) });
    for (sample, max_wait) in [(None, 60), (NonZeroU64::new(100), 60), (None, 10)] {
        let options =
            Options { timer: Arc::new(Hasty::default()), max_wait: Duration::from_secs(max_wait), ..options() };
        let how = VerifyOptions { sample, ..VerifyOptions::default() };
        for (source, target, side) in [(&busy, &plain, Side::Source), (&plain, &busy, Side::Target)] {
            let mut waits = 0;
            let observe = |event: Event<'_>| match event {
                Event::Waiting(wait) => {
                    assert_eq!((wait.side, wait.delay), (side, Duration::from_secs(7)));
                    waits += 1;
                }
                Event::Progress(_) => {}
                other => panic!("{other:?}"),
            };
            let (source, target) = (Entries::Store(source), Entries::Store(target));
            let verification = verify(&source, &target, &options, &how, observe, |_| {}).await;
            if max_wait == 10 {
                let stopped = verification.stopped;
                assert!(matches!(&stopped, Some(Error::GaveUp { side: of, .. }) if *of == side), "{stopped:?}");
                continue;
            }
            assert!(verification.is_clean(), "{verification:?}");
            assert_eq!(verification.same, sample.map_or(2500, NonZeroU64::get));
            assert!(waits >= 8, "{waits}");
        }
    }
}

#[tokio::test]
async fn items_that_cannot_be_read_are_counted_and_make_nothing_clean() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    fs::write(&path, "{\"key\":\"a\",\"value\":\"\"}\n{\"key\":\"b\"}\n{\"key\":\"c\",\"value\":\"\"}\n").unwrap();
    let to = memory().await;
    to.set("a", "").await.unwrap();
    to.set("c", "").await.unwrap();
    let skipping = Options { skip_bad_lines: true, ..options() };
    let sides = [Entries::File(path), Entries::Store(&to)];
    for [source, target] in [[&sides[0], &sides[1]], [&sides[1], &sides[0]]] {
        let Outcome { verification, found } = compare_with(source, target, &skipping, &Default::default()).await;
        assert!(verification.stopped.is_none() && found.is_empty(), "{verification:?}");
        assert_eq!((verification.same, verification.unreadable), (2, 1));
        assert!(!verification.is_clean());
        let strict = compare_with(source, target, &options(), &Default::default()).await.verification;
        assert!(matches!(strict.stopped, Some(Error::Damaged { line: 2, .. })), "{strict:?}");
    }
}

#[tokio::test]
async fn exp_6_an_expiry_that_was_rounded_up_is_a_difference_only_where_that_was_not_asked_for() {
    static PATIENT: Capabilities = Capabilities::new("patient")
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 99)
        .with_ttl(Support::Native)
        .with_expire_at(Support::Native)
        .with_expiry_read(true)
        .with_list(Support::Native, ListOrder::Lexicographic)
        .with_expiry_min(HOUR);
    let from = memory().await;
    from.set("soon", "v").ttl(Duration::from_secs(600)).await.unwrap();
    let to = memory().await.restricted_to([&PATIENT]).with_min_ttl(MinTtl::RoundUp);
    let started = SystemClock.now();
    copy_stores(&from, &to).await;
    let rounded = VerifyOptions { started: Some(started), min_ttl: MinTtl::RoundUp, ..VerifyOptions::default() };
    let sides = [Entries::Store(&from), Entries::Store(&to)];
    compare_with(&sides[0], &sides[1], &options(), &rounded).await.assert_clean(1);
    let exact = VerifyOptions { min_ttl: MinTtl::Reject, ..rounded };
    assert_eq!(compare_with(&sides[0], &sides[1], &options(), &exact).await.found(), [("soon", What::Expiry)]);
    // It ends in the source before it does in the target.
    from.delete("soon").await.unwrap();
    assert_eq!(compare_with(&sides[0], &sides[1], &options(), &exact).await.found(), [("soon", What::Extra)]);
    let ended = compare_with(&sides[0], &sides[1], &options(), &rounded).await;
    ended.assert_clean(0);
    assert_eq!(ended.verification.expired, 1);
}
