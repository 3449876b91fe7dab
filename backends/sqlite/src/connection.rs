//! Connections to the file: how each is opened, how a lost one is replaced, and the wait for another process's lock.

use std::sync::Arc;
use std::time::Duration;

use kv_api::{Error, ErrorKind, Reason, Result, Retry, Timer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::config::{Durability, SqliteConfig};
use crate::error::{Stage, from_sqlx, is_busy};
use crate::files::{Files, Found};

/// Rows travel from the connection's thread through a channel of this length: long enough that the thread does not wait
/// for the task on each row.
const ROW_BUFFER: usize = 1024;

/// KiB: 16 MiB each, since there may be several. For the writer, more has shown no gain: a page that has to be read
/// again comes from the system's own cache, and costs little beside writing it.
const CACHE: &str = "-16384";

/// While large batches come, the log grows to 64 MiB of pages of 4 KiB: with keys in random order each transaction
/// changes nearly all pages of the key index, which then are moved into the file once for several transactions.
const BULK_CHECKPOINT_PAGES: u32 = 16_384;

/// How the file of a store is opened, by its settings.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) files: Files,
    pub(crate) config: SqliteConfig,
}

impl Opening {
    /// For the writer of the store, and for creating and changing the schema.
    pub(crate) fn for_writing(&self) -> SqliteConnectOptions {
        let (synchronous, fullfsync) = match self.config.durability {
            Durability::Full => (SqliteSynchronous::Full, "ON"),
            Durability::Normal => (SqliteSynchronous::Normal, "OFF"),
        };
        self.basic()
            .synchronous(synchronous)
            // On macOS a plain sync leaves the data in the disk's own cache; elsewhere this changes nothing.
            .pragma("fullfsync", fullfsync)
            .pragma("cache_size", CACHE)
            // A grouped write keeps a journal of its statement, which would go through a temporary file.
            .pragma("temp_store", "MEMORY")
            .pragma("wal_autocheckpoint", self.config.checkpoint_pages.to_string())
    }

    /// For a reader of a store that writes too: able to recover the log after a crash, and to move it into the file
    /// when it is the last to close.
    pub(crate) fn for_reading(&self) -> SqliteConnectOptions {
        self.basic().pragma("cache_size", CACHE).pragma("query_only", "ON")
    }

    /// For a reader of a store for reading only: without any right to write.
    fn for_reading_only(&self, how: ReadOnly) -> SqliteConnectOptions {
        self.for_looking(how).pragma("cache_size", CACHE)
    }

    /// For a look at a file that may be another application's: leaves it and its directory as they are.
    pub(crate) fn for_looking(&self, how: ReadOnly) -> SqliteConnectOptions {
        self.basic().read_only(true).immutable(how == ReadOnly::Immutable)
    }

    /// For a try whether the file can be written: without a setting that would make SQLite read the file, and so create
    /// a log, before the try.
    pub(crate) fn for_trying(&self) -> SqliteConnectOptions {
        self.basic()
    }

    fn basic(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.files.path)
            // SQLite's own wait goes in steps of up to 100 ms, keeps the connection's thread and cannot be moved by a
            // test.
            .busy_timeout(Duration::ZERO)
            .row_buffer_size(ROW_BUFFER)
            .thread_name(|number| format!("kv-sqlite-{number}"))
            .disable_statement_logging()
    }
}

/// How a file is read without leaving anything beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    /// Without locks and without a log, as if the file could not change. Needs no right but to read it. Whether
    /// another process did change it is seen after each statement.
    Immutable,
    /// As one of those who have it open: the files that SQLite needs for that are there, so none is created.
    Shared,
}

impl ReadOnly {
    /// # Errors
    /// `Misconfigured` where there is a log that can be read only after it was recovered, which is a way of writing.
    pub(crate) fn choose(found: &Found) -> Result<Self> {
        if found.has_journal() || (found.log.is_some() && found.log_index.is_some()) {
            return Ok(Self::Shared);
        }
        if found.has_log() {
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "the write-ahead log beside the file (-wal) holds writes that are not in the file yet, and reading \
                 them would have to create a file (-shm): open the store for writing once (mode=rw), which moves them \
                 into the file",
            )
            .with_reason(Reason::ReadOnly));
        }
        Ok(Self::Immutable)
    }
}

/// Connects, waiting out a lock.
pub(crate) async fn connect(
    options: &SqliteConnectOptions,
    busy_retry: &BusyRetry,
) -> std::result::Result<SqliteConnection, sqlx::Error> {
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
    pub(crate) limit: Duration,
}

impl BusyRetry {
    /// Begins to wait for one lock.
    pub(crate) fn begin(&self) -> Wait<'_> {
        Wait { busy_retry: self, since: self.timer.monotonic_now(), waited: Duration::ZERO, step: FIRST_STEP }
    }
}

