//! OpenDAL's SQLite service.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kv_api::{Timer, TokioTimer, Value};
use opendal::{Operator, services};
use rusqlite::{Connection, params};

use crate::database::Database;
use crate::measure::Result;
use crate::row::Row;

/// An operator on a table of keys and values; the service knows neither expiry nor metadata.
pub(crate) struct OpenDal {
    operator: Operator,
    retries: AtomicUsize,
}

impl OpenDal {
    /// Makes a file with `entries` rows and opens it. WAL stays with the file, `synchronous` is FULL unless told
    /// otherwise; more the service does not let one set.
    ///
    /// # Errors
    /// SQLite's, or a path that is not UTF-8.
    pub(crate) fn open(path: &Path, entries: usize, value: &Value) -> Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")?;
        let transaction = connection.transaction()?;
        for row in Row::distinct(entries, entries, value) {
            let mut insert = transaction.prepare_cached("INSERT INTO kv (key, value) VALUES ($1, $2)")?;
            insert.execute(params![row.key, row.bytes()])?;
        }
        transaction.commit()?;
        drop(connection);
        let path = path.to_str().ok_or("a path that is not UTF-8")?;
        let service = services::Sqlite::default().connection_string(&format!("sqlite:{path}")).table("kv");
        Ok(Self { operator: Operator::new(service)?, retries: AtomicUsize::new(0) })
    }

    /// How many writes failed and were tried again.
    pub(crate) fn retries(&self) -> usize {
        self.retries.load(Ordering::Relaxed)
    }
}

impl Database for OpenDal {
    async fn set(&self, row: &Row) -> Result<()> {
        const STEP: Duration = Duration::from_millis(1);
        const LONGEST: Duration = Duration::from_millis(32);
        const ATTEMPTS: usize = 100;
        let mut wait = STEP;
        for _ in 0..ATTEMPTS {
            match self.operator.write(&row.key, row.value.as_bytes().clone()).await {
                Ok(metadata) => {
                    black_box(metadata);
                    return Ok(());
                }
                Err(_) => {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    TokioTimer.sleep(wait).await;
                    wait = (wait * 2).min(LONGEST);
                }
            }
        }
        self.operator.write(&row.key, row.value.as_bytes().clone()).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<usize> {
        Ok(black_box(self.operator.read(key).await?).len())
    }
}
