//! One operation as one statement: what a call that waits alone becomes, and each call of a group that had a row
//! refused.
//!
//! Each statement returns a row for the entry that it changed, before any trigger of another program runs after it. So
//! a row is the evidence that the operation was applied. No row says only that nothing was changed. [`unmet`] says
//! whether that is what the operation has to do in the state that it finds. Where it is not, the file refused the row,
//! if no other process came between: inside a transaction that is certain.

use kv_api::{DeleteOutcome, Error, Result, Timestamp};
use kv_sql::{PutCondition, StoredCounter, incremented, put_outcome};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::operation::{Action, Answer, Operation, deadline};
use crate::queries;
use crate::row::{StoredRow, decode_entry, written_row};
use crate::schema::NamespaceId;
use crate::statement::{Statement, fetch_rows};
use crate::transaction::bind_row;

/// One operation by one statement. `None`: it changed nothing.
pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    namespace_id: NamespaceId,
    operation: &Operation,
    now: Timestamp,
    number: i64,
) -> Result<Option<Answer>, sqlx::Error> {
    let now_ms = now.as_unix_millis_floor();
    let addressed =
        |sql: &'static str| -> Statement { sqlx::query(sql).bind(namespace_id.row_id).bind(operation.key.clone()) };
    let statement = match &operation.action {
        Action::Put { expiry, condition, .. } => {
            let (sql, expected) = match condition {
                PutCondition::Always => (queries::single::PUT, None),
                PutCondition::IfNotExists => (queries::single::PUT_IF_NOT_EXISTS, None),
                PutCondition::IfExists => (queries::single::PUT_IF_EXISTS, None),
                PutCondition::IfVersion(version) => (queries::single::PUT_IF_VERSION, Some(*version)),
            };
            let row = written_row(operation, number * 2 + 1, deadline(*expiry, now))
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
            bind_row(sqlx::query(sql), namespace_id, &row).bind(now_ms).bind(expected)
        }
        Action::Delete { if_version: None } => addressed(queries::single::DELETE).bind(now_ms),
        Action::Delete { if_version: Some(version) } => {
            addressed(queries::single::DELETE_IF_VERSION).bind(now_ms).bind(*version)
        }
        Action::Expire { expiry, if_version: None } => {
            addressed(queries::single::EXPIRE).bind(now_ms).bind(deadline(*expiry, now))
        }
        Action::Expire { expiry, if_version: Some(version) } => {
            addressed(queries::single::EXPIRE_IF_VERSION).bind(now_ms).bind(deadline(*expiry, now)).bind(*version)
        }
        Action::Touch { expiry, .. } => addressed(queries::single::TOUCH).bind(now_ms).bind(deadline(*expiry, now)),
        Action::GetAndDelete { .. } => addressed(queries::single::GET_AND_DELETE).bind(now_ms),
        Action::Increment { by, min, max, expiring_allowed, created_expiry } => addressed(queries::single::INCREMENT)
            .bind(*by)
            .bind(number * 2 + 1)
            .bind(*min)
            .bind(*max)
            .bind(*expiring_allowed)
            .bind(now_ms)
            .bind(deadline(*created_expiry, now)),
    };
    let Some(row) = fetch_rows(connection, statement).await?.into_iter().next() else { return Ok(None) };
    Ok(Some(match &operation.action {
        Action::Put { .. } => Answer::Set(put_outcome(namespace_id.file_id, Some(row.try_get(0)?))),
        Action::Delete { if_version: None } if !row.try_get::<bool, _>(0)? => Answer::Delete(DeleteOutcome::NotFound),
        Action::Delete { .. } => Answer::Delete(DeleteOutcome::Deleted),
        Action::Expire { .. } => Answer::Expire(true),
        Action::Touch { fields, .. } | Action::GetAndDelete { fields } => {
            let entry = decode_entry(&row, 0, *fields, namespace_id);
            Answer::Entry(Some(entry.map_err(|error| sqlx::Error::Decode(Box::new(error)))?))
        }
        Action::Increment { .. } => {
            let value = std::str::from_utf8(row.try_get(0)?).ok().and_then(|text| text.parse().ok());
            Answer::Count(value.ok_or_else(|| sqlx::Error::Decode("a counter is no integer".into()))?)
        }
    }))
}

/// The answer to an operation that changes nothing, because its condition does not hold or it cannot be counted in what
/// is there. `None`: nothing stands in its way.
pub(crate) async fn unmet(
    connection: &mut SqliteConnection,
    namespace_id: NamespaceId,
    operation: &Operation,
    now: Timestamp,
) -> Result<Option<Result<Answer>>, sqlx::Error> {
    let query = sqlx::query(queries::single::COUNTER).bind(namespace_id.row_id).bind(operation.key.clone());
    let stored = fetch_rows(connection, query).await?.first().map(stored_counter_row).transpose()?;
    let now_ms = now.as_unix_millis_floor();
    let live = stored.filter(|stored| stored.expires_at.is_none_or(|expires_at| expires_at > now_ms));
    let has_version = |version: i64| live.as_ref().is_some_and(|live| live.version == version);
    let (is_unmet, answer) = match &operation.action {
        Action::Put { condition, .. } => {
            let is_unmet = match condition {
                PutCondition::Always => false,
                PutCondition::IfNotExists => live.is_some(),
                PutCondition::IfExists => live.is_none(),
                PutCondition::IfVersion(version) => !has_version(*version),
            };
            (is_unmet, Answer::Set(put_outcome(namespace_id.file_id, None)))
        }
        Action::Delete { if_version: None } => (live.is_none(), Answer::Delete(DeleteOutcome::NotFound)),
        Action::Delete { if_version: Some(version) } => (!has_version(*version), Answer::Delete(DeleteOutcome::NotMet)),
        Action::Expire { if_version: None, .. } => (live.is_none(), Answer::Expire(false)),
        Action::Expire { if_version: Some(version), .. } => (!has_version(*version), Answer::Expire(false)),
        Action::Touch { .. } | Action::GetAndDelete { .. } => (live.is_none(), Answer::Entry(None)),
        Action::Increment { by, min, max, expiring_allowed, .. } => {
            let counted = match live {
                Some(StoredRow { expires_at: Some(_), .. }) if !expiring_allowed => {
                    Err(Error::not_a_counter("the entry has an expiry"))
                }
                Some(StoredRow { counter: Some(counter), .. }) => counter.value(),
                Some(_) | None => Ok(0),
            };
            return Ok(counted.and_then(|old| incremented(old, *by, *min, *max)).err().map(Err));
        }
    };
    Ok(is_unmet.then_some(Ok(answer)))
}

/// The state of a key, from a row of [`queries::single::COUNTER`].
fn stored_counter_row(row: &SqliteRow) -> Result<StoredRow, sqlx::Error> {
    let counter = StoredCounter { kind: row.try_get(3)?, has_metadata: row.try_get(4)?, head: row.try_get(5)? };
    Ok(StoredRow {
        row_id: row.try_get(0)?,
        version: row.try_get(1)?,
        expires_at: row.try_get(2)?,
        counter: Some(counter),
    })
}
