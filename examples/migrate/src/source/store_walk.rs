//! The entries of a store, under the keys that it lists or that a file names.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesOrdered};
use kv_api::{Cursor, Entry, ErrorKind, Reason, Store};

use super::at_once::{self, ENTRIES_MAX, SINGLES};
use super::{Chunk, Pages, Position, Room, blocking, no_such_place};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::keys::KeyReader;
use crate::options::Options;
use crate::progress::Side;
use crate::record::Record;
use crate::summary::Failure;

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
    /// How many keys of the page, or of the file, come before it, and the digest of those of a page without an order.
    before: u64,
    digest_before: u64,
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
        Self::new(
            store,
            Keys::Named(Named { reader: Some(Box::new(reader)), identity, read: 0, back: VecDeque::new(), done: 0 }),
            options,
        )
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

    pub(super) async fn restore(&mut self, position: &Position, passed: impl FnMut(&str) + Send) -> Result<()> {
        match (&mut self.keys, position) {
            (Keys::Listed(listed), Position::Listed { cursor, keys, digest, last_key }) => {
                listed.restore(cursor.as_deref(), *keys, *digest, last_key.clone())
            }
            (Keys::Named(named), Position::Items(keys)) => named.pass_over(*keys, &self.options, passed).await,
            _ => Err(no_such_place()),
        }
    }

    pub(super) async fn next_chunk(&mut self, room: Room, context: &Context<'_>) -> Result<Option<Chunk>> {
        let Some(wanted) = self.wanted(room, context).await? else { return Ok(None) };
        let (found, rest) = read(self.store, wanted, room.bytes, context).await?;
        self.put_back(rest, found.last().map(|(wanted, _)| wanted.key.clone()));
        let mut chunk = Chunk {
            records: Vec::with_capacity(found.len()),
            unreadable: Vec::new(),
            missing: 0,
            position: self.position(),
        };
        let mut absent = Vec::new();
        let mut largest = 1;
        for (wanted, entry) in found {
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

    /// Keys that were not read for lack of room are the next ones.
    fn put_back(&mut self, rest: Vec<Wanted>, last_read: Option<String>) {
        let Some(first) = rest.first() else { return };
        match &mut self.keys {
            Keys::Named(named) => {
                named.done = first.before;
                named.back = rest.into();
            }
            Keys::Listed(listed) => {
                (listed.done, listed.digest, listed.last_key) = (first.before, first.digest_before, last_read);
                for wanted in rest.into_iter().rev() {
                    listed.keys.push_front(wanted);
                }
            }
        }
    }

    fn position(&self) -> Position {
        match &self.keys {
            Keys::Named(named) => Position::Items(named.done),
            Keys::Listed(listed) => listed.position(),
        }
    }
}

type Found = Vec<(Wanted, Option<Entry>)>;

/// Reads these, in order, up to about so many bytes where their sizes are not known. Answers which are left.
async fn read(
    store: &Store,
    wanted: Vec<Wanted>,
    bytes_max: usize,
    context: &Context<'_>,
) -> Result<(Found, Vec<Wanted>)> {
    let capabilities = store.capabilities();
    let at_once = at_once::of_unknown_size(capabilities);
    let are_sizes_known = wanted.iter().all(|wanted| wanted.value_bytes.is_some());
    let mut found = Vec::with_capacity(wanted.len());
    let mut bytes = 0;
    let mut rest = wanted.into_iter();
    if are_sizes_known || capabilities.bulk_read_items > 1 {
        let most = if are_sizes_known { ENTRIES_MAX } else { at_once };
        while bytes < bytes_max && !rest.as_slice().is_empty() {
            let part: Vec<_> = rest.by_ref().take(most).collect();
            for (wanted, entry) in read_part(store, part, context).await? {
                bytes += entry.as_ref().map_or(0, |entry| entry.value().as_bytes().len());
                found.push((wanted, entry));
            }
        }
        return Ok((found, rest.collect()));
    }
    let single = |wanted: Wanted| async move {
        let entry = context.ask(Side::Source, 1, || store.get_entry(wanted.key.as_str())).await;
        match entry {
            // It is accounted for with those that a bulk read leaves out.
            Err(Error::Store(error)) if error.kind() == ErrorKind::WrongType || is_unfit(&error, &wanted) => {
                Ok((wanted, None))
            }
            entry => entry.map(|entry| (wanted, entry)),
        }
    };
    let mut singles = FuturesOrdered::new();
    loop {
        while bytes < bytes_max
            && singles.len() < at_once
            && let Some(next) = rest.next()
        {
            singles.push_back(single(next));
        }
        let Some(next) = singles.next().await else { break };
        let (wanted, entry) = next?;
        bytes += entry.as_ref().map_or(0, |entry| entry.value().as_bytes().len());
        found.push((wanted, entry));
    }
    Ok((found, rest.collect()))
}

/// Reads these at once.
async fn read_part(store: &Store, mut part: Vec<Wanted>, context: &Context<'_>) -> Result<Found> {
    let per_request = store.capabilities().bulk_read_items.max(1);
    let mut unfit = Vec::new();
    loop {
        let requests = part.len().div_ceil(per_request);
        let keys = || store.get_entry_many(part.iter().map(|wanted| wanted.key.as_str()));
        match context.ask(Side::Source, requests, keys).await {
            Ok(entries) => return Ok(part.into_iter().zip(entries).chain(unfit).collect()),
            // The others are asked for again.
            Err(Error::Store(error)) => match error.index() {
                Some(index) if part.get(index).is_some_and(|wanted| is_unfit(&error, wanted)) => {
                    unfit.push((part.remove(index), None));
                }
                _ => return Err(error.into()),
            },
            Err(error) => return Err(error),
        }
    }
}

/// Whether a key that a file names is one that the store cannot hold, so that it is not in it.
fn is_unfit(error: &kv_api::Error, wanted: &Wanted) -> bool {
    wanted.line.is_some() && error.kind() == ErrorKind::InvalidArgument
}

/// Separates keys that hold what is no value, which a bulk read leaves out too (VAL-7), from those that have
/// vanished since they were listed (LIST-4) or were never there.
async fn account_for(store: &Store, absent: Vec<Wanted>, chunk: &mut Chunk, context: &Context<'_>) -> Result<()> {
    let singles = stream::iter(absent).map(|wanted| async move {
        let found = context.ask(Side::Source, 1, || store.get_entry(wanted.key.as_str())).await;
        (wanted, found)
    });
    let mut singles = singles.buffered(SINGLES);
    while let Some((wanted, found)) = singles.next().await {
        let is_unfit = matches!(&found, Err(Error::Store(error)) if is_unfit(error, &wanted));
        let Wanted { key, line, .. } = wanted;
        match found {
            // It has come since.
            Ok(Some(entry)) => chunk.records.push(Record { line, ..Record::from_entry(key, entry) }),
            Ok(None) => chunk.missing += u64::from(line.is_some()),
            Err(_) if is_unfit => chunk.missing += 1,
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
    /// How many of its keys are done, what tells them from others where the list has no order, and the last one.
    done: u64,
    digest: u64,
    last_key: Option<String>,
    /// Keys that an earlier run has done, where the list goes on before them.
    skip: Skip,
}

enum Skip {
    Nothing,
    /// So many of the next page, if they are still the ones with this digest.
    Keys(u64, u64),
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
            digest: DIGEST_OF_NONE,
            last_key: None,
            skip: Skip::Nothing,
        }
    }

    fn position(&self) -> Position {
        let cursor = self.cursor.as_ref().map(ToString::to_string);
        Position::Listed { cursor, keys: self.done, digest: self.digest, last_key: self.last_key.clone() }
    }

    fn restore(&mut self, cursor: Option<&str>, keys: u64, digest: u64, last_key: Option<String>) -> Result<()> {
        if let Some(cursor) = cursor {
            self.pages.go_to(cursor.parse()?);
        }
        // The order is the better guide, also where entries came or went meanwhile.
        self.skip = match (self.is_ordered(), &last_key) {
            (true, Some(last)) => Skip::UpTo(last.clone()),
            _ => Skip::Keys(keys, digest),
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
            Err(Error::Store(error)) if error.reason() == Some(&Reason::CursorInvalid) && at.is_some() => {
                let message = "the source has lost the place in its list, which has no order; the same copy has to \
                               begin anew";
                return Err(Error::Unsuitable(message.to_owned()));
            }
            Err(error) => return Err(error),
        };
        self.cursor = at;
        (self.done, self.digest) = (0, DIGEST_OF_NONE);
        let is_ordered = self.is_ordered();
        let mut digest = DIGEST_OF_NONE;
        let wanted = |(before, item): (u64, kv_api::ListItem)| {
            let digest_before = digest;
            if !is_ordered {
                digest = digest_with(digest, &item.key);
            }
            Wanted { key: item.key, line: None, value_bytes: item.value_bytes, before, digest_before }
        };
        self.keys = (0..).zip(page.items).map(wanted).collect();
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
            // Of a page that is another one by now, nothing is taken for done.
            Skip::Keys(keys, digest) => {
                let end = usize::try_from(keys).unwrap_or(usize::MAX);
                let digest_now = match self.keys.get(end) {
                    Some(next) => Some(next.digest_before),
                    None => self.keys.back().map(|last| digest_with(last.digest_before, &last.key)),
                };
                if digest_now == Some(digest) {
                    for _ in 0..end.min(self.keys.len()) {
                        self.take();
                    }
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
        self.done = wanted.before + 1;
        if !self.is_ordered() {
            self.digest = digest_with(wanted.digest_before, &wanted.key);
        }
        self.last_key = Some(wanted.key.clone());
        Some(wanted)
    }
}

/// FNV-1a, the same in every version of this program.
const DIGEST_OF_NONE: u64 = 0xcbf2_9ce4_8422_2325;

/// The digest of these keys and one more.
fn digest_with(digest: u64, key: &str) -> u64 {
    // No byte of a key is 255, so that it ends one.
    let bytes = key.bytes().chain([u8::MAX]);
    bytes.fold(digest, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The keys that a file names.
struct Named {
    /// Away while another thread reads.
    reader: Option<Box<KeyReader>>,
    identity: Option<String>,
    /// How many keys have been read from the file.
    read: u64,
    /// Of those: keys that come first, and how many are before them.
    back: VecDeque<Wanted>,
    done: u64,
}

impl Named {
    /// The next keys, as many as are wanted at most, that the options select; `None` at the end.
    async fn next(&mut self, wanted: usize, options: &Options) -> Result<Option<Vec<Wanted>>> {
        if !self.back.is_empty() {
            let again: Vec<_> = self.back.drain(..wanted.min(self.back.len())).collect();
            self.done = self.back.front().map_or(self.read, |next| next.before);
            return Ok(Some(again));
        }
        let before = self.read;
        let keys = self.next_keys(wanted).await?;
        self.done = self.read;
        if keys.is_empty() {
            return Ok(None);
        }
        let selected = (before..).zip(keys).filter(|(_, (key, _))| options.selects(key));
        let wanted = |(before, (key, line))| Wanted {
            key,
            line: Some(line),
            value_bytes: None,
            before,
            digest_before: DIGEST_OF_NONE,
        };
        Ok(Some(selected.map(wanted).collect()))
    }

    async fn pass_over(&mut self, keys: u64, options: &Options, mut passed: impl FnMut(&str) + Send) -> Result<()> {
        while self.read < keys {
            let wanted = usize::try_from(keys - self.read).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
            let over = self.next_keys(wanted).await?;
            if over.is_empty() {
                return Err(no_such_place());
            }
            over.iter().filter(|(key, _)| options.selects(key)).for_each(|(key, _)| passed(key));
        }
        self.done = self.read;
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
