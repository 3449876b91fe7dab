//! What comes back: one message for each key, with the name of its command, the key and a status; and what each status
//! means (the README, "What goes over the wire"). Pure.

use std::borrow::Cow;

use bytes::Bytes;
use kv_api::{
    DeleteOutcome, Envelope, Error, ErrorKind, JsonText, Metadata, Result, Retry, SetStatus, Timestamp, Value,
};

use crate::budget::{Held, ReplyBudget};
use crate::wire::error::violation;
use crate::wire::message::Command;

/// A message that says whose it is.
#[derive(Debug)]
pub(crate) struct Reply<'t> {
    pub(crate) command: Command,
    /// As on the server; empty for a command about no key.
    pub(crate) key: Cow<'t, str>,
    status: u64,
    value: Option<JsonText<'t>>,
}

/// What the server answered about one key.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u64,
    value: Content,
}

/// The value beside a status.
#[derive(Debug)]
enum Content {
    /// Only a hit of a `GET` has one.
    None,
    /// As it came.
    Json { text: Bytes, _held: Held },
    /// It came, and there was no room for it.
    NoRoom,
}

/// Takes a message apart.
///
/// # Errors
/// `Protocol` when it does not say whose it is: an error of the server that names no command, or what is no reply at
/// all. No text of the message is in it.
pub(crate) fn parse(text: &str) -> Result<Reply<'_>> {
    let no_reply = || violation("a message that is no reply");
    let message = JsonText::parse_foreign(text).map_err(|_| no_reply())?.object().ok_or_else(no_reply)?;
    let mut members = message.into_iter();
    let (Some((name, body)), None) = (members.next(), members.next()) else { return Err(no_reply()) };
    let mut body = body.object().ok_or_else(no_reply)?;
    let number = |name: &str| body.get(name).copied().and_then(JsonText::as_u64);
    if name == "SERVER_ERROR" {
        let error = violation("an error that names no request");
        return Err(match number("s").or_else(|| number("_c")) {
            Some(code) => error.with_native_code(format_args!("SERVER_ERROR {code}")),
            None => error.with_native_code("SERVER_ERROR"),
        });
    }
    let named = |command: &Command| name.strip_suffix("_RSP") == Some(command.name());
    let command = Command::ALL.into_iter().find(named).ok_or_else(|| violation("a reply to another command"))?;
    let status = number("st").ok_or_else(|| violation("a reply without a status"))?;
    let (key, value) = if command == Command::ServerInfo {
        (Cow::Borrowed(""), None)
    } else if command == Command::Get && status == HIT {
        // The pair itself; a key has six bytes at least, so it is never `st`.
        body.remove("st");
        let mut pairs = body.into_iter();
        let (Some((key, value)), None) = (pairs.next(), pairs.next()) else {
            return Err(violation("a hit that is not one pair"));
        };
        (key, Some(value))
    } else {
        let Some(key) = body.remove("k").and_then(|key| key.as_str()) else {
            return Err(violation("a refusal that names no key").with_native_code(format_args!("st {status}")));
        };
        (key, None)
    };
    Ok(Reply { command, key, status, value })
}

impl Reply<'_> {
    /// What it says about its key, kept where there is room.
    pub(crate) fn answer(&self, budget: &ReplyBudget) -> Answer {
        let kept = |value: JsonText<'_>| {
            let text = value.as_text();
            match budget.hold(text.len()) {
                Some(held) => Content::Json { text: Bytes::copy_from_slice(text.as_bytes()), _held: held },
                None => Content::NoRoom,
            }
        };
        Answer { status: self.status, value: self.value.map_or(Content::None, kept) }
    }
}

const HIT: u64 = 0;
const SET: u64 = 1;
const UPDATED: u64 = 2;
const MISSING: u64 = 3;
const EXISTS: u64 = 4;
const REMOVED: u64 = 5;
const KEY_TOO_SHORT: u64 = 6;
const NOT_A_KEY: u64 = 7;
const NOT_A_BODY: u64 = 12;

#[cfg(test)]
impl<'t> Reply<'t> {
    pub(crate) fn without_value(command: Command, key: &'t str, status: u64) -> Self {
        Self { command, key: Cow::Borrowed(key), status, value: None }
    }
}

impl Answer {
    #[cfg(test)]
    pub(crate) const fn status(&self) -> u64 {
        self.status
    }

    /// The outcome of a `SET`.
    pub(crate) fn set(&self) -> Result<SetStatus> {
        match self.status {
            SET => Ok(SetStatus::Created),
            UPDATED => Ok(SetStatus::Updated),
            _ => Err(self.refusal()),
        }
    }

