//! SQLite's result codes as errors of the contract: what the reader does next decides (ERR-1, ERR-3).
//!
//! The codes are those of <https://www.sqlite.org/rescode.html>; the low byte of an extended code is its primary code.

use kv_api::{Error, ErrorKind, Reason, Retry};
use kv_sql::damaged_row;
use sqlx::error::DatabaseError;

/// Where an error came up: what it means for a write depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// While the file was opened and its schema checked.
    Open,
    /// While reading.
    Read,
    /// Inside a transaction that was rolled back.
    Write,
    /// In a statement that is its own transaction, so perhaps in its commit.
    Autocommit,
    /// In COMMIT.
    Commit,
}

/// The primary result codes that mean something of their own.
pub(crate) mod code {
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const PERM: i32 = 3;
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const LOCKED: i32 = 6;
    pub(crate) const NOMEM: i32 = 7;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const PROTOCOL: i32 = 15;
    pub(crate) const TOOBIG: i32 = 18;
    pub(crate) const CONSTRAINT: i32 = 19;
    pub(crate) const MISMATCH: i32 = 20;
    pub(crate) const AUTH: i32 = 23;
    pub(crate) const NOTADB: i32 = 26;
}

/// The primary result code, where the error came from SQLite itself.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error().and_then(DatabaseError::code)?.parse().ok()
}

/// Whether another connection holds the lock, or a transaction lost the race for its place in the log too often to
/// begin: so that nothing was done and waiting helps.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(code::BUSY | code::LOCKED | code::PROTOCOL))
}

/// Whether one row was refused, by a constraint or trigger of the file or for its size: the other rows of its group are
/// not to blame.
pub(crate) fn is_about_a_row(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(code::CONSTRAINT | code::TOOBIG | code::MISMATCH))
}

/// SQLite does not pass on why the system refused to open a file, and this reason has nothing to do with the file: so
/// the question is asked again, with a file that every process may open. The store's own file is never opened here:
/// closing it would give up the locks that this process has on it.
#[cfg(unix)]
fn out_of_file_descriptors() -> bool {
    /// Numbers that all Unix systems share: of the whole system, and of this process.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let error = std::fs::File::open("/dev/null").err().and_then(|error| error.raw_os_error());
    matches!(error, Some(ENFILE | EMFILE))
}

#[cfg(not(unix))]
const fn out_of_file_descriptors() -> bool {
    false
}

fn no_file_descriptors() -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "the process or the system has no file descriptor left: raise its limit (ulimit -n), or open fewer files",
    )
}

/// Whether a statement, all of which fit the schema, named something that the file does not have any more.
fn names_what_is_missing(error: &sqlx::Error) -> bool {
    let message = error.as_database_error().map(DatabaseError::message).unwrap_or_default();
    ["no such table", "no such column", "has no column named", "ON CONFLICT clause does not match"]
        .iter()
        .any(|missing| message.contains(missing))
}

