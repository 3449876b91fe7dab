//! What was copied so far, in the order of the source, whatever order the batches end in.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checkpoint::Place;
use crate::error::Error;
use crate::record::Record;
use crate::source::Position;
use crate::summary::{Counts, Failure, Summary};
use crate::written_keys::{Seen, WrittenKeys};

use super::account::Account;

/// A batch that has ended.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) number: u64,
    pub(super) account: Account,
    pub(super) position: Position,
    pub(super) bytes: usize,
    /// How many were to be written.
    pub(super) entries: usize,
    /// Why the copy ends with it.
    pub(super) stop: Option<Error>,
    /// The copy ended elsewhere before all of it was sent.
    pub(super) is_cut_off: bool,
    /// At the first attempt.
    pub(super) went_well: bool,
    pub(super) took: Duration,
}

/// What was copied so far.
#[derive(Debug)]
pub(super) struct Ledger {
    /// All before it is in the target.
    place: Place,
    /// Batches that ended before an earlier one did.
    ahead: BTreeMap<u64, Written>,
    /// Batches that ended the copy: they are written again when it is resumed.
    broken: Vec<Account>,
    written_keys: Option<WrittenKeys>,
    /// What is to go into the file of rejects.
    rejects: Vec<(Record, String)>,
    /// Failures that a later run is to know of.
    examples: Vec<Failure>,
    summary: Summary,
}

impl Ledger {
    /// `failures` are those of earlier runs.
    pub(super) fn new(place: Place, failures: Vec<Failure>, written_keys: Option<WrittenKeys>) -> Self {
        let mut summary = Summary { counts: place.counts, ..Summary::default() };
        for failure in failures {
            summary.failures.add(failure);
        }
        Self {
            place,
            ahead: BTreeMap::new(),
            broken: Vec::new(),
            written_keys,
            rejects: Vec::new(),
            examples: Vec::new(),
            summary,
        }
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Takes a batch that has ended, and perhaps the copy with it. Answers whether the place has moved.
    pub(super) fn ended(&mut self, written: Written, is_last: bool) -> bool {
        if is_last {
            self.broken.push(written.account);
            return false;
        }
        self.ahead.insert(written.number, written);
        let mut has_moved = false;
        while let Some(next) = self.ahead.remove(&(self.place.batch + 1)) {
            self.enter(next.account);
            self.place.batch = next.number;
            self.place.position = next.position;
            self.place.counts = self.summary.counts;
            has_moved = true;
        }
        has_moved
    }

    /// Examples of failures since the last call.
    pub(super) fn take_examples(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.examples)
    }

    /// How many batches have ended before an earlier one did.
    pub(super) fn batches_ahead(&self) -> usize {
        self.ahead.len()
    }

    /// About what is held of them in memory.
    pub(super) fn bytes(&self) -> usize {
        self.ahead.values().map(|written| written.account.bytes()).sum()
    }

    /// What has come to the file of rejects since the last call.
    pub(super) fn take_rejects(&mut self) -> Vec<(Record, String)> {
        std::mem::take(&mut self.rejects)
    }

    /// What became of the entries dealt with.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.summary.counts;
        for Written { account, .. } in self.ahead.values() {
            counts += account.counts;
            counts.written += account.written.len() as u64;
        }
        counts
    }

    /// Enters batches that are written again when the copy is resumed. The place stays before them.
    pub(super) fn enter_the_rest(&mut self) {
        let ahead = std::mem::take(&mut self.ahead).into_values().map(|written| written.account);
        for account in ahead.chain(std::mem::take(&mut self.broken)).collect::<Vec<_>>() {
            self.enter(account);
        }
    }

    pub(super) fn take_summary(&mut self) -> Summary {
        std::mem::take(&mut self.summary)
    }

    fn enter(&mut self, account: Account) {
        let Account { counts, failures, rejects, written, .. } = account;
        self.rejects.extend(rejects);
        self.summary.counts += counts;
        self.examples.extend(self.summary.failures.absorb(failures));
        for hash in written {
            match self.written_keys.as_mut().map_or(Seen::New, |keys| keys.add(hash)) {
                Seen::New => self.summary.counts.written += 1,
                // The one before it was counted as written, and is there no more.
                Seen::Before => self.summary.counts.repeated += 1,
                Seen::NotKept => {
                    self.summary.counts.written += 1;
                    self.summary.repeated_at_least = true;
                }
            }
        }
    }
}
