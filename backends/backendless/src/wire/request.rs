//! Requests: method, path below the address of the hive, and body.

use std::borrow::Cow;

use bytes::Bytes;
use kv_api::{Condition, Error, Expire, Expiry, ListPage, Result, Write, json_quoted_into};
use kv_remote::http::{Method, encoded};

use super::value::{encode, encode_into};

/// What stands around the items of a body.
pub(crate) const BODY_FRAME_BYTES: u64 = 2;

/// Where values are read, set and deleted by a body.
pub(crate) const KEY_VALUE: &str = "/key-value";

/// The longest answer that is a number, a word, or an error. An error may quote a value, and a proxy answers with a
/// page of its own.
const SHORT_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A request to one hive.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the address of the hive, encoded.
    pub(crate) path: Cow<'static, str>,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// It carries a value, so what the system says about it is not shown (ERR-2).
    pub(crate) carries_value: bool,
    pub(crate) answer_bytes_max: usize,
}

/// The address of one key. Only what Hive offers in no other form has the key in its path.
fn of_key(key: &str) -> String {
    format!("/key-value/{}", encoded(key))
}

impl Request {
    fn new(method: Method, path: impl Into<Cow<'static, str>>, body: Option<Bytes>) -> Self {
        Self { method, path: path.into(), body, carries_value: false, answer_bytes_max: SHORT_ANSWER_BYTES_MAX }
    }

    /// Whose answer is as long as what is stored.
    fn with_long_answer(self) -> Self {
        Self { answer_bytes_max: usize::MAX, ..self }
    }

    /// Reads the values of a body of keys.
    pub(crate) fn get(keys: Bytes) -> Self {
        Self::new(Method::POST, KEY_VALUE, Some(keys)).with_long_answer()
    }

    /// Counts how many of a body of keys are there.
    pub(crate) fn exist(keys: Bytes) -> Self {
        Self::new(Method::POST, "/key-value/action/exist", Some(keys))
    }

    /// Deletes a body of keys.
    pub(crate) fn delete(keys: Bytes) -> Self {
        Self::new(Method::DELETE, KEY_VALUE, Some(keys))
    }

    /// Sets a body of members, without condition and expiry.
    pub(crate) fn set(members: Bytes) -> Self {
        Self { carries_value: true, ..Self::new(Method::PUT, KEY_VALUE, Some(members)) }
    }

