//! Answers.

use std::sync::Arc;

use bytes::Bytes;
use kv_api::{Clock, EntryExpiry, Error, JsonText, ListItem, ListedMetadata, Result, TaggedMetadata, Timestamp};
use kv_remote::http::{Answer, StatusCode, header, malformed};
use kv_remote::{Places, Redaction};

use super::error::{KEY_NOT_FOUND, Refusal, refused};
use super::found::Found;
use super::json::members;

/// The header of a value that expires: the Unix second.
const EXPIRATION: &str = "expiration";

/// Reads the answers to one kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) clock: Arc<dyn Clock>,
    /// What must not be shown of a text of the service (ERR-2).
    pub(crate) redaction: Redaction,
}

/// The bytes of a value, and when the entry ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) bytes: Bytes,
    pub(crate) expiry: EntryExpiry,
}

/// What a bulk get says of a key: `Some(None)` that there is no entry; `None` where it does not mention the key.
pub(crate) type Reported = Option<Option<Found>>;

/// What a success holds. Null is nothing.
struct Success<'a> {
    result: Option<JsonText<'a>>,
    result_info: Option<JsonText<'a>>,
}

impl<'a> Success<'a> {
    /// `None` when it is no success, or another than the documented one. That is 200 alone: 206, for one, is a part.
    fn of(answer: &'a Answer) -> Option<Self> {
        Self::read(answer, JsonText::parse_slice_foreign(&answer.body).ok()?)
    }

    /// The same, of a body that was read before.
    fn read(answer: &Answer, body: JsonText<'a>) -> Option<Self> {
        if answer.status != StatusCode::OK {
            return None;
        }
        let [success, result, result_info] = members(body, ["success", "result", "result_info"])?;
        success?.as_bool()?.then_some(Self { result, result_info })
    }
}

/// The figures of a bulk write or delete, which older answers leave out.
struct Figures {
    done: Option<u64>,
    left_out: Vec<String>,
}

impl Figures {
    /// `None` when they are not what is documented, or about more items than there were.
    fn of(result: Option<JsonText<'_>>, asked: usize) -> Option<Self> {
        let Some(result) = result else { return Some(Self { done: None, left_out: Vec::new() }) };
        let [done, left_out] = members(result, ["successful_key_count", "unsuccessful_keys"])?;
        let done = match done {
            None => None,
            Some(done) => Some(done.as_u64()?),
        };
        let left_out = match left_out {
            None => Vec::new(),
            Some(keys) => {
                keys.items()?.take(asked + 1).map(|key| Some(key.as_str()?.into_owned())).collect::<Option<_>>()?
            }
        };
        (left_out.len() <= asked).then_some(Self { done, left_out })
    }

    /// Whether they come to as many items as there were; `None` where no figure is given.
    fn agree(&self, asked: usize) -> Option<bool> {
        self.done.map(|done| done.checked_add(self.left_out.len() as u64) == Some(asked as u64))
    }
}

