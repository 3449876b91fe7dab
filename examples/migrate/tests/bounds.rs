//! What is not written is not collected in memory either.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::memory;
use futures_util::future::{Either, select};
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, ListPage, Method, Methods, RawPage, Read, Result,
    SetOutcome, Store, SystemClock, Timer, TokioTimer, Write, async_trait,
};
use kv_backends::memory::MemoryStore;
use kv_migrate::{BulkReader, CheckpointFile, Event, Filter, KeyReader, Options, Sink, Source, copy};

/// Lines of about a thousand bytes.
fn write_lines(path: &Path, lines: usize, expiration: &str) {
    let line = |at| format!("{{\"key\":\"{at:06}\",\"value\":\"{}\"{expiration}}}\n", "x".repeat(1000));
    fs::write(path, (0..lines).map(line).collect::<String>()).unwrap();
}

/// Also without a checkpoint.
#[tokio::test]
async fn rejects_are_written_as_they_come() {
    for into_file in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (path, rejects) = (directory.path().join("in.jsonl"), directory.path().join("rejects.jsonl"));
        write_lines(&path, 500, ",\"expiration\":0");
        let options = Options { batch_bytes: 10_000, rejects: Some(rejects.clone()), ..Options::default() };
        let mut lengths = Vec::new();
        let observe = |event: Event<'_>| {
            if matches!(event, Event::Progress(_)) {
                lengths.push(fs::metadata(&rejects).unwrap().len());
            }
        };
        let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
        let sink = match into_file {
            true => Sink::file(&directory.path().join("out.jsonl")),
            false => Sink::store(&memory().await),
        };
        let summary = copy(source, sink, &options, observe).await;
        assert_eq!((summary.counts.read, summary.counts.failed), (500, 500), "{summary:?}");
        let steps: Vec<u64> = lengths.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.len() > 10 && steps.iter().all(|step| *step < 100_000), "{lengths:?}");
    }
}

#[tokio::test]
async fn it_is_said_and_written_down_how_much_was_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.jsonl");
    let line = |at| format!("{{\"key\":\"{at}\",\"value\":\"\"}}\n");
    fs::write(&path, (0..70_000).map(line).collect::<String>()).unwrap();
    let checkpoint = CheckpointFile { path: directory.path().join("checkpoint"), restart: false };
    let filter = Filter::new(["none"], []).unwrap();
    let options = Options { filter, checkpoint: Some(checkpoint.clone()), ..Options::default() };
    let mut written_down = Vec::new();
    let observe = |event: Event<'_>| {
        if let Event::Progress(progress) = event {
            let journal = fs::read_to_string(&checkpoint.path).unwrap();
            written_down.push((progress.bytes.unwrap().0, journal.contains("\"items\":32000")));
        }
    };
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
    let summary = copy(source, Sink::store(&memory().await), &options, observe).await;
    assert!(summary.is_complete() && summary.counts.read == 0, "{summary:?}");
    assert!(written_down.len() >= 2 && written_down[0].1, "{written_down:?}");
}

/// A store that reads and writes one by one, and counts the large values that are between the two.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryStore,
    capabilities: Option<Capabilities>,
    held: Arc<AtomicUsize>,
    most_held: Arc<AtomicUsize>,
}

const LARGE: usize = 100_000;

#[async_trait]
impl Backend for Counting {
    fn capabilities(&self) -> &Capabilities {
        self.capabilities.as_ref().unwrap()
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
        let entry = self.inner.read(read).await?;
        if entry.as_ref().is_some_and(|entry| entry.value().as_bytes().len() >= LARGE) {
            let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_held.fetch_max(held, Ordering::Relaxed);
        }
        Ok(entry)
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        if write.value().as_bytes().len() >= LARGE {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
        self.inner.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.inner.delete(delete).await
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

#[tokio::test]
async fn large_values_of_unknown_size_behind_small_ones_are_not_read_all_at_once() {
    let capabilities = kv_backends::memory::CAPABILITIES.clone().with_bulk_items(1, 1).with_list_value_bytes(false);
    let inner = MemoryStore::default();
    let plain = Store::new(inner.clone());
    for at in 0..2000 {
        plain.set(format!("a/{at:04}"), "small").await.unwrap();
    }
    for at in 0..60 {
        plain.set(format!("b/{at:04}"), vec![0; LARGE]).await.unwrap();
    }
    let source = Counting { inner, capabilities: Some(capabilities.clone()), ..Counting::default() };
    let (held, most_held) = (Arc::clone(&source.held), Arc::clone(&source.most_held));
    let target = Counting { capabilities: Some(capabilities), held, ..Counting::default() };
    let (from, to) = (Store::new(source), Store::new(target));
    let options = Options { batch_bytes: 2 * LARGE, ..Options::default() };
    let summary = copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}).await;
    assert_eq!((summary.counts.read, summary.counts.written), (2060, 2060), "{summary:?}");
    // Three batches, and four values more.
    let most = most_held.load(Ordering::Relaxed);
    assert!((4..=12).contains(&most), "{most}");
}

#[tokio::test]
async fn a_key_that_the_store_cannot_hold_is_missing_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    fs::write(&path, "a\nmuch too long\nb\n").unwrap();
    for bulk in [1, 100] {
        let from = memory().await;
        from.set("a", "").await.unwrap();
        from.set("b", "").await.unwrap();
        let short = kv_backends::memory::CAPABILITIES.clone().with_bulk_items(bulk, bulk);
        let from = from.restricted_to([&short.with_key_bytes(1, 5)]);
        let options = Options::default();
        let to = memory().await;
        let source = Source::keys(&from, KeyReader::open(&path).unwrap(), &options);
        let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
        assert!(summary.is_complete(), "{summary:?}");
        assert_eq!((summary.counts.written, summary.counts.missing), (2, 1), "{summary:?}");
    }
}

/// Time that passes a hundred times faster.
#[derive(Debug)]
struct Fast;

impl Timer for Fast {
    fn monotonic_now(&self) -> Duration {
        TokioTimer.monotonic_now() * 100
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        TokioTimer.sleep(duration / 100)
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_pipe_has_brought_does_not_wait_for_what_may_never_come() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe.jsonl");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let name = path.clone();
    let open = tokio::task::spawn_blocking(move || File::options().write(true).open(name).unwrap());
    let name = path.clone();
    let reader = tokio::task::spawn_blocking(move || BulkReader::open(&name).unwrap()).await.unwrap();
    let mut pipe = open.await.unwrap();
    let line = |at| format!("{{\"key\":\"{at}\",\"value\":\"\"}}\n");
    pipe.write_all((0..5).map(line).collect::<String>().as_bytes()).unwrap();
    let mut pipe = Some(pipe);
    let options = Options { timer: Arc::new(Fast), ..Options::default() };
    let to = memory().await;
    let mut seen = Vec::new();
    let observe = |event: Event<'_>| {
        if let Event::Progress(progress) = event {
            seen.push(progress.entries);
            // Only now it ends.
            if let Some(mut pipe) = pipe.take() {
                pipe.write_all(line(5).as_bytes()).unwrap();
            }
        }
    };
    let work = Box::pin(copy(Source::bulk(reader, &options), Sink::store(&to), &options, observe));
    let Either::Left((summary, _)) = select(work, TokioTimer.sleep(Duration::from_secs(30))).await else {
        panic!("it waits for more");
    };
    assert_eq!((summary.counts.written, seen.as_slice()), (6, &[5, 6][..]), "{summary:?}");
}
