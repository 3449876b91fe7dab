//! sqlx as most programs use it: a pool on which every caller runs its own statement; one connection that is held; and
//! statements of many rows.

use std::hint::black_box;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, PgConnection, PgPool, Postgres, Row as _, ValueRef};
use tokio::sync::Mutex;

use super::sql;
use crate::database::{Batches, Conditions, Database, Pages};
use crate::measure::Result;
use crate::row::Row;

type Statement<'a> = Query<'a, Postgres, PgArguments>;

fn write<'a>(text: &'static str, row: &'a Row) -> Statement<'a> {
    let metadata = row.metadata_text().map(str::as_bytes);
    sqlx::query(text).bind(row.key.as_bytes()).bind(row.bytes()).bind(metadata).bind(row.ttl_millis())
}

fn read(key: &str) -> Statement<'_> {
    sqlx::query(sql::GET).bind(key.as_bytes())
}

/// Looks at version and created-or-updated.
fn written(row: &PgRow) -> Result<()> {
    black_box((row.try_get::<i64, _>(0)?, row.try_get::<bool, _>(1)?));
    Ok(())
}

/// The length of the value.
fn length(row: Option<PgRow>) -> Result<usize> {
    let row = row.ok_or("missing")?;
    black_box(row.try_get::<i16, _>(0)?);
    Ok(row.try_get::<Vec<u8>, _>(1)?.len())
}

/// A pool, and statements that it prepares once a connection.
#[derive(Clone)]
pub(crate) struct Pool(pub(crate) PgPool);

impl Pool {
    /// Opens all connections. None is tried before each use, which would be a second round trip a call.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub(crate) async fn open(options: &PgConnectOptions, connections: u32) -> Result<Self> {
        let options = options.clone().disable_statement_logging();
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self(pool))
    }
}

impl Database for Pool {
    async fn set(&self, row: &Row) -> Result<()> {
        written(&write(sql::UPSERT, row).fetch_one(&self.0).await?)
    }

    async fn get(&self, key: &str) -> Result<usize> {
        length(read(key).fetch_optional(&self.0).await?)
    }
}

/// One connection, for one caller at a time.
pub(crate) struct HeldConnection(Mutex<PgConnection>);

impl HeldConnection {
    /// Opens it.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub(crate) async fn open(options: &PgConnectOptions) -> Result<Self> {
        Ok(Self(Mutex::new(options.clone().disable_statement_logging().connect().await?)))
    }
}

impl Database for HeldConnection {
    async fn set(&self, row: &Row) -> Result<()> {
        written(&write(sql::UPSERT, row).fetch_one(&mut *self.0.lock().await).await?)
    }

    async fn get(&self, key: &str) -> Result<usize> {
        length(read(key).fetch_optional(&mut *self.0.lock().await).await?)
    }
}

impl Conditions for HeldConnection {
    async fn set_if_not_exists(&self, row: &Row) -> Result<bool> {
        let row = write(sql::UPSERT_IF_NOT_EXISTS, row).fetch_optional(&mut *self.0.lock().await).await?;
        Ok(match row {
            Some(row) => black_box(row.try_get::<i64, _>(0)?) > 0,
            None => false,
        })
    }
}

impl Pages for HeldConnection {
    async fn page(&self, prefix: &str, limit: usize) -> Result<usize> {
        // '0' comes after '/'.
        let (first, beyond) = (format!("{prefix}/"), format!("{prefix}0"));
        let statement =
            sqlx::query(sql::PAGE).bind(first.as_bytes()).bind(beyond.as_bytes()).bind(i64::try_from(limit)?);
        let rows = statement.fetch_all(&mut *self.0.lock().await).await?;
        for row in &rows {
            let key = String::from_utf8(row.try_get::<Vec<u8>, _>(0)?)?;
            let has_expiry = !row.try_get_raw(2)?.is_null();
            black_box((key, row.try_get::<i64, _>(1)?, has_expiry, row.try_get::<Option<Vec<u8>>, _>(3)?));
        }
        Ok(rows.len())
    }
}

/// One statement a batch.
pub(crate) struct Unnest {
    pub(crate) pool: Pool,
    /// Whether it asks for version and created-or-updated of each row.
    pub(crate) returns: bool,
}

impl Batches for Unnest {
    async fn set_many(&self, rows: &[Row]) -> Result<()> {
        let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_bytes()).collect();
        let values: Vec<&[u8]> = rows.iter().map(Row::bytes).collect();
        let metadata: Vec<_> = rows.iter().map(|row| row.metadata_text().map(str::as_bytes)).collect();
        let ttls: Vec<_> = rows.iter().map(Row::ttl_millis).collect();
        let text = if self.returns { sql::UPSERT_MANY_RETURNING } else { sql::UPSERT_MANY };
        let statement = sqlx::query(text).bind(keys).bind(values).bind(metadata).bind(ttls);
        if !self.returns {
            statement.execute(&self.pool.0).await?;
            return Ok(());
        }
        for row in statement.fetch_all(&self.pool.0).await? {
            black_box((row.try_get::<Vec<u8>, _>(0)?, row.try_get::<i64, _>(1)?, row.try_get::<bool, _>(2)?));
        }
        Ok(())
    }

    async fn get_many(&self, keys: &[String]) -> Result<usize> {
        let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let rows = sqlx::query(sql::GET_MANY).bind(keys).fetch_all(&self.pool.0).await?;
        for row in &rows {
            black_box((row.try_get::<Vec<u8>, _>(0)?, row.try_get::<i16, _>(1)?, row.try_get::<Vec<u8>, _>(2)?));
        }
        Ok(rows.len())
    }
}
