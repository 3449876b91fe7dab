//! Answers.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use kv_api::{
    Clock, EntryExpiry, Error, JsonText, ListItem, ListedMetadata, Metadata, Result, TaggedMetadata, Timestamp,
};
use kv_remote::SecretString;
use kv_remote::http::{Answer, StatusCode, header, malformed};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{KEY_NOT_FOUND, Refusal, refused};
use super::found::Found;

/// The header of a value that expires: the Unix second.
const EXPIRATION: &str = "expiration";

/// Reads the answers to one kind of request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers<'a> {
    pub(crate) clock: &'a dyn Clock,
    /// What to take out of a text of the service; `None` when the request carried a value, so that none is shown (ERR-2).
    pub(crate) secrets: Option<&'a [SecretString]>,
}

/// The bytes of a value, and when the entry ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) bytes: Bytes,
    pub(crate) expiry: EntryExpiry,
}

#[derive(Deserialize)]
struct Success<T> {
    success: bool,
    result: Option<T>,
}

#[derive(Deserialize)]
struct Bulk {
    #[serde(default)]
    result: Option<BulkResult>,
}

#[derive(Deserialize)]
struct BulkResult {
    successful_key_count: Option<usize>,
    unsuccessful_keys: Option<Vec<String>>,
}

type Members<'a> = HashMap<Cow<'a, str>, JsonText<'a>>;

