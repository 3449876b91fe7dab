//! What became of the entries: an honest account.

use std::mem;
use std::ops::AddAssign;
use std::path::PathBuf;

use kv_api::{ErrorKind, Reason};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::printing::Shortened;
use crate::progress::Resumed;

/// What a copy did with the entries it read: `read` is the sum of those that follow, up to `unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// Entries read from the source, of those that were selected. A batch that an [`Error`] of the target cut off is
    /// not counted.
    pub read: u64,
    /// Entries that the target has acknowledged. With [`target_untouched`](Summary::target_untouched) they are in the
    /// file [`kept_beside`](Summary::kept_beside), if that is there.
    pub written: u64,
    /// Entries that the target had already, just as they would have been written; looked at only where
    /// [`OnConflict`](crate::OnConflict) says that what is there stays.
    pub unchanged: u64,
    /// Entries that were not written since the target has another one under their key, and
    /// [`OnConflict::Skip`](crate::OnConflict::Skip) lets it stay: no failure.
    pub kept: u64,
    /// Entries that the target has acknowledged, and that a later one with the same key has replaced there: no failure.
    /// A target file keeps them all, so that there they are `written`.
    pub repeated: u64,
    /// Entries that had expired when the target was to store them (EXP-5): not stored, and no failure.
    pub expired: u64,
    /// Entries with an expiry of zero or less that [`ZeroExpiry::Skip`](crate::ZeroExpiry::Skip) skipped: no failure.
    pub skipped: u64,
    /// Entries that the target certainly does not have, keys of the source that hold no value (VAL-7), and items of a
    /// file that cannot be read.
    pub failed: u64,
    /// Entries that the target may or may not have: no trustworthy answer came (ERR-3).
    pub unknown: u64,
    /// Entries that were to be written as ones that never expire, though they have or may have had an end:
    /// [`Loss::Expiry`](crate::Loss::Expiry). They are among those above, as the next ones are.
    pub expiry_lost: u64,
    /// Entries that were to be written without the metadata that they have:
    /// [`Loss::Metadata`](crate::Loss::Metadata).
    pub metadata_lost: u64,
    /// Keys of a file of keys that the source does not have: no failure, for an entry may have expired since it was
    /// named.
    pub missing: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        let Self {
            read,
            written,
            unchanged,
            kept,
            repeated,
            expired,
            skipped,
            failed,
            unknown,
            expiry_lost,
            metadata_lost,
            missing,
        } = more;
        self.read += read;
        self.written += written;
        self.unchanged += unchanged;
        self.kept += kept;
        self.repeated += repeated;
        self.expired += expired;
        self.skipped += skipped;
        self.failed += failed;
        self.unknown += unknown;
        self.expiry_lost += expiry_lost;
        self.metadata_lost += metadata_lost;
        self.missing += missing;
    }
}

/// What a copy did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// What became of the entries, over all runs of a copy that was resumed.
    pub counts: Counts,
    /// The source names more keys than are kept in mind ([`Self::KEYS_MAX`]), so that some of `written` may be
    /// `repeated`.
    pub repeated_at_least: bool,
    /// Why entries were not copied, by cause: of `failed` and of `unknown`.
    pub failures: Failures,
    /// What ended the copy before its end.
    pub stopped: Option<Error>,
    /// The target is a file that has not appeared or changed, since the result is not complete, or is empty.
    pub target_untouched: bool,
    /// Where the incomplete result of an untouched target file is kept; `None` when no entry was written.
    pub kept_beside: Option<PathBuf>,
    /// Where the copy went on, when it was resumed.
    pub resumed: Option<Resumed>,
    /// The checkpoint from which the same copy goes on; `None` when there is nothing to go on from.
    pub checkpoint: Option<PathBuf>,
}

/// Failures by cause.
#[derive(Clone, Debug, Default)]
pub struct Failures(Vec<Cause>);

/// Failures that have one cause: the same kind of error, with the same reason but for figures, or the same text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cause {
    /// How many.
    pub count: u64,
    /// The first of them, [`Failures::EXAMPLES_MAX`] at most.
    pub examples: Vec<Failure>,
}

