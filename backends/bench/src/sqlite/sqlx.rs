//! sqlx as most programs use it: a pool on which every caller runs its own statement; and one connection that is held.

use std::hint::black_box;
use std::path::Path;

use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Row as _, Sqlite, SqliteConnection, SqlitePool, query::Query};
use tokio::sync::Mutex;

use super::sql;
use crate::database::Database;
use crate::measure::Result;
use crate::row::{Row, now};

fn options(path: &Path) -> SqliteConnectOptions {
    let options =
        SqliteConnectOptions::new().filename(path).busy_timeout(sql::BUSY_TIMEOUT).disable_statement_logging();
    sql::PRAGMAS.into_iter().fold(options, |options, (name, value)| options.pragma(name, value))
}

fn upsert<'a>(text: &'static str, row: &'a Row) -> Query<'a, Sqlite, SqliteArguments> {
    sqlx::query(text).bind(&row.key).bind(row.expires_at()).bind(row.metadata_text()).bind(row.bytes())
}

/// A pool of five connections.
pub(crate) struct Pool(SqlitePool);

impl Pool {
    /// Opens a file that has the table.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        Ok(Self(SqlitePoolOptions::new().max_connections(5).connect_with(options(path)).await?))
    }

    /// Journal mode and `synchronous` as they came out.
    #[cfg(test)]
    pub(crate) async fn settings(&self) -> Result<(String, i64)> {
        let journal_mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&self.0).await?;
        Ok((journal_mode, sqlx::query_scalar("PRAGMA synchronous").fetch_one(&self.0).await?))
    }
}

impl Database for Pool {
    async fn set(&self, row: &Row) -> Result<()> {
        // To the end of the rows: sqlx drops the error of a commit that comes after the first one.
        let rows = upsert(sql::UPSERT_RETURNING, row).fetch_all(&self.0).await?;
        black_box(rows.first().ok_or("no version")?.try_get::<i64, _>(0)?);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let row = sqlx::query(sql::GET).bind(key).bind(now()).fetch_optional(&self.0).await?.ok_or("missing")?;
        black_box(row.try_get::<i64, _>(0)?);
        Ok(row.try_get::<Vec<u8>, _>(1)?.len())
    }
}

/// One connection for one caller, and the plain upsert without an answer.
pub(crate) struct HeldConnection(Mutex<SqliteConnection>);

impl HeldConnection {
    /// Opens a file that has the table.
    ///
    /// # Errors
    /// SQLite's.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        Ok(Self(Mutex::new(options(path).connect().await?)))
    }
}

impl Database for HeldConnection {
    async fn set(&self, row: &Row) -> Result<()> {
        let mut connection = self.0.lock().await;
        upsert(sql::UPSERT, row).execute(&mut *connection).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<usize> {
        let mut connection = self.0.lock().await;
        let row = sqlx::query(sql::GET).bind(key).bind(now()).fetch_optional(&mut *connection).await?;
        let row = row.ok_or("missing")?;
        black_box(row.try_get::<i64, _>(0)?);
        Ok(row.try_get::<Vec<u8>, _>(1)?.len())
    }
}
