//! The entries of a store, under the keys that it lists or that a file names.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use kv_api::{Cursor, Entry, ErrorKind, Reason, Store};

use super::{Chunk, Pages, Position, Room, blocking, no_such_place};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::keys::KeyReader;
use crate::options::Options;
use crate::progress::Side;
use crate::record::Record;
use crate::summary::Failure;

/// The most entries that are read at once.
const ENTRIES_MAX: usize = 1000;

/// How many values are asked for one by one at a time where their size is not known: as many as the memory bound allows
/// for, whatever their size.
const SINGLES: usize = 4;

/// How many of them where no value of the store can be large.
const SMALL_SINGLES: usize = 16;

/// No value that is larger counts as small.
const SMALL_BYTES: u64 = 1024 * 1024;

pub(super) struct StoreWalk<'s> {
    store: &'s Store,
    keys: Keys<'s>,
    options: Options,
    /// How many entries are read at once next, where their size is not known before.
    adapted: usize,
    /// About how many bytes the largest entry had that was read last.
    largest: usize,
}

/// A key to read.
struct Wanted {
    key: String,
    /// Where a file names it.
    line: Option<u64>,
    /// Where a list reports it.
    value_bytes: Option<u64>,
}

enum Keys<'s> {
    Listed(Box<Listed<'s>>),
    Named(Named),
}

impl<'s> StoreWalk<'s> {
    pub(super) fn listed(store: &'s Store, options: &Options) -> Self {
        Self::new(store, Keys::Listed(Box::new(Listed::new(store, &options.prefix))), options)
    }

    pub(super) fn named(store: &'s Store, reader: KeyReader, options: &Options) -> Self {
        let identity = reader.identity();
        Self::new(store, Keys::Named(Named { reader: Some(Box::new(reader)), identity, read: 0 }), options)
    }

    fn new(store: &'s Store, keys: Keys<'s>, options: &Options) -> Self {
        Self { store, keys, options: options.clone(), adapted: 1, largest: 1 }
    }

    pub(super) const fn store(&self) -> &'s Store {
        self.store
    }

    pub(super) const fn is_listed(&self) -> bool {
        matches!(self.keys, Keys::Listed(_))
    }

    pub(super) fn identity(&self) -> Option<String> {
        let store = self.store.scope_fingerprint();
        match &self.keys {
            Keys::Listed(_) => Some(store),
            Keys::Named(named) => Some(format!("{store} {}", named.identity.as_ref()?)),
        }
    }

    pub(super) async fn restore(&mut self, position: &Position) -> Result<()> {
        match (&mut self.keys, position) {
            (Keys::Listed(listed), Position::Listed { cursor, keys, last_key }) => {
                listed.restore(cursor.as_deref(), *keys, last_key.clone())
            }
            (Keys::Named(named), Position::Items(keys)) => named.pass_over(*keys).await,
            _ => Err(no_such_place()),
        }
    }

    pub(super) async fn next_chunk(&mut self, room: Room, context: &Context<'_>) -> Result<Option<Chunk>> {
        let Some(wanted) = self.wanted(room, context).await? else { return Ok(None) };
        let mut chunk = Chunk {
            records: Vec::with_capacity(wanted.len()),
            unreadable: Vec::new(),
            missing: 0,
            position: self.position(),
        };
        let mut absent = Vec::new();
        let mut largest = 1;
        for (wanted, entry) in read(self.store, wanted, context).await? {
            match entry {
                Some(entry) => {
                    let record = Record { line: wanted.line, ..Record::from_entry(wanted.key, entry) };
                    largest = largest.max(record.bytes());
                    chunk.records.push(record);
                }
                None => absent.push(wanted),
            }
        }
        // It grows step by step, so that large values behind small ones are met with a chunk that is not yet large.
        let fitting = (self.options.batch_bytes / largest).max(1);
        (self.adapted, self.largest) = (fitting.min(self.adapted * 2).min(ENTRIES_MAX), largest);
        account_for(self.store, absent, &mut chunk, context).await?;
        Ok(Some(chunk))
    }

    /// The next keys that the options select; `None` at the end. None of them where a page holds no such key.
    async fn wanted(&mut self, room: Room, context: &Context<'_>) -> Result<Option<Vec<Wanted>>> {
        let options = &self.options;
        let adapted = self.adapted.min((room.bytes / self.largest).max(1));
        match &mut self.keys {
            Keys::Named(named) => named.next(adapted.min(room.entries), options).await,
            Keys::Listed(listed) => {
                if listed.keys.is_empty() && !listed.next_page(context).await? {
                    return Ok(None);
                }
                let mut wanted = Vec::new();
                let mut bytes = 0_u64;
                while let Some(next) = listed.keys.front() {
                    // A size that is not reported is met by fewer keys.
                    bytes = bytes.saturating_add(next.value_bytes.unwrap_or(0)).saturating_add(Record::BESIDE as u64);
                    let most = if next.value_bytes.is_some() { ENTRIES_MAX } else { adapted }.min(room.entries);
                    if wanted.len() >= most || (bytes > room.bytes as u64 && !wanted.is_empty()) {
                        break;
                    }
                    let Some(next) = listed.take() else { break };
                    if options.selects(&next.key) {
                        wanted.push(next);
                    }
                }
                Ok(Some(wanted))
            }
        }
    }

    fn position(&self) -> Position {
        match &self.keys {
            Keys::Named(named) => Position::Items(named.read),
            Keys::Listed(listed) => listed.position(),
        }
    }
}