const FIRST_STEP: Duration = Duration::from_micros(100);
const LAST_STEP: Duration = Duration::from_millis(2);

/// One wait, in steps that begin short and stay short: who waits long gets no smaller share.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    busy_retry: &'a BusyRetry,
    since: Duration,
    waited: Duration,
    step: Duration,
}

impl Wait<'_> {
    /// Waits one step; `false` once the limit is reached. It counts by the time of the timer and by the steps,
    /// whichever is more: timers wait longer than they are asked to, and the time of a test may stand still.
    pub(crate) async fn again(&mut self) -> bool {
        let elapsed = self.busy_retry.timer.monotonic_now().saturating_sub(self.since).max(self.waited);
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

/// Two changes of a file that are less apart than this may bear the same time stamp: kernels count in steps of up to 10
/// ms.
const TIME_STAMP_GRAIN: Duration = Duration::from_millis(20);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// A connection that is held for the life of the store, and replaced if it fails.
#[derive(Debug)]
pub(crate) struct ReconnectingConnection {
    pub(crate) connection: SqliteConnection,
    pub(crate) busy_retry: BusyRetry,
    opening: Arc<Opening>,
    role: Role,
    /// After how many pages in the log this connection moves them into the file.
    checkpoint_pages: u32,
    /// The files as they were when the connection was opened.
    opened: Found,
    /// The file is read as one that never changes.
    immutable: bool,
    /// From when on, by the timer, no change of the file can bear the time stamp that it has in `opened`.
    settles_at: Duration,
    /// The connection was opened after that.
    settled: bool,
    /// The connection was given up, and there is no other yet.
    lost: bool,
}

impl ReconnectingConnection {
    /// Opens the file, creating it only where `create` says so.
    ///
    /// # Errors
    /// As [`SqliteStore::open`](crate::SqliteStore::open).
    pub(crate) async fn open(opening: Arc<Opening>, role: Role, create: bool, busy_retry: BusyRetry) -> Result<Self> {
        opening.files.check_known()?;
        let mut wait = busy_retry.begin();
        loop {
            let before = opening.files.look()?;
            let opened = Self::open_found(Arc::clone(&opening), role, create, busy_retry.clone(), before).await;
            // A process that comes or goes creates and removes its files one by one. A reader that creates none depends
            // on those that it found.
            let may_have_changed = opening.config.read_only && opened.is_err() && wait.again().await;
            if !may_have_changed || opening.files.look()?.has_same_files(&before) {
                return opened;
            }
        }
    }

    /// Opens what was found to lie there.
    async fn open_found(
        opening: Arc<Opening>,
        role: Role,
        create: bool,
        busy_retry: BusyRetry,
        before: Found,
    ) -> Result<Self> {
        let settles_at = busy_retry.timer.monotonic_now().saturating_add(TIME_STAMP_GRAIN);
        let (options, immutable) = match role {
            _ if opening.config.read_only => {
                let how = ReadOnly::choose(&before)?;
                (opening.for_reading_only(how), how == ReadOnly::Immutable)
            }
            Role::Writer => (opening.for_writing().create_if_missing(create), false),
            Role::Reader => (opening.for_reading(), false),
        };
        let connection = connect(&options, &busy_retry).await.map_err(|error| from_sqlx(error, Stage::Open))?;
        let opened = if immutable { before } else { opening.files.look()? };
        if opened.is_another_file(&before) {
            return Err(Error::new(ErrorKind::Misconfigured, "the file was replaced while it was opened")
                .with_reason(Reason::FileReplaced)
                .with_retry(Retry::Safe));
        }
        let checkpoint_pages = opening.config.checkpoint_pages;
        Ok(Self {
            connection,
            busy_retry,
            opening,
            role,
            checkpoint_pages,
            opened,
            immutable,
            settles_at,
            settled: false,
            lost: false,
        })
    }

    /// Gives the connection up for a new one. What it had not committed is undone with it. Until this succeeds the
    /// connection is lost.
    pub(crate) async fn renew(&mut self) -> Result<()> {
        self.lost = true;
        // Should another program have removed the file since, an empty one in its place would only hide it.
        let opening = Arc::clone(&self.opening);
        let renewed = Self::open(Arc::clone(&opening), self.role, false, self.busy_retry.clone()).await;
        // Where the file is gone, that is the reason, and one in its place is not the file of the store. A log may be
        // another than before: the last connection that was closed took it along.
        opening.files.check(&mut self.opened.without_log())?;
        *self = renewed?;
        Ok(())
    }

    /// Outside of a transaction: whether the log grows further than by the settings, for large batches.
    pub(crate) async fn let_log_grow(&mut self, further: bool) {
        let pages = match self.opening.config.checkpoint_pages {
            // Never, whatever comes.
            0 => 0,
            pages if further => pages.max(BULK_CHECKPOINT_PAGES),
            pages => pages,
        };
        if self.checkpoint_pages != pages {
            let pragma = AssertSqlSafe(format!("PRAGMA wal_autocheckpoint = {pages}"));
            let set = sqlx::query(pragma).persistent(false).fetch_all(&mut self.connection).await;
            // Where that failed the log is only moved more or less often, and it is tried again.
            if set.is_ok() {
                self.checkpoint_pages = pages;
            }
        }
    }

    /// Another try, where the connection is lost.
    pub(crate) async fn restore(&mut self) -> Result<()> {
        if self.lost { self.renew().await } else { Ok(()) }
    }

    pub(crate) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Fails once a file of the store is known to have been removed or replaced.
    pub(crate) fn check_known(&self) -> Result<()> {
        self.opening.files.check_known()
    }

    /// Fails from the moment on that one of the files is not any more the one that this connection has open.
    pub(crate) fn check_files(&mut self) -> Result<()> {
        if self.immutable {
            // It has no log open, and `opened` stays as it was: what has changed since was not read yet.
            return self.opening.files.check(&mut self.opened.without_log());
        }
        self.opening.files.check(&mut self.opened)
    }

    /// Before a statement: makes sure that it reads the file as it is, where it is read as one that never changes. A
    /// change right after the last one may leave size and time stamps the same, so for a moment only a new connection
    /// will do.
    pub(crate) async fn freshen(&mut self) -> Result<()> {
        if !self.immutable || self.settled {
            return Ok(());
        }
        let (opened, settles_at) = (self.opened, self.settles_at);
        let settled = self.busy_retry.timer.monotonic_now() >= settles_at;
        self.renew().await?;
        if self.opened == opened {
            (self.settles_at, self.settled) = (settles_at, settled);
        }
        Ok(())
    }

    /// Whether what was just read may be a mixture of old and new, because the file is read as one that never changes
    /// and it did.
    pub(crate) fn is_outdated(&mut self) -> Result<bool> {
        if !self.immutable {
            return Ok(false);
        }
        if self.opening.files.look()? == self.opened {
            return Ok(false);
        }
        self.check_files()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::future::ready;
    use std::path::{Path, PathBuf};
    use std::pin::Pin;

    /// SQLite ignores a pragma it does not know, so a slip of the pen would go unnoticed.
    #[tokio::test]
    async fn every_setting_reaches_sqlite() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        for (durability, synchronous, fullfsync) in [(Durability::Full, 2, 1), (Durability::Normal, 1, 0)] {
            let config = SqliteConfig::new(&path).with_durability(durability).with_checkpoint_pages(1234);
            let opening = Opening { files: Files::new(path.clone()), config };
            let mut writer = opening.for_writing().create_if_missing(true).connect().await.unwrap();
            for (pragma, expected) in [
                ("synchronous", synchronous),
                ("fullfsync", fullfsync),
                ("cache_size", -16_384),
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

    /// Waits by removing a file, as a process does that goes meanwhile.
    #[derive(Debug)]
    struct Removing(PathBuf);

    impl Timer for Removing {
        fn monotonic_now(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            let _ = fs::remove_file(&self.0);
            Box::pin(ready(()))
        }
    }

    /// The settings of a reader of a file that lies in `directory`, and who waits by removing its log.
    fn read_only(directory: &Path) -> (Arc<Opening>, BusyRetry) {
        let path = directory.join("app.db");
        fs::write(&path, "").unwrap();
        let config = SqliteConfig::new(&path).with_read_only(true);
        let timer = Arc::new(Removing(directory.join("app.db-wal")));
        (Arc::new(Opening { files: Files::new(path), config }), BusyRetry { timer, limit: Duration::from_secs(1) })
    }

    #[tokio::test]
    async fn life_1_a_reader_waits_for_a_process_that_just_goes() {
        let directory = tempfile::tempdir().unwrap();
        let (opening, busy_retry) = read_only(directory.path());
        // Its shared memory went before its log.
        fs::write(directory.path().join("app.db-wal"), "log").unwrap();
        ReconnectingConnection::open(opening, Role::Reader, false, busy_retry).await.unwrap();
    }

    /// The change came after the statement, and before the look that every so many statements take.
    #[tokio::test]
    async fn set_7_a_look_at_the_files_hides_no_change() {
        let directory = tempfile::tempdir().unwrap();
        let (opening, busy_retry) = read_only(directory.path());
        let mut reader = ReconnectingConnection::open(opening, Role::Reader, false, busy_retry).await.unwrap();
        assert!(!reader.is_outdated().unwrap());
        fs::write(directory.path().join("app.db"), "changed").unwrap();
        reader.check_files().unwrap();
        assert!(reader.is_outdated().unwrap());
    }

    async fn setting(connection: &mut SqliteConnection, pragma: &str) -> i64 {
        let sql = AssertSqlSafe(format!("PRAGMA {pragma}"));
        sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
    }
}
