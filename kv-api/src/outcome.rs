//! What writes and deletes answer: expected results, never errors (SET-3, SET-5, DEL-1).

use crate::entry::Entry;
use crate::value::Value;
use crate::version::Version;

/// What became of a set (SET-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetStatus {
    /// Written; there was no live entry.
    Created,
    /// Written over a live entry.
    Updated,
    /// Written; the store cannot say whether there was an entry.
    Stored,
    /// Not written: the condition did not hold. Value, expiry, metadata and version are untouched (SET-3).
    NotMet,
}

/// The outcome of a set: its status, and the new version where the store has versions.
///
/// ```
/// use kv_api::{SetOutcome, SetStatus};
/// let outcome = SetOutcome::new(SetStatus::Created);
/// assert!(outcome.is_written() && outcome.version().is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOutcome {
    status: SetStatus,
    version: Option<Version>,
}

impl SetOutcome {
    /// An outcome without a version.
    #[must_use]
    pub const fn new(status: SetStatus) -> Self {
        Self { status, version: None }
    }

    /// Adds the version that the write gave the entry.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// What became of the set.
    #[must_use]
    pub const fn status(&self) -> SetStatus {
        self.status
    }

    /// The new version, when it was written and the store has versions.
    #[must_use]
    pub const fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Whether the entry is now what the set asked for: everything but [`SetStatus::NotMet`].
    #[must_use]
    pub const fn is_written(&self) -> bool {
        !matches!(self.status, SetStatus::NotMet)
    }
}

/// What became of an update (SET-9).
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateOutcome {
    value: Option<Value>,
    version: Option<Version>,
    is_written: bool,
}

impl UpdateOutcome {
    pub(crate) const fn written(value: Value, version: Option<Version>) -> Self {
        Self { value: Some(value), version, is_written: true }
    }

    pub(crate) fn declined(entry: Option<Entry>) -> Self {
        let version = entry.as_ref().and_then(Entry::version).cloned();
        Self { value: entry.map(Entry::into_value), version, is_written: false }
    }

    /// Whether the new value was written; `false` where the closure left the entry as it is.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        self.is_written
    }

    /// The new value; the old one where nothing was written, and `None` where there was none.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// The value, by itself.
    #[must_use]
    pub fn into_value(self) -> Option<Value> {
        self.value
    }

    /// The version of that value.
    #[must_use]
    pub const fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }
}

/// What became of a delete (DEL-1, DEL-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeleteOutcome {
    /// There was a live entry; now it is gone.
    Deleted,
    /// There was no live entry.
    NotFound,
    /// There is no live entry now; the store cannot say whether there was one. Never the answer to a delete with a
    /// version.
    Accepted,
    /// Not deleted: the entry is missing or has another version than `if_version` named.
    NotMet,
}

/// What became of a batch that is written whole or not at all (BATCH-3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// All items are written; one outcome each, in input order.
    Written(Vec<SetOutcome>),
    /// Nothing is written: the condition of this item did not hold.
    NotMet {
        /// Position of the first item in input order whose condition did not hold.
        index: usize,
    },
}

impl BatchOutcome {
    /// Whether all items are written.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }
}
