//! An entry on its way.

use std::time::Duration;

use kv_api::{Entry, EntryExpiry, Metadata, SetItem, Timestamp, Value};

/// An entry on its way from a source to a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The key.
    pub key: String,
    /// The value, of its kind.
    pub value: Value,
    /// The metadata, if it has any.
    pub metadata: Option<Metadata>,
    /// When it ends.
    pub expiry: RecordExpiry,
    /// The line of the file where it began, from 1.
    pub line: Option<u64>,
}

/// When an entry ends, as its source reports it: at most one form (EXP-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordExpiry {
    /// It never expires.
    Never,
    /// It ends this long after it is stored; only files say so.
    After(Duration),
    /// It ends at this time.
    At(Timestamp),
    /// The source cannot tell (EXP-8).
    Unknown,
    /// Zero or less, as a ttl or a time, which some tools write for "never" and others for "at once", see
    /// [`ZeroExpiry`](crate::ZeroExpiry). Unless that is said, such an entry is
    /// not copied (EXP-5).
    NotPositive,
}

impl Record {
    pub(crate) fn from_entry(key: String, entry: Entry) -> Self {
        let expiry = match entry.expiry() {
            EntryExpiry::Never => RecordExpiry::Never,
            EntryExpiry::At(at) => RecordExpiry::At(at),
            // A form this tool does not know is not one it may guess about.
            _ => RecordExpiry::Unknown,
        };
        let metadata = entry.metadata().cloned();
        Self { key, value: entry.into_value(), metadata, expiry, line: None }
    }

    /// What sets it. Cheap: the value is shared.
    pub(crate) fn to_item(&self) -> SetItem<'_> {
        let mut item = SetItem::new(self.key.as_str(), self.value.clone());
        if let Some(metadata) = &self.metadata {
            item = item.metadata(metadata.clone());
        }
        match self.expiry {
            RecordExpiry::Never | RecordExpiry::Unknown | RecordExpiry::NotPositive => item,
            RecordExpiry::After(ttl) => item.ttl(ttl),
            RecordExpiry::At(at) => item.expire_at(at),
        }
    }

    /// What a record takes in memory beside its key, value and metadata, about: as a record, and as what the store that
    /// writes it makes of it meanwhile.
    pub(crate) const BESIDE: usize = 288;

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let metadata = self.metadata.as_ref().map_or(0, |metadata| metadata.as_bytes().len());
        self.key.len() + self.value.as_bytes().len() + metadata + Self::BESIDE
    }
}
