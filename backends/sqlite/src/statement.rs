//! Running a statement to its end, and knowing that it got there.
//!
//! When the thread of a connection ends, the driver's stream of results ends too, without an error: a get would find
//! nothing, and a set would seem to be done. So what counts is the driver's own mark for the end of a statement.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Either, Error, Executor, Sqlite};

/// A statement with its arguments.
pub(crate) type Statement = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// The rows of a statement that was carried out to its end: the commit of a statement comes after its last row, and
/// with it the error of that commit.
pub(crate) async fn fetch_rows(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<Vec<SqliteRow>, Error> {
    let mut results = connection.fetch_many(statement);
    let (mut rows, mut ended) = (Vec::new(), false);
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(_) => ended = true,
            Either::Right(row) => {
                ended = false;
                rows.push(row);
            }
        }
    }
    if ended { Ok(rows) } else { Err(Error::WorkerCrashed) }
}

/// The first row of a statement that reads, as soon as it is there: the driver's mark for the end would be one more
/// wake-up of the task. `None` only where the statement came to its end without a row.
pub(crate) async fn fetch_first(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<Option<SqliteRow>, Error> {
    let mut results = connection.fetch_many(statement);
    let mut ended = false;
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(_) => ended = true,
            Either::Right(row) => return Ok(Some(row)),
        }
    }
    if ended { Ok(None) } else { Err(Error::WorkerCrashed) }
}

/// The one row of a statement that always has one, or of several statements of which the last has one.
pub(crate) async fn fetch_row(connection: &mut SqliteConnection, statement: Statement) -> Result<SqliteRow, Error> {
    fetch_rows(connection, statement).await?.into_iter().next().ok_or(Error::WorkerCrashed)
}

/// How many rows a statement inserted, updated or deleted. What triggers changed does not count, and neither does a row
/// that a trigger passed over.
pub(crate) async fn changed_rows(connection: &mut SqliteConnection, statement: Statement) -> Result<u64, Error> {
    let mut results = connection.fetch_many(statement);
    let mut changed = None;
    while let Some(result) = results.try_next().await? {
        if let Either::Left(result) = result {
            changed = Some(result.rows_affected());
        }
    }
    changed.ok_or(Error::WorkerCrashed)
}
