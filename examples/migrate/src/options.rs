//! How to copy.

use std::num::NonZeroUsize;
use std::sync::Arc;

use kv_api::{Clock, SystemClock};

use crate::record::RecordExpiry;

/// How to copy and verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only entries whose key begins with this, literally; empty, which is the default, means all.
    pub prefix: String,
    /// The most entries of a batch; 500 by default. With `batch_bytes` it bounds the memory: about two batches are held
    /// at once, one being written and one being read.
    pub batch_entries: NonZeroUsize,
    /// About the most bytes of a batch, 4 MiB by default: a batch ends with the entry that reaches it.
    pub batch_bytes: usize,
    /// Stop after the batch in which the first entry was not copied; off by default.
    pub fail_fast: bool,
    /// Copy an entry whose expiry the source cannot tell as one that never expires; off by default, and then such an
    /// entry is not copied, since its end is not known.
    pub unknown_expiry_as_never: bool,
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
        const BATCH_ENTRIES: NonZeroUsize = NonZeroUsize::new(500).unwrap();
        Self {
            prefix: String::new(),
            batch_entries: BATCH_ENTRIES,
            batch_bytes: 4 * 1024 * 1024,
            fail_fast: false,
            unknown_expiry_as_never: false,
            zero_expiry: ZeroExpiry::default(),
            keep_partial: false,
            allow_empty: false,
            clock: Arc::new(SystemClock),
        }
    }
}