impl Answers<'_> {
    fn refused(&self, answer: &Answer) -> Error {
        refused(answer, self.clock, self.secrets)
    }

    /// The error of an answer that is no success, or a success of another form than the documented one.
    fn not_understood(&self, answer: &Answer) -> Error {
        let says_yes = Refusal::of(answer).is_none_or(|refusal| refusal.success);
        if answer.status.is_success() && says_yes {
            malformed("a success that is not what the service documents")
                .with_native_code(format_args!("HTTP {}", answer.status.as_u16()))
        } else {
            self.refused(answer)
        }
    }

    fn parsed<T: DeserializeOwned>(&self, answer: &Answer, is_success: impl Fn(&T) -> bool) -> Result<T> {
        let parsed = if answer.status.is_success() { serde_json::from_slice(&answer.body).ok() } else { None };
        parsed.filter(is_success).ok_or_else(|| self.not_understood(answer))
    }

    fn result<T: DeserializeOwned>(&self, answer: &Answer) -> Result<Option<T>> {
        self.parsed(answer, |body: &Success<T>| body.success).map(|body| body.result)
    }

    /// The members of a success, where JSON of users stands as it came.
    fn success<'a>(&self, answer: &'a Answer) -> Result<Members<'a>> {
        let members = JsonText::parse_slice_foreign(&answer.body).ok().and_then(JsonText::object);
        members
            .filter(|_| answer.status.is_success())
            .filter(|members| members.get("success").and_then(|success| success.as_bool()) == Some(true))
            .ok_or_else(|| self.not_understood(answer))
    }

    /// That it was done. The result is ignored: the documents print an empty object, their fixtures `null`.
    pub(crate) fn done(&self, answer: &Answer) -> Result<()> {
        self.parsed(answer, |body: &Refusal| body.success).map(drop)
    }

    /// That there is a namespace.
    pub(crate) fn namespace(&self, answer: &Answer) -> Result<()> {
        let namespace = self.result::<HashMap<String, IgnoredAny>>(answer)?;
        namespace.map(drop).ok_or_else(|| self.not_understood(answer))
    }

    /// The metadata of an entry, null for none; `None` when there is no entry.
    pub(crate) fn metadata(&self, answer: &Answer) -> Result<Option<Metadata>> {
        if is_missing(answer) {
            return Ok(None);
        }
        let result = self.success(answer)?.get("result").map(|result| result.to_metadata());
        Ok(Some(result.unwrap_or_else(|| Metadata::from_stored(Bytes::from_static(b"null")))))
    }

    /// A value; `None` when there is no entry.
    pub(crate) fn raw(&self, answer: Answer) -> Result<Option<Raw>> {
        if is_missing(&answer) {
            return Ok(None);
        }
        // A value comes as `application/octet-stream`, whatever it is; JSON is the service speaking, as when it throttles
        // under 200.
        let says = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if answer.status != StatusCode::OK || says.is_some_and(|says| says.starts_with("application/json")) {
            return Err(self.not_understood(&answer));
        }
        let expiry = match answer.headers.get(EXPIRATION) {
            None => EntryExpiry::Never,
            Some(value) => {
                let second = value.to_str().ok().and_then(|text| text.parse().ok());
                EntryExpiry::At(second.map(Timestamp::from_unix_seconds).ok_or_else(bad_expiration)?)
            }
        };
        Ok(Some(Raw { bytes: answer.body, expiry }))
    }

    /// What was told of each key: `Some(None)` of one that is missing, `None` of one that the answer does not mention.
    pub(crate) fn bulk_get(&self, answer: &Answer, keys: &[&str]) -> Result<Vec<Option<Option<Found>>>> {
        let not_understood = || self.not_understood(answer);
        let result = self.success(answer)?.get("result").and_then(|result| result.object());
        let values = result.and_then(|result| result.get("values")?.object()).ok_or_else(not_understood)?;
        let found = |key: &&str| {
            let Some(told) = values.get(*key) else { return Ok(None) };
            if told.is_null() {
                return Ok(Some(None));
            }
            let item = told.object().ok_or_else(not_understood)?;
            let Some(value) = item.get("value").filter(|value| !value.is_null()) else { return Ok(Some(None)) };
            let text = value.as_str().ok_or_else(not_understood)?.into_owned();
            let stored = stored(item.get("metadata")).map_err(|error| error.with_key(key))?;
            Ok(Some(Some(Found { text, stored, expiry: expiry(item.get("expiration"))? })))
        };
        keys.iter().map(found).collect()
    }

    /// The keys of a bulk write or delete that were left out; `asked` is how many there were.
    ///
    /// They are read under any status, as the service names them also beside a refusal. What is not named is taken as done
    /// only if the figures agree, or, under success, where no figures are given, as older answers do.
    pub(crate) fn unsuccessful(&self, answer: &Answer, asked: usize) -> Result<Vec<String>> {
        let body: Option<Bulk> = serde_json::from_slice(&answer.body).ok();
        let result = body.and_then(|body| body.result);
        let (done, named) = match result {
            Some(result) => (result.successful_key_count, result.unsuccessful_keys.unwrap_or_default()),
            None => (None, Vec::new()),
        };
        let agrees = done.map(|done| done.checked_add(named.len()) == Some(asked));
        match self.done(answer) {
            Ok(()) if agrees == Some(false) => Err(malformed("the figures of a bulk answer do not agree")),
            Ok(()) => Ok(named),
            // A refusal that leaves nothing out contradicts itself.
            Err(_) if agrees == Some(true) && done != Some(0) && !named.is_empty() => Ok(named),
            Err(refused) => Err(refused),
        }
    }

    /// The keys of a page, and the cursor of the next one; `None` at the end.
    pub(crate) fn page(&self, answer: &Answer, prefix: &str) -> Result<(Vec<ListItem>, Option<String>)> {
        let page = self.success(answer)?;
        let names = page.get("result").and_then(|result| result.array()).ok_or_else(|| self.not_understood(answer))?;
        let item = |item: JsonText<'_>| {
            let item = item.object().ok_or_else(|| self.not_understood(answer))?;
            let name = item.get("name").and_then(|name| name.as_str()).ok_or_else(|| self.not_understood(answer))?;
            // Who deletes by prefix must never get at anything else.
            if !name.starts_with(prefix) {
                return Err(malformed("a page has a key without the prefix that was asked for"));
            }
            // What a newer version wrote is still listed: a walk must not end at it, and nothing is told that is not so.
            let metadata = stored(item.get("metadata"))
                .map_or(ListedMetadata::NotReported, |stored| ListedMetadata::from(stored.metadata));
            Ok(ListItem::new(name).with_metadata(metadata).with_expiry(expiry(item.get("expiration"))?))
        };
        let items = names.into_iter().map(item).collect::<Result<_>>()?;
        let info = page.get("result_info").filter(|info| !info.is_null());
        let cursor = match info.map(|info| info.object()) {
            None => None,
            Some(info) => info.ok_or_else(|| self.not_understood(answer))?.get("cursor").copied(),
        };
        let cursor = match cursor.filter(|cursor| !cursor.is_null()) {
            None => None,
            Some(cursor) => Some(cursor.as_str().ok_or_else(|| self.not_understood(answer))?.into_owned()),
        };
        Ok((items, cursor.filter(|cursor| !cursor.is_empty())))
    }
}

