//! What the server's replies mean. Success needs evidence: a reply of another form is `Protocol`, and the outcome
//! unknown.

use kv_api::{DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind, Fields, Increment, Result, Retry, SetStatus, Value};
use redis::Value as Reply;

use super::command::expiry_of;
use super::error::refusal;
use super::value::{decode, digest, version};

/// A reply that no document of the server knows for this command.
pub(crate) fn unexpected() -> Error {
    Error::new(ErrorKind::Protocol, "the server answered what it never answers to this command")
        .with_retry(Retry::OutcomeUnknown)
}

/// The reply, unless it refuses.
pub(crate) fn accepted(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::ServerError(error) => Err(refusal(&error)),
        reply => Ok(reply),
    }
}

/// A string, or nothing.
fn string(reply: Reply) -> Result<Option<Vec<u8>>> {
    match accepted(reply)? {
        Reply::Nil => Ok(None),
        Reply::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(unexpected()),
    }
}

fn number(reply: Reply) -> Result<i64> {
    match accepted(reply)? {
        Reply::Int(number) => Ok(number),
        _ => Err(unexpected()),
    }
}

/// Yes or no.
fn flag(reply: Reply) -> Result<bool> {
    match number(reply)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(unexpected()),
    }
}

/// As many replies as were asked for.
fn array(reply: Reply, count: usize) -> Result<Vec<Reply>> {
    match accepted(reply)? {
        Reply::Array(replies) if replies.len() == count => Ok(replies),
        _ => Err(unexpected()),
    }
}

fn value_entry(stored: Vec<u8>) -> Result<Entry> {
    decode(stored).map(|(value, _)| Entry::new(value))
}

/// The answer to [`read`](super::command::read).
pub(crate) fn read(reply: Reply, fields: Fields, scope: &str) -> Result<Option<Entry>> {
    match fields {
        Fields::Existence => Ok(flag(reply)?.then(|| Entry::new(Value::from("")))),
        Fields::Value => string(reply)?.map(value_entry).transpose(),
        _ => Ok(entries(reply, 1, scope)?.pop().flatten()),
    }
}

/// What became of [`read_and_change`](super::command::read_and_change).
#[derive(Debug, PartialEq)]
pub(crate) enum ReadAndChanged {
    Done(Option<Entry>),
    /// Nothing was changed. The value can be read; this is its digest.
    Left(String),
}

/// The answer to [`read_and_change`](super::command::read_and_change).
pub(crate) fn read_and_changed(reply: Reply, fields: Fields, scope: &str) -> Result<ReadAndChanged> {
    let mut parts = array(reply, 3)?.into_iter();
    let (Some(stored), Some(expiry), Some(done)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unexpected());
    };
    let stored = string(stored)?;
    if !flag(done)? {
        let stored = stored.ok_or_else(unexpected)?;
        let digest = digest(&stored);
        return decode(stored).map(|_| ReadAndChanged::Left(digest));
    }
    let entry = stored.map(|stored| match fields {
        Fields::Value => value_entry(stored),
        _ => entry(stored, expiry, scope),
    });
    entry.transpose().map(ReadAndChanged::Done)
}

/// The answer to [`read_values`](super::command::read_values).
pub(crate) fn values(reply: Reply, count: usize) -> Result<Vec<Option<Entry>>> {
    array(reply, count)?.into_iter().map(|reply| string(reply)?.map(value_entry).transpose()).collect()
}

/// The answer to [`read_entries`](super::command::read_entries).
pub(crate) fn entries(reply: Reply, count: usize, scope: &str) -> Result<Vec<Option<Entry>>> {
    let mut parts = array(reply, 2 * count)?.into_iter();
    let mut entries = Vec::with_capacity(count);
    while let (Some(stored), Some(expiry)) = (parts.next(), parts.next()) {
        entries.push(string(stored)?.map(|stored| entry(stored, expiry, scope)).transpose()?);
    }
    Ok(entries)
}

fn entry(stored: Vec<u8>, expiry: Reply, scope: &str) -> Result<Entry> {
    let expiry = match number(expiry)? {
        -1 => EntryExpiry::Never,
        millis @ 0.. => EntryExpiry::At(expiry_of(millis)),
        _ => return Err(unexpected()),
    };
    let version = version(scope, &stored)?;
    let (value, metadata) = decode(stored)?;
    Ok(Entry::with_details(value, metadata, expiry, Some(version)))
}

