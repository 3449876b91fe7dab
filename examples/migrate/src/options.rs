//! How to copy.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, SystemClock, Timer, TokioTimer};

use crate::filter::Filter;
use crate::loss::Loss;
use crate::record::RecordExpiry;
use crate::rewrite::Rewrite;

/// How to copy and verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only entries whose key begins with this, literally; empty, which is the default, means all.
    pub prefix: String,
    /// Of these, only entries whose key it admits; all by default.
    pub filter: Filter,
    /// How keys change on the way; they stay as they are by default. Failures name the key that the source has.
    pub rewrite: Rewrite,
    /// The most entries of a batch; `None`, which is the default, means as many as the target takes in one request
    /// ([`bulk_write_items`](kv_api::Capabilities::bulk_write_items)).
    pub batch_entries: Option<NonZeroUsize>,
    /// About the most bytes of a batch, 8 MiB by default. Twice as much is held in all, by batches that are being
    /// written and by what is read ahead, or four times the largest entry where that is more.
    pub batch_bytes: usize,
    /// The most batches that are written at once; 4 by default. The copy begins with one, writes more at once while
    /// that pays, and fewer when the target asks for fewer calls or slows down. A file is written by one at a time.
    pub concurrency: NonZeroUsize,
    /// At most so many requests, to the source and to the target each; `None`, the default, for no bound of its own.
    pub rate: Option<Rate>,
    /// How long the copy waits while a store asks it to or cannot be reached, in all since that began; 30
    /// minutes by default. Then it ends with [`Error::GaveUp`](crate::Error::GaveUp).
    pub max_wait: Duration,
    /// What happens to an entry whose key the target has already.
    pub on_conflict: OnConflict,
    /// Accept a race window where the target can do no better than to look before it writes (SET-6); off by default.
    /// Matters for [`OnConflict::Skip`] and [`OnConflict::Fail`].
    pub allow_race: bool,
    /// Pass over items of a file that cannot be read, and count them as failed; off by default, and then the first one
    /// ends the copy.
    pub skip_bad_lines: bool,
    /// Where the copy keeps in mind how far it has come, so that it can be resumed; `None`, the default, for nowhere.
    pub checkpoint: Option<CheckpointFile>,
    /// A file for the entries that were not copied: in the bulk format, each with its reason. `None` by default.
    pub rejects: Option<PathBuf>,
    /// Stop after the batch in which the first entry was not copied; off by default.
    pub fail_fast: bool,
    /// Copy an entry whose expiry the source cannot tell as one that never expires; off by default, and then such an
    /// entry is not copied, since its end is not known. A source that tells of none is refused then, with
    /// [`Error::Lossy`](crate::Error::Lossy), before anything is written. [`Loss::Expiry`] allows it too.
    pub unknown_expiry_as_never: bool,
    /// What may get lost of an entry where it cannot be kept; nothing by default, and then such an entry is not copied.
    pub allow_loss: BTreeSet<Loss>,
    /// What an expiry of zero or less means; by default that is not known, and then such an entry is not copied.
    pub zero_expiry: ZeroExpiry,
    /// Replace a target file also by an incomplete result; off by default, and then the file stays as it is and the
    /// result is kept beside it.
    pub keep_partial: bool,
    /// Replace a target file that holds entries also by a result without any; off by default, and then the copy ends
    /// with [`Error::EmptyResult`](crate::Error::EmptyResult).
    pub allow_empty: bool,
    /// The clock that says whether an entry has expired since it was copied; the system's by default (EXP-10).
    pub clock: Arc<dyn Clock>,
    /// What waits; tokio's by default (EXP-10).
    pub timer: Arc<dyn Timer>,
}

/// What happens to an entry whose key the target has already. An entry that is there as it would be written is
/// [unchanged](crate::Counts::unchanged) in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConflict {
    /// It replaces what is there (SET-1).
    #[default]
    Overwrite,
    /// What is there stays, and the entry is counted as [kept](crate::Counts::kept). Decided by the target, by
    /// `IfNotExists` (SET-2).
    Skip,
    /// What is there stays, and the entry is counted as failed. Decided as by `Skip`.
    Fail,
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: NonZeroUsize,
    /// In how much time; zero is no bound.
    pub per: Duration,
}

/// The file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    /// Its path.
    pub path: PathBuf,
    /// Begin anew, whatever it says.
    pub restart: bool,
}

/// What a ttl or a time of zero or less means in the file that is read (EXP-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZeroExpiry {
    /// That is not known: the entry is refused, with a reason.
    #[default]
    Refuse,
    /// The entry never expires.
    Never,
    /// The entry has expired: it is skipped and counted, and not compared.
    Skip,
}

impl Options {
    /// Whether the entry of the source with this key is to be copied.
    pub(crate) fn selects(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && self.filter.admits(key)
    }

    /// Whether an entry whose expiry the source does not report is copied as one that never expires.
    pub(crate) fn keeps_unknown_expiry(&self) -> bool {
        self.unknown_expiry_as_never || self.allow_loss.contains(&Loss::Expiry)
    }

    /// What an expiry of a source means.
    pub(crate) fn settled(&self, expiry: RecordExpiry) -> RecordExpiry {
        match (expiry, self.zero_expiry) {
            (RecordExpiry::NotPositive, ZeroExpiry::Never) => RecordExpiry::Never,
            (expiry, _) => expiry,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(4).unwrap();
        Self {
            prefix: String::new(),
            filter: Filter::default(),
            rewrite: Rewrite::default(),
            batch_entries: None,
            batch_bytes: 8 * 1024 * 1024,
            concurrency: CONCURRENCY,
            rate: None,
            max_wait: Duration::from_secs(30 * 60),
            on_conflict: OnConflict::default(),
            allow_race: false,
            skip_bad_lines: false,
            checkpoint: None,
            rejects: None,
            fail_fast: false,
            unknown_expiry_as_never: false,
            allow_loss: BTreeSet::new(),
            zero_expiry: ZeroExpiry::default(),
            keep_partial: false,
            allow_empty: false,
            clock: Arc::new(SystemClock),
            timer: Arc::new(TokioTimer),
        }
    }
}
