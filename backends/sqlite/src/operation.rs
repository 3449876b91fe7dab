//! What the writer is asked to do, in the file's own terms, and what it answers.

use kv_api::{
    Delete, DeleteOutcome, Entry, Expire, Expiry, Fields, GetAndDelete, Increment, Metadata, Result, SetOutcome,
    Timestamp, Touch, Value, Write, WriteParts,
};
use kv_sql::PutCondition;

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
        created_expiry: Expiry,
    },
    /// With a version: only a live entry of that version.
    Expire {
        expiry: Expiry,
        if_version: Option<i64>,
    },
    Touch {
        expiry: Expiry,
        fields: Fields,
    },
    GetAndDelete {
        fields: Fields,
    },
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Set(SetOutcome),
    Delete(DeleteOutcome),
    Count(i64),
    /// Whether there was a live entry.
    Expire(bool),
    /// What a touch or a get-and-delete has read.
    Entry(Option<Entry>),
}

impl Operation {
    pub(crate) fn put(write: Write<'_>, file_id: u64) -> Result<Self> {
        let WriteParts { key, value, metadata, expiry, condition, .. } = write.into_parts();
        let condition = PutCondition::new(&condition, file_id)?;
        Ok(Self { key: key.into_owned(), action: Action::Put { value, metadata, expiry, condition } })
    }

    pub(crate) fn delete(delete: Delete<'_>, file_id: u64) -> Self {
        let if_version = delete.if_version().map(|version| PutCondition::number(version, file_id));
        Self { key: delete.into_key().into_owned(), action: Action::Delete { if_version } }
    }

    pub(crate) fn increment(increment: Increment<'_>) -> Self {
        let action = Action::Increment {
            by: increment.by(),
            min: increment.min(),
            max: increment.max(),
            expiring_allowed: increment.expiring_allowed(),
            created_expiry: increment.created_expiry(),
        };
        Self { key: increment.into_key().into_owned(), action }
    }

    pub(crate) fn expire(expire: Expire<'_>, file_id: u64) -> Self {
        let if_version = expire.if_version().map(|version| PutCondition::number(version, file_id));
        let action = Action::Expire { expiry: expire.expiry(), if_version };
        Self { key: expire.into_key().into_owned(), action }
    }

    pub(crate) fn touch(touch: Touch<'_>) -> Self {
        let action = Action::Touch { expiry: touch.expiry(), fields: touch.fields() };
        Self { key: touch.into_key().into_owned(), action }
    }

    pub(crate) fn get_and_delete(get_and_delete: GetAndDelete<'_>) -> Self {
        let action = Action::GetAndDelete { fields: get_and_delete.fields() };
        Self { key: get_and_delete.into_key().into_owned(), action }
    }

    /// The bytes it carries: what the size of a group is counted by.
    pub(crate) fn bytes(&self) -> usize {
        let content = match &self.action {
            Action::Put { value, metadata, .. } => {
                value.as_bytes().len() + metadata.as_ref().map_or(0, |metadata| metadata.as_bytes().len())
            }
            Action::Delete { .. }
            | Action::Increment { .. }
            | Action::Expire { .. }
            | Action::Touch { .. }
            | Action::GetAndDelete { .. } => 0,
        };
        self.key.len() + content
    }
}

/// When an expiry ends, in the file's milliseconds, rounded up (EXP-4).
pub(crate) fn deadline(expiry: Expiry, now: Timestamp) -> Option<i64> {
    expiry.deadline(now).map(Timestamp::as_unix_millis_ceil)
}