    /// The outcome of an `ADD`.
    pub(crate) fn added(&self) -> Result<SetStatus> {
        match self.status {
            SET => Ok(SetStatus::Created),
            EXISTS => Ok(SetStatus::NotMet),
            _ => Err(self.refusal()),
        }
    }

    /// The outcome of an `RMV`.
    pub(crate) fn removed(&self) -> Result<DeleteOutcome> {
        match self.status {
            REMOVED => Ok(DeleteOutcome::Deleted),
            MISSING => Ok(DeleteOutcome::NotFound),
            _ => Err(self.refusal()),
        }
    }

    /// What a `GET` found, expired or not.
    pub(crate) fn found(&self) -> Result<Option<Found>> {
        match (self.status, &self.value) {
            (HIT, Content::Json { text, .. }) => found(text).map(Some),
            (HIT, Content::NoRoom) => Err(no_room()),
            (MISSING, _) => Ok(None),
            _ => Err(self.refusal()),
        }
    }

    /// Whether `SERVER_INFO` was answered.
    pub(crate) fn info(&self) -> Result<()> {
        if self.status == HIT { Ok(()) } else { Err(self.refusal()) }
    }

    /// Any other status. What refuses a request says that nothing was done; what is not known says nothing.
    fn refusal(&self) -> Error {
        let (kind, message, retry) = match self.status {
            KEY_TOO_SHORT => (ErrorKind::InvalidArgument, "the server takes no key of this length", Retry::Never),
            NOT_A_KEY | NOT_A_BODY => (ErrorKind::Protocol, "the server took the request for malformed", Retry::Never),
            _ => (
                ErrorKind::Protocol,
                "the server answered with a status that does not belong here",
                Retry::OutcomeUnknown,
            ),
        };
        Error::new(kind, message).with_retry(retry).with_native_code(format_args!("st {}", self.status))
    }
}

/// An entry as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) value: Value,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Found {
    /// Whether it is still there (EXP-7).
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

fn no_room() -> Error {
    let message = "the values of all calls under way are longer than buffer_bytes_max: read fewer at a time";
    Error::new(ErrorKind::Exhausted, message).with_retry(Retry::Safe)
}