    /// Sets one value with the options that it has. At most one form of expiry, and no member that is null.
    pub(crate) fn set_one(write: &Write<'_>) -> Result<Self> {
        let mut body = format!(r#"{{"value":{}"#, encode(write.value(), write.metadata()));
        match write.expiry() {
            Expiry::Never => {}
            Expiry::After(ttl) => body.push_str(&format!(r#","ttl":{}"#, ttl.as_secs())),
            Expiry::At(at) => body.push_str(&format!(r#","expireAt":{}"#, at.as_unix_seconds_ceil())),
            _ => return Err(Error::not_implemented("this form of expiry")),
        }
        match write.condition() {
            Condition::Always => {}
            Condition::IfNotExists => body.push_str(r#","condition":"IfNotExists""#),
            Condition::IfExists => body.push_str(r#","condition":"IfExists""#),
            _ => return Err(Error::not_implemented("this condition")),
        }
        body.push('}');
        Ok(Self { carries_value: true, ..Self::new(Method::PUT, of_key(write.key()), Some(body.into())) })
    }

    /// Adds to a counter.
    pub(crate) fn increment(key: &str, by: i64) -> Self {
        Self::new(Method::PUT, format!("{}/increment?value={by}", of_key(key)), None)
    }

    /// Changes only the expiry.
    pub(crate) fn expire(expire: &Expire<'_>) -> Result<Self> {
        let key = of_key(expire.key());
        let path = match expire.expiry() {
            Expiry::Never => format!("{key}/clear-expiration"),
            Expiry::After(ttl) => format!("{key}/expire?ttl={}", ttl.as_secs()),
            Expiry::At(at) => format!("{key}/expire-at?unixTime={}", at.as_unix_seconds_ceil()),
            _ => return Err(Error::not_implemented("this form of expiry")),
        };
        Ok(Self::new(Method::PUT, path, None))
    }

    /// Reads the seconds that are left.
    pub(crate) fn expiration(key: &str) -> Self {
        Self::new(Method::GET, format!("{}/get-expiration-ttl", of_key(key)), None)
    }

    /// Lists a page of keys. The default of `pageSize` is documented twice, so it is always sent.
    pub(crate) fn keys(page: &ListPage<'_>, cursor: u64) -> Self {
        let pattern = match page.prefix() {
            "" => String::new(),
            prefix => format!("filterPattern={}&", encoded(&pattern(prefix))),
        };
        Self::new(Method::GET, format!("/key-value/keys?{pattern}cursor={cursor}&pageSize={}", page.limit()), None)
            .with_long_answer()
    }

    /// The cheapest read that needs the application, its key and the hive.
    pub(crate) fn ping() -> Self {
        Self::new(Method::GET, "/key-value/keys?cursor=0&pageSize=1", None).with_long_answer()
    }
}

/// The glob that matches what begins with `prefix`. That a backslash takes the meaning from `*`, `?`, `[`, `]` and
/// itself is assumed: Hive is built on Redis, whose globs do so.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

/// The body of one key.
pub(crate) fn body_of_key(key: &str) -> Bytes {
    let mut body = String::with_capacity(key.len() + 4);
    body.push('[');
    json_quoted_into(key, &mut body);
    body.push(']');
    body.into()
}

/// The body of keys that are JSON strings already.
pub(crate) fn body_of_keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> Bytes {
    joined('[', keys, ']')
}

/// The body of writes without options, each as a [`member`].
pub(crate) fn body_of_members<'m>(members: impl IntoIterator<Item = &'m str>) -> Bytes {
    joined('{', members, '}')
}

fn joined<'i>(open: char, items: impl IntoIterator<Item = &'i str>, close: char) -> Bytes {
    let items: Vec<&str> = items.into_iter().collect();
    let mut body = String::with_capacity(2 + items.iter().map(|item| item.len() + 1).sum::<usize>());
    body.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(item);
    }
    body.push(close);
    body.into()
}

/// Key and value of a write without options.
pub(crate) fn member(write: &Write<'_>) -> String {
    /// A text is in quotes too.
    const QUOTES_AND_COLON: usize = 5;
    let (key, value) = (write.key(), write.value());
    let mut member = String::with_capacity(key.len() + value.as_bytes().len() + QUOTES_AND_COLON);
    json_quoted_into(key, &mut member);
    member.push(':');
    encode_into(value, write.metadata(), &mut member);
    member
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::CAPABILITIES;
    use kv_api::{ManualClock, Resolver, SetItem, Timestamp};
    use std::time::Duration;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_unix_seconds(1_000))
    }

    fn set_one(item: SetItem<'_>) -> String {
        let request = Request::set_one(&Resolver::new(&CAPABILITIES).write(item, &clock()).unwrap()).unwrap();
        text(request.body.as_ref().unwrap()).to_owned()
    }

    #[test]
    fn err_2_a_request_says_whether_it_carries_a_value_and_how_long_its_answer_may_be() {
        let body = || body_of_key("k");
        let check = |request: Request, carries_value: bool, bytes_max: usize| {
            assert_eq!((request.carries_value, request.answer_bytes_max), (carries_value, bytes_max));
        };
        let write = Resolver::new(&CAPABILITIES).write(SetItem::new("k", "v"), &clock()).unwrap();
        check(Request::set(body()), true, 1_048_576);
        check(Request::set_one(&write).unwrap(), true, 1_048_576);
        for request in
            [Request::exist(body()), Request::delete(body()), Request::increment("k", 1), Request::expiration("k")]
        {
            check(request, false, 1_048_576);
        }
        check(Request::get(body()), false, usize::MAX);
        check(Request::ping(), false, usize::MAX);
    }

    #[test]
    fn exp_2_one_form_of_expiry_leaves_at_most() {
        let both = SetItem::new("k", "v").ttl(Duration::from_secs(5)).expire_at(Timestamp::from_unix_seconds(2_000));
        assert_eq!(set_one(both), r#"{"value":"v","expireAt":2000}"#);
    }

    #[test]
    fn exp_4_both_forms_are_rounded_up() {
        let ttl = SetItem::new("k", "v").ttl(Duration::from_millis(1));
        assert_eq!(set_one(ttl), r#"{"value":"v","ttl":1}"#);
        let at = SetItem::new("k", "v").expire_at(Timestamp::from_unix_millis(2_000_001));
        assert_eq!(set_one(at), r#"{"value":"v","expireAt":2001}"#);
    }

    #[test]
    fn list_1_a_prefix_is_no_pattern() {
        assert_eq!(pattern("user:"), "user:*");
        assert_eq!(pattern("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\*");
        let page = |prefix: &'static str| Resolver::new(&CAPABILITIES).list(prefix, 5, None).unwrap();
        assert_eq!(
            Request::keys(&page("50% &é\0*"), 7).path,
            "/key-value/keys?filterPattern=50%25%20%26%C3%A9%00%5C%2A%2A&cursor=7&pageSize=5"
        );
        assert_eq!(Request::keys(&page(""), 0).path, "/key-value/keys?cursor=0&pageSize=5");
    }

    #[test]
    fn key_2_no_key_changes_the_route() {
        for (key, segment) in [
            ("keys", "keys"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("50%", "50%25"),
            ("?", "%3F"),
            ("#", "%23"),
            ("\t\n\0", "%09%0A%00"),
            ("../x", "..%2Fx"),
        ] {
            assert_eq!(Request::increment(key, -2).path, format!("/key-value/{segment}/increment?value=-2"));
            assert_eq!(Request::expiration(key).path, format!("/key-value/{segment}/get-expiration-ttl"));
        }
    }

    #[test]
    fn batch_1_a_body_has_every_item_in_order() {
        assert_eq!(body_of_keys([]), "[]");
        assert_eq!(body_of_keys([r#""a""#, r#""b\"""#]), r#"["a","b\""]"#);
        let write = |key: &'static str| Resolver::new(&CAPABILITIES).write(SetItem::new(key, "v"), &clock()).unwrap();
        let members = [member(&write("a")), member(&write("b\""))];
        assert_eq!(body_of_members(members.iter().map(String::as_str)), r#"{"a":"v","b\"":"v"}"#);
    }
}
