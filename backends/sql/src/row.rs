//! The columns of a row, and the entry they stand for.

use bytes::Bytes;
use kv_api::{Entry, EntryExpiry, Metadata, Result, Timestamp, Value, ValueKind, Version};

use crate::error::damaged_row;

/// The numbers that stand for the kinds in a row.
const TEXT: i64 = 0;
/// The number that stands for JSON in a row, for statements about counters.
pub const JSON: i64 = 1;
const BYTES: i64 = 2;

/// The number that stands for a kind in a row: 0 text, 1 JSON, 2 bytes. `None` for a kind that is newer than this.
#[must_use]
pub const fn kind_number(kind: ValueKind) -> Option<i64> {
    match kind {
        ValueKind::Text => Some(TEXT),
        ValueKind::Json => Some(JSON),
        ValueKind::Bytes => Some(BYTES),
        _ => None,
    }
}

/// The kind that a number in a row stands for.
///
/// # Errors
/// `Protocol` for a number without meaning.
pub fn kind_from_number(number: i64) -> Result<ValueKind> {
    match number {
        TEXT => Ok(ValueKind::Text),
        JSON => Ok(ValueKind::Json),
        BYTES => Ok(ValueKind::Bytes),
        _ => Err(damaged_row("its kind has a number without meaning")),
    }
}

/// A stored value as the callers see it. Whether text is UTF-8 is found when it is looked at.
///
/// # Errors
/// `Protocol` for a kind without meaning.
pub fn stored_value(kind: i64, bytes: Bytes) -> Result<Value> {
    Ok(Value::from_stored(kind_from_number(kind)?, bytes))
}

/// All that is known of an entry, from its columns: the metadata as compact JSON, the expiry in milliseconds since
/// 1970.
#[must_use]
pub fn entry(value: Value, metadata: Option<Bytes>, expires_at: Option<i64>, version: Version) -> Entry {
    Entry::with_details(value, metadata.map(Metadata::from_stored), entry_expiry(expires_at), Some(version))
}

/// An entry of which only the existence was wanted.
#[must_use]
pub fn existing() -> Entry {
    Entry::new(Value::from_stored(ValueKind::Bytes, Bytes::new()))
}

/// A stored expiry, in milliseconds since 1970, as the callers see it.
#[must_use]
pub fn entry_expiry(expires_at: Option<i64>) -> EntryExpiry {
    expires_at.map_or(EntryExpiry::Never, |millis| EntryExpiry::At(Timestamp::from_unix_millis(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_one_that_its_number_stands_for() {
        for kind in [ValueKind::Text, ValueKind::Json, ValueKind::Bytes] {
            assert_eq!(kind_from_number(kind_number(kind).unwrap()).unwrap(), kind);
        }
        for number in [-1, 3] {
            assert!(kind_from_number(number).is_err());
        }
    }
}
