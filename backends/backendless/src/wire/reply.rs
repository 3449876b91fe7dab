//! Answers: what the body of a success must be, and what everything else means.

use std::collections::HashSet;
use std::sync::Arc;

use kv_api::{Clock, Error, JsonText, Metadata, Result, Value};
use kv_remote::http::{Answer, StatusCode, malformed};
use kv_remote::{Places, Redaction};

use super::error::{NO_EXPIRATION, NO_SUCH_KEY, Refusal, error};
use super::value::{decode, whole};

/// A value that was found, and its metadata.
pub(crate) type Found = (Value, Option<Metadata>);

/// What Hive says of an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiration {
    /// There is no such key.
    Missing,
    /// It never expires.
    Never,
    /// This many whole seconds are left. How they are rounded is not documented.
    Seconds(u64),
}

/// What a counter became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An integer of 64 bits.
    To(i64),
    /// A whole number beyond that.
    Beyond,
    /// A number that is not whole.
    Fraction,
}

/// An answer to a request, and what its errors may show.
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) redaction: Redaction,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reply {
    /// The values of `keys`, in their order: an object of those that are there. A stored value may look like an error,
    /// so no error is looked for; a member that was not asked for says that this is no answer to the question.
    pub(crate) fn values(self, keys: &[String]) -> Result<Vec<Option<Found>>> {
        if self.answer.status != StatusCode::OK {
            return Err(self.refused());
        }
        let unnamed = || malformed("the values are no JSON object that names each key once");
        let members = self.json().and_then(JsonText::members).ok_or_else(unnamed)?;
        let mut places = Places::new(keys);
        let mut stored = vec![None; keys.len()];
        for (key, json) in members {
            let at = places.find(&key).ok_or_else(|| malformed("an answer holds values that were not asked for"))?;
            if stored[at].replace(json).is_some() {
                return Err(unnamed());
            }
        }
        let read = |(key, json): (&String, Option<JsonText<'_>>)| {
            json.map_or(Ok(None), decode).map_err(|error| error.with_key(key))
        };
        keys.iter().zip(stored).map(read).collect()
    }

    /// How many of at most `most` keys.
    pub(crate) fn count(self, most: usize) -> Result<usize> {
        self.typed("a count of the keys", |json| usize::try_from(whole(json)?).ok().filter(|count| *count <= most))
    }

    /// Whether a set with options was done.
    pub(crate) fn flag(self) -> Result<bool> {
        self.typed("true or false", |json| json.as_bool())
    }

    /// What a counter became.
    pub(crate) fn step(self) -> Result<Step> {
        self.typed("a number", |json| match (whole(json), json.as_f64()) {
            _ if !json.is_number() => None,
            (Some(integer), _) => Some(Step::To(integer)),
            (None, Some(double)) if double.fract() != 0.0 => Some(Step::Fraction),
            (None, _) => Some(Step::Beyond),
        })
    }

    /// That it was done. The documents say that there is no body, other sources `true`.
    pub(crate) fn done(self) -> Result<()> {
        let is_empty = self.answer.body.trim_ascii().is_empty();
        if is_empty && matches!(self.answer.status, StatusCode::OK | StatusCode::NO_CONTENT) {
            return Ok(());
        }
        self.typed("empty", |json| (json.is_null() || json.as_bool() == Some(true)).then_some(()))
    }

    /// Whether there was a key whose expiry is now what was asked for. `clears`: no expiry was asked for, and the
    /// system may say that the key has no expiry already.
    pub(crate) fn expired(self, clears: bool) -> Result<bool> {
        match self.code() {
            Some(NO_SUCH_KEY) => Ok(false),
            Some(NO_EXPIRATION) if clears => Ok(true),
            _ => self.done().map(|()| true),
        }
    }

    /// The expiry of a key.
    pub(crate) fn expiration(self) -> Result<Expiration> {
        match self.code() {
            Some(NO_SUCH_KEY) => Ok(Expiration::Missing),
            Some(NO_EXPIRATION) => Ok(Expiration::Never),
            _ => self.typed("whole seconds", |json| Some(Expiration::Seconds(u64::try_from(whole(json)?).ok()?))),
        }
    }

    /// The keys of a page that begin with `prefix`, each once, and the cursor of the next page; `None` at the end. The
    /// documents and one SDK name it `cursor`, two SDKs `cursorId`.
    pub(crate) fn page(self, prefix: &str) -> Result<(Vec<String>, Option<u64>)> {
        self.typed("a page of keys with a cursor", |json| {
            let page = json.object()?;
            let cursor = *page.get("cursor").or_else(|| page.get("cursorId"))?;
            let cursor = match cursor.as_str() {
                Some(text) => decimal(text.as_bytes())?,
                None => cursor.as_u64().or_else(|| u64::try_from(whole(cursor)?).ok())?,
            };
            let mut keys = Vec::new();
            let mut seen = HashSet::new();
            for key in page.get("keys")?.array()? {
                let key = key.as_str()?.into_owned();
                if key.starts_with(prefix) && seen.insert(key.clone()) {
                    keys.push(key);
                }
            }
            Some((keys, (cursor != 0).then_some(cursor)))
        })
    }

    /// A success whose body `read` understands. Another body is an error object, or no answer at all.
    fn typed<T>(self, expected: &'static str, read: impl FnOnce(JsonText<'_>) -> Option<T>) -> Result<T> {
        if self.answer.status != StatusCode::OK {
            return Err(self.refused());
        }
        match self.json().and_then(read) {
            Some(read) => Ok(read),
            None if self.refusal().is_some() => Err(self.refused()),
            None => Err(malformed(format!("the answer is not {expected}"))),
        }
    }

    fn json(&self) -> Option<JsonText<'_>> {
        JsonText::parse_slice_foreign(&self.answer.body).ok()
    }

    fn refusal(&self) -> Option<Refusal> {
        Refusal::of(self.json()?)
    }

    fn code(&self) -> Option<i64> {
        self.refusal().map(|refusal| refusal.code)
    }

    fn refused(&self) -> Error {
        error(&self.answer, self.refusal().as_ref(), &self.redaction, &*self.clock)
    }
}

