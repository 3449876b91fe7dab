//! The server's SQLSTATE codes as errors of the contract: what the reader does next decides (ERR-1, ERR-3).
//!
//! The codes are those of <https://www.postgresql.org/docs/current/errcodes-appendix.html>. A server quotes values in
//! its texts (`Key (key)=(...) already exists`), and names in those about the connection, which may be a secret in the
//! wrong place. So no error shows the server's text: the code and a text of our own stand for it (ERR-2).

use std::io;

use kv_api::{Error, ErrorKind, Reason, Retry};
use kv_remote::no_connection;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What gives an application the rights that it needs.
const GRANTS: &str = "let the owner of the tables run: GRANT SELECT, INSERT, UPDATE, DELETE ON kv TO the_user; \
     GRANT SELECT ON kv_meta TO the_user; GRANT USAGE ON SEQUENCE kv_version TO the_user;";

/// How far a statement had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is no connection yet, so nothing was sent.
    Connecting,
    /// It was sent, and its end has not been reported. A server that turns it down now has undone it.
    Running,
    /// Its end was reported, and then comes its commit.
    Committing,
}

/// A statement that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The connection cannot be used any more.
    pub(crate) is_lost: bool,
}

/// The meaning of one code, or of all codes of a class.
struct Row {
    /// The code, or its first two characters.
    code: &'static str,
    kind: ErrorKind,
    retry: Retry,
    reason: Option<Reason>,
    message: &'static str,
}

const fn row(code: &'static str, kind: ErrorKind, retry: Retry, message: &'static str) -> Row {
    Row { code, kind, retry, reason: None, message }
}

const fn reasoned(code: &'static str, kind: ErrorKind, retry: Retry, reason: Reason, message: &'static str) -> Row {
    Row { code, kind, retry, reason: Some(reason), message }
}

const NOT_SESSION: &str = "a prepared statement is not where it was put, as behind PgBouncer in transaction mode: set \
     pgbouncer=true";
const CHANGED: &str = "another program removed or changed a table that the store needs";
const ROW_REJECTED: &str = "a constraint or trigger that another program added to the table refused the row";