/// The metadata that stands beside a value, taken apart; absent and null are none.
fn stored(metadata: Option<&JsonText<'_>>) -> Result<TaggedMetadata> {
    metadata.map_or_else(|| Ok(TaggedMetadata::default()), |metadata| TaggedMetadata::decode_json(*metadata))
}

/// The one answer that says that a key is missing. Any other 404 is about something else: the namespace, the route, or a
/// server that is not the service.
fn is_missing(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND
        && Refusal::of(answer).is_some_and(|refusal| !refusal.success && refusal.has_code(KEY_NOT_FOUND))
}

/// A second, which the schema calls a number; absent and null are "never".
fn expiry(expiration: Option<&JsonText<'_>>) -> Result<EntryExpiry> {
    let Some(expiration) = expiration.filter(|expiration| !expiration.is_null()) else {
        return Ok(EntryExpiry::Never);
    };
    let second = expiration.as_i64().or_else(|| {
        let number = expiration.as_f64()?;
        if number.fract() == 0.0 { format!("{number:.0}").parse().ok() } else { None }
    });
    second.map(|second| EntryExpiry::At(Timestamp::from_unix_seconds(second))).ok_or_else(bad_expiration)
}

fn bad_expiration() -> Error {
    malformed("an expiration is no whole number of seconds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ErrorKind, KindTag, Retry, SystemClock};
    use kv_remote::http::{HeaderMap, HeaderValue};
    use serde_json::{Value as Json, json};

    const ANSWERS: Answers<'_> = Answers { clock: &SystemClock, secrets: Some(&[]) };

    fn answer(status: u16, body: impl ToString) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: body.to_string().into() }
    }

    fn success(result: Json) -> Answer {
        answer(200, json!({"success": true, "errors": [], "messages": [], "result": result}))
    }

    fn refusal(status: u16, code: u64) -> Answer {
        answer(status, json!({"success": false, "errors": [{"code": code, "message": "m"}], "result": null}))
    }

    #[test]
    fn get_1_only_the_key_that_is_missing_is_missing() {
        assert_eq!(ANSWERS.raw(refusal(404, 10009)).unwrap(), None);
        assert_eq!(ANSWERS.metadata(&refusal(404, 10009)).unwrap(), None);
        for other in [
            refusal(404, 10013),
            refusal(404, 7003),
            answer(404, json!({"success": false, "errors": []})),
            answer(404, "not found"),
            answer(404, ""),
            refusal(410, 10009),
        ] {
            assert!(ANSWERS.raw(other.clone()).is_err() && ANSWERS.metadata(&other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_value_is_its_bytes_and_its_header() {
        let mut read = answer(200, "{\"success\":false}");
        assert_eq!(ANSWERS.raw(read.clone()).unwrap().unwrap().bytes, read.body, "a value may look like anything");
        read.headers.insert(EXPIRATION, HeaderValue::from_static("1795161822"));
        let expiry = EntryExpiry::At(Timestamp::from_unix_seconds(1_795_161_822));
        assert_eq!(ANSWERS.raw(read.clone()).unwrap().unwrap().expiry, expiry);
        read.headers.insert(EXPIRATION, HeaderValue::from_static("soon"));
        assert_eq!(ANSWERS.raw(read).unwrap_err().kind(), ErrorKind::Protocol);
        let mut throttled = refusal(200, 971);
        throttled.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        assert_eq!(ANSWERS.raw(throttled).unwrap_err().kind(), ErrorKind::RateLimited);
        assert!(ANSWERS.raw(answer(204, "")).is_err());
    }

    #[test]
    fn a_bulk_get_tells_each_key() {
        let told = success(json!({"values": {
            "a": {"value": "1", "metadata": {"$kv-envelope": [1, "json"]}, "expiration": 1_795_161_822},
            "b": {"value": "", "metadata": null, "expiration": 5.0},
            "c": {"value": "x"},
            "missing": null,
            "gone": {"value": null, "metadata": null},
        }}));
        let found = ANSWERS.bulk_get(&told, &["c", "a", "missing", "b", "gone", "silence"]).unwrap();
        let [c, a, missing, b, gone, silence]: [_; 6] = found.try_into().unwrap();
        let at = |second| EntryExpiry::At(Timestamp::from_unix_seconds(second));
        let mut stored = TaggedMetadata::default();
        assert_eq!(c, Some(Some(Found { text: "x".into(), stored: stored.clone(), expiry: EntryExpiry::Never })));
        assert_eq!(b, Some(Some(Found { text: String::new(), stored: stored.clone(), expiry: at(5) })));
        stored.tag = Some(KindTag::Json);
        assert_eq!(a, Some(Some(Found { text: "1".into(), stored, expiry: at(1_795_161_822) })));
        assert_eq!((missing, gone, silence), (Some(None), Some(None), None));
        for undocumented in [
            json!({"values": {"a": "1"}}),
            json!({"values": []}),
            json!({"values": {"a": {"value": 1}}}),
            json!({"values": {"a": {"value": "1", "expiration": 1.5}}}),
            json!({"values": {"a": {"value": "1", "expiration": "soon"}}}),
            json!({"values": {"a": {"value": "1", "metadata": {"$kv-envelope": [2]}}}}),
            Json::Null,
        ] {
            let error = ANSWERS.bulk_get(&success(undocumented.clone()), &["a"]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{undocumented}");
        }
    }

    #[test]
    fn val_3_metadata_keeps_its_members_and_their_order() {
        let body = |result: &str| answer(200, format!(r#"{{"success":true,"errors":[],"result":{result}}}"#));
        for metadata in [
            r#"{"z":1,"a":{"y":2,"b":[1e3]}}"#,
            r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
            r#"[{"$serde_json::private::RawValue":":5"},{"$serde_json::private::Number":"1e400"}]"#,
        ] {
            assert_eq!(ANSWERS.metadata(&body(metadata)).unwrap().unwrap().as_json_text(), metadata);
            let told = body(&format!(r#"{{"values":{{"a":{{"value":"v","metadata":{metadata}}}}}}}"#));
            let found = ANSWERS.bulk_get(&told, &["a"]).unwrap().remove(0).unwrap().unwrap();
            assert_eq!(found.stored.metadata.unwrap().as_json_text(), metadata);
            let (items, _) = ANSWERS.page(&body(&format!(r#"[{{"name":"a","metadata":{metadata}}}]"#)), "").unwrap();
            let ListedMetadata::Some(listed) = &items[0].metadata else { panic!("{:?}", items[0]) };
            assert_eq!(listed.as_json_text(), metadata);
        }
        let twice = body(r#"{"values":{"a":{"value":"1"},"a":{"value":"2"}}}"#);
        assert_eq!(ANSWERS.bulk_get(&twice, &["a"]).unwrap_err().kind(), ErrorKind::Protocol);
        let twice = answer(200, r#"{"success":true,"result":[],"result":[]}"#);
        assert_eq!(ANSWERS.page(&twice, "").unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn batch_6_nothing_counts_as_done_that_may_not_be() {
        let body = |success: bool, result: Json| json!({"success": success, "errors": [], "result": result});
        let check = |status: u16, body: Json, expected: Result<&[&str], ErrorKind>| {
            let named = ANSWERS.unsuccessful(&answer(status, &body), 3);
            let expected = expected.map(|keys| keys.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(named.map_err(|error| error.kind()), expected, "{status} {body}");
        };
        let counted = |done, named: &[&str]| json!({"successful_key_count": done, "unsuccessful_keys": named});
        check(200, body(true, counted(3, &[])), Ok(&[]));
        check(200, body(true, counted(2, &["b"])), Ok(&["b"]));
        check(200, body(true, counted(0, &["a", "b", "c"])), Ok(&["a", "b", "c"]));
        check(200, body(true, Json::Null), Ok(&[]));
        check(200, body(true, json!({})), Ok(&[]));
        check(200, body(true, json!({"unsuccessful_keys": ["b"]})), Ok(&["b"]));
        check(200, body(true, counted(2, &[])), Err(ErrorKind::Protocol));
        check(200, body(true, counted(3, &["b"])), Err(ErrorKind::Protocol));
        check(200, body(true, counted(usize::MAX, &["b", "c", "d", "e"])), Err(ErrorKind::Protocol));
        check(200, json!("nonsense"), Err(ErrorKind::Protocol));
        check(500, body(false, counted(2, &["b"])), Ok(&["b"]));
        check(400, body(false, counted(2, &["b"])), Ok(&["b"]));
        check(200, body(false, counted(2, &["b"])), Ok(&["b"]));
        check(500, body(false, json!({"unsuccessful_keys": ["b"]})), Err(ErrorKind::Unavailable));
        check(500, body(false, counted(1, &["b"])), Err(ErrorKind::Unavailable));
        check(500, body(false, counted(3, &[])), Err(ErrorKind::Unavailable));
        check(200, body(false, counted(3, &[])), Err(ErrorKind::Protocol));
        check(400, body(false, counted(0, &[])), Err(ErrorKind::InvalidArgument));
        check(400, body(false, counted(0, &["a", "b", "c"])), Err(ErrorKind::InvalidArgument));
    }

    #[test]
    fn list_1_only_the_cursor_says_whether_there_is_more() {
        let page = |result: Json, info: Json| {
            answer(200, json!({"success": true, "errors": [], "messages": [], "result": result, "result_info": info}))
        };
        let names = json!([
            {"name": "u1"},
            {"name": "u2", "expiration": 7, "metadata": {"$kv-envelope": [1, "json", "m"]}},
            {"name": "u3", "metadata": {"$kv-envelope": [2]}},
        ]);
        let (items, cursor) = ANSWERS.page(&page(names, json!({"count": 3, "cursor": "x"})), "u").unwrap();
        assert_eq!(cursor.as_deref(), Some("x"));
        let metadata: Vec<_> = items.iter().map(|item| item.metadata.clone()).collect();
        let told = ListedMetadata::Some(Metadata::from(json!("m")));
        assert_eq!(metadata, [ListedMetadata::None, told, ListedMetadata::NotReported]);
        assert_eq!(items[0].expiry, EntryExpiry::Never);
        assert_eq!(items[1].expiry, EntryExpiry::At(Timestamp::from_unix_seconds(7)));
        for (info, more) in [
            (json!({"cursor": ""}), false),
            (json!({"cursor": null}), false),
            (json!({}), false),
            (Json::Null, false),
            (json!({"cursor": "x"}), true),
        ] {
            assert_eq!(ANSWERS.page(&page(json!([]), info), "").unwrap().1.is_some(), more);
        }
        let foreign = ANSWERS.page(&page(json!([{"name": "v"}]), Json::Null), "u").unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn err_3_a_success_without_sense_leaves_the_outcome_unknown() {
        for body in ["", "<html>", "[]", "{}", "{\"success\":\"yes\"}"] {
            let error = ANSWERS.done(&answer(200, body)).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{body}");
        }
        assert_eq!(ANSWERS.done(&refusal(200, 971)).unwrap_err().retry(), Retry::Safe);
        for result in [Json::Null, json!({})] {
            ANSWERS.done(&success(result)).unwrap();
        }
        assert!(ANSWERS.namespace(&success(json!({"id": "n", "title": "t"}))).is_ok());
        assert!(ANSWERS.namespace(&success(Json::Null)).is_err());
    }
}
