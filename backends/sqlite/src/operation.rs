//! What the writer is asked to do, in the file's own terms, and what it answers.

use bytes::Bytes;
use kv_api::{
    Condition, Delete, DeleteOutcome, Error, ErrorKind, Expire, Expiry, Increment, Metadata, Result, SetOutcome,
    SetStatus, Timestamp, Value, ValueKind, Version, Write, WriteParts,
};

use crate::error::damaged_row;

/// One change of one key.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) action: Action,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Put {
        value: Value,
        metadata: Option<Metadata>,
        expiry: Expiry,
        condition: PutCondition,
    },
    /// With a version: only a live entry of that version.
    Delete {
        if_version: Option<i64>,
    },
    Increment {
        by: i64,
        min: i64,
        max: i64,
        expiring_allowed: bool,
    },
    Expire {
        expiry: Expiry,
    },
}

/// A condition whose version is a number of this file, or [`FOREIGN_VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutCondition {
    Always,
    IfNotExists,
    IfExists,
    IfVersion(i64),
}

/// Stands for a version that never came from this file: no entry has it (VER-2).
const FOREIGN_VERSION: i64 = -1;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Set(SetOutcome),
    Delete(DeleteOutcome),
    Count(i64),
    /// Whether there was a live entry.
    Expire(bool),
}

impl Operation {
    pub(crate) fn put(write: Write<'_>, file_id: u64) -> Result<Self> {
        let WriteParts { key, value, metadata, expiry, condition, .. } = write.into_parts();
        let condition = match condition {
            Condition::Always => PutCondition::Always,
            Condition::IfNotExists => PutCondition::IfNotExists,
            Condition::IfExists => PutCondition::IfExists,
            Condition::IfVersion(version) => PutCondition::IfVersion(version_number(&version, file_id)),
            other => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("the adapter does not know the condition {other:?}"),
                ));
            }
        };
        Ok(Self { key: key.into_owned(), action: Action::Put { value, metadata, expiry, condition } })
    }

    pub(crate) fn delete(delete: Delete<'_>, file_id: u64) -> Self {
        let if_version = delete.if_version().map(|version| version_number(version, file_id));
        Self { key: delete.into_key().into_owned(), action: Action::Delete { if_version } }
    }

    pub(crate) fn increment(increment: Increment<'_>) -> Self {
        let action = Action::Increment {
            by: increment.by(),
            min: increment.min(),
            max: increment.max(),
            expiring_allowed: increment.expiring_allowed(),
        };
        Self { key: increment.into_key().into_owned(), action }
    }

    pub(crate) fn expire(expire: Expire<'_>) -> Self {
        let action = Action::Expire { expiry: expire.expiry() };
        Self { key: expire.into_key().into_owned(), action }
    }

    /// The bytes it carries: what the size of a group is counted by.
    pub(crate) fn bytes(&self) -> usize {
        let content = match &self.action {
            Action::Put { value, metadata, .. } => {
                value.as_bytes().len() + metadata.as_ref().map_or(0, |metadata| metadata.as_bytes().len())
            }
            Action::Delete { .. } | Action::Increment { .. } | Action::Expire { .. } => 0,
        };
        self.key.len() + content
    }
}

fn version_number(version: &Version, file_id: u64) -> i64 {
    version.number_from(file_id).and_then(|number| i64::try_from(number).ok()).unwrap_or(FOREIGN_VERSION)
}

/// A stored version as the callers see it.
pub(crate) const fn version(file_id: u64, stored: i64) -> Version {
    Version::numbered(file_id, stored.cast_unsigned())
}

/// The outcome of a put: the lowest bit of the version it gave the entry says whether it created it.
pub(crate) fn put_outcome(file_id: u64, stored: Option<i64>) -> SetOutcome {
    match stored {
        None => SetOutcome::new(SetStatus::NotMet),
        Some(stored) => {
            let status = if stored & 1 == 1 { SetStatus::Created } else { SetStatus::Updated };
            SetOutcome::new(status).with_version(version(file_id, stored))
        }
    }
}

/// The numbers that stand for the kinds in the file.
const TEXT: i64 = 0;
pub(crate) const JSON: i64 = 1;
const BYTES: i64 = 2;

/// The number that stands for a kind in the file.
pub(crate) const fn kind_number(kind: ValueKind) -> Option<i64> {
    match kind {
        ValueKind::Text => Some(TEXT),
        ValueKind::Json => Some(JSON),
        ValueKind::Bytes => Some(BYTES),
        _ => None,
    }
}

/// The kind a number in the file stands for.
pub(crate) fn kind_from_number(number: i64) -> Result<ValueKind> {
    match number {
        TEXT => Ok(ValueKind::Text),
        JSON => Ok(ValueKind::Json),
        BYTES => Ok(ValueKind::Bytes),
        _ => Err(damaged_row("its kind has a number without meaning")),
    }
}

/// A stored value as the callers see it. Whether text is UTF-8 is found when it is looked at.
pub(crate) fn stored_value(kind: i64, bytes: Vec<u8>) -> Result<Value> {
    Ok(Value::from_stored(kind_from_number(kind)?, Bytes::from(bytes)))
}

/// When an expiry ends, in the file's milliseconds, rounded up (EXP-4).
pub(crate) fn deadline(expiry: Expiry, now: Timestamp) -> Option<i64> {
    expiry.deadline(now).map(Timestamp::as_unix_millis_ceil)
}
