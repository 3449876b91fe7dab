//! Requests: method, path below the address of the hive, and body.

use std::ops::Range;

use bytes::Bytes;
use kv_api::{Condition, Error, Expire, Expiry, ListPage, Result, Write, json_quoted};
use kv_remote::http::{Method, encoded};

use super::value::encode;

/// A request to one hive.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the address of the hive, encoded.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// It carries a value, so what the system says about it is not shown (ERR-2).
    pub(crate) carries_value: bool,
}

/// The address of one key. Only what Hive offers in no other form has the key in its path.
fn of_key(key: &str) -> String {
    format!("/key-value/{}", encoded(key))
}

impl Request {
    fn new(method: Method, path: impl Into<String>, body: Option<Bytes>) -> Self {
        Self { method, path: path.into(), body, carries_value: false }
    }

    /// Reads the values of a body of keys.
    pub(crate) fn get(keys: Bytes) -> Self {
        Self::new(Method::POST, "/key-value", Some(keys))
    }

    /// Counts how many of a body of keys are there.
    pub(crate) fn exist(keys: Bytes) -> Self {
        Self::new(Method::POST, "/key-value/action/exist", Some(keys))
    }

    /// Deletes a body of keys.
    pub(crate) fn delete(keys: Bytes) -> Self {
        Self::new(Method::DELETE, "/key-value", Some(keys))
    }

    /// Sets a body of members, without condition and expiry.
    pub(crate) fn set(members: Bytes) -> Self {
        Self { carries_value: true, ..Self::new(Method::PUT, "/key-value", Some(members)) }
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
    }

    /// The cheapest read that needs the application, its key and the hive.
    pub(crate) fn ping() -> Self {
        Self::new(Method::GET, "/key-value/keys?cursor=0&pageSize=1", None)
    }
}

/// The glob that matches what begins with `prefix`. That a backslash takes the meaning from `*`, `?`, `[`, `]` and itself is
/// assumed: Hive is built on Redis, whose globs do so.
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

/// How items are put into bodies: as few as the limits of one body allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bodies {
    /// The most items of one body.
    pub(crate) items_max: usize,
    /// The most bytes of one body that has more than one item.
    pub(crate) bytes_max: usize,
}

impl Bodies {
    /// Arrays of keys, and which of the keys each holds.
    pub(crate) fn of_keys<'k>(self, keys: impl IntoIterator<Item = &'k str>) -> Vec<(Range<usize>, Bytes)> {
        self.fill(('[', ']'), keys.into_iter().map(quoted))
    }

    /// Objects of keys and values, and which of the writes each holds.
    pub(crate) fn of_writes<'w, 'a: 'w>(
        self,
        writes: impl IntoIterator<Item = &'w Write<'a>>,
    ) -> Vec<(Range<usize>, Bytes)> {
        self.fill(('{', '}'), writes.into_iter().map(member))
    }

    fn fill(self, (open, close): (char, char), items: impl Iterator<Item = String>) -> Vec<(Range<usize>, Bytes)> {
        let mut bodies = Vec::new();
        let mut body = String::new();
        let mut first = 0;
        let mut end = 0;
        for item in items {
            // The comma before the item and the bracket after it.
            let is_full = end - first == self.items_max || body.len() + item.len() + 2 > self.bytes_max;
            if is_full && end > first {
                body.push(close);
                bodies.push((first..end, Bytes::from(std::mem::take(&mut body))));
                first = end;
            }
            body.push(if end == first { open } else { ',' });
            body.push_str(&item);
            end += 1;
        }
        if end > first {
            body.push(close);
            bodies.push((first..end, Bytes::from(body)));
        }
        bodies
    }
}

/// The body of one key.
pub(crate) fn body_of_key(key: &str) -> Bytes {
    format!("[{}]", quoted(key)).into()
}

/// The body of one write without options.
pub(crate) fn body_of_write(write: &Write<'_>) -> Bytes {
    format!("{{{}}}", member(write)).into()
}

fn member(write: &Write<'_>) -> String {
    format!("{}:{}", quoted(write.key()), encode(write.value(), write.metadata()))
}

fn quoted(key: &str) -> String {
    json_quoted(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::CAPABILITIES;
    use kv_api::{ManualClock, Resolver, SetItem, Timestamp};
    use proptest::prelude::*;
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
    fn batch_5_bodies_are_as_few_as_the_limits_allow() {
        let keys = ["a", "b", "c", "d", "e"];
        let bodies = |items_max, bytes_max| -> Vec<String> {
            let bodies = Bodies { items_max, bytes_max }.of_keys(keys);
            bodies.iter().map(|(_, body)| text(body).to_owned()).collect()
        };
        assert_eq!(bodies(2, 1000), [r#"["a","b"]"#, r#"["c","d"]"#, r#"["e"]"#]);
        assert_eq!(bodies(5, 1000), [r#"["a","b","c","d","e"]"#]);
        assert_eq!(bodies(9, 13), [r#"["a","b","c"]"#, r#"["d","e"]"#], "13 bytes hold three keys");
        assert_eq!(bodies(9, 12).len(), 3, "12 bytes do not");
        assert_eq!(bodies(9, 1).len(), 5, "what is too long for a body goes alone");
        assert_eq!(Bodies { items_max: 1, bytes_max: 1 }.of_keys([]), []);
    }

    proptest! {
        #[test]
        fn batch_1_every_item_is_in_exactly_one_body_in_order(
            keys in prop::collection::vec(any::<String>(), 0..40),
            items_max in 1usize..8,
            bytes_max in 0usize..80,
        ) {
            let bodies = Bodies { items_max, bytes_max }.of_keys(keys.iter().map(String::as_str));
            let mut read = Vec::new();
            for (range, body) in bodies {
                let part: Vec<String> = serde_json::from_slice(&body).unwrap();
                prop_assert_eq!(range, read.len()..read.len() + part.len());
                prop_assert!(!part.is_empty() && part.len() <= items_max);
                prop_assert!(body.len() <= bytes_max || part.len() == 1);
                read.extend(part);
            }
            prop_assert_eq!(read, keys);
        }
    }
}