/// The first row that fits counts: codes stand before their class.
const TABLE: &[Row] = &[
    row("08001", ErrorKind::Unavailable, Retry::Safe, "the server made no connection"),
    row("08004", ErrorKind::Unavailable, Retry::Safe, "the server rejected the connection"),
    // Also what a pooler reports when its own connection to the server broke.
    row("08", ErrorKind::Unavailable, Retry::OutcomeUnknown, "the connection to the server failed"),
    // The plan of a prepared statement does not fit the table any more; another connection makes a new one.
    row("0A000", ErrorKind::Unavailable, Retry::Safe, "the table was changed under a prepared statement"),
    row("21", ErrorKind::Internal, Retry::Never, "one statement had the same key twice"),
    // Only the namespace is sent as a text that can hold any character.
    row(
        "22P05",
        ErrorKind::InvalidArgument,
        Retry::Never,
        "the encoding of the database lacks a character of the namespace",
    ),
    row("22", ErrorKind::InvalidArgument, Retry::Never, "the server does not take this data"),
    reasoned("23", ErrorKind::Misconfigured, Retry::Never, Reason::RowRejected, ROW_REJECTED),
    reasoned(
        "25006",
        ErrorKind::Misconfigured,
        Retry::Never,
        Reason::ReadOnly,
        "the server only reads: it is a standby, or the user or the database is set to read only",
    ),
    row("25", ErrorKind::Unavailable, Retry::Safe, "the transaction was ended by the server"),
    row("26000", ErrorKind::Misconfigured, Retry::Never, NOT_SESSION),
    reasoned("27000", ErrorKind::Misconfigured, Retry::Never, Reason::RowRejected, ROW_REJECTED),
    row("28", ErrorKind::Unauthorized, Retry::Never, "the server does not accept user and password"),
    row("3D000", ErrorKind::Misconfigured, Retry::Never, "there is no database of this name"),
    row("3F000", ErrorKind::Misconfigured, Retry::Never, "there is no schema to find the tables in (search_path)"),
    row("40003", ErrorKind::Unavailable, Retry::OutcomeUnknown, "the server does not know whether it was carried out"),
    row("40P01", ErrorKind::Unavailable, Retry::Safe, "the server ended it because of a deadlock"),
    row("40", ErrorKind::Unavailable, Retry::Safe, "a concurrent transaction came between, and it was undone"),
    row("42501", ErrorKind::Unauthorized, Retry::Never, "the user lacks a right"),
    row("42P05", ErrorKind::Misconfigured, Retry::Never, NOT_SESSION),
    reasoned("42", ErrorKind::Misconfigured, Retry::Never, Reason::Foreign, CHANGED),
    reasoned("44000", ErrorKind::Misconfigured, Retry::Never, Reason::RowRejected, ROW_REJECTED),
    reasoned("53100", ErrorKind::Exhausted, Retry::Never, Reason::StoreFull, "the disk of the server is full"),
    row("53200", ErrorKind::Exhausted, Retry::Safe, "the server is out of memory"),
    row("53300", ErrorKind::RateLimited, Retry::Safe, "the server has too many connections"),
    row("53", ErrorKind::Exhausted, Retry::Safe, "the server is short of a resource"),
    row("54", ErrorKind::InvalidArgument, Retry::Never, "the item is larger than the server takes"),
    reasoned("55P03", ErrorKind::Unavailable, Retry::Safe, Reason::Busy, "another transaction keeps a lock"),
    reasoned("55006", ErrorKind::Unavailable, Retry::Safe, Reason::Busy, "another transaction uses the table"),
    row("55", ErrorKind::Misconfigured, Retry::Never, "the table is not in a state to be used"),
    row("57014", ErrorKind::Unavailable, Retry::Safe, "the server cancelled it, as it took too long"),
    row("57P01", ErrorKind::Unavailable, Retry::Safe, "the server ended the connection"),
    row("57P03", ErrorKind::Unavailable, Retry::Safe, "the server does not accept connections now"),
    row("57P04", ErrorKind::Misconfigured, Retry::Never, "the database was removed"),
    row("57P05", ErrorKind::Unavailable, Retry::Safe, "the server ended the connection, which was idle"),
    // 57P02, the crash of another process of the server, among them.
    row("57", ErrorKind::Unavailable, Retry::OutcomeUnknown, "the server stopped in between"),
    row("58", ErrorKind::Unavailable, Retry::OutcomeUnknown, "the system that the server runs on failed"),
    reasoned("P0", ErrorKind::Misconfigured, Retry::Never, Reason::RowRejected, ROW_REJECTED),
    row("XX001", ErrorKind::Protocol, Retry::OutcomeUnknown, "the data of the server is damaged"),
    row("XX002", ErrorKind::Protocol, Retry::OutcomeUnknown, "an index of the server is damaged"),
    row("XX", ErrorKind::Unavailable, Retry::OutcomeUnknown, "the server reported an internal error"),
];

/// The error that a code stands for, by how far the statement had come; `ends_connection` where the server closed it
/// with that.
fn from_code(code: &str, progress: Progress, ends_connection: bool) -> Error {
    let fits = |row: &&Row| if row.code.len() == 5 { code == row.code } else { code.starts_with(row.code) };
    let (kind, retry, reason, message) = match TABLE.iter().find(fits) {
        Some(Row { kind, retry, reason, message, .. }) => (*kind, *retry, reason.clone(), *message),
        // A function of another program may raise any code, and an error undoes the statement.
        None if code.len() == 5 && progress == Progress::Running && !ends_connection => {
            (ErrorKind::Misconfigured, Retry::Never, Some(Reason::RowRejected), ROW_REJECTED)
        }
        None => (ErrorKind::Protocol, Retry::OutcomeUnknown, None, "the server reported what it does not document"),
    };
    let retry = match (progress, retry) {
        (Progress::Connecting, Retry::OutcomeUnknown) => Retry::Safe,
        // It may be about the connection alone, and the commit have come before it.
        (Progress::Committing, _) if ends_connection => Retry::OutcomeUnknown,
        _ => retry,
    };
    let error = match code {
        "42501" => Error::new(kind, format!("{message}; {GRANTS}")),
        _ => Error::new(kind, message),
    };
    let error = error.with_retry(retry).with_native_code(code);
    match reason {
        Some(reason) => error.with_reason(reason),
        None => error,
    }
}

