//! A copy that was interrupted goes on where it ended, wherever that was.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{FAR, memory, options};
use futures_util::future::{Either, select};
use kv_api::{Capabilities, ErrorKind, ItemLimit, ListOrder, Store, Support, Timer, Value, ValueKinds};
use kv_migrate::{
    BulkReader, BulkWriter, CheckpointFile, Error, Event, KeyReader, OnConflict, Options, Resumed, Sink, Source,
    Summary, copy,
};
use tokio::sync::Notify;

const ENTRIES: usize = 43;

async fn full() -> Store {
    let store = memory().await;
    for at in 0..ENTRIES {
        let set = store.set(format!("key/{at:02}"), format!("value {at}"));
        if at % 3 == 0 {
            set.metadata(at).expire_at(FAR).await.unwrap()
        } else {
            set.await.unwrap()
        };
    }
    store
}

/// Stops at the report of progress with this number, as if the process had been killed. `None` when it was complete.
async fn interrupted(source: Source<'_>, sink: Sink, options: &Options, at: usize) -> Option<Summary> {
    let (killed, mut reports) = (Notify::new(), 0);
    let observe = |event: Event<'_>| {
        if matches!(event, Event::Progress(_)) {
            reports += 1;
            if reports == at {
                killed.notify_one();
            }
        }
    };
    let work = pin!(copy(source, sink, options, observe));
    match select(pin!(killed.notified()), work).await {
        Either::Left(_) => None,
        Either::Right((summary, _)) => Some(summary),
    }
}

fn resumable(directory: &Path) -> Options {
    let checkpoint = CheckpointFile { path: directory.join("checkpoint"), restart: false };
    Options { checkpoint: Some(checkpoint), ..options() }
}

/// Time that passes so fast that each batch is made lasting.
#[derive(Debug, Default)]
struct Hasty(AtomicU64);

