//! Opening a file: is it ours, is it ours to understand, and is there anything to create or change?

use std::ffi::OsString;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use kv_api::{Error, ErrorKind, Reason, Result};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use crate::config::SqliteConfig;
use crate::connection::{BusyRetry, Opening, connect};
use crate::error::{Stage, code, from_sqlx, is_busy, primary_code, row_rejected};
use crate::queries;

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

/// Names a namespace of any file: what versions and rows are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceId {
    /// The random number that the file got when it was created: the origin of its versions.
    pub(crate) file_id: u64,
    /// The row of the namespace in the table `namespaces`, which its entries name.
    pub(crate) row_id: i64,
}

/// Opens the file of `config`, creates or migrates its schema where that is asked for, and finds the namespace. The
/// connection returned is the writer's, or one for reading only.
pub(crate) async fn open(
    config: &SqliteConfig,
    path: &Path,
    busy_retry: &BusyRetry,
) -> Result<(SqliteConnection, NamespaceId)> {
    let opening = Opening { path, config };
    look_before_opening(&opening, busy_retry).await?;
    let options = if config.read_only { opening.for_reading() } else { opening.for_writing() };
    let mut connection = connect(&options, busy_retry).await.map_err(opening_failed)?;
    let identity = Identity::read(&mut connection, busy_retry).await.map_err(opening_failed)?;
    if config.read_only {
        identity.check_readable()?;
    } else {
        identity.check()?;
        use_wal(&mut connection, busy_retry).await?;
        if identity.user_version < CURRENT {
            bring_up_to_date(&mut connection, busy_retry).await?;
        }
    }
    let file_id = file_id(&mut connection, busy_retry).await?;
    let row_id = namespace_row(&mut connection, config, busy_retry).await?;
    Ok((connection, NamespaceId { file_id, row_id }))
}

/// Refuses what is not ours, and what a newer version wrote, while nothing has been touched yet: opening for writing would
/// already leave files beside it, and closing move its log.
///
/// The look is taken through SQLite, never by opening the file here: closing a file gives up every lock that the process
/// has on it, those of other stores and of SQLite included.
async fn look_before_opening(opening: &Opening<'_>, busy_retry: &BusyRetry) -> Result<()> {
    let (path, create) = (opening.path.to_owned(), opening.config.create && !opening.config.read_only);
    let looked = tokio::task::spawn_blocking(move || Look::at(&path, create)).await;
    let look = looked.map_err(|_| Error::new(ErrorKind::Internal, "the runtime ended while the file was opened"))??;
    let Look::Something { has_log } = look else { return Ok(()) };
    let identity = match connect(&opening.for_looking(has_log), busy_retry).await {
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
        // What another process was just doing may have been in the way; what was not is met again by the opening itself.
        Err(_) => Ok(()),
    }
}

/// One page of the smallest size there is.
const DATABASE_BYTES_MIN: u64 = 512;

/// What lies at a path.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nothing yet, or an empty file.
    Nothing,
    Something {
        has_log: bool,
    },
}

impl Look {
    fn at(path: &Path, create: bool) -> Result<Self> {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Err(misconfigured("the path is a directory, not a file")),
            // A pipe would be waited for without end, a device answer with errors of the disk.
            Ok(metadata) if !metadata.is_file() => Err(misconfigured("the path is not a regular file")),
            Ok(metadata) if metadata.len() == 0 => Ok(Self::Nothing),
            // SQLite itself would take it for empty, and write over it.
            Ok(metadata) if metadata.len() < DATABASE_BYTES_MIN => Err(foreign("it is no SQLite database")),
            Ok(_) => Ok(Self::Something { has_log: has_log(path) }),
            Err(error) if error.kind() == IoErrorKind::NotFound => {
                if !path.parent().is_some_and(Path::is_dir) {
                    return Err(misconfigured("the directory of the file does not exist"));
                }
                if !create {
                    return Err(misconfigured("the file does not exist, and creating it was not asked for"));
                }
                Ok(Self::Nothing)
            }
            Err(error) => Err(misconfigured("the path cannot be reached").with_source(error)),
        }
    }
}

fn has_log(path: &Path) -> bool {
    let mut log = OsString::from(path);
    log.push("-wal");
    PathBuf::from(log).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// What a file says it is.
#[derive(Clone, Copy, Debug)]
struct Identity {
    application_id: i64,
    user_version: i64,
    /// How many tables, indexes and the like it holds.
    objects: i64,
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
        let row = sqlx::query(queries::IDENTITY).fetch_one(connection).await?;
        Ok(Self {
            application_id: row.try_get(0)?,
            user_version: row.try_get(1)?,
            objects: row.try_get(2)?,
            is_utf8: row.try_get(3)?,
        })
    }

    const fn is_new(&self) -> bool {
        self.application_id == 0 && self.user_version == 0 && self.objects == 0
    }

    /// Refuses what is not ours, and what a newer version of this library wrote.
    fn check(&self) -> Result<()> {
        match self.application_id {
            // Even an empty file keeps the encoding it once got. Keys travel as the bytes of UTF-8, and would be misread.
            _ if !self.is_utf8 => Err(foreign("its text is not UTF-8")),
            APPLICATION_ID if self.user_version > CURRENT => {
                let (found, understood) = (self.user_version, CURRENT);
                Err(misconfigured("a newer version of this library wrote the file")
                    .with_reason(Reason::NewerSchema { found, understood }))
            }
            APPLICATION_ID if self.user_version >= 1 => Ok(()),
            _ if self.is_new() => Ok(()),
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
        match sqlx::query(queries::USE_WAL).fetch_all(&mut *connection).await {
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
        match sqlx::query_scalar::<_, i64>(queries::FILE_ID).fetch_optional(&mut *connection).await {
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
    let find = || sqlx::query_scalar::<_, i64>(queries::NAMESPACE).bind(config.namespace.clone());
    let found = find().fetch_optional(&mut *connection).await?;
    if found.is_some() || config.read_only {
        return Ok(found);
    }
    sqlx::query(queries::CREATE_NAMESPACE).bind(config.namespace.clone()).fetch_all(&mut *connection).await?;
    find().fetch_optional(connection).await
}

fn opening_failed(error: sqlx::Error) -> Error {
    from_sqlx(error, Stage::Open)
}

fn misconfigured(message: &'static str) -> Error {
    Error::new(ErrorKind::Misconfigured, message)
}

fn foreign(why: &'static str) -> Error {
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
