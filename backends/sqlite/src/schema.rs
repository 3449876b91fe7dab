//! Opening a file: is it ours, is it ours to understand, and is there anything to create or change?

use std::path::Path;
use std::sync::Arc;

use kv_api::{Error, ErrorKind, Reason, Result};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use crate::config::SqliteConfig;
use crate::connection::{BusyRetry, Opening, ReadOnly, ReconnectingConnection, Role, connect};
use crate::error::{Stage, code, from_sqlx, is_busy, primary_code, row_rejected};
use crate::files::{is_missing, names};
use crate::queries;
use crate::statement::fetch_rows;

/// Marks our files: "kvsq".
const APPLICATION_ID: i64 = 0x6b76_7371;

/// The version of `schema.sql`.
const CURRENT: i64 = 2;

/// The tables of the current version, and the marks of the file.
const CREATE: &str =
    concat!(include_str!("schema.sql"), "PRAGMA application_id = 1802924913; PRAGMA user_version = 2;");

/// Step `n` leads from version `n + 1` to the next.
const MIGRATIONS: &[&str] = &[
    // Version 1 found expired rows by reading the whole table.
    "CREATE INDEX kv_expires_at ON kv (expires_at) WHERE expires_at IS NOT NULL; PRAGMA user_version = 2;",
];

/// Names one namespace among those of all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceId {
    /// The random number that the file got when it was created: the origin of its versions.
    pub(crate) file_id: u64,
    /// The row of the namespace in the table `namespaces`, which its entries name.
    pub(crate) row_id: i64,
}

/// Opens the file, creates or migrates its schema where that is asked for, and finds the namespace. The connection
/// returned is the writer's, or one for reading only.
pub(crate) async fn open(
    opening: &Arc<Opening>,
    busy_retry: &BusyRetry,
) -> Result<(ReconnectingConnection, NamespaceId)> {
    let config = &opening.config;
    let path = &opening.files.path;
    let is_new = is_new(path, config)?;
    if config.read_only {
        return open_for_reading_only(opening, busy_retry).await;
    }
    if !is_new {
        look_before_opening(opening, busy_retry).await?;
        check_writable(opening, busy_retry).await?;
    }
    let opened = ReconnectingConnection::open(Arc::clone(opening), Role::Writer, config.create, busy_retry.clone());
    let mut opened = opened.await?;
    let connection = &mut opened.connection;
    let identity = Identity::read(connection, busy_retry).await.map_err(opening_failed)?;
    identity.check()?;
    use_wal(connection, busy_retry).await?;
    if identity.user_version < CURRENT {
        bring_up_to_date(connection, busy_retry).await?;
    }
    let namespace_id = namespace_id(connection, config, busy_retry).await?;
    // By now all of them lie there.
    opened.check_files()?;
    Ok((opened, namespace_id))
}

async fn open_for_reading_only(
    opening: &Arc<Opening>,
    busy_retry: &BusyRetry,
) -> Result<(ReconnectingConnection, NamespaceId)> {
    let mut wait = busy_retry.begin();
    loop {
        let opened = ReconnectingConnection::open(Arc::clone(opening), Role::Reader, false, busy_retry.clone());
        let mut opened = opened.await?;
        let namespace_id = existing_namespace_id(&mut opened.connection, &opening.config, busy_retry).await;
        if opened.is_outdated()? && wait.again().await {
            continue;
        }
        return Ok((opened, namespace_id?));
    }
}

async fn existing_namespace_id(
    connection: &mut SqliteConnection,
    config: &SqliteConfig,
    busy_retry: &BusyRetry,
) -> Result<NamespaceId> {
    Identity::read(connection, busy_retry).await.map_err(opening_failed)?.check_readable()?;
    namespace_id(connection, config, busy_retry).await
}

async fn namespace_id(
    connection: &mut SqliteConnection,
    config: &SqliteConfig,
    busy_retry: &BusyRetry,
) -> Result<NamespaceId> {
    let file_id = file_id(connection, busy_retry).await?;
    let row_id = namespace_row(connection, config, busy_retry).await?;
    Ok(NamespaceId { file_id, row_id })
}

/// Refuses what is not ours, and what a newer version wrote, while nothing has been touched yet: opening for writing
/// would already leave files beside it, and closing move its log.
async fn look_before_opening(opening: &Opening, busy_retry: &BusyRetry) -> Result<()> {
    let found = opening.files.look()?;
    let how = if found.has_log() && found.log_index.is_some() { ReadOnly::Shared } else { ReadOnly::Immutable };
    let identity = match connect(&opening.for_looking(how), busy_retry).await {
        Ok(mut connection) => {
            let identity = Identity::read(&mut connection, busy_retry).await;
            // Nothing was written, so closing can lose nothing.
            let _ = connection.close().await;
            identity
        }
        Err(error) => Err(error),
    };
    match identity {
        Ok(identity) => identity.check(),
        Err(error) if primary_code(&error) == Some(code::NOTADB) => Err(opening_failed(error)),
        // What another process was just doing may have been in the way; what was not is met again by the opening
        // itself.
        Err(_) => Ok(()),
    }
}

