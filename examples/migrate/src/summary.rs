//! What became of the entries: an honest account.

use std::path::PathBuf;

use crate::error::Error;

/// What a copy did with the entries it read: `written`, `repeated`, `expired`, `skipped`, `failed` and `unknown` add up
/// to `read`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Entries read from the source, with the prefix asked for. A batch that an [`Error`] of the target cut off is not
    /// counted.
    pub read: u64,
    /// Entries that the target has acknowledged. With [`target_untouched`](Self::target_untouched) they are in the file
    /// [`kept_beside`](Self::kept_beside), if that is there.
    pub written: u64,
    /// Entries that the target has acknowledged, and that a later one with the same key has replaced there: no failure.
    /// A target file keeps them all, so that there they are `written`.
    pub repeated: u64,
    /// The source names more keys than are kept in mind ([`Self::KEYS_MAX`]), so that some of `written` may be
    /// `repeated`.
    pub repeated_at_least: bool,
    /// Entries that had expired when the target was to store them (EXP-5): not stored, and no failure.
    pub expired: u64,
    /// Entries with an expiry of zero or less that [`ZeroExpiry::Skip`](crate::ZeroExpiry::Skip) skipped: no failure.
    pub skipped: u64,
    /// Entries that the target certainly does not have, and keys of the source that hold no value (VAL-7).
    pub failed: u64,
    /// Entries that the target may or may not have: no trustworthy answer came (ERR-3).
    pub unknown: u64,
    /// Keys of a file of keys that the source does not have: no failure, for an entry may have expired since it was
    /// named.
    pub missing: u64,
    /// The first failures, [`Self::FAILURES_MAX`] at most: of `failed` and of `unknown`.
    pub failures: Vec<Failure>,
    /// What ended the copy before its end.
    pub stopped: Option<Error>,
    /// The target is a file that has not appeared or changed, since the result is not complete, or is empty.
    pub target_untouched: bool,
    /// Where the incomplete result of an untouched target file is kept; `None` when no entry was written.
    pub kept_beside: Option<PathBuf>,
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

impl Summary {
    /// The most failures that are listed; the counts go on.
    pub const FAILURES_MAX: usize = 20;

    /// Up to so many keys of a file are kept in mind to find those that are repeated: as hashes, in 18 MiB, and 27 MiB
    /// while the table grows for the last time.
    pub const KEYS_MAX: usize = 1_835_008;

    /// Whether every entry of the source is in the target, but for those that have expired, were to be skipped, or were
    /// replaced by a later one.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.failed == 0 && self.unknown == 0
    }

    pub(crate) fn add_failure(&mut self, key: String, line: Option<u64>, error: kv_api::Error) {
        if error.is_outcome_unknown() {
            self.unknown += 1;
        } else {
            self.failed += 1;
        }
        if self.failures.len() < Self::FAILURES_MAX {
            self.failures.push(Failure { key, line, error });
        }
    }
}
