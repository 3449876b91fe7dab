//! Requests: one endpoint, and a body that names a method and its arguments.

use bytes::Bytes;
use kv_api::{Expiry, Metadata, Result, Timestamp, Value, Write, json_quoted, json_quoted_into};
use kv_remote::http::{self, Base, Method, Url};

use super::value::encode;

/// The longest body of a batch of more than one item, far below the 50 MB that the system takes, so that it can be sent
/// within the time-out of a request over 5 Mbit/s.
pub(crate) const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What lies around an item in a batch: braces and a comma.
pub(crate) const BULK_FRAME_BYTES: usize = 3;

/// The longest answer that has no content but that a call was done, or failed. A refusal may quote a value, and a proxy
/// answers with a page of its own.
const SHORT_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The longest answer with one value: 399 KiB, of which each byte may be an escape of six.
const VALUE_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest page of a thousand keys of 1,024 bytes, of which each may be an escape of six.
const PAGE_ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A request, and whether it carries a value: then nothing of what the system says about it is shown (ERR-2).
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) http: http::Request,
    pub(crate) carries_value: bool,
}

impl Request {
    fn with_answer_bytes_max(mut self, bytes_max: usize) -> Self {
        self.http = self.http.with_answer_bytes_max(bytes_max);
        self
    }

    fn with_value(self) -> Self {
        Self { carries_value: true, ..self }
    }
}

/// Makes the requests of one namespace.
#[derive(Debug)]
pub(crate) struct Requests {
    url: Url,
    /// What follows the arguments of every call: nothing, or the app.
    config: String,
}

