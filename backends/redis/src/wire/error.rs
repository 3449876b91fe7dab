//! What each refusal of the server means (the README, "Errors").

use kv_api::{Error, ErrorKind, Reason, Retry};
use redis::ServerError;

/// The error of a reply that refuses. Of its text only the code is shown: the rest may quote what was sent.
///
/// A command is turned away before it has changed anything, or it is carried out; so a refusal that is known says that
/// nothing was applied. One that is not known proves nothing.
pub(crate) fn refusal(error: &ServerError) -> Error {
    let code = error.code();
    let detail = error.details().unwrap_or_default();
    let (kind, retry, message) = match code {
        "ERR" => generic(detail),
        "LOADING" => turned_away("the server is still loading its data"),
        "BUSY" => turned_away("the server is busy with a script"),
        "CLUSTERDOWN" => turned_away("the cluster serves no keys now"),
        "MASTERDOWN" => turned_away("the replica has lost its master"),
        "TRYAGAIN" => turned_away("the keys are being moved to another node"),
        "NOREPLICAS" => turned_away("the server has fewer replicas than it is to write with"),
        "MISCONF" => turned_away("the server takes no writes, since it cannot save to its disk"),
        "EXECABORT" => turned_away("the server gave up a transaction"),
        "OOM" => (ErrorKind::Exhausted, Retry::Safe, "the server has reached its maxmemory"),
        // Where its address leads after a fail-over it may be another server.
        "READONLY" => (ErrorKind::Misconfigured, Retry::Safe, "the server is a replica, which only reads"),
        "NOAUTH" => (ErrorKind::Unauthorized, Retry::Never, "the server asks for a password"),
        "WRONGPASS" => (ErrorKind::Unauthorized, Retry::Never, "the server does not know this user and password"),
        "NOPERM" => (ErrorKind::Unauthorized, Retry::Never, "the user has no right to this command or key"),
        "DENIED" => {
            (ErrorKind::Unauthorized, Retry::Never, "the server is in protected mode and takes local calls only")
        }
        "WRONGTYPE" => (ErrorKind::WrongType, Retry::Never, "the key holds another type of Redis than a string"),
        "MOVED" | "ASK" => {
            let message = "the server is a node of a cluster: name it as redis-cluster://";
            (ErrorKind::Misconfigured, Retry::Never, message)
        }
        // Two mistakes of this library: it keeps slots apart, and sends the text of a script that is not known.
        "CROSSSLOT" => (ErrorKind::Internal, Retry::Never, "one command was sent for several slots"),
        "NOSCRIPT" => (ErrorKind::Internal, Retry::Safe, "a script was not sent with its text"),
        _ => unknown(),
    };
    let error = Error::new(kind, message).with_retry(retry);
    let error = if code == "READONLY" { error.with_reason(Reason::ReadOnly) } else { error };
    if is_a_code(code) { error.with_native_code(code) } else { error }
}

