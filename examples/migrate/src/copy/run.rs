//! The copy while it runs: one reader, and batches that are written beside it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, FutureExt, poll_immediate, select};
use futures_util::stream::FuturesUnordered;
use kv_api::{Capabilities, Store, Timer, Timestamp};

use crate::bulk::BulkWriter;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::source::{Chunk, Room, Source};
use crate::written_keys::KeyHasher;

use super::batch::Batch;
use super::books::Books;
use super::concurrency::Concurrency;
use super::file::{self, FileTarget};
use super::ledger::Written;
use super::write::{self, Writing};

/// Where batches go.
pub(super) enum Target {
    Store(Store),
    File(FileTarget),
}

impl Target {
    /// What a store keeps; `None` for a file, which keeps everything.
    fn capabilities(&self) -> Option<&Capabilities> {
        match self {
            Self::Store(store) => Some(store.capabilities()),
            Self::File(_) => None,
        }
    }
}

/// A copy that has been prepared.
pub(super) struct Run<'c> {
    pub(super) context: &'c Context<'c>,
    pub(super) target: Target,
    pub(super) books: Books,
    /// Where it matters which of two entries of one key came before.
    pub(super) hasher: Option<KeyHasher>,
    /// When the first run of the copy began.
    pub(super) started: Timestamp,
}

/// A batch that is being written; a file is handed back with it.
type Flight<'f> = BoxFuture<'f, (Written, Option<BulkWriter>)>;

/// What is being read; the source is handed back with it.
type Reading<'f, 's> = BoxFuture<'f, (Source<'s>, Result<Option<Chunk>>)>;

/// What is read ahead: a batch that is ready, and one that is not yet full.
#[derive(Debug, Default)]
struct Ahead {
    ready: Option<Batch>,
    filling: Batch,
    /// When the first entry of it came, by the timer.
    filling_since: Option<Duration>,
}

impl Ahead {
    /// How long an entry waits for others while nothing is being written, so that a slow source shows progress.
    const AGE_MAX: Duration = Duration::from_secs(5);

    fn add(&mut self, chunk: Chunk, now: Duration, options: &Options, target: Option<&Capabilities>) {
        self.filling.add(chunk, options, target);
        if !self.filling.entries.is_empty() {
            self.filling_since.get_or_insert(now);
        }
    }

    /// Makes what has been read a batch of its own.
    fn close(&mut self, number: u64) {
        self.filling_since = None;
        self.ready = Some(Batch { number, ..std::mem::take(&mut self.filling) });
    }

    /// How long the batch may go on filling; `None` where it has no entry yet, or another one is to be written first.
    fn time_left(&self, now: Duration) -> Option<Duration> {
        let since = self.filling_since.filter(|_| self.ready.is_none())?;
        Some(Self::AGE_MAX.saturating_sub(now.saturating_sub(since)))
    }
}

/// What is known of the batches that are being written.
#[derive(Debug, Default)]
struct UnderWay {
    bytes: usize,
    /// Of their entries, by batch, where two of one key must not be written at once.
    keys: HashMap<u64, HashSet<u64>>,
}

/// The most that is held, and a batch may hold.
#[derive(Clone, Copy)]
struct Bounds {
    entries: usize,
    bytes: usize,
}

impl Bounds {
    /// How many times the bytes of a batch are held in all.
    const BATCHES_HELD: usize = 2;

    /// How many batches may end before an earlier one does: one that is stuck is waited for, since a copy that is
    /// resumed begins with it.
    const BATCHES_AHEAD_MAX: usize = 32;

    /// After so many chunks without an entry to write it is written down that they were passed over.
    const IDLE_CHUNKS_MAX: usize = 32;

    /// What may be read now, if anything.
    fn room(self, ahead: &Ahead, under_way: &UnderWay, books: &Books) -> Option<Room> {
        let held =
            books.bytes() + under_way.bytes + ahead.filling.bytes + ahead.ready.as_ref().map_or(0, |ready| ready.bytes);
        let left = self.bytes.saturating_mul(Self::BATCHES_HELD).saturating_sub(held);
        let bytes = self.bytes.saturating_sub(ahead.filling.bytes).min(left);
        let entries = self.entries.saturating_sub(ahead.filling.entries.len());
        (bytes > 0 && entries > 0).then_some(Room { entries, bytes })
    }