/// The contract's error. The text of SQLite names tables and columns, never a value, so it may be the source (ERR-2).
pub(crate) fn from_sqlx(error: sqlx::Error, stage: Stage) -> Error {
    if let sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. } = error {
        return damaged_row("a column has another type").with_source(error);
    }
    let code = extended_code(&error);
    let primary = code.map(|code| code & 0xff);
    let mapped = match primary {
        Some(code::BUSY | code::LOCKED | code::PROTOCOL) => {
            Error::new(ErrorKind::Unavailable, "another process holds the lock of the file").with_reason(Reason::Busy)
        }
        Some(code::FULL) => Error::new(ErrorKind::Exhausted, "the disk, or the size the file is allowed, is full")
            .with_reason(Reason::StoreFull),
        Some(code::NOMEM) => Error::new(ErrorKind::Exhausted, "SQLite is out of memory"),
        Some(code::READONLY) => {
            let message = match stage {
                Stage::Read => "the log beside the file cannot be read without the right to write it",
                _ => "the file cannot be written: give the right to, or open the store for reading only (mode=ro)",
            };
            Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::ReadOnly)
        }
        Some(code::CANTOPEN | code::IOERR) if out_of_file_descriptors() => no_file_descriptors(),
        Some(code::CANTOPEN | code::PERM | code::AUTH) => Error::new(
            ErrorKind::Misconfigured,
            "the file or its write-ahead log (-wal, -shm) cannot be opened: check path and permissions; a file in a \
             directory that cannot be written can be opened for reading only (mode=ro)",
        ),
        Some(code::ERROR) if names_what_is_missing(&error) => schema_changed(),
        Some(code::NOTADB | code::CORRUPT) if stage == Stage::Open => {
            Error::new(ErrorKind::Misconfigured, "the file is no SQLite database, or is damaged")
                .with_reason(Reason::Foreign)
        }
        Some(code::NOTADB | code::CORRUPT) => {
            Error::new(ErrorKind::Protocol, "the file is damaged: restore it from a copy")
        }
        Some(code::IOERR) => Error::new(ErrorKind::Unavailable, "the disk answered with an error"),
        Some(code::CONSTRAINT) if stage == Stage::Commit => Error::new(
            ErrorKind::Misconfigured,
            "a constraint that another program added to the file refused the commit",
        ),
        Some(code::CONSTRAINT | code::MISMATCH) => row_rejected(),
        Some(code::TOOBIG) => Error::new(ErrorKind::Exhausted, "the row is larger than this SQLite takes"),
        Some(_) => Error::new(ErrorKind::Internal, "SQLite refused the statement"),
        None if matches!(error, sqlx::Error::Io(_)) => {
            Error::new(ErrorKind::Exhausted, "the system has no thread left for a connection to the file")
        }
        None => Error::new(ErrorKind::Internal, "the connection to the file failed"),
    };
    let mapped = match retry(primary, stage) {
        Some(retry) => mapped.with_retry(retry),
        None => mapped,
    };
    match code {
        Some(code) => mapped.with_native_code(code).with_source(error),
        None => mapped.with_source(error),
    }
}

/// What differs from the retry class that goes with the kind.
fn retry(primary: Option<i32>, stage: Stage) -> Option<Retry> {
    match (stage, primary) {
        // Taking the lock is the first thing a write does.
        (_, Some(code::BUSY | code::LOCKED | code::PROTOCOL)) => Some(Retry::Safe),
        (Stage::Commit, _) => Some(Retry::OutcomeUnknown),
        // The error may have come after the commit record was written: when the log was synced, or its index extended.
        // Every other code is found before, and undoes the statement.
        (Stage::Autocommit, Some(code::IOERR | code::NOMEM) | None) => Some(Retry::OutcomeUnknown),
        // Read, or rolled back.
        (_, Some(code::IOERR)) => Some(Retry::Safe),
        // The connection is gone, and with it the answer to what it was doing.
        (Stage::Write, None) => Some(Retry::OutcomeUnknown),
        _ => None,
    }
}

/// The error of a call whose store has ended its tasks.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store was closed, or the runtime it was opened in has ended")
}

/// The error of a write that was handed over and never answered.
pub(crate) fn unanswered() -> Error {
    Error::new(ErrorKind::Closed, "the runtime that the store was opened in ended before the answer came")
        .with_retry(Retry::OutcomeUnknown)
}

/// The error of an operation that the writer lost sight of, which is a mistake of this library.
pub(crate) fn undecided() -> Error {
    Error::new(ErrorKind::Internal, "the writer decided nothing for this operation")
}

/// The error of a write through a store that can only be read.
pub(crate) fn read_only() -> Error {
    Error::new(ErrorKind::Misconfigured, "the store was opened for reading only").with_reason(Reason::ReadOnly)
}

/// The error of a file whose tables are not as this library made them.
fn schema_changed() -> Error {
    let message = "another program removed or changed a table that the store needs: restore the file from a copy";
    Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::Foreign)
}

