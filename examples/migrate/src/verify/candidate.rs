//! A key to compare, and what is known of it.

use std::num::{NonZeroU32, NonZeroU64};

use super::fingerprint::Fingerprint;

/// A key to compare, as the source has it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) key: String,
    pub(super) known: Known,
}

/// What is known of a key on both sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) source: State,
    pub(super) target: State,
    /// The source has said that it has this key.
    pub(super) source_names_it: bool,
    /// The target has.
    pub(super) target_names_it: bool,
    /// The line in the source, where that is a file.
    pub(super) line: Option<NonZeroU64>,
    /// About how large the entry is, where that is known before it is read.
    pub(super) size: Size,
    /// How many items with this key had expired before the copy, and replaced nothing.
    pub(super) passed_over: u32,
}

/// What one side has under a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// It is still to be read.
    Unread,
    Absent,
    /// What is no value (VAL-7).
    NoValue,
    Entry(Fingerprint),
}

impl State {
    /// Of a key that has not been met: files are read as a whole, stores are asked.
    pub(super) const fn before(is_store: bool) -> Self {
        if is_store { Self::Unread } else { Self::Absent }
    }

    pub(super) const fn is_unread(&self) -> bool {
        matches!(self, Self::Unread)
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// About how many bytes an entry has, 4 GiB at most, if that is known. Small, as there are many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(Option<NonZeroU32>);

impl Size {
    pub(super) const UNKNOWN: Self = Self(None);

    pub(super) fn of(bytes: Option<u64>) -> Self {
        Self(
            bytes.map(|bytes| {
                u32::try_from(bytes).map_or(NonZeroU32::MAX, |bytes| NonZeroU32::MIN.saturating_add(bytes))
            }),
        )
    }

    pub(super) fn bytes(self) -> Option<u64> {
        self.0.map(|bytes| bytes.get().into())
    }
}