/// Why one entry was not copied, or not certainly.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Its key.
    pub key: String,
    /// The line of the file it came from.
    pub line: Option<u64>,
    /// What the target said, or the source of a key that holds no value.
    pub error: kv_api::Error,
}

impl Failures {
    /// The most causes that are kept apart; failures of further ones are only counted.
    pub const CAUSES_MAX: usize = 20;

    /// The most examples of one cause.
    pub const EXAMPLES_MAX: usize = 5;

    /// The causes, in the order in which they were met.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        &self.0
    }

    /// Takes over those of a sample: each count becomes what it is among all entries. A sample has no lines.
    pub(crate) fn absorb_sample(&mut self, sample: Self, scale: impl Fn(u64) -> u64) {
        let without_line = |failure| Failure { line: None, ..failure };
        self.absorb(Self(
            (sample.0.into_iter())
                .map(|Cause { count, examples }| Cause {
                    count: scale(count),
                    examples: examples.into_iter().map(without_line).collect(),
                })
                .collect(),
        ));
    }

    /// Takes over those that came later, and answers which of them are kept as examples.
    pub(crate) fn absorb(&mut self, later: Self) -> Vec<Failure> {
        let mut kept = Vec::new();
        for Cause { mut count, examples } in later.0 {
            for failure in examples {
                if self.add_many(failure.clone(), mem::take(&mut count)) {
                    kept.push(failure);
                }
            }
        }
        kept
    }

    /// Answers whether it is kept as an example.
    pub(crate) fn add(&mut self, failure: Failure) -> bool {
        self.add_many(failure, 1)
    }

    fn add_many(&mut self, failure: Failure, count: u64) -> bool {
        let same = |cause: &&mut Cause| {
            cause.examples.first().is_some_and(|first| has_same_cause(&first.error, &failure.error))
        };
        if let Some(cause) = self.0.iter_mut().find(same) {
            cause.count += count;
            let is_kept = cause.examples.len() < Self::EXAMPLES_MAX;
            if is_kept {
                cause.examples.push(failure);
            }
            is_kept
        } else {
            let is_kept = self.0.len() < Self::CAUSES_MAX;
            if is_kept {
                self.0.push(Cause { count, examples: vec![failure] });
            }
            is_kept
        }
    }
}

fn has_same_cause(one: &kv_api::Error, other: &kv_api::Error) -> bool {
    let is_same_reason = match (one.reason(), other.reason()) {
        (Some(Reason::Limit { name: one, .. }), Some(Reason::Limit { name: other, .. })) => one == other,
        (Some(one), Some(other)) => mem::discriminant(one) == mem::discriminant(other),
        (None, None) => one.message() == other.message(),
        _ => false,
    };
    is_same_reason && (one.kind(), one.retry(), one.native_code()) == (other.kind(), other.retry(), other.native_code())
}

impl Summary {
    /// Up to so many keys of a file are kept in mind to find those that are repeated: as hashes, in 18 MiB, and 27 MiB
    /// while the table grows for the last time.
    pub const KEYS_MAX: usize = 1_835_008;

    /// Whether every entry of the source is in the target, but for those that have expired, were to be skipped, or were
    /// replaced by a later one.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.counts.failed == 0 && self.counts.unknown == 0
    }
}

impl Failure {
    /// Of an item that cannot be read.
    pub(crate) fn of_item(error: Error) -> Self {
        let (key, line, message) = match error {
            // Where it stands is said beside it, so that items with the same fault have the same cause.
            Error::Damaged { key, line, member, problem, .. } => {
                let member = member.map_or_else(String::new, |member| format!("member {} ", Shortened(&member)));
                (key.unwrap_or_default(), Some(line), member + &problem)
            }
            error => (String::new(), None, error.to_string()),
        };
        Self { key, line, error: kv_api::Error::new(ErrorKind::InvalidArgument, message) }
    }
}