/// The error of a row that the file refused: nothing was stored for it.
pub(crate) fn row_rejected() -> Error {
    let message =
        "a trigger or constraint that another program added to the file refused the row, so it was not stored";
    Error::new(ErrorKind::Misconfigured, message).with_reason(Reason::RowRejected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as StdError;
    use std::fmt;

    /// An error with a result code of SQLite, which only the driver can make.
    #[derive(Debug)]
    struct Coded(i32);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "code {}", self.0)
        }
    }

    impl StdError for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            "a message of SQLite"
        }

        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
    }

    fn coded(code: i32) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Coded(code)))
    }

    #[test]
    fn err_1_each_code_is_told_by_what_to_do_next() {
        for (code, kind, reason) in [
            (5, ErrorKind::Unavailable, Some(Reason::Busy)),
            (261, ErrorKind::Unavailable, Some(Reason::Busy)), // SQLITE_BUSY_RECOVERY
            (517, ErrorKind::Unavailable, Some(Reason::Busy)), // SQLITE_BUSY_SNAPSHOT
            (6, ErrorKind::Unavailable, Some(Reason::Busy)),
            (15, ErrorKind::Unavailable, Some(Reason::Busy)),
            (13, ErrorKind::Exhausted, Some(Reason::StoreFull)),
            (7, ErrorKind::Exhausted, None),
            (18, ErrorKind::Exhausted, None),
            (8, ErrorKind::Misconfigured, Some(Reason::ReadOnly)),
            (1032, ErrorKind::Misconfigured, Some(Reason::ReadOnly)), // SQLITE_READONLY_DBMOVED
            (14, ErrorKind::Misconfigured, None),
            (3, ErrorKind::Misconfigured, None),
            (1811, ErrorKind::Misconfigured, Some(Reason::RowRejected)), // SQLITE_CONSTRAINT_TRIGGER
            (10, ErrorKind::Unavailable, None),
            (11, ErrorKind::Protocol, None),
            (26, ErrorKind::Protocol, None),
            (1, ErrorKind::Internal, None),
        ] {
            let error = from_sqlx(coded(code), Stage::Read);
            assert_eq!((error.kind(), error.reason()), (kind, reason.as_ref()), "{code}");
            assert_eq!(error.native_code(), Some(code.to_string().as_str()));
        }
        for code in [11, 26] {
            let error = from_sqlx(coded(code), Stage::Open);
            assert_eq!((error.kind(), error.reason()), (ErrorKind::Misconfigured, Some(&Reason::Foreign)), "{code}");
        }
        assert_eq!(from_sqlx(sqlx::Error::WorkerCrashed, Stage::Read).kind(), ErrorKind::Internal);
    }

    #[test]
    fn err_3_a_write_is_in_doubt_only_where_it_may_have_been_applied() {
        for (stage, code, retry) in [
            (Stage::Write, 5, Retry::Safe),
            (Stage::Autocommit, 5, Retry::Safe),
            (Stage::Commit, 5, Retry::Safe),
            (Stage::Autocommit, 15, Retry::Safe),
            (Stage::Write, 13, Retry::Never),
            (Stage::Autocommit, 13, Retry::Never),
            (Stage::Write, 7, Retry::Never),
            (Stage::Autocommit, 7, Retry::OutcomeUnknown),
            (Stage::Commit, 13, Retry::OutcomeUnknown),
            (Stage::Write, 10, Retry::Safe),
            (Stage::Autocommit, 1034, Retry::OutcomeUnknown), // SQLITE_IOERR_FSYNC
            (Stage::Commit, 1034, Retry::OutcomeUnknown),
            (Stage::Read, 1034, Retry::Safe),
        ] {
            assert_eq!(from_sqlx(coded(code), stage).retry(), retry, "{stage:?} {code}");
        }
        // What only read, or only opened, has applied nothing, whatever went wrong.
        for stage in [Stage::Open, Stage::Read] {
            assert!(!from_sqlx(sqlx::Error::WorkerCrashed, stage).is_outcome_unknown());
            for code in (1..=28).chain([266, 522, 778, 1034, 3338]) {
                assert!(!from_sqlx(coded(code), stage).is_outcome_unknown(), "{stage:?} {code}");
            }
        }
        for stage in [Stage::Write, Stage::Autocommit, Stage::Commit] {
            assert_eq!(from_sqlx(sqlx::Error::WorkerCrashed, stage).retry(), Retry::OutcomeUnknown);
        }
    }
}
