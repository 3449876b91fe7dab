//! Sides in any order: their keys are compared part by part.

use std::fs;
use std::hash::RandomState;
use std::io;
use std::num::NonZeroU64;
use std::path::Path;

use super::candidate::{Candidate, Size, State};
use super::comparison::Comparison;
use super::entries::Entries;
use super::fingerprint::Fingerprints;
use super::key_walk::KeyWalk;
use super::table::{Limits, Table};
use super::{BATCH, source_key, target_prefix};
use crate::bulk::BulkReader;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::identity;
use crate::options::{Options, ZeroExpiry};
use crate::progress::Side;
use crate::record::{Record, RecordExpiry};
use crate::source::{FileWalk, Room, blocking};

/// Compares the keys of both sides. Each time through both of them those are compared that a table has room for.
pub(super) struct Partitions<'p, 'x> {
    pub(super) source: &'p Entries<'p>,
    pub(super) target: &'p Entries<'p>,
    /// Whether the keys of the target are gone through, or only those of the source looked up there.
    pub(super) walks_target: bool,
    pub(super) context: &'p Context<'x>,
    pub(super) fingerprints: &'p Fingerprints,
    /// The most bytes of a table.
    pub(super) table_bytes: usize,
    /// How many keys of the source are compared; `None` for all.
    pub(super) sample: Option<NonZeroU64>,
}

/// What is done with what is read of one side.
#[derive(Clone, Copy)]
struct Filling {
    side: Side,
    /// Keys are added; otherwise only those are looked at that the table has.
    adds: bool,
    is_first_pass: bool,
}

/// What tells the file of a side from what it was before.
async fn identity(entries: &Entries<'_>) -> Option<String> {
    let path = entries.file()?.to_owned();
    blocking(move || identity::of_source_file(&path, &fs::metadata(&path).ok()?)).await
}

/// Each part of the keys is read from the file anew: if it changes meanwhile, a key may be in none of them.
async fn check_unchanged(entries: &Entries<'_>, before: &Option<String>) -> Result<()> {
    match entries.file() {
        Some(path) if identity(entries).await != *before => {
            let changed = io::Error::other("it has changed since the verification began");
            Err(Error::file(&path.display().to_string(), "verify", changed))
        }
        _ => Ok(()),
    }
}

impl Partitions<'_, '_> {
    pub(super) async fn compare(&self, comparison: &mut Comparison<'_, '_>) -> Result<()> {
        let seed = RandomState::new();
        let mut left = self.sample.map_or(u64::MAX, NonZeroU64::get);
        let (mut from, mut is_first_pass) = (None, true);
        let identities = [identity(self.source).await, identity(self.target).await];
        loop {
            let limits = Limits { bytes_max: self.table_bytes, keys_max: left };
            let mut table = Table::new(&seed, from, limits);
            let filling = Filling { side: Side::Source, adds: true, is_first_pass };
            self.fill(self.source, filling, &mut table, comparison).await?;
            table.lift_keys_max();
            if self.walks_target {
                let adds = comparison.is_both_ways();
                let filling = Filling { side: Side::Target, adds, is_first_pass };
                self.fill(self.target, filling, &mut table, comparison).await?;
            }
            for (entries, before) in [self.source, self.target].into_iter().zip(&identities) {
                check_unchanged(entries, before).await?;
            }
            left -= table.of_source();
            let (candidates, until) = table.into_candidates();
            let mut candidates = candidates.peekable();
            while candidates.peek().is_some() {
                let batch: Vec<Candidate> = candidates.by_ref().take(BATCH).collect();
                comparison.compare(batch).await?;
                comparison.report(None);
            }
            if until.is_none() || left == 0 {
                comparison.verification.is_sample = until.is_some();
                return Ok(());
            }
            (from, is_first_pass) = (until, false);
        }
    }