/// Reads these, in order.
async fn read(store: &Store, wanted: Vec<Wanted>, context: &Context<'_>) -> Result<Vec<(Wanted, Option<Entry>)>> {
    let capabilities = store.capabilities();
    let are_sizes_known = wanted.iter().all(|wanted| wanted.value_bytes.is_some());
    if are_sizes_known || capabilities.bulk_read_items > 1 {
        let mut found = Vec::with_capacity(wanted.len());
        // A bulk read of the system is the most whose sizes are not known.
        let most = if are_sizes_known { ENTRIES_MAX } else { capabilities.bulk_read_items };
        let mut rest = wanted.into_iter().peekable();
        while rest.peek().is_some() {
            let part: Vec<_> = rest.by_ref().take(most).collect();
            context.source_pace.admit(part.len().div_ceil(capabilities.bulk_read_items.max(1))).await;
            let keys = || store.get_entry_many(part.iter().map(|wanted| wanted.key.as_str()));
            let entries = context.patience.ask(Side::Source, keys).await?;
            found.extend(part.into_iter().zip(entries));
        }
        return Ok(found);
    }
    let is_small = |limit: &kv_api::ItemLimit| limit.name == "value_bytes_max" && limit.max <= SMALL_BYTES;
    let at_once = if capabilities.item_limits.iter().any(is_small) { SMALL_SINGLES } else { SINGLES };
    let singles = stream::iter(wanted).map(|wanted| async move {
        context.source_pace.admit(1).await;
        let entry = context.patience.ask(Side::Source, || store.get_entry(wanted.key.as_str())).await;
        match entry {
            // It is accounted for with those that a bulk read leaves out.
            Err(Error::Store(error)) if error.kind() == ErrorKind::WrongType => Ok((wanted, None)),
            entry => entry.map(|entry| (wanted, entry)),
        }
    });
    let mut singles = singles.buffered(at_once);
    let mut found = Vec::new();
    while let Some(single) = singles.next().await {
        found.push(single?);
    }
    Ok(found)
}

