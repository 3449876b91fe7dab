//! Answers: what the result of a success must be, and what everything else means.

use std::borrow::Cow;
use std::collections::HashMap;

use kv_api::{Clock, Error, JsonText, Metadata, Result, Value};
use kv_remote::SecretString;
use kv_remote::http::{Answer, malformed};

use super::error::{Refusal, error};
use super::value::decode;

/// What may be shown of the system's text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quote<'a> {
    /// Nothing: the request carried a value, and the text may quote it (ERR-2).
    Nothing,
    /// All but this secret.
    Without(&'a SecretString),
}

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) answer: &'a Answer,
    pub(crate) quote: Quote<'a>,
    pub(crate) clock: &'a dyn Clock,
}

impl Reply<'_> {
    /// That a value was set or deleted.
    pub(crate) fn done(self) -> Result<()> {
        self.typed("true", |result| (result?.as_bool() == Some(true)).then_some(Ok(())))
    }

    /// That an expiry was set. The result is absent, and documented as true.
    pub(crate) fn expired(self) -> Result<()> {
        self.typed("empty", |result| result.is_none_or(|result| result.as_bool() == Some(true)).then_some(Ok(())))
    }

    /// The value of a key. Null is that of a missing one too.
    pub(crate) fn value(self) -> Result<Option<Found>> {
        self.typed("a value", |result| result.map(Found::of))
    }

    /// The values of keys, in their order. Null is what a key that was left out has too.
    pub(crate) fn values(self, keys: &[&str]) -> Result<Vec<Option<Found>>> {
        let found = |(value, key): (JsonText<'_>, &&str)| Found::of(value).map_err(|error| error.with_key(key));
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

    /// The keys of a page, and the cursor of the next; `None` at the end.
    pub(crate) fn page(self) -> Result<(Vec<String>, Option<String>)> {
        self.typed("a page of keys", |result| {
            let page = result?.object()?;
            let cursor = match page.get("cursor").filter(|cursor| !cursor.is_null()) {
                None => None,
                Some(cursor) => Some(cursor.as_str()?.into_owned()),
            };
            let keys = page.get("items")?.array()?.into_iter().map(|key| Some(key.as_str()?.into_owned()));
            Some(Ok((keys.collect::<Option<_>>()?, cursor)))
        })
    }

    /// A success whose result `read` understands.
    fn typed<T>(
        self,
        expected: &'static str,
        read: impl FnOnce(Option<JsonText<'_>>) -> Option<Result<T>>,
    ) -> Result<T> {
        let Some(members) = JsonText::parse_slice_foreign(&self.answer.body).ok().and_then(JsonText::object) else {
            return Err(if self.answer.status.is_success() {
                malformed("the answer is not a JSON object that names each member once")
            } else {
                self.refused(&HashMap::new())
            });
        };
        let success = members.get("success").and_then(|success| success.as_bool());
        if !self.answer.status.is_success() || success == Some(false) {
            return Err(self.refused(&members));
        }
        if success != Some(true) {
            return Err(malformed("the answer does not say that the call was done"));
        }
        read(members.get("result").copied())
            .unwrap_or_else(|| Err(malformed(format!("the result of the call is not {expected}"))))
    }

    fn refused(self, body: &HashMap<Cow<'_, str>, JsonText<'_>>) -> Error {
        error(self.answer, &Refusal::of(body), self.quote, self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ErrorKind, ManualClock, Retry, Timestamp};
    use kv_remote::http::{HeaderMap, StatusCode};

    fn reply<T>(body: &str, read: impl FnOnce(Reply<'_>) -> Result<T>) -> Result<T> {
        let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.to_owned().into() };
        read(Reply { answer: &answer, quote: Quote::Nothing, clock: &ManualClock::new(Timestamp::UNIX_EPOCH) })
    }

    #[test]
    fn err_1_a_success_that_is_not_what_is_documented_is_a_violation() {
        let check = |read: &dyn Fn(Reply<'_>) -> Result<()>, result: &str| {
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
            check(&|reply| reply.values(&["a", "b"]).map(drop), result);
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
        ] {
            check(&|reply| reply.page().map(drop), result);
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