    async fn fill(
        &self,
        entries: &Entries<'_>,
        filling: Filling,
        table: &mut Table<'_>,
        comparison: &mut Comparison<'_, '_>,
    ) -> Result<()> {
        let keys = match entries {
            Entries::File(path) => return self.fill_records(path, filling, table, comparison).await,
            Entries::Keys(_, path) => KeyWalk::named(path).await?,
            Entries::Store(store) => {
                let prefix = match filling.side {
                    Side::Source => self.context.options.prefix.clone(),
                    Side::Target => target_prefix(self.context.options),
                };
                KeyWalk::listed(store, filling.side, prefix)
            }
        };
        self.fill_keys(keys, filling, table, comparison).await
    }

    /// The key of the source for one that was read, if it is in question.
    fn key(&self, key: String, filling: Filling) -> Option<String> {
        match filling.side {
            Side::Source => Some(key).filter(|key| self.context.options.selects(key)),
            Side::Target => source_key(self.context.options, &key),
        }
    }

    async fn fill_keys(
        &self,
        mut keys: KeyWalk<'_>,
        filling: Filling,
        table: &mut Table<'_>,
        comparison: &Comparison<'_, '_>,
    ) -> Result<()> {
        while let Some(named) = keys.next(self.context).await? {
            let Some(key) = self.key(named.key, filling) else { continue };
            let known = if filling.adds { table.entry(key, comparison.blank()) } else { table.get(key) };
            let Some(known) = known else { continue };
            known.size = known.size.max(Size::of(named.value_bytes));
            match filling.side {
                Side::Source => {
                    known.source_names_it = true;
                    known.line = known.line.or(named.line.and_then(NonZeroU64::new));
                }
                Side::Target => known.target_names_it = true,
            }
        }
        Ok(())
    }

    async fn fill_records(
        &self,
        path: &Path,
        filling: Filling,
        table: &mut Table<'_>,
        comparison: &mut Comparison<'_, '_>,
    ) -> Result<()> {
        // Prefix and filter are about the keys of the source.
        let options = self.context.options.clone();
        let options = match filling.side {
            Side::Source => options,
            Side::Target => Options { prefix: String::new(), filter: Filter::default(), ..options },
        };
        let path = path.to_owned();
        let reader = blocking(move || BulkReader::open(&path)).await?;
        let mut records = FileWalk::new(reader, &options);
        let room = Room { entries: usize::MAX, bytes: options.batch_bytes };
        while let Some(chunk) = records.next_chunk(room).await? {
            if filling.is_first_pass {
                comparison.verification.unreadable += chunk.unreadable.len() as u64;
            }
            for record in chunk.records {
                self.fill_record(record, filling, table, comparison);
            }
            comparison.report(records.bytes());
        }
        Ok(())
    }

    fn fill_record(
        &self,
        mut record: Record,
        filling: Filling,
        table: &mut Table<'_>,
        comparison: &mut Comparison<'_, '_>,
    ) {
        let options = self.context.options;
        record.expiry = options.settled(record.expiry);
        let Some(key) = self.key(std::mem::take(&mut record.key), filling) else { return };
        if record.expiry == RecordExpiry::NotPositive && options.zero_expiry == ZeroExpiry::Skip {
            if filling.is_first_pass && filling.side == Side::Source {
                comparison.verification.skipped += 1;
            }
            return;
        }
        let known = if filling.adds { table.entry(key, comparison.blank()) } else { table.get(key) };
        let Some(known) = known else { return };
        let state = match filling.side {
            Side::Source => &mut known.source,
            Side::Target => &mut known.target,
        };
        if !state.is_absent() && comparison.window().had_expired_before(record.expiry) {
            // It replaces nothing (EXP-5).
            known.passed_over += u32::from(filling.side == Side::Source);
            return;
        }
        *state = State::Entry(self.fingerprints.of(&record));
        known.size = known.size.max(Size::of(Some(record.bytes() as u64)));
        match filling.side {
            Side::Source => {
                known.source_names_it = true;
                known.line = record.line.and_then(NonZeroU64::new);
            }
            Side::Target => known.target_names_it = true,
        }
    }
}