    fn is_full(self, batch: &Batch) -> bool {
        batch.entries.len() >= self.entries || batch.bytes >= self.bytes || batch.idle_chunks >= Self::IDLE_CHUNKS_MAX
    }
}

impl Run<'_> {
    /// Reads ahead and writes until everything is written, or something ends it.
    pub(super) async fn copy_all(&mut self, source: Source<'_>) -> Result<()> {
        let context = self.context;
        let (bounds, concurrency_max) = self.bounds();
        let mut concurrency = Concurrency::new(concurrency_max);
        let mut number = self.books.place().batch;
        let (mut ahead, mut under_way) = (Ahead::default(), UnderWay::default());
        let writing = Writing { context, hasher: self.hasher.clone(), started: self.started };
        // Of two batches that are written at once.
        let keys = writing.hasher.clone().filter(|_| concurrency_max > 1);
        let mut flights: FuturesUnordered<Flight<'_>> = FuturesUnordered::new();
        let mut reading: Option<Reading<'_, '_>> = None;
        let mut bytes = source.bytes();
        let mut idle = Some(source);
        let mut is_old = false;
        // Of the source, and of the copy.
        let (mut end, mut stop): (Option<Result<()>>, Option<Error>) = (None, None);
        loop {
            while stop.is_none() {
                let is_due = std::mem::take(&mut is_old) || bounds.is_full(&ahead.filling) || end.is_some();
                if ahead.ready.is_none() && is_due && !ahead.filling.is_empty() {
                    number += 1;
                    ahead.close(number);
                }
                let is_one_stuck = self.books.batches_ahead() >= Bounds::BATCHES_AHEAD_MAX;
                if flights.len() >= concurrency.now() || is_one_stuck {
                    break;
                }
                let Some(batch) = ahead.ready.take_if(|batch| !under_way.overlaps(batch, keys.as_ref())) else { break };
                stop = self.books.begins(&batch).err();
                if stop.is_none() {
                    under_way.add(&batch, keys.as_ref());
                    flights.extend(self.flight(batch, writing.clone()));
                }
            }
            if stop.is_some() {
                reading = None;
                context.patience.end_waits();
            } else if end.is_none()
                && let Some(room) = bounds.room(&ahead, &under_way, &self.books)
                && let Some(mut source) = idle.take()
            {
                let chunk = async move {
                    let chunk = source.next_chunk(room, context).await;
                    (source, chunk)
                };
                reading = Some(chunk.boxed());
            }
            let next = match (&mut reading, flights.is_empty()) {
                (None, true) => break,
                (None, false) => Either::Left(flights.next().await),
                (Some(reading), true) => match read_soon(reading, &ahead, &*context.options.timer).await {
                    Some(read) => Either::Right(read),
                    None => {
                        is_old = true;
                        continue;
                    }
                },
                (Some(reading), false) => match select(flights.next(), reading).await {
                    Either::Left((flight, _)) => Either::Left(flight),
                    Either::Right((read, _)) => Either::Right(read),
                },
            };
            match next {
                Either::Left(Some((mut written, writer))) => {
                    under_way.remove(&written);
                    if written.went_well {
                        concurrency.went_well(written.entries, written.bytes, written.took);
                    } else {
                        concurrency.went_badly();
                    }
                    let is_failure = context.options.fail_fast && written.account.has_failures();
                    let own = written.stop.take().or(is_failure.then_some(Error::FailFast));
                    let is_last = own.is_some() || written.is_cut_off;
                    stop = stop.or(own);
                    if let Err(error) = self.ended(written, writer, is_last).await {
                        stop.get_or_insert(error);
                    }
                    context.copied(self.books.counts(), bytes);
                    // A store in memory never waits, and others want to run too.
                    tokio::task::yield_now().await;
                }
                Either::Left(None) => {}
                Either::Right((source, chunk)) => {
                    reading = None;
                    bytes = source.bytes();
                    idle = Some(source);
                    match chunk {
                        Ok(Some(chunk)) => {
                            let now = context.options.timer.monotonic_now();
                            ahead.add(chunk, now, context.options, self.target.capabilities());
                        }
                        Ok(None) => end = Some(Ok(())),
                        Err(error) => end = Some(Err(error)),
                    }
                }
            }
        }
        match stop {
            Some(stop) => Err(stop),
            None => end.unwrap_or(Ok(())),
        }
    }

    fn bounds(&self) -> (Bounds, usize) {
        let options = self.context.options;
        let (entries, concurrency) = match &self.target {
            Target::Store(store) => (bulk_entries(store), options.concurrency.get()),
            // One after the other, in the order of the source.
            Target::File(_) => (FILE_ENTRIES, 1),
        };
        let entries = options.batch_entries.map_or(entries, std::num::NonZeroUsize::get);
        (Bounds { entries, bytes: options.batch_bytes.max(1) }, concurrency)
    }

    fn flight<'f>(&mut self, batch: Batch, writing: Writing<'f>) -> Option<Flight<'f>> {
        match &mut self.target {
            Target::Store(store) => {
                let store = store.clone();
                Some(async move { (write::to_store(&store, batch, writing).await, None) }.boxed())
            }
            Target::File(file) => {
                let writer = file.take_writer()?;
                let written = async move {
                    let (written, writer) = file::to_file(writer, batch, writing.context.options).await;
                    (written, Some(writer))
                };
                Some(written.boxed())
            }
        }
    }

    /// Writes down what became of a batch.
    async fn ended(&mut self, written: Written, writer: Option<BulkWriter>, is_last: bool) -> Result<()> {
        let now = self.context.options.timer.monotonic_now();
        let bytes = written.bytes;
        let has_moved = self.books.ended(written, is_last);
        match (&mut self.target, writer) {
            (Target::File(file), Some(writer)) => {
                file.put_back(writer, bytes, has_moved);
                if self.books.has_checkpoint()
                    && file.is_mark_due(now)
                    && let Some(mark) = file.mark(now).await?
                {
                    return self.books.reached(Some(mark), now).await;
                }
                self.books.write_rejects().await
            }
            _ if has_moved => self.books.reached(None, now).await,
            _ => Ok(()),
        }
    }
}

