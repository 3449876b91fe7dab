//! What passes is waited for, visibly, and not for ever.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::memory;
use kv_api::{
    Backend, Capabilities, Delete, DeleteOutcome, Entry, Error, ErrorKind, ListPage, RawPage, Read, ReadMany, Result,
    Retry, SetOutcome, Store, Timer, Write, WriteMany, async_trait,
};
use kv_backends::memory::MemoryStore;
use kv_migrate::{Error as CopyError, Event, Options, Side, Sink, Source, Summary, copy};

/// Time that passes only while something waits.
#[derive(Debug, Default)]
struct Waits(Mutex<Vec<Duration>>);

impl Waits {
    fn all(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

impl Timer for Waits {
    fn monotonic_now(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

/// A memory store whose calls fail as they are told to, before they are carried out.
#[derive(Debug, Default)]
struct Faulty {
    inner: MemoryStore,
    reads: Mutex<VecDeque<Option<Error>>>,
    lists: Mutex<VecDeque<Option<Error>>>,
    writes: Mutex<VecDeque<Option<Error>>>,
    batches: AtomicUsize,
}

fn next(faults: &Mutex<VecDeque<Option<Error>>>) -> Result<()> {
    faults.lock().unwrap().pop_front().flatten().map_or(Ok(()), Err)
}

#[async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.inner.read(read).await
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.inner.write(write).await
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.inner.delete(delete).await
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        next(&self.reads)?;
        self.inner.read_many(reads).await
    }
    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        match next(&self.writes) {
            Ok(()) => self.inner.write_many(writes).await,
            Err(error) => writes.writes().iter().map(|_| Err(error.clone())).collect(),
        }
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        next(&self.lists)?;
        self.inner.list(page).await
    }
}

fn asks_to_wait(seconds: u64) -> Option<Error> {
    Some(Error::new(ErrorKind::RateLimited, "").with_retry_after(Duration::from_secs(seconds)))
}

fn is_away() -> Option<Error> {
    Some(Error::new(ErrorKind::Unavailable, "gone").with_retry(Retry::Safe))
}

fn gives_no_answer() -> Option<Error> {
    Some(Error::new(ErrorKind::Unavailable, "no answer").with_retry(Retry::OutcomeUnknown))
}

struct Copied {
    summary: Summary,
    waits: Vec<u64>,
    /// For whom, and how long there had been no progress.
    told: Vec<(Side, u64)>,
}

async fn copied(from: &Store, to: &Store, max_wait: u64) -> Copied {
    let timer = Arc::new(Waits::default());
    let options = Options {
        batch_entries: Some(10.try_into().unwrap()),
        max_wait: Duration::from_secs(max_wait),
        timer: Arc::<Waits>::clone(&timer),
        ..Options::default()
    };
    let mut told = Vec::new();
    let observe = |event: Event<'_>| {
        if let Event::Waiting(wait) = event {
            told.push((wait.side, wait.without_progress.as_secs()));
        }
    };
    let summary = copy(Source::store(from, &options).unwrap(), Sink::store(to), &options, observe).await;
    Copied { summary, waits: timer.all().iter().map(Duration::as_secs).collect(), told }
}

async fn source() -> Store {
    let store = memory().await;
    for at in 0..35 {
        store.set(format!("{at:02}"), at).await.unwrap();
    }
    store
}

fn faulty(faults: impl FnOnce(&Faulty)) -> (Arc<Faulty>, Store) {
    let faulty = Arc::new(Faulty::default());
    faults(&faulty);
    let store = Store::from_arc(Arc::<Faulty>::clone(&faulty));
    (faulty, store)
}

#[tokio::test]
async fn a_target_is_waited_for_as_long_as_it_asks() {
    let (target, to) =
        faulty(|faulty| *faulty.writes.lock().unwrap() = [None, asks_to_wait(300), asks_to_wait(2)].into());
    let Copied { summary, waits, told } = copied(&source().await, &to, 1800).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(summary.counts.written, 35);
    assert_eq!(waits, [300, 2]);
    assert_eq!(told, [(Side::Target, 0), (Side::Target, 300)]);
    assert_eq!(target.batches.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn an_outage_is_waited_out_and_an_answer_that_was_lost_is_asked_for_again() {
    let faults = [is_away(), is_away(), gives_no_answer(), is_away()];
    let (_, to) = faulty(|faulty| *faulty.writes.lock().unwrap() = faults.into());
    let Copied { summary, waits, .. } = copied(&source().await, &to, 1800).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(waits, [1, 2, 4, 8]);
}

#[tokio::test]
async fn patience_ends_where_nothing_is_achieved_any_more() {
    let (target, to) = faulty(|faulty| {
        let first = (0..10).flat_map(|_| [is_away(), None]);
        *faulty.writes.lock().unwrap() = first.take(4).chain((0..10_000).map(|_| is_away())).collect();
    });
    let Copied { summary, waits, .. } = copied(&source().await, &to, 100).await;
    let Some(CopyError::GaveUp { side: Side::Target, waited, .. }) = &summary.stopped else { panic!("{summary:?}") };
    assert_eq!(waited.as_secs(), 100);
    // Two batches were written, each after a wait; then the waits double to the end of the patience.
    assert_eq!(waits, [1, 1, 1, 2, 4, 8, 16, 32, 37]);
    assert_eq!((summary.counts.written, summary.counts.failed), (20, 10));
    assert_eq!(target.batches.load(Ordering::Relaxed), 4 + 8);
}

#[tokio::test]
async fn a_wait_that_is_longer_than_all_patience_is_not_begun() {
    let (_, to) = faulty(|faulty| *faulty.writes.lock().unwrap() = [asks_to_wait(101)].into());
    let Copied { summary, waits, told } = copied(&source().await, &to, 100).await;
    let error = summary.stopped.as_ref().unwrap().to_string();
    assert!(error.contains("it asks to wait for 101 s"), "{error}");
    assert!(waits.is_empty() && told.is_empty());
    assert_eq!(summary.counts.failed, 10);
}

#[tokio::test]
async fn a_source_is_waited_for_wherever_it_fails() {
    let (_, from) = faulty(|faulty| {
        *faulty.lists.lock().unwrap() = [is_away(), asks_to_wait(7)].into();
        *faulty.reads.lock().unwrap() = [is_away(), None, asks_to_wait(50)].into();
    });
    for at in 0..35 {
        from.set(format!("{at:02}"), at).await.unwrap();
    }
    let to = memory().await;
    let Copied { summary, mut waits, told } = copied(&from, &to, 60).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!((summary.counts.read, summary.counts.written), (35, 35));
    waits.sort_unstable();
    assert_eq!(waits, [1, 1, 7, 50]);
    assert!(told.iter().all(|(side, _)| *side == Side::Source));
}