impl Answers {
    fn refused(&self, answer: &Answer) -> Error {
        refused(answer, &*self.clock, &self.redaction)
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

    fn success<'a>(&self, answer: &'a Answer) -> Result<Success<'a>> {
        Success::of(answer).ok_or_else(|| self.not_understood(answer))
    }

    /// That it was done. The result is ignored: the documents print an empty object, their fixtures `null`.
    pub(crate) fn done(&self, answer: &Answer) -> Result<()> {
        self.success(answer).map(drop)
    }

    /// That there is a namespace.
    pub(crate) fn namespace(&self, answer: &Answer) -> Result<()> {
        let namespace = self.success(answer)?.result.and_then(JsonText::members);
        namespace.map(drop).ok_or_else(|| self.not_understood(answer))
    }

    /// The metadata of an entry as JSON text, null for none; `None` when there is no entry.
    pub(crate) fn metadata(&self, answer: &Answer) -> Result<Option<String>> {
        if is_missing(answer) {
            return Ok(None);
        }
        let metadata = self.success(answer)?.result;
        Ok(Some(metadata.map_or("null", JsonText::as_text).to_owned()))
    }

    /// A value; `None` when there is no entry.
    pub(crate) fn raw(&self, answer: &Answer) -> Result<Option<Raw>> {
        if is_missing(answer) {
            return Ok(None);
        }
        // A value comes as `application/octet-stream`, whatever it is; JSON is the service speaking, as when it
        // throttles under 200.
        let says = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if answer.status != StatusCode::OK || says.is_some_and(|says| says.starts_with("application/json")) {
            return Err(self.not_understood(answer));
        }
        let expiry = match answer.headers.get(EXPIRATION) {
            None => EntryExpiry::Never,
            Some(value) => {
                let second = value.to_str().ok().and_then(|text| text.parse().ok());
                EntryExpiry::At(second.map(Timestamp::from_unix_seconds).ok_or_else(bad_expiration)?)
            }
        };
        Ok(Some(Raw { bytes: answer.body.clone(), expiry }))
    }

    /// What is said of each of these keys, which are distinct, in their order.
    pub(crate) fn bulk_get(&self, answer: &Answer, keys: &[String]) -> Result<Vec<Reported>> {
        let values = self.success(answer)?.result.and_then(|result| members(result, ["values"]));
        let values = values.and_then(|[values]| values?.members()).ok_or_else(|| self.not_understood(answer))?;
        let mut places = Places::new(keys);
        let mut reported: Vec<Reported> = vec![None; keys.len()];
        for (key, item) in values {
            let slot = places.find(&key).and_then(|at| reported.get_mut(at)).filter(|slot| slot.is_none());
            let slot = slot.ok_or_else(|| malformed("an answer holds values that were not asked for, or one twice"))?;
            *slot = Some(self.found(answer, item).map_err(|error| error.with_key(&key))?);
        }
        Ok(reported)
    }

    fn found(&self, answer: &Answer, item: JsonText<'_>) -> Result<Option<Found>> {
        if item.is_null() {
            return Ok(None);
        }
        let [text, metadata, expiration] =
            members(item, ["value", "metadata", "expiration"]).ok_or_else(|| self.not_understood(answer))?;
        let Some(text) = text else { return Ok(None) };
        let text = text.as_str().ok_or_else(|| self.not_understood(answer))?.into_owned();
        let stored = metadata.map(TaggedMetadata::decode_json).transpose()?.unwrap_or_default();
        Ok(Some(Found { text, stored, expiry: expiry(expiration)? }))
    }

    /// The keys of a bulk write or delete that were left out; `asked` is how many there were.
    ///
    /// They are read under any status, as the service names them also beside a refusal. What is not named is taken as
    /// done only if the figures agree, or, under success, where no figures are given, as older answers do. Figures that
    /// cannot be read say nothing of any item (BATCH-6).
    pub(crate) fn unsuccessful(&self, answer: &Answer, asked: usize) -> Result<Vec<String>> {
        let body = JsonText::parse_slice_foreign(&answer.body).ok();
        let result = body.and_then(|body| members(body, ["result"]));
        let figures = result.and_then(|[result]| Figures::of(result, asked));
        let done = body.and_then(|body| Success::read(answer, body)).map(drop);
        match (done.ok_or_else(|| self.not_understood(answer)), figures) {
            (Ok(()), Some(figures)) if figures.agree(asked) != Some(false) => Ok(figures.left_out),
            (Ok(()), _) => Err(malformed("the figures of a bulk answer cannot be read, or do not agree")),
            // A refusal that leaves nothing out contradicts itself.
            (Err(_), Some(figures))
                if figures.agree(asked) == Some(true) && figures.done != Some(0) && !figures.left_out.is_empty() =>
            {
                Ok(figures.left_out)
            }
            (Err(refused), _) => Err(refused),
        }
    }

    /// The keys of a page, of which `limit` were asked for, and the cursor of the next one; `None` at the end.
    pub(crate) fn page(&self, answer: &Answer, prefix: &str, limit: usize) -> Result<(Vec<ListItem>, Option<String>)> {
        let not_understood = || self.not_understood(answer);
        let Success { result, result_info } = self.success(answer)?;
        let names = result.and_then(JsonText::items).ok_or_else(not_understood)?;
        let mut items = Vec::new();
        for listed in names {
            let [name, metadata, expiration] =
                members(listed, ["name", "metadata", "expiration"]).ok_or_else(not_understood)?;
            let name = name.and_then(JsonText::as_str).ok_or_else(not_understood)?;
            if items.len() == limit {
                return Err(malformed("a page has more keys than were asked for"));
            }
            // A delete by prefix must never get at anything else.
            if !name.starts_with(prefix) {
                return Err(malformed("a page has a key without the prefix that was asked for"));
            }
            // What a newer version wrote is still listed: a walk must not end at it, and nothing false is
            // reported.
            let metadata = metadata
                .map_or_else(|| Ok(TaggedMetadata::default()), TaggedMetadata::decode_json)
                .map_or(ListedMetadata::NotReported, |stored| ListedMetadata::from(stored.metadata));
            items.push(ListItem::new(name).with_metadata(metadata).with_expiry(expiry(expiration)?));
        }
        let cursor = match result_info {
            None => None,
            Some(info) => {
                let [cursor] = members(info, ["cursor"]).ok_or_else(not_understood)?;
                cursor.map(|cursor| cursor.as_str().ok_or_else(not_understood)).transpose()?
            }
        };
        Ok((items, cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| cursor.into_owned())))
    }
}