/// What is read, unless the batch has been filling for too long before that comes.
async fn read_soon<'s>(
    reading: &mut Reading<'_, 's>,
    ahead: &Ahead,
    timer: &dyn Timer,
) -> Option<(Source<'s>, Result<Option<Chunk>>)> {
    // Usually it need not be waited for.
    if let Some(read) = poll_immediate(&mut *reading).await {
        return Some(read);
    }
    let Some(left) = ahead.time_left(timer.monotonic_now()) else { return Some(reading.await) };
    match select(reading, timer.sleep(left)).await {
        Either::Left((read, _)) => Some(read),
        Either::Right(_) => None,
    }
}

/// How many entries a batch for a file has.
const FILE_ENTRIES: usize = 1000;

/// How many entries a batch for a store has: as many as it takes in one request. Where each is a request of its own, a
/// batch is what a checkpoint counts by.
fn bulk_entries(store: &Store) -> usize {
    const SINGLES: usize = 100;
    const MOST: usize = 100_000;
    match store.capabilities().bulk_write_items {
        0 | 1 => SINGLES,
        items => items.min(MOST),
    }
}

impl UnderWay {
    fn add(&mut self, batch: &Batch, hasher: Option<&KeyHasher>) {
        self.bytes += batch.bytes;
        if let Some(hasher) = hasher {
            let keys = batch.entries.iter().map(|entry| hasher.hash(entry.source_key())).collect();
            self.keys.insert(batch.number, keys);
        }
    }

    fn remove(&mut self, written: &Written) {
        self.bytes -= written.bytes;
        self.keys.remove(&written.number);
    }

    /// Whether a key of the batch is being written: the later entry must come later.
    fn overlaps(&self, batch: &Batch, hasher: Option<&KeyHasher>) -> bool {
        let Some(hasher) = hasher.filter(|_| !self.keys.is_empty()) else { return false };
        let mut keys = batch.entries.iter().map(|entry| hasher.hash(entry.source_key()));
        keys.any(|key| self.keys.values().any(|keys| keys.contains(&key)))
    }
}
