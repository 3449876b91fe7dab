//! Where entries come from, batch by batch.

use std::fmt;
use std::panic;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt, stream};
use kv_api::{Capabilities, ErrorKind, ListItem, ListOrder, Store, Support};

use crate::bulk::BulkReader;
use crate::error::{Error, Result};
use crate::keys::KeyReader;
use crate::options::Options;
use crate::record::Record;
use crate::summary::Failure;

/// Where entries come from. A batch of it is bounded in entries and bytes (see [`Options`]), so that neither the number
/// of entries nor their size adds up in memory.
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
    /// All entries of a store that the prefix and the filter of the options select.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when the store cannot list its keys.
    pub fn store(store: &'s Store, options: &Options) -> Result<Self> {
        let capabilities = store.capabilities();
        if capabilities.list == Support::None {
            let message = format!(
                "{}: this store cannot list its keys; name those to copy in a file of keys",
                capabilities.system
            );
            return Err(Error::Unsuitable(message));
        }
        let sorted = capabilities.list_order == ListOrder::Lexicographic;
        let keys = Keys::Listed(Box::pin(store.list().prefix(options.prefix.clone()).stream()));
        let order = if sorted { Order::Sorted } else { Order::None };
        Ok(Self { from: Origin::Store(StoreWalk::new(store, keys, options)), options: options.clone(), order })
    }

    /// The entries of a store under the keys of a file, as far as the prefix and the filter of the options select
    /// them. Those that the store does not have are counted, see [`Counts::missing`](crate::Counts::missing).
    #[must_use]
    pub fn keys(store: &'s Store, reader: KeyReader, options: &Options) -> Self {
        let walk = StoreWalk::new(store, Keys::Named(Some(Box::new(reader))), options);
        Self { from: Origin::Store(walk), options: options.clone(), order: Order::Fixed }
    }

    /// All entries of a file that the prefix and the filter of the options select.
    #[must_use]
    pub fn bulk(reader: BulkReader, options: &Options) -> Self {
        let walk = BulkWalk {
            bytes_read: reader.bytes_read(),
            bytes_total: reader.bytes_total(),
            state: Some(Box::new(BulkState { reader, left: None })),
        };
        Self { from: Origin::Bulk(walk), options: options.clone(), order: Order::Fixed }
    }

    /// The next entries, none where all that was read is [unreadable](Self::take_unreadable); `None` at the end.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<Vec<Record>>> {
        match &mut self.from {
            Origin::Store(walk) => walk.next_batch(&self.options).await,
            Origin::Bulk(walk) => walk.next_batch(&self.options).await,
        }
    }

    /// What the store offers that it reads; `None` for a file.
    pub(crate) fn capabilities(&self) -> Option<&'s Capabilities> {
        match &self.from {
            Origin::Store(walk) => Some(walk.store.capabilities()),
            Origin::Bulk(_) => None,
        }
    }

    /// Whether the store lists the keys; a file names them otherwise.
    pub(crate) const fn is_listed(&self) -> bool {
        matches!(&self.from, Origin::Store(StoreWalk { keys: Keys::Listed(_), .. }))
    }

    pub(crate) const fn order(&self) -> Order {
        self.order
    }

    /// How many keys were named that the store does not have.
    pub(crate) const fn missing(&self) -> u64 {
        match &self.from {
            Origin::Store(walk) => walk.missing,
            Origin::Bulk(_) => 0,
        }
    }

    /// The keys that were come across since the last call and hold what is no value (VAL-7).
    pub(crate) fn take_unreadable(&mut self) -> Vec<Failure> {
        match &mut self.from {
            Origin::Store(walk) => std::mem::take(&mut walk.unreadable),
            Origin::Bulk(_) => Vec::new(),
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

/// The keys to read.
enum Keys<'s> {
    /// Those of the store.
    Listed(Pin<Box<dyn Stream<Item = kv_api::Result<ListItem>> + Send + 's>>),
    /// Those of a file; away while another thread reads.
    Named(Option<Box<KeyReader>>),
}

impl Keys<'_> {
    /// The next keys, at most `wanted`, each with its line where it comes from a file. None at the end.
    async fn next(&mut self, wanted: usize, options: &Options) -> Result<Vec<(String, Option<u64>)>> {
        let mut keys = Vec::with_capacity(wanted);
        match self {
            Self::Listed(listed) => {
                while keys.len() < wanted {
                    match listed.next().await {
                        Some(item) => {
                            keys.extend(Some(item?.key).filter(|key| options.selects(key)).map(|key| (key, None)))
                        }
                        None => break,
                    }
                }
                Ok(keys)
            }
            Self::Named(reader) => {
                let Some(mut away) = reader.take() else { return Ok(keys) };
                let options = options.clone();
                let (away, keys) = blocking(move || {
                    let keys = named(&mut away, wanted, &options);
                    (away, keys)
                })
                .await;
                *reader = Some(away);
                keys
            }
        }
    }
}

fn named(reader: &mut KeyReader, wanted: usize, options: &Options) -> Result<Vec<(String, Option<u64>)>> {
    let mut keys = Vec::with_capacity(wanted);
    while keys.len() < wanted {
        match reader.next_key()? {
            Some((key, line)) if options.selects(&key) => keys.push((key, Some(line))),
            Some(_) => {}
            None => break,
        }
    }
    Ok(keys)
}

struct StoreWalk<'s> {
    store: &'s Store,
    keys: Keys<'s>,
    /// How many entries the next batch is to read.
    keys_wanted: usize,
    /// How many keys of a file the store does not have.
    missing: u64,
    /// Keys that hold what is no value.
    unreadable: Vec<Failure>,
}

