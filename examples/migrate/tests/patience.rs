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
use futures_util::FutureExt;
use kv_api::{
    Backend, Capabilities, Clock, Delete, DeleteOutcome, Entry, Error, ErrorKind, ListPage, ManualClock, Method,
    Methods, RawPage, Read, ReadMany, Result, Retry, SetOutcome, Store, SystemClock, Timer, Timestamp, Write,
    WriteMany, async_trait,
};
use kv_backends::memory::MemoryStore;
use kv_migrate::{BulkReader, Error as CopyError, Event, Options, Rate, Side, Sink, Source, Summary, copy};

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
    /// Where writes take a second, and when they began.
    slow: Option<ManualClock>,
    began: Mutex<Vec<u64>>,
    /// No write of this key is ever answered.
    stuck: Option<&'static str>,
}

fn next(faults: &Mutex<VecDeque<Option<Error>>>) -> Result<()> {
    faults.lock().unwrap().pop_front().flatten().map_or(Ok(()), Err)
}

#[async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::WriteMany).with(Method::List)
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
        let answer = next(&self.writes);
        if let Some(clock) = &self.slow {
            self.began.lock().unwrap().push(clock.monotonic_now().as_secs());
            clock.sleep(Duration::from_secs(1)).await;
        }
        match answer {
            Ok(()) => {
                let is_stuck = |key: &str| self.stuck.is_some_and(|stuck| stuck == key);
                let stuck: Vec<bool> = writes.writes().iter().map(|write| is_stuck(write.key())).collect();
                let written = self.inner.write_many(writes).await;
                let answers = written.into_iter().zip(stuck);
                answers.map(|(written, stuck)| if stuck { Err(gives_no_answer().unwrap()) } else { written }).collect()
            }
            Err(error) => writes.writes().iter().map(|_| Err(error.clone())).collect(),
        }
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        next(&self.lists)?;
        self.inner.list(page).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
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
            assert!(told.len() < 10_000, "it waits without end");
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

/// Runs while its time passes, and answers how long it took.
async fn timed<T>(clock: &ManualClock, work: impl Future<Output = T>) -> (T, u64) {
    let mut work = Box::pin(work);
    loop {
        // All that can be done at this time.
        for _ in 0..100 {
            if let Some(done) = (&mut work).now_or_never() {
                return (done, clock.monotonic_now().as_secs());
            }
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(1));
        assert!(clock.monotonic_now() < Duration::from_secs(10_000), "it never ends");
    }
}

/// A copy of so many batches of one entry into a store whose writes take a second.
async fn slow_copy(
    batches: usize,
    faults: Vec<Option<Error>>,
    stuck: Option<&'static str>,
) -> (Arc<Faulty>, Summary, u64) {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let faulty = Faulty { slow: Some(clock.clone()), writes: Mutex::new(faults.into()), stuck, ..Faulty::default() };
    let target = Arc::new(faulty);
    let (from, to) = (memory().await, Store::from_arc(Arc::<Faulty>::clone(&target)));
    for at in 0..batches {
        from.set(format!("{at:03}"), at).await.unwrap();
    }
    let options =
        Options { batch_entries: Some(1.try_into().unwrap()), timer: Arc::new(clock.clone()), ..Options::default() };
    let work = Box::pin(copy(Source::store(&from, &options).unwrap(), Sink::store(&to), &options, |_| {}));
    let (summary, took) = timed(&clock, work).await;
    (target, summary, took)
}

#[tokio::test]
async fn an_entry_that_never_gets_through_ends_the_copy_though_the_others_of_its_batch_did() {
    let target = Arc::new(Faulty { stuck: Some("03"), ..Faulty::default() });
    let to = Store::from_arc(Arc::<Faulty>::clone(&target));
    let Copied { summary, waits, .. } = copied(&source().await, &to, 100).await;
    assert!(matches!(summary.stopped, Some(CopyError::GaveUp { side: Side::Target, .. })), "{summary:?}");
    assert_eq!(waits.iter().sum::<u64>(), 100);
    assert_eq!((summary.counts.written, summary.counts.unknown), (9, 1));
}

#[tokio::test]
async fn when_the_target_asks_for_a_wait_no_batch_is_sent_meanwhile() {
    let faults = (0..40).map(|at| if at == 20 { asks_to_wait(300) } else { None });
    let (target, summary, _) = slow_copy(60, faults.collect(), None).await;
    assert!(summary.is_complete(), "{summary:?}");
    let began = target.began.lock().unwrap().clone();
    let asked_at = began[20] + 1;
    let early: Vec<_> = began.iter().filter(|at| (asked_at + 1..asked_at + 300).contains(*at)).collect();
    assert!(early.is_empty(), "asked at {asked_at}: {early:?}");
    assert!(began.iter().filter(|at| **at == began[19]).count() > 1, "several batches are written at once: {began:?}");
}

#[tokio::test]
async fn what_ends_the_copy_does_not_wait_for_an_outage_to_pass() {
    let away =
        Error::new(ErrorKind::Unavailable, "").with_retry(Retry::Safe).with_retry_after(Duration::from_secs(900));
    let faults = (0..40).map(|at| match at {
        20 => Some(away.clone()),
        21 => Some(Error::new(ErrorKind::Unauthorized, "")),
        _ => None,
    });
    let (_, summary, took) = slow_copy(60, faults.collect(), None).await;
    assert!(matches!(&summary.stopped, Some(CopyError::Store(error)) if error.kind() == ErrorKind::Unauthorized));
    assert!(took < 100, "{took}");
    let counts = summary.counts;
    assert_eq!(counts.read, counts.written + counts.failed + counts.unknown, "{counts:?}");
}

#[tokio::test]
async fn time_in_which_a_store_is_not_asked_is_no_outage() {
    let (_, to) = faulty(|faulty| *faulty.writes.lock().unwrap() = [None, is_away()].into());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.jsonl");
    std::fs::write(&path, "{\"key\":\"a\",\"value\":\"\"}\n{\"key\":\"b\",\"value\":\"\"}\n").unwrap();
    let timer = Arc::new(Waits::default());
    let options = Options {
        batch_entries: Some(1.try_into().unwrap()),
        rate: Some(Rate { requests: 1.try_into().unwrap(), per: Duration::from_secs(200) }),
        max_wait: Duration::from_secs(100),
        timer: Arc::<Waits>::clone(&timer),
        ..Options::default()
    };
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
    let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
    assert!(summary.is_complete(), "{summary:?}");
    assert!(timer.all().contains(&Duration::from_secs(200)), "{timer:?}");
}

/// A copy that is resumed begins with it.
#[tokio::test]
async fn a_batch_that_is_stuck_is_not_left_far_behind() {
    let (_, summary, _) = slow_copy(100, Vec::new(), Some("003")).await;
    assert!(matches!(summary.stopped, Some(CopyError::GaveUp { side: Side::Target, .. })), "{summary:?}");
    assert!((30..50).contains(&summary.counts.written), "{summary:?}");
    assert_eq!(summary.counts.unknown, 1);
}