type Meaning = (ErrorKind, Retry, &'static str);

/// Turned away for now, before anything was applied.
const fn turned_away(message: &'static str) -> Meaning {
    (ErrorKind::Unavailable, Retry::Safe, message)
}

/// It may have been carried out all the same.
const fn unknown() -> Meaning {
    (ErrorKind::Protocol, Retry::OutcomeUnknown, "the server reported a failure that this backend does not know")
}

/// What has no code of its own is known by how its text begins. Those below are the server's texts since version 7.0.
fn generic(detail: &str) -> Meaning {
    const NEVER: Retry = Retry::Never;
    let begins = |text: &str| detail.starts_with(text);
    if begins("Protocol error: invalid bulk length") || begins("Protocol error: invalid multibulk length") {
        (ErrorKind::InvalidArgument, NEVER, "the key, the value or the batch is longer than the server takes")
    } else if begins("max number of clients reached") {
        (ErrorKind::Exhausted, Retry::Safe, "the server has as many clients as it takes")
    } else if begins("string exceeds maximum allowed size") {
        (ErrorKind::InvalidArgument, NEVER, "the value is longer than the server takes")
    } else if begins("invalid expire time") {
        (ErrorKind::InvalidArgument, NEVER, "the server does not take this expiry")
    } else if begins("unknown command") || begins("unknown subcommand") {
        (ErrorKind::Misconfigured, NEVER, "the server does not know a command of Redis 7.0, or it was renamed")
    } else if begins("DB index is out of range") {
        (ErrorKind::Misconfigured, NEVER, "the server has no database of this number")
    } else if begins("SELECT is not allowed in cluster mode") {
        (ErrorKind::Misconfigured, NEVER, "a cluster has no numbered databases")
    } else if begins("AUTH") || begins("Client sent AUTH") {
        (ErrorKind::Unauthorized, NEVER, "the server was set up without a password, and one was sent")
    } else if begins("syntax error") || begins("wrong number of arguments") {
        (ErrorKind::Protocol, NEVER, "the server does not understand a command of Redis 7.0")
    } else {
        unknown()
    }
}

/// Whether this is a word such as the server's codes are. Anything else may be what was sent.
fn is_a_code(word: &str) -> bool {
    (2..=20).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The connection was lost, or what came is no reply.
pub(crate) fn lost(error: &redis::RedisError) -> Error {
    if error.kind() == redis::ErrorKind::Parse { unreadable() } else { connection_lost() }
}

/// What came in place of a reply is none.
pub(crate) fn unreadable() -> Error {
    let message = "the server sent what is no reply of Redis";
    Error::new(ErrorKind::Protocol, message).with_retry(Retry::OutcomeUnknown)
}

/// Sent, and no reply came.
pub(crate) fn connection_lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection was lost").with_retry(Retry::OutcomeUnknown)
}

/// No connection in time. Nothing was sent.
pub(crate) fn not_in_time(authority: &str) -> Error {
    let message = format!("no connection to {} in time", authority.escape_debug());
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
}

/// The answer took more memory than it may. Others may have been cut off with it.
pub(crate) fn answer_too_long() -> Error {
    let message = "the answer is longer than answer_bytes_max allows";
    Error::new(ErrorKind::Exhausted, message).with_retry(Retry::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    fn of(line: &str) -> Error {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap() {
            Value::ServerError(error) => refusal(&error),
            other => panic!("{other:?} is no refusal"),
        }
    }

    #[test]
    fn err_1_each_refusal_has_its_kind_and_retry_class() {
        use ErrorKind::{
            Exhausted, Internal, InvalidArgument, Misconfigured, Protocol, Unauthorized, Unavailable, WrongType,
        };
        use Retry::{Never, OutcomeUnknown, Safe};
        for (line, kind, retry) in [
            ("LOADING Redis is loading the dataset in memory", Unavailable, Safe),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", Unavailable, Safe),
            ("CLUSTERDOWN Hash slot not served", Unavailable, Safe),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Unavailable, Safe),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable, Safe),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable, Safe),
            ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to", Unavailable, Safe),
            ("EXECABORT Transaction discarded because of previous errors.", Unavailable, Safe),
            ("OOM command not allowed when used memory > 'maxmemory'.", Exhausted, Safe),
            ("READONLY You can't write against a read only replica.", Misconfigured, Safe),
            ("NOAUTH Authentication required.", Unauthorized, Never),
            ("WRONGPASS invalid username-password pair or user is disabled.", Unauthorized, Never),
            ("NOPERM this user has no permissions to run the 'evalsha' command", Unauthorized, Never),
            ("DENIED Redis is running in protected mode because", Unauthorized, Never),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", WrongType, Never),
            ("MOVED 3999 127.0.0.1:6381", Misconfigured, Never),
            ("ASK 3999 127.0.0.1:6381", Misconfigured, Never),
            ("CROSSSLOT Keys in request don't hash to the same slot", Internal, Never),
            ("NOSCRIPT No matching script. Please use EVAL.", Internal, Safe),
            ("ERR max number of clients reached", Exhausted, Safe),
            ("ERR string exceeds maximum allowed size (proto-max-bulk-len)", InvalidArgument, Never),
            ("ERR Protocol error: invalid bulk length", InvalidArgument, Never),
            ("ERR Protocol error: invalid multibulk length", InvalidArgument, Never),
            ("ERR Protocol error: expected '$', got 'hush'", Protocol, OutcomeUnknown),
            ("ERR invalid expire time in 'set' command", InvalidArgument, Never),
            ("ERR unknown command 'GETX', with args beginning with: 'hush'", Misconfigured, Never),
            ("ERR unknown subcommand 'X'. Try CLIENT HELP.", Misconfigured, Never),
            ("ERR DB index is out of range", Misconfigured, Never),
            ("ERR SELECT is not allowed in cluster mode", Misconfigured, Never),
            ("ERR AUTH <password> called without any password configured for the default user.", Unauthorized, Never),
            ("ERR syntax error", Protocol, Never),
            ("ERR wrong number of arguments for 'get' command", Protocol, Never),
            ("ERR something went wrong with hush", Protocol, OutcomeUnknown),
            ("NEWCODE hush", Protocol, OutcomeUnknown),
            ("hush", Protocol, OutcomeUnknown),
        ] {
            let error = of(line);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{line}");
            let code = line.split(' ').next().filter(|code| *code != "hush");
            assert_eq!(error.native_code(), code, "{line}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
        assert_eq!(of("READONLY x").reason(), Some(&Reason::ReadOnly));
    }

    #[test]
    fn err_3_a_lost_connection_tells_nothing() {
        let io = redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let parse = redis::parse_redis_value(b"?hush\r\n").unwrap_err();
        for (error, kind) in [(io, ErrorKind::Unavailable), (parse, ErrorKind::Protocol)] {
            let error = lost(&error);
            assert_eq!((error.kind(), error.retry()), (kind, Retry::OutcomeUnknown));
            assert!(!format!("{error:?}").contains("hush"));
        }
    }
}