/// The answer to an unconditional set. It does not say what was there before.
pub(crate) fn stored(reply: Reply) -> Result<SetStatus> {
    match accepted(reply)? {
        Reply::Okay => Ok(SetStatus::Stored),
        _ => Err(unexpected()),
    }
}

/// The answer to a `SET` with a condition, and what it means when the condition was met.
pub(crate) fn set_if(reply: Reply, met: SetStatus) -> Result<SetStatus> {
    match accepted(reply)? {
        Reply::Okay => Ok(met),
        Reply::Nil => Ok(SetStatus::NotMet),
        _ => Err(unexpected()),
    }
}

/// The answer to the script of `IfVersion`.
pub(crate) fn set_if_version(reply: Reply) -> Result<SetStatus> {
    Ok(if flag(reply)? { SetStatus::Updated } else { SetStatus::NotMet })
}

/// The answer to [`write_all`](super::command::write_all): the position of the first condition that does not hold, if
/// there is one.
pub(crate) fn first_unmet(reply: Reply, count: usize) -> Result<Option<usize>> {
    let position = usize::try_from(number(reply)?).map_err(|_| unexpected())?;
    if position <= count { Ok(position.checked_sub(1)) } else { Err(unexpected()) }
}

/// The answer to a delete; `with_version` says whether it asked for one.
pub(crate) fn deleted(reply: Reply, with_version: bool) -> Result<DeleteOutcome> {
    Ok(match (flag(reply)?, with_version) {
        (true, _) => DeleteOutcome::Deleted,
        (false, false) => DeleteOutcome::NotFound,
        (false, true) => DeleteOutcome::NotMet,
    })
}

/// The answer to [`increment`](super::command::increment).
pub(crate) fn incremented(reply: Reply, increment: &Increment<'_>) -> Result<i64> {
    let (min, max) = (increment.min(), increment.max());
    let new = match reply {
        Reply::ServerError(error) => {
            let detail = error.details().unwrap_or_default();
            return Err(if detail.starts_with("value is not an integer") {
                Error::not_a_counter("it holds something else")
            } else if detail.starts_with("increment or decrement would overflow") {
                Error::counter_range(min, max)
            } else {
                refusal(&error)
            });
        }
        Reply::Int(0) if !increment.expiring_allowed() => return Err(Error::not_a_counter("it has an expiry")),
        Reply::Int(new) => new,
        Reply::Nil => return Err(Error::counter_range(min, max)),
        Reply::BulkString(text) => {
            let new = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            new.ok_or_else(unexpected)?
        }
        _ => return Err(unexpected()),
    };
    if (min..=max).contains(&new) { Ok(new) } else { Err(unexpected()) }
}

/// The answer to [`expire`](super::command::expire).
pub(crate) fn expired(reply: Reply) -> Result<bool> {
    flag(reply)
}

/// The answer to [`ping`](super::command::ping).
pub(crate) fn ponged(reply: Reply) -> Result<()> {
    flag(reply).map(drop)
}

/// The answer to [`size`](super::command::size).
pub(crate) fn sized(reply: Reply) -> Result<u64> {
    u64::try_from(number(reply)?).map_err(|_| unexpected())
}

