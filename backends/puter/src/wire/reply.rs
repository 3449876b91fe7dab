//! Answers: what the result of a success must be, and what everything else means.

use std::sync::Arc;

use kv_api::{Clock, Error, JsonText, Metadata, Result, Value};
use kv_remote::Redaction;
use kv_remote::http::{Answer, StatusCode, malformed};

use super::error::{Refusal, error};
use super::value::decode;

/// A value that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) value: Value,
    pub(crate) metadata: Option<Metadata>,
    /// It stands there as a plain number, in which the system counts.
    pub(crate) is_plain_number: bool,
}

impl Found {
    fn of(json: JsonText<'_>) -> Result<Option<Self>> {
        let is_plain_number = json.is_number();
        Ok(decode(json)?.map(|(value, metadata)| Self { value, metadata, is_plain_number }))
    }
}

/// What a counter became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// An integer of 64 bits.
    Integer(i64),
    /// Another number.
    Other,
}

/// An answer, and what its errors may show.
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) redaction: Redaction,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reply {
    /// That a value was set or deleted.
    pub(crate) fn done(self) -> Result<()> {
        self.typed("true", |result| (result?.as_bool() == Some(true)).then_some(Ok(())))
    }

    /// That an expiry was set. The result is absent, and documented as true.
    pub(crate) fn expired(self) -> Result<()> {
        let is_done = |result: Option<JsonText<'_>>| result.is_none_or(|result| result.as_bool() == Some(true));
        self.typed("empty", |result| is_done(result).then_some(Ok(())))
    }

    /// The value of a key. Null is that of a missing one too.
    pub(crate) fn value(self) -> Result<Option<Found>> {
        self.typed("a value", |result| result.map(Found::of))
    }

    /// The values of keys, in their order. Null is what a key that was left out has too.
    pub(crate) fn values(self, keys: &[String]) -> Result<Vec<Option<Found>>> {
        let found = |(value, key): (JsonText<'_>, &String)| Found::of(value).map_err(|error| error.with_key(key));
        self.typed("a value for each key", |result| {
            let values = result?.array().filter(|values| values.len() == keys.len())?;
            Some(values.into_iter().zip(keys).map(found).collect())
        })
    }

    /// What a counter became.
    pub(crate) fn sum(self) -> Result<Sum> {
        self.typed("a number", |result| {
            let number = result.filter(|result| result.is_number())?;
            Some(Ok(number.as_i64().map_or(Sum::Other, Sum::Integer)))
        })
    }

    /// The keys of a page, in their order and each once, and the cursor of the next; `None` at the end.
    pub(crate) fn page(self) -> Result<(Vec<String>, Option<String>)> {
        self.typed("a page of keys in their order", |result| {
            let mut page = result?.object()?;
            let cursor = match page.remove("cursor").filter(|cursor| !cursor.is_null()) {
                None => None,
                Some(cursor) => Some(cursor.as_str()?.into_owned()),
            };
            let items = page.remove("items")?.array()?;
            let keys: Vec<String> =
                items.into_iter().map(|key| Some(key.as_str()?.into_owned())).collect::<Option<_>>()?;
            keys.is_sorted_by(|left, right| left < right).then_some(Ok((keys, cursor)))
        })
    }

    /// A success whose result `read` understands. A success is 200 and says so.
    fn typed<T>(
        self,
        expected: &'static str,
        read: impl FnOnce(Option<JsonText<'_>>) -> Option<Result<T>>,
    ) -> Result<T> {
        let body = JsonText::parse_slice_foreign(&self.answer.body).ok();
        let members = body.and_then(JsonText::object);
        let says = members.as_ref().and_then(|members| members.get("success")?.as_bool());
        if self.answer.status != StatusCode::OK || says == Some(false) {
            return Err(self.refused(body));
        }
        let Some(members) = members else {
            return Err(malformed("the answer is not a JSON object with each member once"));
        };
        if says.is_none() {
            return Err(malformed("the answer does not say that the call was done"));
        }
        read(members.get("result").copied())
            .unwrap_or_else(|| Err(malformed(format!("the result of the call is not {expected}"))))
    }

    fn refused(&self, body: Option<JsonText<'_>>) -> Error {
        error(&self.answer, &body.map(Refusal::of).unwrap_or_default(), &self.redaction, &*self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ErrorKind, ManualClock, Retry, Timestamp};
    use kv_remote::http::HeaderMap;

    fn reply_with<T>(status: u16, body: &str, read: impl FnOnce(Reply) -> Result<T>) -> Result<T> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() };
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        read(Reply { answer, redaction: Redaction::Everything, clock })
    }

    fn reply<T>(body: &str, read: impl FnOnce(Reply) -> Result<T>) -> Result<T> {
        reply_with(200, body, read)
    }

    #[test]
    fn err_1_a_success_that_is_not_what_is_documented_is_a_violation() {
        let check = |read: &dyn Fn(Reply) -> Result<()>, result: &str| {
            for body in [
                "",
                "5",
                "null",
                "garbage",
                "{}",
                r#"{"result":true}"#,
                r#"{"success":1,"result":true}"#,
                r#"{"success":false,"success":true,"result":true}"#,
            ] {
                let error = reply(body, read).unwrap_err();
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{body}");
            }
            let error = reply(&format!(r#"{{"success":true{result}}}"#), read).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{result}");
        };
        for result in ["", r#","result":null"#, r#","result":false"#, r#","result":1"#] {
            check(&|reply| reply.done(), result);
        }
        for result in [r#","result":null"#, r#","result":false"#] {
            check(&|reply| reply.expired(), result);
        }
        check(&|reply| reply.value().map(drop), "");
        for result in ["", r#","result":null"#, r#","result":[1]"#, r#","result":[1,2,3]"#] {
            check(&|reply| reply.values(&["a".to_owned(), "b".to_owned()]).map(drop), result);
        }
        for result in ["", r#","result":null"#, r#","result":"5""#, r#","result":{"":5}"#] {
            check(&|reply| reply.sum().map(drop), result);
        }
        for result in [
            "",
            r#","result":[]"#,
            r#","result":{}"#,
            r#","result":{"items":[1]}"#,
            r#","result":{"items":[],"cursor":1}"#,
            r#","result":{"items":["a","a"]}"#,
            r#","result":{"items":["b","a"]}"#,
            r#","result":{"items":["a"],"items":["b"]}"#,
        ] {
            check(&|reply| reply.page().map(drop), result);
        }
    }

    #[test]
    fn err_1_another_status_of_success_is_none() {
        for status in [201, 202, 204, 206, 226, 299] {
            for body in [r#"{"success":true,"result":true}"#, r#"{"success":true,"result":null}"#, "", "{}"] {
                let error = reply_with(status, body, Reply::done).unwrap_err();
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{status}");
                let error = reply_with(status, body, Reply::value).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Protocol, "{status} {body}");
            }
        }
    }

    #[test]
    fn get_1_a_value_that_looks_like_an_error_is_a_value() {
        let body = r#"{"success":true,"result":{"success":false,"error":{"code":"forbidden"},"code":"forbidden"}}"#;
        assert!(reply(body, |reply| reply.value()).unwrap().is_some());
        assert_eq!(reply(r#"{"success":true,"result":null}"#, |reply| reply.value()).unwrap(), None);
    }

    #[test]
    fn cnt_1_a_sum_is_an_integer_or_another_number() {
        for (text, sum) in
            [("5", Sum::Integer(5)), ("-1", Sum::Integer(-1)), ("1.5", Sum::Other), ("1e300", Sum::Other)]
        {
            let body = format!(r#"{{"success":true,"result":{text}}}"#);
            assert_eq!(reply(&body, |reply| reply.sum()).unwrap(), sum);
        }
    }
}
