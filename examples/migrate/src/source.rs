//! Where entries come from, batch by batch.

use std::fmt;
use std::panic;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kv_api::{Consistency, ListItem, ListOrder, Store, Support};

use crate::bulk::BulkReader;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::record::Record;

/// Where entries come from. A batch of it is bounded in entries and bytes (see [`Options`]), so that neither the number of
/// entries nor their size adds up in memory.
pub struct Source<'s> {
    from: Origin<'s>,
    options: Options,
    order: Order,
}

enum Origin<'s> {
    Store(StoreWalk<'s>),
    Bulk(BulkWalk),
}

/// What is known about the order of the entries, however often they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By the bytes of the keys.
    Sorted,
    /// The same each time: a file.
    Fixed,
    None,
}

impl<'s> Source<'s> {
    /// All entries of a store that have the prefix of the options.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when the store cannot list its keys.
    pub fn store(store: &'s Store, options: &Options) -> Result<Self> {
        let profile = store.profile();
        if profile.list == Support::None {
            let message =
                format!("{}: this store cannot list its keys, so nothing can be copied from it", profile.system);
            return Err(Error::Unsuitable(message));
        }
        let sorted = profile.list_order == ListOrder::Lexicographic && profile.consistency == Consistency::Strong;
        let walk = StoreWalk {
            store,
            keys: Box::pin(store.list().prefix(options.prefix.clone()).stream()),
            keys_wanted: StoreWalk::KEYS_AT_FIRST.min(options.batch_entries.get()),
        };
        let order = if sorted { Order::Sorted } else { Order::None };
        Ok(Self { from: Origin::Store(walk), options: options.clone(), order })
    }

    /// All entries of a file that have the prefix of the options.
    #[must_use]
    pub fn bulk(reader: BulkReader, options: &Options) -> Self {
        let walk = BulkWalk {
            bytes_read: reader.bytes_read(),
            bytes_total: reader.bytes_total(),
            state: Some(Box::new(BulkState { reader, left: None })),
        };
        Self { from: Origin::Bulk(walk), options: options.clone(), order: Order::Fixed }
    }

    /// The next entries, at least one; `None` at the end.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<Vec<Record>>> {
        match &mut self.from {
            Origin::Store(walk) => walk.next_batch(&self.options).await,
            Origin::Bulk(walk) => walk.next_batch(&self.options).await,
        }
    }

    pub(crate) const fn order(&self) -> Order {
        self.order
    }

    /// How finely it tells expiries.
    pub(crate) fn expiry_resolution(&self) -> Duration {
        match &self.from {
            Origin::Store(walk) => walk.store.profile().expiry_resolution,
            Origin::Bulk(_) => BulkReader::EXPIRY_RESOLUTION,
        }
    }

    /// How far a file has been read, in bytes, and how long it is; `None` where that is not known.
    pub(crate) fn position(&self) -> Option<(u64, u64)> {
        match &self.from {
            Origin::Store(_) => None,
            Origin::Bulk(walk) => Some((walk.bytes_read.load(Ordering::Relaxed), walk.bytes_total?)),
        }
    }
}

struct StoreWalk<'s> {
    store: &'s Store,
    keys: Pin<Box<dyn Stream<Item = kv_api::Result<ListItem>> + Send + 's>>,
    /// How many entries the next batch is to read.
    keys_wanted: usize,
}

impl StoreWalk<'_> {
    /// A list does not tell how large the values are, so the first batch is a small one.
    const KEYS_AT_FIRST: usize = 16;

    async fn next_batch(&mut self, options: &Options) -> Result<Option<Vec<Record>>> {
        loop {
            let mut keys = Vec::with_capacity(self.keys_wanted);
            while keys.len() < self.keys_wanted {
                match self.keys.next().await {
                    Some(item) => keys.push(item?.key),
                    None => break,
                }
            }
            if keys.is_empty() {
                return Ok(None);
            }
            let entries = self.store.get_entry_many(keys.clone()).await?;
            // What vanished since it was listed is left out (LIST-4).
            let found = keys.into_iter().zip(entries).filter_map(|(key, entry)| Some(Record::from_entry(key, entry?)));
            let records: Vec<Record> = found.collect();
            if !records.is_empty() {
                self.adapt(&records, options);
                return Ok(Some(records));
            }
        }
    }

    /// Chooses the size of the next batch by that of the last one. It grows step by step, so that large values behind
    /// small ones are met with a batch that is not yet a large one.
    fn adapt(&mut self, records: &[Record], options: &Options) {
        let largest = records.iter().map(Record::bytes).max().unwrap_or(1);
        let fitting = (options.batch_bytes / largest).max(1);
        self.keys_wanted = fitting.min(self.keys_wanted * 2).min(options.batch_entries.get());
    }
}

struct BulkWalk {
    /// Away while another thread reads.
    state: Option<Box<BulkState>>,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

struct BulkState {
    reader: BulkReader,
    /// What ended the reading, told after the entries that came before it.
    left: Option<Result<()>>,
}

impl BulkWalk {
    async fn next_batch(&mut self, options: &Options) -> Result<Option<Vec<Record>>> {
        let Some(mut state) = self.state.take() else { return Ok(None) };
        let options = options.clone();
        let (state, batch) = blocking(move || {
            let batch = state.next_batch(&options);
            (state, batch)
        })
        .await;
        self.state = Some(state);
        batch
    }
}

impl BulkState {
    fn next_batch(&mut self, options: &Options) -> Result<Option<Vec<Record>>> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while self.left.is_none() && records.len() < options.batch_entries.get() && bytes < options.batch_bytes {
            match self.reader.next_record() {
                Ok(Some(record)) if record.key.starts_with(&options.prefix) => {
                    bytes += record.bytes();
                    records.push(record);
                }
                Ok(Some(_)) => {}
                Ok(None) => self.left = Some(Ok(())),
                Err(error) => self.left = Some(Err(error)),
            }
        }
        match &mut self.left {
            Some(end) if records.is_empty() => std::mem::replace(end, Ok(())).map(|()| None),
            _ => Ok(Some(records)),
        }
    }
}

/// Runs what blocks on a thread that may be blocked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            Err(_) => unreachable!("work that blocks is never cancelled once it runs"),
        },
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("order", &self.order).finish_non_exhaustive()
    }
}