impl Timer for Hasty {
    fn monotonic_now(&self) -> Duration {
        Duration::from_secs(60 * self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// A source that can be opened again and again.
#[derive(Clone, Copy, Debug)]
enum From {
    Ordered,
    Unordered,
    Named,
    File,
}

struct Opened {
    store: Store,
    file: PathBuf,
}

impl Opened {
    async fn new(kind: From, directory: &Path) -> Self {
        let mut store = full().await;
        let file = directory.join("source.jsonl");
        match kind {
            From::Ordered => {}
            From::Unordered => {
                let unordered = kv_backends::memory::CAPABILITIES.clone();
                store = store.restricted_to([&unordered.with_list(Support::Native, ListOrder::Unordered)]);
            }
            From::Named => {
                let keys: String = (0..ENTRIES).map(|at| format!("key/{at:02}\n")).collect();
                std::fs::write(&file, keys).unwrap();
            }
            From::File => assert!(common::export(&store, &file).await.is_complete()),
        }
        Self { store, file }
    }

    fn source(&self, kind: From, options: &Options) -> Source<'_> {
        match kind {
            From::Ordered | From::Unordered => Source::store(&self.store, options).unwrap(),
            From::Named => Source::keys(&self.store, KeyReader::open(&self.file).unwrap(), options),
            From::File => Source::bulk(BulkReader::open(&self.file).unwrap(), options),
        }
    }
}

async fn entries(store: &Store) -> Vec<(String, kv_api::Entry)> {
    use futures_util::TryStreamExt;
    let entries: Vec<(String, kv_api::Entry)> = store.list().entries().try_collect().await.unwrap();
    let unversioned = |(key, entry): (String, kv_api::Entry)| {
        let (metadata, expiry) = (entry.metadata().cloned(), entry.expiry());
        (key, kv_api::Entry::with_details(entry.into_value(), metadata, expiry, None))
    };
    entries.into_iter().map(unversioned).collect()
}

#[tokio::test]
async fn a_copy_into_a_store_goes_on_from_every_place() {
    for kind in [From::Ordered, From::Unordered, From::Named, From::File] {
        for on_conflict in [OnConflict::Overwrite, OnConflict::Fail] {
            for at in 1..=9 {
                let directory = tempfile::tempdir().unwrap();
                let from = Opened::new(kind, directory.path()).await;
                let to = memory().await;
                to.set("own", "stays").await.unwrap();
                let options = Options { on_conflict, ..resumable(directory.path()) };
                let first = interrupted(from.source(kind, &options), Sink::store(&to), &options, at).await;
                assert!(first.is_none(), "{kind:?} {at}");
                let second = copy(from.source(kind, &options), Sink::store(&to), &options, |_| {}).await;
                assert!(second.is_complete(), "{kind:?} {at}: {second:?}");
                assert_eq!(second.counts.read, ENTRIES as u64, "{kind:?} {at}");
                assert_eq!(second.counts.written + second.counts.unchanged, ENTRIES as u64, "{kind:?} {at}");
                // Each batch has five entries, and all that was reported was written down.
                let resumed = second.resumed.map_or(0, |Resumed { entries, .. }| entries);
                assert_eq!(resumed, (5 * at as u64).min(ENTRIES as u64), "{kind:?} {at}");
                assert!(!directory.path().join("checkpoint").exists());
                assert_eq!(to.get("own").await.unwrap(), Some(Value::from("stays")));
                to.delete("own").await.unwrap();
                assert_eq!(entries(&to).await, entries(&from.store).await, "{kind:?} {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_copy_into_a_file_goes_on_from_what_was_lasting() {
    let from = full().await;
    for name in ["out.jsonl", "out.json", "out.jsonl.gz", "out.json.zst"] {
        let whole = tempfile::tempdir().unwrap();
        assert!(common::export(&from, &whole.path().join(name)).await.is_complete());
        for at in 1..=9 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            std::fs::write(&path, "[]\n").unwrap();
            let options = Options { timer: Arc::new(Hasty::default()), ..resumable(directory.path()) };
            let source = Source::store(&from, &options).unwrap();
            assert!(interrupted(source, Sink::file(&path), &options, at).await.is_none());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "[]\n", "as it was before");
            let summary = copy(Source::store(&from, &options).unwrap(), Sink::file(&path), &options, |_| {}).await;
            assert!(summary.is_complete(), "{name} {at}: {summary:?}");
            assert_eq!((summary.counts.read, summary.counts.written), (ENTRIES as u64, ENTRIES as u64));
            let resumed = summary.resumed.map_or(0, |Resumed { entries, .. }| entries);
            assert_eq!(resumed, (5 * at as u64).min(ENTRIES as u64), "{name} {at}");
            assert!(!BulkWriter::part_path(&path).exists() && !directory.path().join("checkpoint").exists());
            let read = |path: &Path| {
                let mut reader = BulkReader::open(path).unwrap();
                std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| record.key).collect::<Vec<_>>()
            };
            assert_eq!(read(&path), read(&whole.path().join(name)), "{name} {at}");
        }
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_copy_is_refused_unless_it_is_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (full().await, memory().await);
    let options = resumable(directory.path());
    assert!(interrupted(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, 3).await.is_none());
    let other = Options { prefix: "key/1".to_owned(), ..options.clone() };
    let summary = copy(Source::store(&from, &other).unwrap(), Sink::store(&to), &other, |_| {}).await;
    let Some(Error::Unsuitable(error)) = &summary.stopped else { panic!("{summary:?}") };
    assert!(error.contains("the prefix is not the same") && error.contains("--restart"), "{error}");
    let restarted = CheckpointFile { path: directory.path().join("checkpoint"), restart: true };
    let other = Options { checkpoint: Some(restarted), ..other };
    let summary = copy(Source::store(&from, &other).unwrap(), Sink::store(&to), &other, |_| {}).await;
    assert!(summary.is_complete() && summary.resumed.is_none(), "{summary:?}");
    assert_eq!(summary.counts.written, 10);
}

#[tokio::test]
async fn what_is_no_checkpoint_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (full().await, memory().await);
    let path = directory.path().join("checkpoint");
    for restart in [false, true] {
        for text in ["my notes\n", "my notes", "{\"copy\":1}\n"] {
            std::fs::write(&path, text).unwrap();
            let options = Options { checkpoint: Some(CheckpointFile { path: path.clone(), restart }), ..options() };
            let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
            assert!(matches!(&summary.stopped, Some(Error::Unsuitable(_))), "{summary:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}

/// A loss of power can cut the last line, or leave zeros in its place.
#[tokio::test]
async fn a_line_that_was_cut_does_not_count() {
    for end in ["{\"reached\":{\"batch\":7,", "\0\0\0\0\0\0", "\0\0\0\0\n", "{\"begins\":{\"batch\":9,\"entries\":5}}"]
    {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (full().await, memory().await);
        let options = resumable(directory.path());
        assert!(interrupted(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, 4).await.is_none());
        let path = directory.path().join("checkpoint");
        let text = std::fs::read_to_string(&path).unwrap() + end;
        std::fs::write(&path, text).unwrap();
        let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
        assert!(summary.is_complete(), "{summary:?}");
        assert_eq!(summary.resumed.map(|resumed| resumed.entries), Some(20));
        assert_eq!(entries(&to).await, entries(&from).await);
    }
}

#[tokio::test]
async fn a_source_that_has_changed_is_not_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let from = Opened::new(From::File, directory.path()).await;
    let to = memory().await;
    let options = resumable(directory.path());
    assert!(interrupted(from.source(From::File, &options), Sink::store(&to), &options, 3).await.is_none());
    let text = std::fs::read_to_string(&from.file).unwrap();
    std::fs::write(&from.file, &text[text.find('\n').unwrap() + 1..]).unwrap();
    let summary = copy(from.source(From::File, &options), Sink::store(&to), &options, |_| {}).await;
    let Some(Error::Unsuitable(error)) = &summary.stopped else { panic!("{summary:?}") };
    assert!(error.contains("the source is not the same"), "{error}");
}

#[tokio::test]
async fn what_earlier_runs_could_not_copy_is_counted_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let from = full().await;
    static SMALL: Capabilities = Capabilities::new("small")
        .with_value_kinds(ValueKinds::ALL)
        .with_metadata(Support::Native)
        .with_expire_at(Support::Native)
        .with_item_limits(const { &[ItemLimit::value_bytes(7)] });
    let to = memory().await.restricted_to([&SMALL]);
    let options = resumable(directory.path());
    let source = || Source::store(&from, &options).unwrap();
    assert!(interrupted(source(), Sink::store(&to), &options, 5).await.is_none());
    let summary = copy(source(), Sink::store(&to), &options, |_| {}).await;
    assert_eq!(summary.resumed.map(|resumed| resumed.entries), Some(25));
    assert_eq!((summary.counts.written, summary.counts.failed), (10, 33), "{summary:?}");
    let first = &summary.failures.causes()[0].examples[0];
    assert_eq!((first.key.as_str(), first.error.kind()), ("key/10", ErrorKind::InvalidArgument));
    assert_eq!(first.error.message(), "value_bytes_max is 7, found 8");
}

fn keys(path: &Path) -> Vec<String> {
    let mut reader = BulkReader::open(path).unwrap();
    std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| record.key).collect()
}

/// Not even when the first run wrote a part of a batch that it did not count.
#[tokio::test]
async fn no_entry_comes_twice_into_a_file_after_a_copy_that_stopped_at_a_failure() {
    for name in ["out.jsonl", "out.jsonl.gz"] {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = (directory.path().join("in.jsonl"), directory.path().join(name));
        let line = |at| match at {
            17 => format!("{{\"key\":\"{at:02}\",\"value\":\"\",\"expiration\":0}}\n"),
            _ => format!("{{\"key\":\"{at:02}\",\"value\":\"\"}}\n"),
        };
        std::fs::write(&source, (0..ENTRIES).map(line).collect::<String>()).unwrap();
        let options = Options { timer: Arc::new(Hasty::default()), ..resumable(directory.path()) };
        let stopping = Options { fail_fast: true, ..options.clone() };
        let source = |options| Source::bulk(BulkReader::open(&source).unwrap(), options);
        let first = copy(source(&stopping), Sink::file(&path), &stopping, |_| {}).await;
        assert!(matches!(first.stopped, Some(Error::FailFast)) && first.checkpoint.is_some(), "{first:?}");
        let second = copy(source(&options), Sink::file(&path), &options, |_| {}).await;
        assert_eq!(second.resumed.map(|at| at.entries), Some(15), "{second:?}");
        assert_eq!((second.counts.written, second.counts.failed), (42, 1));
        let expected: Vec<_> = (0..ENTRIES).filter(|at| *at != 17).map(|at| format!("{at:02}")).collect();
        assert_eq!(keys(&second.kept_beside.unwrap()), expected);
    }
}

/// A part file that was removed, and what a killed run has written anew since.
#[tokio::test]
async fn what_was_written_anew_is_not_taken_for_what_an_older_run_wrote() {
    let from = full().await;
    for name in ["out.jsonl", "out.jsonl.gz"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let part = BulkWriter::part_path(&path);
        let hasty = Options { timer: Arc::new(Hasty::default()), ..resumable(directory.path()) };
        let source = || Source::store(&from, &hasty).unwrap();
        assert!(interrupted(source(), Sink::file(&path), &hasty, 4).await.is_none());
        std::fs::remove_file(&part).unwrap();
        // It ends before anything is lasting, and leaves more than the older one did.
        let calm = Options { timer: options().timer, ..hasty.clone() };
        assert!(interrupted(source(), Sink::file(&path), &calm, 6).await.is_none());
        std::fs::write(&part, "x".repeat(10_000)).unwrap();
        let last = copy(source(), Sink::file(&path), &hasty, |_| {}).await;
        assert!(last.is_complete() && last.resumed.is_none(), "{last:?}");
        assert_eq!(keys(&path).len(), ENTRIES);
    }
}

#[tokio::test]
async fn a_part_file_by_another_run_is_not_gone_on_with() {
    let from = full().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    let options = Options { timer: Arc::new(Hasty::default()), ..resumable(directory.path()) };
    let source = || Source::store(&from, &options).unwrap();
    assert!(interrupted(source(), Sink::file(&path), &options, 4).await.is_none());
    std::fs::write(BulkWriter::part_path(&path), "x".repeat(10_000)).unwrap();
    let summary = copy(source(), Sink::file(&path), &options, |_| {}).await;
    let error = summary.stopped.as_ref().unwrap().to_string();
    assert!(error.contains("is by another run; --restart begins anew"), "{error}");
}

#[tokio::test]
async fn a_target_that_cannot_be_is_named_as_what_it_is() {
    let from = full().await;
    let directory = tempfile::tempdir().unwrap();
    let options = resumable(directory.path());
    for (path, problem) in [("missing/out.jsonl", "No such file"), (".", "directory")] {
        let path = directory.path().join(path);
        let summary = copy(Source::store(&from, &options).unwrap(), Sink::file(&path), &options, |_| {}).await;
        let error = summary.stopped.as_ref().unwrap().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains(problem), "{error}");
    }
}

/// What is done of a page is known by its keys, where the list has no order.
#[tokio::test]
async fn no_entry_of_a_page_that_has_changed_is_passed_over() {
    for change in ["delete", "insert"] {
        let directory = tempfile::tempdir().unwrap();
        let from = Opened::new(From::Unordered, directory.path()).await;
        let to = memory().await;
        let options = resumable(directory.path());
        let source = || from.source(From::Unordered, &options);
        assert!(interrupted(source(), Sink::store(&to), &options, 3).await.is_none());
        match change {
            "delete" => drop(from.store.delete("key/00").await.unwrap()),
            _ => drop(from.store.set("before", "all").await.unwrap()),
        }
        let summary = copy(source(), Sink::store(&to), &options, |_| {}).await;
        assert!(summary.is_complete(), "{summary:?}");
        to.delete("key/00").await.unwrap();
        from.store.delete("key/00").await.unwrap();
        assert_eq!(entries(&to).await, entries(&from.store).await, "{change}");
    }
}

#[tokio::test]
async fn a_key_that_an_earlier_run_has_copied_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (full().await, memory().await);
    let file = directory.path().join("keys");
    let keys: String = (0..20).chain(0..20).map(|at| format!("key/{at:02}\n")).collect();
    std::fs::write(&file, keys).unwrap();
    let options = resumable(directory.path());
    let source = || Source::keys(&from, KeyReader::open(&file).unwrap(), &options);
    assert!(interrupted(source(), Sink::store(&to), &options, 4).await.is_none());
    let counts = copy(source(), Sink::store(&to), &options, |_| {}).await.counts;
    assert_eq!((counts.read, counts.written, counts.repeated), (40, 20, 20));
}
