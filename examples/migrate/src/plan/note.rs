//! What lies in the nature of source and target, whatever the entries are.

use std::fmt;
use std::time::Duration;

use kv_api::{Capabilities, Support, ValueKind};

use super::PlanTarget;
use crate::bulk::BulkReader;
use crate::loss::Loss;

/// What lies in the nature of source and target, whatever the entries are. Its text is a sentence for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The source does not report when its entries expire: the copy needs [`Loss::Expiry`].
    ExpiryNotReported,
    /// The target keeps no expiry: entries with one are refused, or copied without it by [`Loss::Expiry`].
    ExpiryNotKept,
    /// The target rounds expiries up to this, more coarsely than the source reports them (EXP-4).
    ExpiryRounded(Duration),
    /// The target keeps no expiry that is nearer than this (EXP-6).
    ExpiryTooNear(Duration),
    /// The target keeps no metadata: entries with some are refused, or copied without it by [`Loss::Metadata`].
    MetadataNotKept,
    /// The target keeps no values of this kind: they are refused.
    KindNotKept(ValueKind),
    /// The target cannot list its keys: a later copy from it needs a file of keys.
    NotListed,
    /// The target does not report when its entries expire: a verification cannot compare that, and neither can a copy
    /// from it.
    ExpiryNotComparable,
}

/// Those of a way; `None` for a source that is a file.
pub(super) fn notes(source: Option<&Capabilities>, target: PlanTarget<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    let reports = source.is_none_or(|source| source.expiry_read);
    if !reports {
        notes.push(Note::ExpiryNotReported);
    }
    let fineness = source.map_or(BulkReader::EXPIRY_RESOLUTION, |source| source.expiry_resolution);
    let mut rounded = |resolution: Duration| {
        if reports && resolution > fineness {
            notes.push(Note::ExpiryRounded(resolution));
        }
    };
    let target = match target {
        PlanTarget::Store(store) => store.capabilities(),
        PlanTarget::File => {
            rounded(BulkReader::EXPIRY_RESOLUTION);
            return notes;
        }
    };
    if target.ttl == Support::None && target.expire_at == Support::None {
        notes.push(Note::ExpiryNotKept);
    } else {
        rounded(target.expiry_resolution);
        if !target.expiry_min.is_zero() {
            notes.push(Note::ExpiryTooNear(target.expiry_min));
        }
        if !target.expiry_read {
            notes.push(Note::ExpiryNotComparable);
        }
    }
    if target.metadata == Support::None {
        notes.push(Note::MetadataNotKept);
    }
    let kinds = [ValueKind::Text, ValueKind::Json, ValueKind::Bytes];
    notes.extend(kinds.into_iter().filter(|kind| !target.value_kinds.contains(*kind)).map(Note::KindNotKept));
    if target.list == Support::None {
        notes.push(Note::NotListed);
    }
    notes
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpiryNotReported => write!(
                f,
                "the source does not report when its entries expire; --allow-loss {} copies them as entries that \
                 never do",
                Loss::Expiry
            ),
            Self::ExpiryNotKept => write!(
                f,
                "the target keeps no expiry; --allow-loss {} copies entries that have one as entries that never expire",
                Loss::Expiry
            ),
            Self::ExpiryRounded(resolution) => {
                write!(f, "the target rounds expiries up to a multiple of {resolution:?}")
            }
            Self::ExpiryTooNear(minimum) => {
                write!(f, "the target refuses an expiry that is less than {minimum:?} ahead")
            }
            Self::MetadataNotKept => {
                write!(f, "the target keeps no metadata; --allow-loss {} copies entries without it", Loss::Metadata)
            }
            Self::KindNotKept(kind) => write!(f, "the target keeps no values that are {kind}"),
            Self::NotListed => f.write_str("the target cannot list its keys; a copy from it needs --keys-from"),
            Self::ExpiryNotComparable => f.write_str(
                "the target does not report when its entries expire, so that this can neither be verified nor copied \
                 from it",
            ),
        }
    }
}
