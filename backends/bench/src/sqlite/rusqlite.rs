//! rusqlite on the calling thread, with cached statements: the shortest way into SQLite there is.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kv_api::Value;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::sql;
use crate::database::{Batches, Database, Pages};
use crate::measure::Result;
use crate::row::{Row, now};

/// One connection, called by one task at a time.
pub(crate) struct Rusqlite {
    connection: Mutex<Connection>,
    /// Whether batches ask for the version of each row.
    batches_return: bool,
}

impl Rusqlite {
    /// Opens a file that has the table.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) fn open(path: &Path, batches_return: bool) -> Result<Self> {
        Ok(Self { connection: Mutex::new(connect(path)?), batches_return })
    }

    /// Journal mode and `synchronous` as they came out.
    #[cfg(test)]
    pub(crate) fn settings(&self) -> Result<(String, i64)> {
        let connection = self.connection();
        let setting = |name| connection.pragma_query_value(None, name, |row| row.get(0));
        Ok((connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?, setting("synchronous")?))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(sql::BUSY_TIMEOUT)?;
    for (name, value) in sql::PRAGMAS {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

/// Makes a file with the table and `entries` rows in random order, all of it in the file and none in the log.
///
/// # Errors
/// SQLite's.
pub(crate) fn make_file(path: &Path, entries: usize, value: &Value) -> Result<()> {
    let mut connection = connect(path)?;
    connection.execute_batch(sql::SCHEMA)?;
    let transaction = connection.transaction()?;
    for row in Row::distinct(entries, entries, value) {
        upsert(&transaction, &row)?;
    }
    transaction.commit()?;
    connection.pragma_query(None, "wal_checkpoint", |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

fn upsert(connection: &Connection, row: &Row) -> Result<()> {
    let mut statement = connection.prepare_cached(sql::UPSERT)?;
    statement.execute(params![row.key, row.expires_at(), row.metadata_text(), row.bytes()])?;
    Ok(())
}

fn upsert_returning(connection: &Connection, row: &Row) -> Result<i64> {
    let mut statement = connection.prepare_cached(sql::UPSERT_RETURNING)?;
    let mut rows = statement.query(params![row.key, row.expires_at(), row.metadata_text(), row.bytes()])?;
    let version = rows.next()?.ok_or("no version")?.get(0)?;
    // The commit comes with the end of the rows, and its error too.
    rows.next()?;
    Ok(version)
}

fn select(connection: &Connection, key: &str) -> Result<Option<(i64, Vec<u8>)>> {
    let mut statement = connection.prepare_cached(sql::GET)?;
    Ok(statement.query_row(params![key, now()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

impl Database for Rusqlite {
    async fn set(&self, row: &Row) -> Result<()> {
        black_box(upsert_returning(&self.connection(), row)?);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let (kind, value) = select(&self.connection(), key)?.ok_or("missing")?;
        black_box(kind);
        Ok(value.len())
    }
}

impl Batches for Rusqlite {
    async fn set_many(&self, rows: &[Row]) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if self.batches_return {
            let versions: Vec<i64> =
                rows.iter().map(|row| upsert_returning(&transaction, row)).collect::<Result<_>>()?;
            black_box(versions);
        } else {
            for row in rows {
                upsert(&transaction, row)?;
            }
        }
        Ok(transaction.commit()?)
    }

    async fn get_many(&self, keys: &[String]) -> Result<usize> {
        let connection = self.connection();
        let values: Vec<_> = keys.iter().map(|key| select(&connection, key)).collect::<Result<_>>()?;
        Ok(black_box(values).iter().flatten().count())
    }
}

impl Pages for Rusqlite {
    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql::PAGE)?;
        // '0' comes after '/'.
        let (first, beyond) = (format!("{prefix}/"), format!("{prefix}0"));
        let rows = statement.query_map(params![first, beyond, now(), i64::try_from(limit)?], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        Ok(black_box(rows.collect::<Result<Vec<_>, _>>()?).len())
    }
}
