//! One side of a verification.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kv_api::{ListOrder, Store, Support};

use crate::bulk::BulkReader;

/// Entries to compare: one side of a verification. Unlike a [`Source`](crate::Source) they can be read as often as it
/// takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Entries<'e> {
    /// Those of a store.
    Store(&'e Store),
    /// Those of a store under the keys of a file, one a line, in any order; see [`KeyReader`](crate::KeyReader).
    Keys(&'e Store, PathBuf),
    /// Those of a file in the bulk format, in any order. Of items with one key the last one counts. A pipe or a device
    /// cannot be read again, and would be found empty.
    File(PathBuf),
}

impl<'e> Entries<'e> {
    pub(super) const fn store(&self) -> Option<&'e Store> {
        match self {
            Self::Store(store) | Self::Keys(store, _) => Some(store),
            Self::File(_) => None,
        }
    }

    /// The file that is read again and again.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Store(_) => None,
            Self::Keys(_, path) | Self::File(path) => Some(path),
        }
    }

    /// Whether it says which keys it has.
    pub(super) fn names_keys(&self) -> bool {
        match self {
            Self::Store(store) => store.capabilities().list != Support::None,
            Self::Keys(..) | Self::File(_) => true,
        }
    }

    /// Whether it says so by the bytes of the keys.
    pub(super) fn is_ordered(&self) -> bool {
        matches!(self, Self::Store(store) if store.capabilities().list_order == ListOrder::Lexicographic)
    }

    /// How finely it reports expiries.
    pub(super) fn expiry_resolution(&self) -> Duration {
        self.store().map_or(BulkReader::EXPIRY_RESOLUTION, |store| store.capabilities().expiry_resolution)
    }
}
