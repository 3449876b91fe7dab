//! How to copy.

use std::num::NonZeroUsize;
use std::sync::Arc;

use kv_api::{Clock, SystemClock};

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
    /// Replace a target file also by an incomplete result; off by default, and then the file stays as it is and the
    /// result is kept beside it.
    pub keep_partial: bool,
    /// Replace a target file that holds entries also by a result without any; off by default, and then the copy ends
    /// with [`Error::EmptyResult`](crate::Error::EmptyResult).
    pub allow_empty: bool,
    /// The clock that says whether an entry has expired since it was copied; the system's by default (EXP-10).
    pub clock: Arc<dyn Clock>,
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
            keep_partial: false,
            allow_empty: false,
            clock: Arc::new(SystemClock),
        }
    }
}
