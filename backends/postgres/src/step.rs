//! What changes one key by a step: deletes, changes of the expiry, counters. And deletes of many keys.

use std::collections::HashMap;

use kv_api::{DeleteOutcome, Error, ErrorKind, Expire, Increment, Result, Retry};
use kv_sql::StoredCounter;
use sqlx::Row;

use crate::error::undecodable;
use crate::pool::Borrowed;
use crate::put::deadline;
use crate::queries;

/// Deletes one key, or only that version of it (DEL-1, DEL-2).
pub(crate) async fn delete(
    connection: &mut Borrowed,
    namespace: &str,
    key: &str,
    if_version: Option<i64>,
) -> Result<DeleteOutcome> {
    let arguments = connection.arguments().text(namespace).bytes(key.as_bytes());
    let Some(version) = if_version else {
        let row = connection.row(queries::DELETE, arguments).await?;
        let was_live = row.map(|row| row.try_get(0).map_err(undecodable)).transpose()?;
        return Ok(if was_live == Some(true) { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound });
    };
    let row = connection.row(queries::DELETE_IF_VERSION, arguments.number(version)).await?;
    Ok(if row.is_some() { DeleteOutcome::Deleted } else { DeleteOutcome::NotMet })
}

/// Deletes distinct keys by one statement: an outcome for each, in order.
pub(crate) async fn delete_many(
    connection: &mut Borrowed,
    namespace: &str,
    keys: &[&str],
) -> Result<Vec<DeleteOutcome>> {
    let mut sorted: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    // As in `Puts::put_many`.
    sorted.sort_unstable();
    let arguments = connection.arguments().text(namespace).bytes_list(sorted);
    let mut were_live = HashMap::new();
    for row in connection.rows(queries::DELETE_MANY, arguments).await? {
        let key: Vec<u8> = row.try_get(0).map_err(undecodable)?;
        were_live.insert(key, row.try_get(1).map_err(undecodable)?);
    }
    let outcome = |key: &&str| match were_live.get(key.as_bytes()) {
        Some(true) => DeleteOutcome::Deleted,
        _ => DeleteOutcome::NotFound,
    };
    Ok(keys.iter().map(outcome).collect())
}

/// Changes only the expiry of a live entry; `false` without one (EXP-9).
pub(crate) async fn expire(connection: &mut Borrowed, namespace: &str, expire: &Expire<'_>) -> Result<bool> {
    let (ttl_ms, expires_at) = deadline(expire.expiry())?;
    let expires_at = expires_at.map(|at| at.to_string());
    let arguments = connection
        .arguments()
        .text(namespace)
        .bytes(expire.key().as_bytes())
        .optional_number(ttl_ms)
        .optional_text(expires_at.as_deref());
    Ok(connection.row(queries::EXPIRE, arguments).await?.is_some())
}

/// Increments a counter and gives its new value (CNT-1, CNT-2).
pub(crate) async fn increment(connection: &mut Borrowed, namespace: &str, step: &Increment<'_>) -> Result<i64> {
    let key = step.key().as_bytes();
    let arguments = connection
        .arguments()
        .text(namespace)
        .bytes(key)
        .number(step.by())
        .number(step.min())
        .number(step.max())
        .flag(step.expiring_allowed());
    let from_zero = step.apply(0);
    let sql = if from_zero.is_ok() { queries::INCREMENT } else { queries::INCREMENT_EXISTING };
    if let Some(row) = connection.row(sql, arguments).await? {
        return row.try_get(0).map_err(undecodable);
    }
    // It was refused, so that what is there has to say why.
    let arguments = connection.arguments().text(namespace).bytes(key);
    // Nothing was applied, whatever becomes of this look.
    let not_applied = |error: Error| match error.retry() {
        Retry::OutcomeUnknown => error.with_retry(Retry::Safe),
        _ => error,
    };
    let refused = match connection.row(queries::COUNTER, arguments).await.map_err(not_applied)? {
        None => from_zero.err(),
        Some(row) => {
            let kind: i16 = row.try_get(0).map_err(undecodable)?;
            let head: Vec<u8> = row.try_get(2).map_err(undecodable)?;
            let has_metadata = row.try_get(1).map_err(undecodable)?;
            let counter = StoredCounter { kind: i64::from(kind), has_metadata, head };
            if row.try_get(3).map_err(undecodable)? && !step.expiring_allowed() {
                return Err(Error::not_a_counter("the entry has an expiry"));
            }
            counter.value().and_then(|old| step.apply(old)).err()
        }
    };
    Err(refused.unwrap_or_else(|| {
        let message = "the entry was changed between the step and the look at why it was refused";
        Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
    }))
}