/// What a failed statement means. The error of the server itself is not kept as the source: it holds texts and values.
pub(crate) fn failure(error: sqlx::Error, progress: Progress) -> Failure {
    match error {
        sqlx::Error::Database(reported) => {
            let reported = reported.downcast_ref::<PgDatabaseError>();
            let ends_connection = matches!(reported.severity(), PgSeverity::Fatal | PgSeverity::Panic);
            let code = reported.code();
            Failure {
                error: from_code(code, progress, ends_connection),
                is_lost: ends_connection || matches!(code, "0A000" | "26000" | "42P05"),
            }
        }
        // Only what writes has this error. The last part of a statement asks for its commit, so that a server that got
        // no more than a part of it undoes that.
        sqlx::Error::Io(source) if source.kind() == io::ErrorKind::BrokenPipe => {
            let error =
                Error::new(ErrorKind::Unavailable, "the connection had been closed before the statement was sent");
            Failure { error: error.with_retry(Retry::Safe).with_source(source), is_lost: true }
        }
        sqlx::Error::Io(source) => {
            let error = Error::new(ErrorKind::Unavailable, "the connection broke before the answer came");
            Failure { error: error.with_source(source), is_lost: true }
        }
        // The driver's text may hold parts of an answer.
        _ => {
            let message = "the answer of the server cannot be understood";
            let error = Error::new(ErrorKind::Protocol, message).with_retry(Retry::OutcomeUnknown);
            Failure { error, is_lost: true }
        }
    }
}

/// Whether a statement of many rows may have been refused for one of them alone: for its size or content, or by a
/// constraint, trigger or policy, which may use any code.
pub(crate) fn may_be_of_one_row(error: &Error) -> bool {
    let is_of_all = matches!(error.reason(), Some(Reason::ReadOnly | Reason::StoreFull));
    error.retry() == Retry::Never && !is_of_all
}

/// Why there is no connection to this host and port.
pub(crate) fn connecting(error: sqlx::Error, host: &str) -> Error {
    match error {
        error @ sqlx::Error::Database(_) => {
            let error = failure(error, Progress::Connecting).error;
            match error.native_code() {
                // PgBouncer's word for a setting in the first message that it does not know.
                Some("08P01") => {
                    let message = "what answers does not take the settings of a connection, as PgBouncer does not: set \
                         pgbouncer=true";
                    Error::new(ErrorKind::Misconfigured, message).with_native_code("08P01")
                }
                _ => error,
            }
        }
        sqlx::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => closed_early(host),
        // The driver takes the end of the connection for an answer to its question for TLS.
        sqlx::Error::Protocol(text) if text.contains("SSLRequest: 0x00") => closed_early(host),
        sqlx::Error::Tls(source) if source.to_string() == "server does not support TLS" => {
            let message = format!("{host} offers no TLS, and sslmode asks for it");
            Error::new(ErrorKind::Misconfigured, message)
        }
        error @ (sqlx::Error::Io(_) | sqlx::Error::Tls(_)) => no_connection(error, host),
        sqlx::Error::Configuration(_) => {
            Error::new(ErrorKind::Misconfigured, "the certificate or key files of the settings cannot be used")
        }
        _ => Error::new(ErrorKind::Protocol, format!("what answers at {host} is no PostgreSQL server"))
            .with_retry(Retry::Safe),
    }
}

fn closed_early(host: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{host} closed the connection before it was made"))
        .with_retry(Retry::Safe)
}

/// A row or column that is not as the statement asks for it.
pub(crate) fn undecodable(_: sqlx::Error) -> Error {
    kv_sql::damaged_row("a column has another type")
}

