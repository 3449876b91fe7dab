//! What a server says of itself.

use std::sync::Arc;

use kv_api::{Error, ErrorKind, Result};
use redis::Value;

use super::error::refusal;
use super::reply::{accepted, unexpected};

/// The answer to `HELLO`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    major: u32,
    pub(crate) mode: String,
    pub(crate) is_replica: bool,
}

impl Hello {
    pub(crate) fn read(reply: Value) -> Result<Self> {
        // Servers before 6.0 do not know the command.
        let unknown = |error: &redis::ServerError| {
            error.code() == "ERR" && error.details().is_some_and(|detail| detail.starts_with("unknown command"))
        };
        if matches!(&reply, Value::ServerError(error) if unknown(error)) {
            return Ok(Self { major: 0, mode: String::new(), is_replica: false });
        }
        let Value::Array(parts) = accepted(reply)? else { return Err(no_redis()) };
        let member = |name: &str| {
            let mut pairs = parts.chunks_exact(2);
            let found = pairs.find_map(|pair| match pair {
                [Value::BulkString(own), Value::BulkString(value)] if own == name.as_bytes() => Some(value),
                _ => None,
            });
            found.and_then(|value| std::str::from_utf8(value).ok())
        };
        let major = member("version").and_then(|version| version.split('.').next()?.parse().ok());
        let (Some(major), Some(mode), Some(role)) = (major, member("mode"), member("role")) else {
            return Err(no_redis());
        };
        Ok(Self { major, mode: mode.to_owned(), is_replica: role != "master" })
    }

    /// Scripts that only read, and the expiry of a key to the millisecond, came with 7.0.
    pub(crate) const fn is_new_enough(&self) -> bool {
        self.major >= 7
    }
}

/// What answers at the address speaks otherwise.
pub(crate) fn no_redis() -> Error {
    Error::new(ErrorKind::Misconfigured, "what answers is no Redis")
}

/// The answer to `INFO server`: the identity of this run of the server.
pub(crate) fn run_id(reply: Value) -> Result<Arc<str>> {
    let text = match reply {
        Value::BulkString(text) => text,
        Value::VerbatimString { text, .. } => text.into_bytes(),
        Value::ServerError(error) => return Err(refusal(&error)),
        _ => return Err(unexpected()),
    };
    let text = String::from_utf8_lossy(&text);
    let run = text.lines().find_map(|line| line.strip_prefix("run_id:"));
    run.map(|run| Arc::from(run.trim())).ok_or_else(unexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(members: &[(&str, &str)]) -> Value {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let mut parts: Vec<Value> = members.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect();
        parts.extend([bulk("proto"), Value::Int(2)]);
        Value::Array(parts)
    }

    #[test]
    fn life_1_a_server_says_its_version_mode_and_role() {
        let current = hello(&[("server", "redis"), ("version", "7.0.15"), ("mode", "standalone"), ("role", "master")]);
        let read = Hello::read(current).unwrap();
        assert_eq!(read, Hello { major: 7, mode: "standalone".to_owned(), is_replica: false });
        assert!(read.is_new_enough());
        let old = Hello::read(hello(&[("version", "6.2.1"), ("mode", "cluster"), ("role", "replica")])).unwrap();
        assert!(!old.is_new_enough() && old.is_replica && old.mode == "cluster");
        let older = redis::parse_redis_value(b"-ERR unknown command `HELLO`, with args beginning with: \r\n").unwrap();
        assert!(!Hello::read(older).unwrap().is_new_enough());
        let denied = redis::parse_redis_value(b"-NOAUTH HELLO must be called with the client already\r\n").unwrap();
        assert_eq!(Hello::read(denied).unwrap_err().kind(), ErrorKind::Unauthorized);
        for other in [Value::Okay, hello(&[("version", "x"), ("mode", "standalone"), ("role", "master")])] {
            assert_eq!(Hello::read(other).unwrap_err().kind(), ErrorKind::Misconfigured);
        }
    }

    #[test]
    fn list_3_the_run_of_a_server_is_its_identity() {
        let info = Value::BulkString(b"# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\ntcp_port:1\r\n".to_vec());
        assert_eq!(&*run_id(info).unwrap(), "abc");
        let info = redis::parse_redis_value(b"=14\r\ntxt:run_id:abc\r\n").unwrap();
        assert_eq!(&*run_id(info).unwrap(), "abc", "as a text in the newer protocol");
        assert!(run_id(Value::BulkString(b"# Server\r\n".to_vec())).is_err());
        let denied = redis::parse_redis_value(b"-NOPERM this user has no permissions\r\n").unwrap();
        assert_eq!(run_id(denied).unwrap_err().kind(), ErrorKind::Unauthorized);
    }
}