/// The one answer that says that a key is missing. Any other 404 is about something else: the namespace, the route, or
/// a server that is not the service.
fn is_missing(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND
        && Refusal::of(answer).is_some_and(|refusal| !refusal.success && refusal.has_code(KEY_NOT_FOUND))
}

/// A second, which the schema calls a number; absent and null are "never".
fn expiry(expiration: Option<JsonText<'_>>) -> Result<EntryExpiry> {
    let Some(expiration) = expiration else { return Ok(EntryExpiry::Never) };
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
    use kv_api::{ErrorKind, KindTag, Metadata, Retry, SystemClock};
    use kv_remote::http::{HeaderMap, HeaderValue};
    use serde_json::{Value as Json, json};

    fn answers() -> Answers {
        Answers { clock: Arc::new(SystemClock), redaction: Redaction::Secrets([].into()) }
    }

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
        assert_eq!(answers().raw(&refusal(404, 10009)).unwrap(), None);
        assert_eq!(answers().metadata(&refusal(404, 10009)).unwrap(), None);
        for other in [
            refusal(404, 10013),
            refusal(404, 7003),
            answer(404, json!({"success": false, "errors": []})),
            answer(404, "not found"),
            answer(404, ""),
            refusal(410, 10009),
        ] {
            assert!(answers().raw(&other).is_err() && answers().metadata(&other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_value_is_its_bytes_and_its_header() {
        let mut read = answer(200, "{\"success\":false}");
        assert_eq!(answers().raw(&read).unwrap().unwrap().bytes, read.body, "a value may look like anything");
        read.headers.insert(EXPIRATION, HeaderValue::from_static("1795161822"));
        let expiry = EntryExpiry::At(Timestamp::from_unix_seconds(1_795_161_822));
        assert_eq!(answers().raw(&read).unwrap().unwrap().expiry, expiry);
        read.headers.insert(EXPIRATION, HeaderValue::from_static("soon"));
        assert_eq!(answers().raw(&read).unwrap_err().kind(), ErrorKind::Protocol);
        let mut throttled = refusal(200, 971);
        throttled.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        assert_eq!(answers().raw(&throttled).unwrap_err().kind(), ErrorKind::RateLimited);
        assert!(answers().raw(&answer(204, "")).is_err());
    }

    #[test]
    fn a_bulk_get_tells_each_key() {
        let reported = success(json!({"values": {
            "a": {"value": "1", "metadata": {"$kv-envelope": [1, "json"]}, "expiration": 1_795_161_822},
            "b": {"value": "", "metadata": null, "expiration": 5.0},
            "c": {"value": "x"},
            "missing": null,
            "gone": {"value": null, "metadata": null},
        }}));
        let found =
            answers().bulk_get(&reported, &["c", "a", "missing", "b", "gone", "silence"].map(String::from)).unwrap();
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
            let error = answers().bulk_get(&success(undocumented.clone()), &["a".to_owned()]).unwrap_err();
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
            assert_eq!(answers().metadata(&body(metadata)).unwrap().unwrap(), metadata);
            let reported = body(&format!(r#"{{"values":{{"a":{{"value":"v","metadata":{metadata}}}}}}}"#));
            let found = answers().bulk_get(&reported, &["a".to_owned()]).unwrap().remove(0).unwrap().unwrap();
            assert_eq!(found.stored.metadata.unwrap().as_json_text(), metadata);
            let page = body(&format!(r#"[{{"name":"a","metadata":{metadata}}}]"#));
            let (items, _) = answers().page(&page, "", 10).unwrap();
            let ListedMetadata::Some(listed) = &items[0].metadata else { panic!("{:?}", items[0]) };
            assert_eq!(listed.as_json_text(), metadata);
        }
        let twice = body(r#"{"values":{"a":{"value":"1"},"a":{"value":"2"}}}"#);
        assert_eq!(answers().bulk_get(&twice, &["a".to_owned()]).unwrap_err().kind(), ErrorKind::Protocol);
        let twice = answer(200, r#"{"success":true,"result":[],"result":[]}"#);
        assert_eq!(answers().page(&twice, "", 10).unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn batch_6_nothing_counts_as_done_that_may_not_be() {
        let body = |success: bool, result: Json| json!({"success": success, "errors": [], "result": result});
        let check = |status: u16, body: Json, expected: Result<&[&str], ErrorKind>| {
            let named = answers().unsuccessful(&answer(status, &body), 3);
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
        // More than there were, of which the first come to as many.
        check(200, body(true, counted(0, &["a", "b", "c", "d"])), Err(ErrorKind::Protocol));
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
        let (items, cursor) = answers().page(&page(names, json!({"count": 3, "cursor": "x"})), "u", 10).unwrap();
        assert_eq!(cursor.as_deref(), Some("x"));
        let metadata: Vec<_> = items.iter().map(|item| item.metadata.clone()).collect();
        let reported = ListedMetadata::Some(Metadata::from(json!("m")));
        assert_eq!(metadata, [ListedMetadata::None, reported, ListedMetadata::NotReported]);
        assert_eq!(items[0].expiry, EntryExpiry::Never);
        assert_eq!(items[1].expiry, EntryExpiry::At(Timestamp::from_unix_seconds(7)));
        for (info, more) in [
            (json!({"cursor": ""}), false),
            (json!({"cursor": null}), false),
            (json!({}), false),
            (Json::Null, false),
            (json!({"cursor": "x"}), true),
        ] {
            assert_eq!(answers().page(&page(json!([]), info), "", 10).unwrap().1.is_some(), more);
        }
        let foreign = answers().page(&page(json!([{"name": "v"}]), Json::Null), "u", 10).unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn err_3_a_success_without_sense_leaves_the_outcome_unknown() {
        for body in ["", "<html>", "[]", "{}", "{\"success\":\"yes\"}"] {
            let error = answers().done(&answer(200, body)).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{body}");
        }
        assert_eq!(answers().done(&refusal(200, 971)).unwrap_err().retry(), Retry::Safe);
        for result in [Json::Null, json!({})] {
            answers().done(&success(result)).unwrap();
        }
        assert!(answers().namespace(&success(json!({"id": "n", "title": "t"}))).is_ok());
        assert!(answers().namespace(&success(Json::Null)).is_err());
    }
}
