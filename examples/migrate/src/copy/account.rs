//! What became of the entries of one batch.

use kv_api::Capabilities;

use crate::options::Options;
use crate::record::Record;
use crate::settle::{Settled, settle};
use crate::source::Chunk;
use crate::summary::{Counts, Failure, Failures};
use crate::written_keys::KeyHasher;

use super::batch::Moving;

/// What became of the entries of one batch.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) counts: Counts,
    pub(super) failures: Failures,
    /// What the target does not have, with the key of the source, and why; where that is wanted.
    pub(super) rejects: Vec<(Record, String)>,
    /// About what these take in memory.
    rejects_bytes: usize,
    /// Hashes of the keys that were written, in order, where it matters which came before.
    pub(super) written: Vec<u64>,
}

impl Account {
    /// Takes over what cannot be written of what was read, and answers the rest as it is to be written. `target` is
    /// what a store keeps.
    pub(super) fn take_unwritable(
        &mut self,
        chunk: Chunk,
        options: &Options,
        target: Option<&Capabilities>,
    ) -> Vec<Record> {
        self.counts.missing += chunk.missing;
        for failure in chunk.unreadable {
            self.counts.read += 1;
            self.fail(failure);
        }
        let mut kept = Vec::with_capacity(chunk.records.len());
        for mut record in chunk.records {
            match settle(&mut record, options, target) {
                Settled::Write(lost) => {
                    self.counts.expiry_lost += u64::from(lost.expiry);
                    self.counts.metadata_lost += u64::from(lost.metadata);
                    kept.push(record);
                    continue;
                }
                Settled::Skip => self.counts.skipped += 1,
                Settled::Expired => self.counts.expired += 1,
                Settled::Refuse(error) => {
                    let error = error.with_key(&record.key);
                    self.reject(&record, &record.key, &error, options);
                    self.fail(Failure { key: record.key, line: record.line, error });
                }
            }
            self.counts.read += 1;
        }
        kept
    }

    pub(super) fn is_written(&mut self, entry: &Moving, hasher: Option<&KeyHasher>) {
        self.counts.read += 1;
        match hasher {
            // Counted when it is known which came before.
            Some(hasher) => self.written.push(hasher.hash(entry.source_key())),
            None => self.counts.written += 1,
        }
    }

    pub(super) fn is_not_written(&mut self, entry: &Moving, error: kv_api::Error, options: &Options) {
        self.counts.read += 1;
        if error.is_expired() {
            self.counts.expired += 1;
        } else {
            self.reject(&entry.record, entry.source_key(), &error, options);
            self.fail(Failure { key: entry.source_key().to_owned(), line: entry.record.line, error });
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        self.counts.failed + self.counts.unknown > 0
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.rejects_bytes + self.written.len() * size_of::<u64>()
    }

    fn reject(&mut self, record: &Record, source_key: &str, error: &kv_api::Error, options: &Options) {
        if options.rejects.is_some() {
            let record = Record { key: source_key.to_owned(), ..record.clone() };
            self.rejects_bytes += record.bytes();
            self.rejects.push((record, error.to_string()));
        }
    }

    fn fail(&mut self, failure: Failure) {
        if failure.error.is_outcome_unknown() {
            self.counts.unknown += 1;
        } else {
            self.counts.failed += 1;
        }
        self.failures.add(failure);
    }
}
