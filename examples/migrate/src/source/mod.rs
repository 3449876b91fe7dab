//! Where entries come from, chunk by chunk.

pub(crate) mod at_once;
mod file_walk;
mod pages;
mod store_walk;

use std::fmt;
use std::panic;

use kv_api::{Capabilities, ListOrder, Store, Support};
use serde::{Deserialize, Serialize};

use crate::bulk::BulkReader;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::keys::KeyReader;
use crate::options::Options;
use crate::record::Record;
use crate::summary::Failure;

pub(crate) use file_walk::FileWalk;
pub(crate) use pages::Pages;
use store_walk::StoreWalk;

/// Where entries come from.
pub struct Source<'s> {
    from: Origin<'s>,
    order: Order,
}

enum Origin<'s> {
    Store(Box<StoreWalk<'s>>),
    File(FileWalk),
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

/// Some of the entries, as they come.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// None where all that was read is unreadable, or none of it was selected.
    pub(crate) records: Vec<Record>,
    /// Keys that hold what is no value (VAL-7), and items that cannot be read.
    pub(crate) unreadable: Vec<Failure>,
    /// Keys of a file of keys that the store does not have.
    pub(crate) missing: u64,
    /// Where the source goes on behind them.
    pub(crate) position: Position,
}

/// What a chunk may hold: at least one entry in any case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) entries: usize,
    /// About; the entry that reaches it is the last.
    pub(crate) bytes: usize,
}

/// Where a source goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Position {
    /// At its beginning.
    #[default]
    Start,
    /// Behind so many items, or keys, of a file.
    Items(u64),
    /// In a list.
    Listed {
        /// Of the page that was read last; `None` for the first.
        cursor: Option<String>,
        /// How many of its keys are done.
        keys: u64,
        /// What tells these keys from others, where the list has no order.
        digest: u64,
        /// The last of them.
        last_key: Option<String>,
    },
}

impl<'s> Source<'s> {
    /// All entries of a store that the options select.
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
        let order = if sorted { Order::Sorted } else { Order::None };
        Ok(Self { from: Origin::Store(Box::new(StoreWalk::listed(store, options))), order })
    }

    /// The entries of a store under the keys of a file, as far as the options select them. Those that the store does
    /// not have are counted, see [`Counts::missing`](crate::Counts::missing).
    #[must_use]
    pub fn keys(store: &'s Store, reader: KeyReader, options: &Options) -> Self {
        Self { from: Origin::Store(Box::new(StoreWalk::named(store, reader, options))), order: Order::Fixed }
    }

    /// All entries of a file that the options select.
    #[must_use]
    pub fn bulk(reader: BulkReader, options: &Options) -> Self {
        Self { from: Origin::File(FileWalk::new(reader, options)), order: Order::Fixed }
    }

    /// The next entries for which there is room; `None` at the end.
    pub(crate) async fn next_chunk(&mut self, room: Room, context: &Context<'_>) -> Result<Option<Chunk>> {
        match &mut self.from {
            Origin::Store(walk) => walk.next_chunk(room, context).await,
            Origin::File(walk) => walk.next_chunk(room).await,
        }
    }

    /// Goes to a place that an earlier walk has reported. `passed` is called with each key of a file that is passed
    /// over.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when there is no such place.
    pub(crate) async fn restore(&mut self, position: &Position, passed: impl FnMut(&str) + Send) -> Result<()> {
        match (&mut self.from, position) {
            (_, Position::Start) => Ok(()),
            (Origin::Store(walk), _) => walk.restore(position, passed).await,
            (Origin::File(walk), Position::Items(items)) => walk.pass_over(*items, passed).await,
            (Origin::File(_), Position::Listed { .. }) => Err(no_such_place()),
        }
    }

    /// What the store offers that it reads; `None` for a file.
    pub(crate) fn capabilities(&self) -> Option<&'s Capabilities> {
        match &self.from {
            Origin::Store(walk) => Some(walk.store().capabilities()),
            Origin::File(_) => None,
        }
    }

    /// Whether the store lists the keys; a file names them otherwise.
    pub(crate) fn is_listed(&self) -> bool {
        matches!(&self.from, Origin::Store(walk) if walk.is_listed())
    }

    pub(crate) const fn order(&self) -> Order {
        self.order
    }

    /// What tells it from other sources, across runs; `None` for what cannot be read again, such as a pipe.
    pub(crate) fn identity(&self) -> Option<String> {
        match &self.from {
            Origin::Store(walk) => walk.identity(),
            Origin::File(walk) => walk.identity(),
        }
    }

    /// How far a file has been read, in bytes, and how long it is; `None` where that is not known.
    pub(crate) fn bytes(&self) -> Option<(u64, u64)> {
        match &self.from {
            Origin::Store(_) => None,
            Origin::File(walk) => walk.bytes(),
        }
    }
}

fn no_such_place() -> Error {
    Error::Unsuitable("the checkpoint names a place that the source does not have".to_owned())
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