/// Refuses a file that may only be read. SQLite itself would open it for reading, and leave a log beside it that is not
/// its owner's and that the owner cannot write.
async fn check_writable(opening: &Opening, busy_retry: &BusyRetry) -> Result<()> {
    let mut connection = connect(&opening.for_trying(), busy_retry).await.map_err(opening_failed)?;
    let tried = fetch_rows(&mut connection, sqlx::query(queries::open::TRY_TO_WRITE)).await;
    // Undoes what the try began, where it failed half-way.
    let _ = connection.close().await;
    match tried {
        Err(error) if primary_code(&error) == Some(code::READONLY) => Err(opening_failed(error)),
        // Where others hold the lock it can be held; any other error is met again by the opening itself.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// One page of the smallest size there is.
const DATABASE_BYTES_MIN: u64 = 512;

/// Whether there is no file yet, or an empty one; refuses what cannot be a database.
fn is_new(path: &Path, config: &SqliteConfig) -> Result<bool> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if is_missing(&error) => {
            if !path.parent().is_some_and(Path::is_dir) {
                return Err(misconfigured("the directory of the file does not exist"));
            }
            if !config.create || config.read_only {
                return Err(misconfigured("the file does not exist, and creating it was not asked for"));
            }
            return Ok(true);
        }
        Err(error) => return Err(misconfigured("the path cannot be reached").with_source(error)),
    };
    if metadata.is_dir() {
        return Err(misconfigured("the path is a directory, not a file"));
    }
    // A pipe would be waited for without end, a device answer with errors of the disk.
    if !metadata.is_file() {
        return Err(misconfigured("the path is not a regular file"));
    }
    let links = names(&metadata);
    if links > 1 && !config.allow_hard_links {
        let message = format!(
            "the file has {links} names (hard links), and its write-ahead log would lie beside one of them only: \
             remove the other names, or allow hard links (allow_hard_links=true) if no program opens them"
        );
        return Err(Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::HardLinked { links }));
    }
    match metadata.len() {
        0 => Ok(true),
        // SQLite itself would take it for empty, and write over it.
        1..DATABASE_BYTES_MIN => Err(foreign("it is no SQLite database")),
        _ => Ok(false),
    }
}

/// What a file says it is.
#[derive(Clone, Copy, Debug)]
struct Identity {
    application_id: i64,
    user_version: i64,
    /// How many tables, indexes and the like it holds.
    objects: i64,
    /// Which version of our schema its tables would be, 0 for none.
    looks_like_version: i64,
    is_utf8: bool,
}

impl Identity {
    async fn read(connection: &mut SqliteConnection, busy_retry: &BusyRetry) -> Result<Self, sqlx::Error> {
        let mut wait = busy_retry.begin();
        loop {
            match Self::read_once(connection).await {
                Err(error) if is_busy(&error) && wait.again().await => {}
                result => return result,
            }
        }
    }

    async fn read_once(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(queries::open::IDENTITY).fetch_one(connection).await?;
        Ok(Self {
            application_id: row.try_get(0)?,
            user_version: row.try_get(1)?,
            objects: row.try_get(2)?,
            is_utf8: row.try_get(3)?,
            looks_like_version: row.try_get(4)?,
        })
    }

    const fn is_new(&self) -> bool {
        self.application_id == 0 && self.user_version == 0 && self.objects == 0
    }

    /// Refuses what is not ours, and what a newer version of this library wrote.
    fn check(&self) -> Result<()> {
        match self.application_id {
            // Even an empty file keeps the encoding it once got. Keys travel as the bytes of UTF-8, and would be
            // misread.
            _ if !self.is_utf8 => Err(foreign("its text is not UTF-8")),
            APPLICATION_ID if self.user_version > CURRENT => {
                let (found, understood) = (self.user_version, CURRENT);
                Err(misconfigured("a newer version of this library wrote the file")
                    .with_reason(Reason::NewerSchema { found, understood }))
            }
            APPLICATION_ID if self.user_version >= 1 => Ok(()),
            _ if self.is_new() => Ok(()),
            0 | APPLICATION_ID if self.looks_like_version > 0 && (0..=CURRENT).contains(&self.user_version) => {
                let version = self.looks_like_version;
                Err(foreign(&format!(
                    "it has the tables of a store and not its marks, which a restore from SQL text (.dump) loses; if \
                     it is one, give them back: PRAGMA application_id = {APPLICATION_ID}; \
                     PRAGMA user_version = {version};"
                )))
            }
            _ => Err(foreign("it is a SQLite database of another application")),
        }
    }

    fn check_readable(&self) -> Result<()> {
        self.check()?;
        if self.is_new() {
            return Err(misconfigured("the file holds no store yet, and it was opened for reading only"));
        }
        if self.user_version < CURRENT {
            return Err(misconfigured(
                "an older version of this library wrote the file: open it for writing once, so that it is migrated",
            )
            .with_reason(Reason::ReadOnly));
        }
        Ok(())
    }
}