/// The error of a call that was dropped with the task that worked on it.
pub(crate) fn unanswered() -> Error {
    let message = "the runtime that the store was opened in ended before the answer came";
    Error::new(ErrorKind::Closed, message).with_retry(Retry::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_1_each_code_says_what_to_do_next() {
        use ErrorKind as Kind;
        use Retry::{Never, OutcomeUnknown, Safe};
        for (code, kind, retry) in [
            ("08000", Kind::Unavailable, OutcomeUnknown),
            ("08001", Kind::Unavailable, Safe),
            ("08003", Kind::Unavailable, OutcomeUnknown),
            ("08004", Kind::Unavailable, Safe),
            ("08006", Kind::Unavailable, OutcomeUnknown),
            ("08007", Kind::Unavailable, OutcomeUnknown),
            ("08P01", Kind::Unavailable, OutcomeUnknown),
            ("0A000", Kind::Unavailable, Safe),
            ("21000", Kind::Internal, Never),
            ("22001", Kind::InvalidArgument, Never),
            ("22021", Kind::InvalidArgument, Never),
            ("23502", Kind::Misconfigured, Never),
            ("23505", Kind::Misconfigured, Never),
            ("23514", Kind::Misconfigured, Never),
            ("25006", Kind::Misconfigured, Never),
            ("25P03", Kind::Unavailable, Safe),
            ("26000", Kind::Misconfigured, Never),
            ("27000", Kind::Misconfigured, Never),
            ("28000", Kind::Unauthorized, Never),
            ("28P01", Kind::Unauthorized, Never),
            ("3D000", Kind::Misconfigured, Never),
            ("3F000", Kind::Misconfigured, Never),
            ("40000", Kind::Unavailable, Safe),
            ("40001", Kind::Unavailable, Safe),
            ("40003", Kind::Unavailable, OutcomeUnknown),
            ("40P01", Kind::Unavailable, Safe),
            ("42501", Kind::Unauthorized, Never),
            ("42703", Kind::Misconfigured, Never),
            ("42P01", Kind::Misconfigured, Never),
            ("42P05", Kind::Misconfigured, Never),
            ("44000", Kind::Misconfigured, Never),
            ("53100", Kind::Exhausted, Never),
            ("53200", Kind::Exhausted, Safe),
            ("53300", Kind::RateLimited, Safe),
            ("53400", Kind::Exhausted, Safe),
            ("54000", Kind::InvalidArgument, Never),
            ("55006", Kind::Unavailable, Safe),
            ("55P03", Kind::Unavailable, Safe),
            ("55000", Kind::Misconfigured, Never),
            ("57014", Kind::Unavailable, Safe),
            ("57P01", Kind::Unavailable, Safe),
            ("57P02", Kind::Unavailable, OutcomeUnknown),
            ("57P03", Kind::Unavailable, Safe),
            ("57P04", Kind::Misconfigured, Never),
            ("57P05", Kind::Unavailable, Safe),
            ("58030", Kind::Unavailable, OutcomeUnknown),
            ("P0001", Kind::Misconfigured, Never),
            ("XX000", Kind::Unavailable, OutcomeUnknown),
            ("XX001", Kind::Protocol, OutcomeUnknown),
            ("XX002", Kind::Protocol, OutcomeUnknown),
            ("P0004", Kind::Misconfigured, Never),
            ("KV001", Kind::Misconfigured, Never),
            ("", Kind::Protocol, OutcomeUnknown),
        ] {
            let error = from_code(code, Progress::Running, false);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{code}");
            assert_eq!(error.native_code(), Some(code));
        }
        for row in TABLE {
            assert!(matches!(row.code.len(), 2 | 5), "{}", row.code);
        }
    }

    #[test]
    fn err_3_a_server_that_goes_away_during_the_commit_leaves_it_in_doubt() {
        let retry = |code, progress, ends_connection| from_code(code, progress, ends_connection).retry();
        assert_eq!(retry("57P01", Progress::Running, true), Retry::Safe);
        assert_eq!(retry("57P01", Progress::Committing, true), Retry::OutcomeUnknown);
        // A constraint that is checked at the end, and a serialisation failure: the commit was turned down.
        assert_eq!(retry("23505", Progress::Committing, false), Retry::Never);
        assert_eq!(retry("40001", Progress::Committing, false), Retry::Safe);
        assert_eq!(retry("XX000", Progress::Connecting, true), Retry::Safe);
        // A code without a meaning.
        assert_eq!(retry("KV001", Progress::Running, true), Retry::OutcomeUnknown);
        assert_eq!(retry("KV001", Progress::Committing, false), Retry::OutcomeUnknown);
    }

    #[test]
    fn err_3_a_connection_that_breaks_leaves_what_was_sent_in_doubt() {
        let broken = || sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into());
        for error in [broken(), sqlx::Error::Protocol("hush".to_owned())] {
            let failure = failure(error, Progress::Running);
            assert!(failure.is_lost && failure.error.is_outcome_unknown());
            assert!(!format!("{:?}", failure.error).contains("hush"));
        }
        let ended = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00 (somewhere:60)".to_owned());
        for error in [broken(), ended] {
            let error = connecting(error, "host:5432");
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
        }
        let unsent = failure(sqlx::Error::Io(io::ErrorKind::BrokenPipe.into()), Progress::Running);
        assert!(unsent.is_lost && unsent.error.retry() == Retry::Safe);
    }
}
