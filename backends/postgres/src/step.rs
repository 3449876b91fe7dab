//! What changes one key by a step: deletes, changes of the expiry, reads that change, counters. And deletes of many
//! keys.

use std::collections::HashMap;

use kv_api::{DeleteOutcome, Entry, Error, ErrorKind, Expire, Expiry, GetAndDelete, Increment, Result, Retry, Touch};
use kv_sql::StoredCounter;
use sqlx::Row;

use crate::arguments::Arguments;
use crate::error::undecodable;
use crate::get::Gets;
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

/// Changes only the expiry of a live entry, or of that version of it; `false` without one (EXP-9, EXP-11).
pub(crate) async fn expire(
    connection: &mut Borrowed,
    namespace: &str,
    expire: &Expire<'_>,
    if_version: Option<i64>,
) -> Result<bool> {
    let arguments = connection.arguments().text(namespace).bytes(expire.key().as_bytes());
    let arguments = ending(arguments, expire.expiry())?;
    let row = match if_version {
        None => connection.row(queries::EXPIRE, arguments).await?,
        Some(version) => connection.row(queries::EXPIRE_IF_VERSION, arguments.number(version)).await?,
    };
    Ok(row.is_some())
}

/// Reads a live entry and gives it a new expiry; `None` without one (EXP-12).
pub(crate) async fn touch(connection: &mut Borrowed, gets: &Gets, touch: &Touch<'_>) -> Result<Option<Entry>> {
    let arguments = connection.arguments().text(&gets.namespace).bytes(touch.key().as_bytes());
    let row = connection.row(queries::TOUCH, ending(arguments, touch.expiry())?).await?;
    row.map(|row| gets.entry(&row, 0, touch.fields())).transpose()
}

/// Reads a live entry and deletes it; `None` without one (GET-4).
pub(crate) async fn get_and_delete(
    connection: &mut Borrowed,
    gets: &Gets,
    get_and_delete: &GetAndDelete<'_>,
) -> Result<Option<Entry>> {
    let arguments = connection.arguments().text(&gets.namespace).bytes(get_and_delete.key().as_bytes());
    let row = connection.row(queries::GET_AND_DELETE, arguments).await?;
    row.map(|row| gets.entry(&row, 0, get_and_delete.fields())).transpose()
}

/// Adds an expiry: a ttl and a time, of which one at most is not null.
fn ending(arguments: Arguments, expiry: Expiry) -> Result<Arguments> {
    let (ttl_ms, expires_at) = deadline(expiry)?;
    let expires_at = expires_at.map(|at| at.to_string());
    Ok(arguments.optional_number(ttl_ms).optional_text(expires_at.as_deref()))
}

/// Increments a counter and gives its new value (CNT-1 to CNT-3).
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
    let (sql, arguments) = match from_zero {
        Ok(_) => (queries::INCREMENT, ending(arguments, step.created_expiry())?),
        Err(_) => (queries::INCREMENT_EXISTING, arguments),
    };
    if let Some(row) = connection.row(sql, arguments).await? {
        return row.try_get(0).map_err(undecodable);
    }
    // It was refused, so that what is there has to say why.
    let arguments = connection.arguments().text(namespace).bytes(key);
    // Nothing was applied, whatever becomes of this look.
    let refused = match connection.row(queries::COUNTER, arguments).await.map_err(Error::not_applied)? {
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