/// Separates keys that hold what is no value, which a bulk read leaves out too (VAL-7), from those that have
/// vanished since they were listed (LIST-4) or were never there.
async fn account_for(store: &Store, absent: Vec<Wanted>, chunk: &mut Chunk, context: &Context<'_>) -> Result<()> {
    let singles = stream::iter(absent).map(|wanted| async move {
        context.source_pace.admit(1).await;
        let found = context.patience.ask(Side::Source, || store.get_entry(wanted.key.as_str())).await;
        (wanted, found)
    });
    let mut singles = singles.buffered(SINGLES);
    while let Some((Wanted { key, line, .. }, found)) = singles.next().await {
        match found {
            Ok(_) => chunk.missing += u64::from(line.is_some()),
            Err(Error::Store(error)) if error.kind() == ErrorKind::WrongType => {
                chunk.unreadable.push(Failure { key, line, error });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The keys that a store lists, page by page.
struct Listed<'s> {
    store: &'s Store,
    pages: Pages<'s>,
    /// Of the page that was read last.
    cursor: Option<Cursor>,
    /// Those of the page that was read last that are still to be done.
    keys: VecDeque<Wanted>,
    /// How many of its keys are done, and the last one.
    done: usize,
    last_key: Option<String>,
    /// Keys that an earlier run has done, where the list goes on before them.
    skip: Skip,
}

enum Skip {
    Nothing,
    /// So many of the next page.
    Keys(usize),
    /// Those up to this one.
    UpTo(String),
}

impl<'s> Listed<'s> {
    fn new(store: &'s Store, prefix: &str) -> Self {
        Self {
            store,
            pages: Pages::new(store, Side::Source, prefix.to_owned()),
            cursor: None,
            keys: VecDeque::new(),
            done: 0,
            last_key: None,
            skip: Skip::Nothing,
        }
    }

    fn position(&self) -> Position {
        let cursor = self.cursor.as_ref().map(ToString::to_string);
        Position::Listed { cursor, keys: self.done, last_key: self.last_key.clone() }
    }

    fn restore(&mut self, cursor: Option<&str>, keys: usize, last_key: Option<String>) -> Result<()> {
        if let Some(cursor) = cursor {
            self.pages.go_to(cursor.parse()?);
        }
        // The order is the better guide, also where entries came or went meanwhile.
        self.skip = match (self.is_ordered(), &last_key) {
            (true, Some(last)) => Skip::UpTo(last.clone()),
            _ => Skip::Keys(keys),
        };
        self.last_key = last_key;
        Ok(())
    }

    fn is_ordered(&self) -> bool {
        self.store.capabilities().list_order == kv_api::ListOrder::Lexicographic
    }

    /// Whether there was one more page. It may be empty.
    async fn next_page(&mut self, context: &Context<'_>) -> Result<bool> {
        let at = self.pages.cursor().cloned();
        let page = match self.pages.next(context).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(false),
            // The system has lost the place. In a list with an order the last key says where to go on.
            Err(Error::Store(error)) if error.reason() == Some(&Reason::CursorInvalid) && self.can_begin_again(&at) => {
                self.pages.begin_again();
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        self.cursor = at;
        self.done = 0;
        self.keys = page
            .items
            .into_iter()
            .map(|item| Wanted { key: item.key, line: None, value_bytes: item.value_bytes })
            .collect();
        self.skip();
        Ok(true)
    }

    fn can_begin_again(&mut self, at: &Option<Cursor>) -> bool {
        match (&self.last_key, at) {
            (Some(last), Some(_)) if self.is_ordered() => {
                self.skip = Skip::UpTo(last.clone());
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self) {
        match std::mem::replace(&mut self.skip, Skip::Nothing) {
            Skip::Nothing => {}
            Skip::Keys(keys) => {
                for _ in 0..keys {
                    self.take();
                }
            }
            Skip::UpTo(last) => {
                while self.keys.front().is_some_and(|next| next.key <= last) {
                    self.take();
                }
                if self.keys.is_empty() {
                    self.skip = Skip::UpTo(last);
                }
            }
        }
    }

    fn take(&mut self) -> Option<Wanted> {
        let wanted = self.keys.pop_front()?;
        self.done += 1;
        self.last_key = Some(wanted.key.clone());
        Some(wanted)
    }
}

/// The keys that a file names.
struct Named {
    /// Away while another thread reads.
    reader: Option<Box<KeyReader>>,
    identity: Option<String>,
    /// How many keys have been read.
    read: u64,
}

impl Named {
    /// The next keys, as many as are wanted at most, that the options select; `None` at the end.
    async fn next(&mut self, wanted: usize, options: &Options) -> Result<Option<Vec<Wanted>>> {
        let keys = self.next_keys(wanted).await?;
        if keys.is_empty() {
            return Ok(None);
        }
        let selected = keys.into_iter().filter(|(key, _)| options.selects(key));
        Ok(Some(selected.map(|(key, line)| Wanted { key, line: Some(line), value_bytes: None }).collect()))
    }

    async fn pass_over(&mut self, keys: u64) -> Result<()> {
        while self.read < keys {
            let wanted = usize::try_from(keys - self.read).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
            if self.next_keys(wanted).await?.is_empty() {
                return Err(no_such_place());
            }
        }
        Ok(())
    }

    async fn next_keys(&mut self, wanted: usize) -> Result<Vec<(String, u64)>> {
        let Some(mut away) = self.reader.take() else { return Ok(Vec::new()) };
        let (away, keys) = blocking(move || {
            let keys = away.next_keys(wanted);
            (away, keys)
        })
        .await;
        self.reader = Some(away);
        let keys = keys?;
        self.read += keys.len() as u64;
        Ok(keys)
    }
}
