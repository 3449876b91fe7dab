//! One operation as one statement: what a call that waits alone becomes, and each call of a group that had a row refused.

use kv_api::{DeleteOutcome, Error, Result, Timestamp};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::error::undecided;
use crate::group::{StoredCounter, StoredRow, incremented, written_row};
use crate::operation::{Action, Answer, Operation, PutCondition, deadline, put_outcome};
use crate::queries;
use crate::schema::NamespaceId;
use crate::transaction::{Statement, bind_row};

/// One operation by one statement. `None`: an increment was refused, and [`refusal`] or a group tells why.
pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    namespace_id: NamespaceId,
    operation: &Operation,
    now: Timestamp,
    number: i64,
) -> Result<Option<Answer>, sqlx::Error> {
    let now_ms = now.as_unix_millis_floor();
    let addressed =
        |sql: &'static str| -> Statement { sqlx::query(sql).bind(namespace_id.namespace).bind(operation.key.clone()) };
    // Always to the end, never only to the first row: the commit comes after the last one, and with it its error.
    let row = |rows: Vec<SqliteRow>| rows.into_iter().next();
    Ok(Some(match &operation.action {
        Action::Put { expiry, condition, .. } => {
            let (sql, expected) = match condition {
                PutCondition::Always => (queries::PUT, None),
                PutCondition::IfNotExists => (queries::PUT_IF_NOT_EXISTS, None),
                PutCondition::IfExists => (queries::PUT_IF_EXISTS, None),
                PutCondition::IfVersion(version) => (queries::PUT_IF_VERSION, Some(*version)),
            };
            let version = number * 2 + 1;
            let row_to_write = written_row(operation, version, deadline(*expiry, now))
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
            let query = bind_row(sqlx::query(sql), namespace_id, &row_to_write).bind(now_ms).bind(expected);
            let written = row(query.fetch_all(connection).await?);
            if written.is_none() && *condition == PutCondition::Always {
                // Always returns a row, unless the connection's thread ended on the way.
                return Err(sqlx::Error::WorkerCrashed);
            }
            Answer::Set(put_outcome(namespace_id.file_id, written.map(|row| row.try_get(0)).transpose()?))
        }
        Action::Delete { if_version: None } => {
            let deleted = row(addressed(queries::DELETE).bind(now_ms).fetch_all(connection).await?);
            let was_live = deleted.map(|row| row.try_get::<bool, _>(0)).transpose()?.unwrap_or(false);
            Answer::Delete(if was_live { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound })
        }
        Action::Delete { if_version: Some(version) } => {
            let query = addressed(queries::DELETE_IF_VERSION).bind(now_ms).bind(*version);
            let deleted = !query.fetch_all(connection).await?.is_empty();
            Answer::Delete(if deleted { DeleteOutcome::Deleted } else { DeleteOutcome::NotMet })
        }
        Action::Expire { expiry } => {
            let query = addressed(queries::EXPIRE).bind(now_ms).bind(deadline(*expiry, now));
            Answer::Expire(!query.fetch_all(connection).await?.is_empty())
        }
        Action::Increment { by, min, max, expiring_allowed } => {
            let query = addressed(queries::INCREMENT)
                .bind(*by)
                .bind(number * 2 + 1)
                .bind(*min)
                .bind(*max)
                .bind(*expiring_allowed)
                .bind(now_ms);
            let Some(row) = row(query.fetch_all(connection).await?) else { return Ok(None) };
            let value = row.try_get::<&[u8], _>(0)?;
            let value = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            match value {
                Some(value) => Answer::Count(value),
                None => return Ok(None),
            }
        }
    }))
}

/// Why an increment was refused, by the state that the statement saw in this transaction.
pub(crate) async fn refusal(
    connection: &mut SqliteConnection,
    namespace_id: NamespaceId,
    operation: &Operation,
    now: Timestamp,
) -> Result<Error, sqlx::Error> {
    let Action::Increment { by, min, max, expiring_allowed } = operation.action else {
        return Ok(undecided());
    };
    let query = sqlx::query(queries::COUNTER).bind(namespace_id.namespace).bind(operation.key.clone());
    let stored = query.fetch_all(connection).await?.first().map(stored_counter_row).transpose()?;
    let old = match stored {
        Some(StoredRow { expires_at: Some(expires_at), .. }) if expires_at <= now.as_unix_millis_floor() => Ok(0),
        Some(StoredRow { expires_at: Some(_), .. }) if !expiring_allowed => {
            Err(Error::not_a_counter("the entry has an expiry"))
        }
        Some(StoredRow { counter: Some(counter), .. }) => counter.value(),
        Some(_) | None => Ok(0),
    };
    Ok(match old.and_then(|old| incremented(old, by, min, max)) {
        Err(error) => error,
        Ok(_) => undecided(),
    })
}

/// The state of a key, from a row of [`queries::COUNTER`].
fn stored_counter_row(row: &SqliteRow) -> Result<StoredRow, sqlx::Error> {
    let counter = StoredCounter { kind: row.try_get(3)?, has_metadata: row.try_get(4)?, head: row.try_get(5)? };
    Ok(StoredRow {
        row: row.try_get(0)?,
        version: row.try_get(1)?,
        expires_at: row.try_get(2)?,
        counter: Some(counter),
    })
}