/// Write-ahead logging is a lasting mark of the file. It cannot be set inside a transaction.
async fn use_wal(connection: &mut SqliteConnection, busy_retry: &BusyRetry) -> Result<()> {
    let mut wait = busy_retry.begin();
    let rows = loop {
        match sqlx::query(queries::open::USE_WAL).fetch_all(&mut *connection).await {
            Err(error) if is_busy(&error) && wait.again().await => {}
            result => break result.map_err(opening_failed)?,
        }
    };
    let mode: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
    if mode.as_deref() != Some("wal") {
        return Err(misconfigured("the file system of the file does not allow a write-ahead log"));
    }
    Ok(())
}

/// Creates the schema or changes an older one, in one transaction: of any number of processes that try, one does it.
async fn bring_up_to_date(connection: &mut SqliteConnection, busy_retry: &BusyRetry) -> Result<()> {
    let mut wait = busy_retry.begin();
    loop {
        let error = match bring_up_to_date_once(connection).await {
            Ok(checked) => {
                if checked.is_err() {
                    // What was begun held nothing, and the connection is given up with it.
                    let _ = sqlx::query(queries::ROLLBACK).execute(&mut *connection).await;
                }
                return checked;
            }
            Err(error) => error,
        };
        // Fails where nothing was begun.
        let _ = sqlx::query(queries::ROLLBACK).execute(&mut *connection).await;
        if !(is_busy(&error) && wait.again().await) {
            return Err(opening_failed(error));
        }
    }
}

async fn bring_up_to_date_once(connection: &mut SqliteConnection) -> Result<Result<()>, sqlx::Error> {
    sqlx::query(queries::BEGIN).execute(&mut *connection).await?;
    // Another process may have done it since the first look.
    let identity = Identity::read_once(connection).await?;
    if let Err(refused) = identity.check() {
        return Ok(Err(refused));
    }
    if identity.is_new() {
        sqlx::raw_sql(CREATE).execute(&mut *connection).await?;
    } else {
        let done = usize::try_from(identity.user_version - 1).unwrap_or(0);
        for step in MIGRATIONS.iter().skip(done) {
            sqlx::raw_sql(*step).execute(&mut *connection).await?;
        }
    }
    sqlx::query(queries::COMMIT).execute(&mut *connection).await?;
    Ok(Ok(()))
}

async fn file_id(connection: &mut SqliteConnection, busy_retry: &BusyRetry) -> Result<u64> {
    let mut wait = busy_retry.begin();
    loop {
        match sqlx::query_scalar::<_, i64>(queries::open::FILE_ID).fetch_optional(&mut *connection).await {
            Ok(Some(file_id)) => return Ok(file_id.cast_unsigned()),
            Ok(None) => return Err(foreign("its table meta is empty")),
            Err(error) if is_busy(&error) && wait.again().await => {}
            Err(error) => return Err(opening_failed(error)),
        }
    }
}

/// The number of the namespace, which it gets when it is opened for the first time and keeps for ever.
async fn namespace_row(
    connection: &mut SqliteConnection,
    config: &SqliteConfig,
    busy_retry: &BusyRetry,
) -> Result<i64> {
    let mut wait = busy_retry.begin();
    loop {
        match find_namespace(connection, config).await {
            Ok(Some(id)) => return Ok(id),
            Ok(None) if !config.read_only => return Err(row_rejected()),
            Ok(None) => return Err(misconfigured("the namespace does not exist, and the store is for reading only")),
            Err(error) if is_busy(&error) && wait.again().await => {}
            Err(error) => return Err(opening_failed(error)),
        }
    }
}

async fn find_namespace(connection: &mut SqliteConnection, config: &SqliteConfig) -> Result<Option<i64>, sqlx::Error> {
    let find = || sqlx::query_scalar::<_, i64>(queries::open::NAMESPACE).bind(config.namespace.clone());
    let found = find().fetch_optional(&mut *connection).await?;
    if found.is_some() || config.read_only {
        return Ok(found);
    }
    sqlx::query(queries::open::CREATE_NAMESPACE).bind(config.namespace.clone()).fetch_all(&mut *connection).await?;
    find().fetch_optional(connection).await
}

fn opening_failed(error: sqlx::Error) -> Error {
    from_sqlx(error, Stage::Open)
}

fn misconfigured(message: &'static str) -> Error {
    Error::new(ErrorKind::Misconfigured, message)
}

fn foreign(why: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, format!("the file is not one of ours: {why}")).with_reason(Reason::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_and_the_constants_agree() {
        assert!(CREATE.contains(&format!("application_id = {APPLICATION_ID};")));
        assert!(CREATE.contains(&format!("user_version = {CURRENT};")));
        assert_eq!(usize::try_from(CURRENT - 1).unwrap(), MIGRATIONS.len());
        for (step, sql) in MIGRATIONS.iter().enumerate() {
            assert!(sql.contains(&format!("user_version = {};", step + 2)), "{sql}");
        }
    }
}