/// A cursor as Hive spells it: an unsigned number of 64 bits in decimal digits.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ErrorKind, Retry, SystemClock};
    use kv_remote::http::HeaderMap;

    fn reply(status: u16, body: &'static str) -> Reply {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: HeaderMap::new(), body: body.into() };
        Reply { answer, redaction: Redaction::Everything, clock: Arc::new(SystemClock) }
    }

    fn values(body: &'static str) -> Result<Vec<Option<Found>>> {
        reply(200, body).values(&["a", "b"].map(str::to_owned))
    }

    #[test]
    fn err_1_another_status_of_success_is_none() {
        for status in [201, 202, 204, 206, 226, 299] {
            let errors = [
                reply(status, "{}").values(&[]).err(),
                reply(status, "1").count(1).err(),
                reply(status, "true").flag().err(),
                reply(status, "1").step().err(),
                reply(status, "true").done().err(),
                reply(status, "1").expiration().err(),
                reply(status, "").expired(false).err().or((status == 204).then(|| malformed(""))),
                reply(status, r#"{"keys":[],"cursor":"0"}"#).page("").err(),
            ];
            for error in errors {
                let error = error.unwrap();
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{status}");
            }
        }
        assert!(reply(204, "").done().is_ok(), "what has no body may say so");
    }

    #[test]
    fn err_1_done_is_an_empty_body_null_or_true() {
        for body in ["", " \n", "null", "true"] {
            assert!(reply(200, body).done().is_ok(), "{body:?}");
        }
        for body in ["false", "1", "\"true\"", "[]", "{}"] {
            assert_eq!(reply(200, body).done().unwrap_err().kind(), ErrorKind::Protocol, "{body:?}");
        }
    }

    #[test]
    fn err_1_a_success_of_another_form_is_none() {
        for body in ["null", "\"1\"", "true", "[1]", "{}", "", "1x"] {
            let error = reply(200, body).step().unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Protocol, "the answer is not a number"), "{body}");
            assert_eq!(reply(200, body).count(9).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
            assert_eq!(reply(200, body).expiration().unwrap_err().kind(), ErrorKind::Protocol, "{body}");
            assert_eq!(reply(200, body).page("").unwrap_err().kind(), ErrorKind::Protocol, "{body}");
            assert!(body == "true" || reply(200, body).flag().is_err(), "{body}");
            assert!(["null", "true", ""].contains(&body) || reply(200, body).done().is_err(), "{body}");
        }
        assert!(reply(200, "3").count(2).is_err(), "no more than there are");
        let steps = ["-5", "5.0", "0.5", "1e300"].map(|body| reply(200, body).step().unwrap());
        assert_eq!(steps, [Step::To(-5), Step::To(5), Step::Fraction, Step::Beyond]);
    }

    #[test]
    fn get_1_an_answer_that_names_a_key_twice_answers_nothing() {
        let found = values(r#"{"b":{"z":1,"a":2},"\u0061":"x"}"#).unwrap();
        let found: Vec<_> = found.into_iter().map(|found| found.unwrap().0).collect();
        assert_eq!(found[0], Value::from("x"));
        assert_eq!(found[1].as_json_text(), Some(r#"{"z":1,"a":2}"#));
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":1,"c":2}"#, r#"["a"]"#, r#"{"a":1"#] {
            assert_eq!(values(body).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
        }
    }
}