impl Requests {
    pub(crate) fn new(base: &Url, app: Option<&str>) -> Result<Self> {
        let config = app.map_or_else(String::new, |app| format!(r#","optConfig":{{"appUuid":{}}}"#, json_quoted(app)));
        Ok(Self { url: Base::new(base).at("/drivers/call")?, config })
    }

    pub(crate) fn get(&self, key: &str) -> Request {
        self.call("get", &key_argument(key)).with_answer_bytes_max(VALUE_ANSWER_BYTES_MAX)
    }

    /// In the form of many keys.
    pub(crate) fn get_many<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Request {
        let mut arguments = r#""key":["#.to_owned();
        for (at, key) in keys.into_iter().enumerate() {
            if at > 0 {
                arguments.push(',');
            }
            json_quoted_into(key, &mut arguments);
        }
        arguments.push(']');
        self.call("get", &arguments).with_answer_bytes_max(usize::MAX)
    }

    pub(crate) fn set(&self, item: &Item<'_>, now: Timestamp) -> Request {
        let mut arguments = String::with_capacity(item.bytes_max());
        item.write(now, &mut arguments);
        self.call("set", &arguments).with_value()
    }

    pub(crate) fn batch_put<'i, 'k: 'i>(
        &self,
        items: impl IntoIterator<Item = &'i Item<'k>>,
        now: Timestamp,
    ) -> Request {
        let mut arguments = r#""items":["#.to_owned();
        for (at, item) in items.into_iter().enumerate() {
            arguments.push_str(if at == 0 { "{" } else { ",{" });
            item.write(now, &mut arguments);
            arguments.push('}');
        }
        arguments.push(']');
        self.call("batchPut", &arguments).with_value()
    }

    pub(crate) fn del(&self, key: &str) -> Request {
        self.call("del", &key_argument(key))
    }

    pub(crate) fn expire_at(&self, key: &str, seconds: i64) -> Request {
        self.call("expireAt", &format!(r#"{},"timestamp":{seconds}"#, key_argument(key)))
    }

    pub(crate) fn incr(&self, key: &str, by: i64) -> Request {
        self.call("incr", &format!(r#"{},"pathAndAmountMap":{{"":{by}}}"#, key_argument(key)))
    }

    /// A page of at most so many keys, filled across what has expired.
    pub(crate) fn list(&self, pattern: Pattern<'_>, limit: usize, cursor: Option<&str>) -> Request {
        let pattern = match pattern {
            Pattern::All => String::new(),
            Pattern::Prefix(prefix) => format!(r#","pattern":{}"#, json_quoted(&format!("{prefix}*"))),
        };
        let cursor = cursor.map_or_else(String::new, |cursor| format!(r#","cursor":{}"#, json_quoted(cursor)));
        self.call("list", &format!(r#""as":"keys"{pattern},"limit":{limit},"fetchUntilFull":true{cursor}"#))
            .with_answer_bytes_max(PAGE_ANSWER_BYTES_MAX)
    }

    fn call(&self, method: &str, arguments: &str) -> Request {
        let config = &self.config;
        let body = format!(r#"{{"interface":"puter-kvstore","method":"{method}","args":{{{arguments}{config}}}}}"#);
        let http = http::Request::new(Method::POST, self.url.clone()).with_bytes("application/json", Bytes::from(body));
        Request { http: http.with_answer_bytes_max(SHORT_ANSWER_BYTES_MAX), carries_value: false }
    }
}

/// What a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern<'a> {
    /// Every key.
    All,
    /// The keys with this prefix. One `*` that follows it is taken off by the system, and keeps white space before it.
    Prefix(&'a str),
}

impl<'a> Pattern<'a> {
    /// The narrowest that has all keys with this prefix. The system takes white space off the front, so that no pattern
    /// stands for a prefix that begins with some.
    pub(crate) fn of(prefix: &'a str) -> Self {
        // White space as JavaScript knows it: that of Unicode, without U+0085 and with U+FEFF. Taking both for some
        // costs nothing but a wider list.
        let is_trimmed = prefix.starts_with(|c: char| c.is_whitespace() || c == '\u{FEFF}');
        if prefix.is_empty() || is_trimmed { Self::All } else { Self::Prefix(prefix) }
    }
}

/// The arguments of a set.
#[derive(Debug)]
pub(crate) struct Item<'k> {
    pub(crate) key: &'k str,
    /// Key and value.
    text: String,
    expiry: Expiry,
}

impl<'k> Item<'k> {
    pub(crate) fn of(write: &'k Write<'_>) -> Self {
        Self::new(write.key(), write.value(), write.metadata(), write.expiry())
    }

    pub(crate) fn new(key: &'k str, value: &Value, metadata: Option<&Metadata>, expiry: Expiry) -> Self {
        let value = encode(value, metadata, expiry != Expiry::Never);
        Self { key, text: format!(r#"{},"value":{value}"#, key_argument(key)), expiry }
    }

    /// No fewer bytes than it has when it is written.
    pub(crate) fn bytes_max(&self) -> usize {
        const EXPIRY_BYTES: usize = r#","expireAt":-9223372036854775808"#.len();
        self.text.len() + if self.expiry == Expiry::Never { 0 } else { EXPIRY_BYTES }
    }

    /// As it is at the moment of sending: a ttl counts from there, at a repeated attempt too (ERR-5). An expiry is
    /// there only where there is one, as null and 0 hide an entry from lists.
    fn write(&self, now: Timestamp, out: &mut String) {
        out.push_str(&self.text);
        if let Some(seconds) = expires_at(self.expiry, now) {
            out.push_str(&format!(r#","expireAt":{seconds}"#));
        }
    }
}

/// The whole second at which an entry ends that is written now, rounded up (EXP-4).
pub(crate) fn expires_at(expiry: Expiry, now: Timestamp) -> Option<i64> {
    expiry.deadline(now).map(Timestamp::as_unix_seconds_ceil)
}

fn key_argument(key: &str) -> String {
    format!(r#""key":{}"#, json_quoted(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CAPABILITIES;
    use kv_api::{ManualClock, Resolver, SetItem};
    use kv_remote::http::Body;
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    fn requests(app: Option<&str>) -> Requests {
        Requests::new(&Url::parse("http://host:4100").unwrap(), app).unwrap()
    }

    fn body(request: &Request) -> Json {
        let Body::Bytes(body) = &request.http.body else { panic!("no body") };
        serde_json::from_slice(body).unwrap()
    }

    fn arguments(request: &Request) -> Json {
        body(request)["args"].clone()
    }

    fn write(item: SetItem<'_>) -> Json {
        let clock = ManualClock::new(Timestamp::from_unix_millis(1_000_300));
        let write = Resolver::new(&CAPABILITIES).write(item, &clock).unwrap();
        let (item, now) = (Item::of(&write), kv_api::Clock::now(&clock));
        let spelled = arguments(&requests(None).set(&item, now));
        let in_batch = arguments(&requests(None).batch_put([&item, &item], now));
        assert_eq!(in_batch, json!({"items": [spelled, spelled]}));
        let mut written = String::new();
        item.write(now, &mut written);
        assert!(item.bytes_max() >= written.len());
        spelled
    }

    #[test]
    fn err_2_a_request_says_whether_it_carries_a_value_and_how_long_its_answer_may_be() {
        const MIB: usize = 1024 * 1024;
        let all = requests(None);
        let item = Item::new("k", &"v".into(), None, Expiry::Never);
        let check = |request: Request, carries_value: bool, bytes_max: usize| {
            assert_eq!((request.carries_value, request.http.answer_bytes_max), (carries_value, bytes_max));
        };
        check(all.set(&item, Timestamp::from_unix_seconds(0)), true, MIB);
        check(all.batch_put([&item], Timestamp::from_unix_seconds(0)), true, MIB);
        for request in [all.del("k"), all.expire_at("k", 1), all.incr("k", 1)] {
            check(request, false, MIB);
        }
        check(all.get_many(["k"]), false, usize::MAX);
        // The longest value and the longest page, each byte as an escape of six.
        check(all.get("k"), false, (6 * 399 * 1024_usize).next_power_of_two());
        check(all.list(Pattern::All, 1000, None), false, (6 * 1024 * 1000_usize).next_power_of_two());
        assert_eq!(BODY_BYTES_MAX, 16_777_216);
    }

    #[test]
    fn every_call_goes_to_one_address_and_names_interface_method_and_app() {
        let request = requests(None).get("k");
        assert_eq!(
            (request.http.method.as_str(), request.http.url.as_str()),
            ("POST", "http://host:4100/drivers/call")
        );
        assert_eq!(body(&request), json!({"interface": "puter-kvstore", "method": "get", "args": {"key": "k"}}));
        let of_app = requests(Some("a\"b"));
        let config = json!({"appUuid": "a\"b"});
        let (item, now) = (Item::new("k", &Value::from(1), None, Expiry::Never), Timestamp::UNIX_EPOCH);
        for request in [
            of_app.get("k"),
            of_app.get_many(["k"]),
            of_app.set(&item, now),
            of_app.batch_put([&item], now),
            of_app.del("k"),
            of_app.expire_at("k", 1),
            of_app.incr("k", 1),
            of_app.list(Pattern::All, 1, None),
        ] {
            assert_eq!(arguments(&request)["optConfig"], config);
        }
    }

    #[test]
    fn exp_3_a_ttl_becomes_a_time_and_is_rounded_up() {
        assert_eq!(write(SetItem::new("k", "v")), json!({"key": "k", "value": "v"}), "no expiry is not even null");
        let ttl = |millis| write(SetItem::new("k", "v").ttl(Duration::from_millis(millis)))["expireAt"].clone();
        assert_eq!(ttl(1), json!(1002), "a second after 1000.3");
        assert_eq!(ttl(1000), json!(1002));
        assert_eq!(ttl(1001), json!(1003));
        let at =
            |millis| write(SetItem::new("k", "v").expire_at(Timestamp::from_unix_millis(millis)))["expireAt"].clone();
        assert_eq!(at(1_002_000), json!(1002));
        assert_eq!(at(1_002_001), json!(1003));
    }

    #[test]
    fn cnt_2_a_number_with_an_expiry_goes_in_its_envelope() {
        assert_eq!(write(SetItem::new("k", 5)), json!({"key": "k", "value": 5}));
        let expiring = write(SetItem::new("k", 5).ttl(Duration::from_secs(1)));
        assert_eq!(expiring["value"], json!({"$kv-envelope": 1, "kind": "json-text", "value": "5"}));
    }

    #[test]
    fn list_1_a_prefix_is_literal() {
        for (prefix, pattern) in
            [("a", "a*"), ("a*", "a**"), ("a ", "a *"), ("a\n", "a\n*"), ("*", "**"), ("\u{200b}", "\u{200b}*")]
        {
            let request = requests(None).list(Pattern::of(prefix), 3, Some("c\"1"));
            let expected =
                json!({"as": "keys", "pattern": pattern, "limit": 3, "fetchUntilFull": true, "cursor": "c\"1"});
            assert_eq!(arguments(&request), expected);
        }
        for prefix in ["", " ", " a", "\ta", "\na", "\u{b}a", "\u{a0}a", "\u{3000}a", "\u{2028}a", "\u{FEFF}a"] {
            assert_eq!(Pattern::of(prefix), Pattern::All, "{prefix:?}");
        }
        let all = requests(None).list(Pattern::All, 3, None);
        assert_eq!(arguments(&all), json!({"as": "keys", "limit": 3, "fetchUntilFull": true}));
    }
}