/// The answer to [`scan`](super::command::scan): where it goes on, 0 at the end, and keys.
pub(crate) fn scanned(reply: Reply) -> Result<(u64, Vec<Vec<u8>>)> {
    let mut parts = array(reply, 2)?.into_iter();
    let (Some(Reply::BulkString(cursor)), Some(Reply::Array(keys))) = (parts.next(), parts.next()) else {
        return Err(unexpected());
    };
    let cursor = std::str::from_utf8(&cursor).ok().and_then(|text| text.parse().ok()).ok_or_else(unexpected)?;
    let keys = keys.into_iter().map(|key| match key {
        Reply::BulkString(key) => Ok(key),
        _ => Err(unexpected()),
    });
    Ok((cursor, keys.collect::<Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::CAPABILITIES;
    use kv_api::{IncrementOptions, Resolver, Support, SystemClock, Timestamp};

    fn bulk(text: &str) -> Reply {
        Reply::BulkString(text.as_bytes().to_vec())
    }

    fn error(line: &str) -> Reply {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn is_unexpected<T: std::fmt::Debug>(result: Result<T>) -> bool {
        let error = result.unwrap_err();
        error.kind() == ErrorKind::Protocol && error.is_outcome_unknown()
    }

    #[test]
    fn a_server_says_how_many_keys_it_has() {
        assert_eq!([0, 7].map(|keys| sized(Reply::Int(keys)).unwrap()), [0, 7]);
        assert!(is_unexpected(sized(Reply::Int(-1))));
        assert_eq!(sized(error("NOPERM this user")).unwrap_err().kind(), ErrorKind::Unauthorized);
    }

    #[test]
    fn get_1_a_read_says_what_is_there() {
        let value = |reply| read(reply, Fields::Value, "s").map(|entry| entry.map(Entry::into_value));
        assert_eq!(value(Reply::Nil).unwrap(), None);
        assert_eq!(value(bulk("v")).unwrap(), Some(Value::from("v")));
        assert_eq!(value(error("WRONGTYPE Operation against a key")).unwrap_err().kind(), ErrorKind::WrongType);
        assert!(read(Reply::Int(1), Fields::Existence, "s").unwrap().is_some());
        assert!(read(Reply::Int(0), Fields::Existence, "s").unwrap().is_none());
        let all = Reply::Array(vec![bulk("v"), Reply::Int(999)]);
        let entry = read(all, Fields::All, "s").unwrap().unwrap();
        assert_eq!(entry.expiry(), EntryExpiry::At(Timestamp::from_unix_millis(1000)));
        assert_eq!(entry.version(), Some(&version("s", b"v").unwrap()));
        let lasting = Reply::Array(vec![bulk("v"), Reply::Int(-1)]);
        assert_eq!(read(lasting, Fields::All, "s").unwrap().unwrap().expiry(), EntryExpiry::Never);
        let gone = Reply::Array(vec![Reply::Nil, Reply::Nil]);
        assert_eq!(read(gone.clone(), Fields::All, "s").unwrap(), None);
        let changed = |stored, expiry, done| Reply::Array(vec![stored, expiry, Reply::Int(done)]);
        for fields in [Fields::Value, Fields::All] {
            let read = |reply| read_and_changed(reply, fields, "s");
            assert_eq!(read(changed(Reply::Nil, Reply::Nil, 1)).unwrap(), ReadAndChanged::Done(None));
            let found = read(changed(bulk("v"), Reply::Int(999), 1)).unwrap();
            let ReadAndChanged::Done(Some(entry)) = found else { panic!("it was changed") };
            assert_eq!((entry.value(), entry.version().is_some()), (&Value::from("v"), fields == Fields::All));
            let left = read(changed(bulk("v"), Reply::Int(999), 0)).unwrap();
            assert_eq!(left, ReadAndChanged::Left(digest(b"v")));
            let newer = read(changed(bulk(r#"{"$kv-envelope":2}"#), Reply::Int(-1), 0)).unwrap_err();
            assert_eq!((newer.kind(), newer.is_outcome_unknown()), (ErrorKind::Protocol, false));
            for odd in [gone.clone(), bulk("v"), changed(Reply::Nil, Reply::Nil, 0), changed(bulk("v"), Reply::Nil, 2)]
            {
                assert!(is_unexpected(read(odd)));
            }
        }
    }

    #[test]
    fn set_5_a_set_claims_what_the_reply_proves() {
        assert_eq!(stored(Reply::Okay).unwrap(), SetStatus::Stored);
        assert_eq!(set_if(Reply::Okay, SetStatus::Created).unwrap(), SetStatus::Created);
        assert_eq!(set_if(Reply::Nil, SetStatus::Created).unwrap(), SetStatus::NotMet);
        assert_eq!(set_if_version(Reply::Int(1)).unwrap(), SetStatus::Updated);
        assert_eq!(set_if_version(Reply::Int(0)).unwrap(), SetStatus::NotMet);
        assert_eq!(deleted(Reply::Int(1), false).unwrap(), DeleteOutcome::Deleted);
        assert_eq!(deleted(Reply::Int(0), false).unwrap(), DeleteOutcome::NotFound);
        assert_eq!(deleted(Reply::Int(0), true).unwrap(), DeleteOutcome::NotMet);
        assert!(expired(Reply::Int(1)).unwrap() && !expired(Reply::Int(0)).unwrap());
    }

    #[test]
    fn batch_3_the_first_condition_that_does_not_hold_is_named() {
        assert_eq!(first_unmet(Reply::Int(0), 2).unwrap(), None);
        assert_eq!(first_unmet(Reply::Int(2), 2).unwrap(), Some(1));
        for reply in [Reply::Int(-1), Reply::Int(3), Reply::Okay, Reply::Nil] {
            assert!(is_unexpected(first_unmet(reply.clone(), 2)), "{reply:?}");
        }
    }

    #[test]
    fn cnt_1_a_counter_is_an_integer_within_its_range() {
        let full = Resolver::new(&CAPABILITIES).increment("k", 1, IncrementOptions::default(), &SystemClock).unwrap();
        assert_eq!(incremented(Reply::Int(0), &full).unwrap(), 0);
        assert_eq!(incremented(bulk("-9223372036854775808"), &full).unwrap(), i64::MIN);
        for refused in ["ERR value is not an integer or out of range", "WRONGTYPE Operation against a key"] {
            assert_eq!(incremented(error(refused), &full).unwrap_err().kind(), ErrorKind::WrongType);
        }
        let overflow = incremented(error("ERR increment or decrement would overflow"), &full).unwrap_err();
        assert_eq!(overflow.reason(), Error::counter_range(i64::MIN, i64::MAX).reason());
        assert!(is_unexpected(incremented(bulk("1.5"), &full)));
        let narrow = CAPABILITIES.clone().with_counters(Support::Native, 0, 9).with_counter_expiry(false);
        let narrow = Resolver::new(&narrow).increment("k", 1, IncrementOptions::default(), &SystemClock).unwrap();
        assert_eq!(incremented(Reply::Nil, &narrow).unwrap_err().reason(), Error::counter_range(0, 9).reason());
        assert_eq!(incremented(Reply::Int(0), &narrow).unwrap_err().kind(), ErrorKind::WrongType);
        assert!(is_unexpected(incremented(bulk("10"), &narrow)));
    }

    #[test]
    fn list_1_a_step_gives_keys_and_where_it_goes_on() {
        let page = Reply::Array(vec![bulk("18446744073709551615"), Reply::Array(vec![bulk("a"), bulk("b")])]);
        assert_eq!(scanned(page).unwrap(), (u64::MAX, vec![b"a".to_vec(), b"b".to_vec()]));
        for reply in [
            Reply::Array(vec![bulk("x"), Reply::Array(Vec::new())]),
            Reply::Array(vec![bulk("0"), Reply::Nil]),
            Reply::Array(vec![bulk("0"), Reply::Array(vec![Reply::Int(1)])]),
            Reply::Array(vec![bulk("0")]),
        ] {
            assert!(is_unexpected(scanned(reply.clone())), "{reply:?}");
        }
    }

    #[test]
    fn batch_6_a_reply_of_another_form_proves_nothing() {
        for reply in [Reply::Okay, Reply::SimpleString("QUEUED".to_owned()), Reply::Array(Vec::new()), Reply::Int(7)] {
            assert!(is_unexpected(read(reply.clone(), Fields::Value, "s")), "{reply:?}");
            assert!(is_unexpected(read(reply.clone(), Fields::Existence, "s")), "{reply:?}");
            assert!(is_unexpected(read(reply.clone(), Fields::All, "s")), "{reply:?}");
            assert!(is_unexpected(values(reply.clone(), 2)), "{reply:?}");
            assert!(is_unexpected(deleted(reply.clone(), false)), "{reply:?}");
            assert!(is_unexpected(expired(reply.clone())), "{reply:?}");
            assert!(is_unexpected(ponged(reply)));
        }
        for reply in [Reply::Nil, Reply::Int(1), bulk("OK")] {
            assert!(is_unexpected(stored(reply)));
        }
        for odd in [Reply::Int(-2), Reply::Nil] {
            assert!(is_unexpected(entries(Reply::Array(vec![bulk("v"), odd]), 1, "s")));
        }
    }
}
