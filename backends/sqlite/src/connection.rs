//! Connections to the file, and the wait for another process's lock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, Timer, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use crate::config::{Durability, SqliteConfig};
use crate::error::is_busy;

/// Rows travel from the connection's thread through a channel of this length: long enough that the thread does not wait
/// for the task on each row.
const ROW_BUFFER: usize = 1024;

/// How a file is opened.
pub(crate) struct Opening<'a> {
    pub(crate) path: &'a Path,
    pub(crate) config: &'a SqliteConfig,
}

impl Opening<'_> {
    /// For the writer of the store, and for creating and changing the schema.
    pub(crate) fn for_writing(&self) -> SqliteConnectOptions {
        let (synchronous, fullfsync) = match self.config.durability {
            Durability::Full => (SqliteSynchronous::Full, "ON"),
            Durability::Normal => (SqliteSynchronous::Normal, "OFF"),
        };
        self.basic()
            .create_if_missing(self.config.create)
            .synchronous(synchronous)
            // On macOS a plain sync leaves the data in the disk's own cache; elsewhere this changes nothing.
            .pragma("fullfsync", fullfsync)
            // KiB: 64 MiB.
            .pragma("cache_size", "-65536")
            // A grouped write keeps a journal of its statement, which would go through a temporary file.
            .pragma("temp_store", "MEMORY")
            .pragma("wal_autocheckpoint", self.config.checkpoint_pages.to_string())
    }

    /// For a reader: of a store that writes too, able to recover the log after a crash and to move it into the file when
    /// it is the last to close; of a store for reading only, without any right to write.
    pub(crate) fn for_reading(&self) -> SqliteConnectOptions {
        // KiB: 16 MiB each, since there may be several.
        let basic = self.basic().pragma("cache_size", "-16384");
        if self.config.read_only { basic.read_only(true) } else { basic.pragma("query_only", "ON") }
    }

    /// For a look at a file that may be somebody else's: leaves it and its directory as they are.
    pub(crate) fn for_looking(&self, has_log: bool) -> SqliteConnectOptions {
        // Without a log there is nothing in the file's neighbourhood to be read, and nothing needs be created there.
        self.basic().read_only(true).immutable(!has_log)
    }

    fn basic(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.path)
            // SQLite's own wait goes in steps of up to 100 ms, keeps the connection's thread and cannot be moved by a test.
            .busy_timeout(Duration::ZERO)
            .row_buffer_size(ROW_BUFFER)
            .thread_name(|number| format!("kv-sqlite-{number}"))
            .disable_statement_logging()
    }
}

/// Connects, waiting out a lock.
pub(crate) async fn connect(
    options: &SqliteConnectOptions,
    busy_retry: &BusyRetry,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut wait = busy_retry.begin();
    loop {
        match SqliteConnection::connect_with(options).await {
            Err(error) if is_busy(&error) && wait.again().await => {}
            result => return result,
        }
    }
}

/// How long another process's lock is waited out.
#[derive(Clone, Debug)]
pub(crate) struct BusyRetry {
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limit: Duration,
}

impl BusyRetry {
    /// Begins to wait for one lock.
    pub(crate) fn begin(&self) -> Wait<'_> {
        Wait { busy_retry: self, since: self.clock.now(), waited: Duration::ZERO, step: FIRST_STEP }
    }
}

const FIRST_STEP: Duration = Duration::from_micros(100);
const LAST_STEP: Duration = Duration::from_millis(2);

/// One wait, in steps that begin short and stay short: who waits long gets no smaller share.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    busy_retry: &'a BusyRetry,
    since: Timestamp,
    waited: Duration,
    step: Duration,
}

impl Wait<'_> {
    /// Waits one step; `false` once the limit is reached. It counts by the clock and by the steps, whichever is more: timers
    /// wait longer than they are told, and a clock may stand still.
    pub(crate) async fn again(&mut self) -> bool {
        let elapsed = self.busy_retry.clock.now().saturating_since(self.since).max(self.waited);
        let left = self.busy_retry.limit.saturating_sub(elapsed);
        if left.is_zero() {
            return false;
        }
        let step = self.step.min(left);
        self.busy_retry.timer.sleep(step).await;
        self.waited += step;
        self.step = (self.step * 2).min(LAST_STEP);
        true
    }
}

/// A connection that is held for the life of the store, and replaced if it fails.
#[derive(Debug)]
pub(crate) struct ReconnectingConnection {
    pub(crate) connection: SqliteConnection,
    options: SqliteConnectOptions,
    pub(crate) busy_retry: BusyRetry,
    /// The connection was given up, and there is no other yet.
    lost: bool,
}

impl ReconnectingConnection {
    pub(crate) fn new(connection: SqliteConnection, options: SqliteConnectOptions, busy_retry: BusyRetry) -> Self {
        // Should somebody have removed the file since, an empty one in its place would only hide it.
        Self { connection, options: options.create_if_missing(false), busy_retry, lost: false }
    }

    /// Gives the connection up for a new one. What it had not committed is undone with it. Until this succeeds the connection is
    /// lost.
    pub(crate) async fn renew(&mut self) -> Result<(), sqlx::Error> {
        self.lost = true;
        self.connection = connect(&self.options, &self.busy_retry).await?;
        self.lost = false;
        Ok(())
    }

    /// Another try, where the connection is lost.
    pub(crate) async fn restore(&mut self) -> Result<(), sqlx::Error> {
        if self.lost { self.renew().await } else { Ok(()) }
    }

    pub(crate) const fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::AssertSqlSafe;

    /// SQLite ignores a pragma it does not know, so a slip of the pen would go unnoticed.
    #[tokio::test]
    async fn every_setting_reaches_sqlite() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        for (durability, synchronous, fullfsync) in [(Durability::Full, 2, 1), (Durability::Normal, 1, 0)] {
            let config = SqliteConfig::new(&path).with_durability(durability).with_checkpoint_pages(1234);
            let opening = Opening { path: &path, config: &config };
            let mut writer = opening.for_writing().connect().await.unwrap();
            for (pragma, expected) in [
                ("synchronous", synchronous),
                ("fullfsync", fullfsync),
                ("cache_size", -65_536),
                ("temp_store", 2),
                ("wal_autocheckpoint", 1234),
                ("busy_timeout", 0),
                ("query_only", 0),
            ] {
                assert_eq!(setting(&mut writer, pragma).await, expected, "{pragma}");
            }
            let mut reader = opening.for_reading().connect().await.unwrap();
            assert_eq!(setting(&mut reader, "query_only").await, 1);
            assert_eq!(setting(&mut reader, "cache_size").await, -16_384);
            assert_eq!(setting(&mut reader, "busy_timeout").await, 0);
        }
    }

    async fn setting(connection: &mut SqliteConnection, pragma: &str) -> i64 {
        let sql = AssertSqlSafe(format!("PRAGMA {pragma}"));
        sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
    }
}