/// What a client of any kind wrote: an envelope is one, a string is a text, and the rest is JSON, `null` too (VAL-5).
fn found(json: &[u8]) -> Result<Found> {
    let json = JsonText::parse_slice_foreign(json)
        .map_err(|_| Error::new(ErrorKind::Protocol, "the server sent a value that is no JSON"))?;
    if let Some(envelope) = Envelope::decode_json(json)? {
        let (value, metadata, expires_at) = envelope.into_parts();
        return Ok(Found { value, metadata, expires_at });
    }
    Ok(Found { value: json.to_value(), metadata: None, expires_at: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(text: &str) -> Answer {
        parse(text).unwrap().answer(&ReplyBudget::new(1 << 20))
    }

    #[test]
    fn a_reply_says_whose_it_is() {
        for (text, command, key, status) in [
            (r#"{"SET_RSP":{"k":"sixsix","st":1}}"#, Command::Set, "sixsix", 1),
            (r#"{"ADD_RSP":{"st":6,"k":"short"}}"#, Command::Add, "short", 6),
            (r#"{"RMV_RSP":{"k":"a\"\\\u0000é","st":5}}"#, Command::Remove, "a\"\\\0é", 5),
            (r#"{"GET_RSP":{"sixsix":{"st":9},"st":0}}"#, Command::Get, "sixsix", 0),
            (r#"{"GET_RSP":{"st":0,"zzzzzz":null}}"#, Command::Get, "zzzzzz", 0),
            (r#"{"GET_RSP":{"k":"sixsix","st":3}}"#, Command::Get, "sixsix", 3),
            (r#"{"SERVER_INFO_RSP":{"st":0,"keyCnt":1,"qryCnt":2,"version":"0.1.6"}}"#, Command::ServerInfo, "", 0),
        ] {
            let reply = parse(text).unwrap();
            assert_eq!((reply.command, &*reply.key, reply.status), (command, key, status), "{text}");
        }
    }

    #[test]
    fn err_1_what_says_of_no_request_that_it_is_its_reply_is_told_apart() {
        for (text, code) in [
            (r#"{"SERVER_ERROR":{"s":5,"m":"hush"}}"#, Some("SERVER_ERROR 5")),
            (r#"{"SERVER_ERROR":{"_err":1,"_c":5000,"_a":"hush"}}"#, Some("SERVER_ERROR 5000")),
            (r#"{"SERVER_ERROR":{}}"#, Some("SERVER_ERROR")),
            (r#"{"SET_RSP":{"st":6,"m":"hush"}}"#, Some("st 6")),
            (r#"{"GET_RSP":{"st":12,"m":""}}"#, Some("st 12")),
            (r#"{"GET_RSP":{"st":0}}"#, None),
            (r#"{"GET_RSP":{"hushhush":1,"other1":2,"st":0}}"#, None),
            (r#"{"SET_RSP":{"k":"hushhush"}}"#, None),
            (r#"{"SET_RSP":{"k":7,"st":1}}"#, Some("st 1")),
            (r#"{"CLEAR_RSP":{"st":0,"cnt":0}}"#, None),
            (r#"{"SET":{"hushhush":1}}"#, None),
            (r#"{"SET_RSP":[]}"#, None),
            (r#"{"SET_RSP":{"k":"hushhush","st":1}"#, None),
            (r#"{"SET_RSP":{"k":"hushhush","st":1},"more":{}}"#, None),
            ("{}", None),
            ("hush", None),
            ("", None),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{text}");
            assert_eq!(error.native_code(), code, "{text}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn err_1_each_status_has_its_meaning() {
        let with = |status: u64| Answer { status, value: Content::None };
        assert_eq!(with(1).set().unwrap(), SetStatus::Created);
        assert_eq!(with(2).set().unwrap(), SetStatus::Updated);
        assert_eq!(with(1).added().unwrap(), SetStatus::Created);
        assert_eq!(with(4).added().unwrap(), SetStatus::NotMet);
        assert_eq!(with(5).removed().unwrap(), DeleteOutcome::Deleted);
        assert_eq!(with(3).removed().unwrap(), DeleteOutcome::NotFound);
        assert!(with(3).found().unwrap().is_none());
        with(0).info().unwrap();
        for status in 0..20 {
            let answers = [
                (with(status).set().err(), matches!(status, 1 | 2)),
                (with(status).added().err(), matches!(status, 1 | 4)),
                (with(status).removed().err(), matches!(status, 3 | 5)),
                (with(status).found().err(), status == 3),
                (with(status).info().err(), status == 0),
            ];
            let (kind, retry) = match status {
                6 => (ErrorKind::InvalidArgument, Retry::Never),
                7 | 12 => (ErrorKind::Protocol, Retry::Never),
                _ => (ErrorKind::Protocol, Retry::OutcomeUnknown),
            };
            for (error, belongs) in answers {
                assert_eq!(error.is_none(), belongs, "{status}: {error:?}");
                let Some(error) = error else { continue };
                assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
                assert_eq!(error.native_code(), Some(format!("st {status}").as_str()));
            }
        }
    }

    #[test]
    fn val_5_what_others_wrote_is_read_as_it_is() {
        let read = |json: &str| {
            let found = answer(&format!(r#"{{"GET_RSP":{{"sixsix":{json},"st":0}}}}"#)).found().unwrap().unwrap();
            assert!(found.metadata.is_none() && found.expires_at.is_none());
            found.value
        };
        assert_eq!(read("\"a\\u0000é\""), Value::from("a\0é"));
        assert_eq!(read("18446744073709551615"), Value::from(u64::MAX));
        assert_eq!(read("1e3"), Value::from(1000));
        assert!(read("null").is_null());
        assert_eq!(read(r#"{"$kv-envelope":1,"other":2}"#), Value::from(json!({"$kv-envelope": 1, "other": 2})));
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert_eq!(read(&deep).as_json_text(), Some(deep.as_str()), "deeper than this library writes");
    }

    #[test]
    fn env_3_an_envelope_is_opened_and_a_newer_one_is_an_error() {
        let hit = |json: &str| answer(&format!(r#"{{"GET_RSP":{{"sixsix":{json},"st":0}}}}"#)).found();
        let found = hit(r#"{"$kv-envelope":1,"expires_at":1500,"kind":"bytes","metadata":{"n":1},"value":"AP8="}"#);
        let found = found.unwrap().unwrap();
        assert_eq!(
            (found.value.clone(), found.metadata.clone()),
            (Value::from(b"\0\xff"), Some(Metadata::from(json!({"n": 1}))))
        );
        assert!(found.is_live(Timestamp::from_unix_millis(1499)));
        assert!(!found.is_live(Timestamp::from_unix_millis(1500)));
        assert_eq!(hit(r#"{"$kv-envelope":2,"kind":"text"}"#).unwrap_err().kind(), ErrorKind::Protocol);
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(
            text in concat!(
                r#"\{?("(GET|SET|SERVER)_(RSP|ERROR)":)?"#,
                r#"\{?("(st|k|s)":[0-9"]{0,3},?)*[\PC]{0,20}\}{0,2}"#,
            ),
        ) {
            if let Ok(reply) = parse(&text) {
                let answer = reply.answer(&ReplyBudget::new(1 << 20));
                let _ = (answer.found(), answer.set());
            }
        }
    }
}