impl<'s> StoreWalk<'s> {
    /// A list does not tell how large the values are, so the first batch is a small one.
    const KEYS_AT_FIRST: usize = 16;

    /// How many keys are asked for one by one at a time.
    const SINGLES: usize = 16;

    fn new(store: &'s Store, keys: Keys<'s>, options: &Options) -> Self {
        let keys_wanted = Self::KEYS_AT_FIRST.min(options.entries_max());
        Self { store, keys, keys_wanted, missing: 0, unreadable: Vec::new() }
    }

    async fn next_batch(&mut self, options: &Options) -> Result<Option<Vec<Record>>> {
        loop {
            let keys = self.keys.next(self.keys_wanted, options).await?;
            if keys.is_empty() {
                return Ok(None);
            }
            let entries = self.store.get_entry_many(keys.iter().map(|(key, _)| key.clone())).await?;
            let mut records = Vec::with_capacity(keys.len());
            let mut absent = Vec::new();
            for ((key, line), entry) in keys.into_iter().zip(entries) {
                match entry {
                    Some(entry) => records.push(Record { line, ..Record::from_entry(key, entry) }),
                    None => absent.push((key, line)),
                }
            }
            self.account_for(absent).await?;
            if !records.is_empty() || !self.unreadable.is_empty() {
                self.adapt(&records, options);
                return Ok(Some(records));
            }
        }
    }

    /// Separates keys that hold what is no value, which a bulk read leaves out too (VAL-7), from those that have
    /// vanished since they were listed (LIST-4) or were never there.
    async fn account_for(&mut self, absent: Vec<(String, Option<u64>)>) -> Result<()> {
        let store = self.store;
        let singles = stream::iter(absent).map(|(key, line)| async move {
            let found = store.get_entry(key.as_str()).await;
            (key, line, found)
        });
        let mut singles = singles.buffered(Self::SINGLES);
        while let Some((key, line, found)) = singles.next().await {
            match found {
                Ok(_) => self.missing += u64::from(line.is_some()),
                Err(error) if error.kind() == ErrorKind::WrongType => {
                    self.unreadable.push(Failure { key, line, error });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Chooses the size of the next batch by that of the last one. It grows step by step, so that large values behind
    /// small ones are met with a batch that is not yet a large one.
    fn adapt(&mut self, records: &[Record], options: &Options) {
        let largest = records.iter().map(Record::bytes).max().unwrap_or(1);
        let fitting = (options.batch_bytes / largest).max(1);
        self.keys_wanted = fitting.min(self.keys_wanted * 2).min(options.entries_max());
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
    /// What ended the reading, reported after the entries that came before it.
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
        while self.left.is_none() && records.len() < options.entries_max() && bytes < options.batch_bytes {
            match self.reader.next_record() {
                Ok(Some(record)) if options.selects(&record.key) => {
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
