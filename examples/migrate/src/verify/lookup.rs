//! Reading entries of a store by their keys.

use futures_util::{StreamExt, stream};
use kv_api::{ErrorKind, Store};

use super::candidate::State;
use super::fingerprint::Fingerprints;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::progress::Side;
use crate::record::Record;
use crate::source::at_once;

/// A key to look up.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) key: String,
    /// About how large the entry is, where that is known.
    pub(super) bytes: Option<u64>,
    /// The store has said that it has this key, so that it must say what is there.
    pub(super) is_named: bool,
}

/// Reads entries of a store by their keys, and keeps no more of them than a fingerprint.
#[derive(Debug)]
pub(super) struct Lookup<'s, 'x> {
    store: &'s Store,
    side: Side,
    fingerprints: &'s Fingerprints,
    context: &'s Context<'x>,
    /// The most entries of unknown size that are read at once, and how many are next.
    unknown_max: usize,
    adapted: usize,
}

impl<'s, 'x> Lookup<'s, 'x> {
    pub(super) fn new(store: &'s Store, side: Side, fingerprints: &'s Fingerprints, context: &'s Context<'x>) -> Self {
        let unknown_max = at_once::of_unknown_size(store.capabilities());
        Self { store, side, fingerprints, context, unknown_max, adapted: 1 }
    }

    /// What the store has under these keys, in order, and how large it is.
    pub(super) async fn read(&mut self, wanted: &[Wanted]) -> Result<Vec<(State, u64)>> {
        let mut states = Vec::with_capacity(wanted.len());
        while states.len() < wanted.len() {
            let rest = &wanted[states.len()..];
            let part = &rest[..self.next_part(rest)];
            states.extend(self.read_part(part).await?);
        }
        Ok(states)
    }

    /// How many of these are read at once, so that they are not too many bytes. Of unknown ones it is more step by
    /// step, so that large values behind small ones are met with a few at a time.
    fn next_part(&self, rest: &[Wanted]) -> usize {
        let (mut bytes, mut unknown) = (0_u64, 0);
        let fitting = rest.iter().take(at_once::ENTRIES_MAX).take_while(|wanted| {
            match wanted.bytes {
                Some(more) => bytes = bytes.saturating_add(more),
                None => unknown += 1,
            }
            bytes <= self.context.options.batch_bytes as u64 && unknown <= self.adapted
        });
        fitting.count().max(1)
    }

    async fn read_part(&mut self, part: &[Wanted]) -> Result<Vec<(State, u64)>> {
        let mut states = vec![(State::Absent, 0); part.len()];
        let mut asked: Vec<usize> = (0..part.len()).collect();
        let (store, side, context) = (self.store, self.side, self.context);
        let per_request = store.capabilities().bulk_read_items.max(1);
        let entries = loop {
            let requests = asked.len().div_ceil(per_request);
            let keys = || store.get_entry_many(asked.iter().map(|at| part[*at].key.as_str()));
            match context.ask(side, requests, keys).await {
                Ok(entries) => break entries,
                // A key that the store cannot hold is not in it; the others are asked for again.
                Err(Error::Store(error)) if error.kind() == ErrorKind::InvalidArgument => match error.index() {
                    Some(index) if index < asked.len() => asked.remove(index),
                    _ => return Err(error.into()),
                },
                Err(error) => return Err(error),
            };
        };
        let mut largest = 1;
        let mut absent = Vec::new();
        for (at, entry) in asked.into_iter().zip(entries) {
            match entry {
                Some(entry) => {
                    let record = Record::from_entry(part[at].key.clone(), entry);
                    largest = largest.max(record.bytes());
                    states[at] = (State::Entry(self.fingerprints.of(&record)), record.bytes() as u64);
                }
                None if part[at].is_named => absent.push(at),
                None => {}
            }
        }
        self.adapted = (self.context.options.batch_bytes / largest).max(1).min(self.adapted * 2).min(self.unknown_max);
        // A bulk read leaves out what is no value (VAL-7), and what has vanished since it was named (LIST-4).
        let singles = stream::iter(absent)
            .map(|at| async move { (at, context.ask(side, 1, || store.get_entry(part[at].key.as_str())).await) });
        let mut singles = singles.buffered(at_once::SINGLES);
        while let Some((at, found)) = singles.next().await {
            match found {
                Ok(Some(entry)) => {
                    let record = Record::from_entry(part[at].key.clone(), entry);
                    states[at] = (State::Entry(self.fingerprints.of(&record)), record.bytes() as u64);
                }
                Ok(None) => {}
                Err(Error::Store(error)) if error.kind() == ErrorKind::WrongType => states[at].0 = State::NoValue,
                Err(error) => return Err(error),
            }
        }
        Ok(states)
    }
}
