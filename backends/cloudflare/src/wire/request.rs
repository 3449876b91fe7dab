//! Requests (reference: the method pages of the API; the paths and queries in `conformance/recordings/cloudflare`).

use bytes::Bytes;
use kv_api::{Error, Expiry, Metadata, Result, TaggedMetadata, Timestamp, Value, json_quoted_into};
use kv_remote::http::{Base, FormPart, Method, Request, Url, encoded};

/// The most keys that one bulk get may name.
pub(crate) const GET_KEYS_MAX: usize = 100;
/// The least limit that the REST API takes for a page, though the binding takes 1.
pub(crate) const LIST_LIMIT_MIN: usize = 10;

/// The longest answer about nothing but success or refusal; a gateway's page of its own fits too.
const REPORT_BYTES_MAX: usize = 256 * 1024;
/// Beside the value of an entry, its key and metadata as JSON, each byte as an escape of six.
const ENTRY_BYTES_MAX: usize = 6 * (512 + 1024) + 128;
/// A key as JSON text.
const KEY_BYTES_MAX: usize = 6 * 512 + 16;
/// The longest value.
const VALUE_BYTES_MAX: usize = 26_214_400;
/// The longest answer of all: that of a bulk get, whose values have 25 MiB together, each byte as an escape of six.
pub(crate) const ANSWER_BYTES_MAX: usize = REPORT_BYTES_MAX + 6 * VALUE_BYTES_MAX + GET_KEYS_MAX * ENTRY_BYTES_MAX;

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// Makes the requests of one namespace.
#[derive(Clone)]
pub(crate) struct Requests {
    /// The namespace itself.
    namespace: Url,
    below: Base,
    bulk_get: Url,
}

impl Requests {
    /// For identifiers that the configuration has checked.
    pub(crate) fn new(base: &Url, account_id: &str, namespace_id: &str) -> Result<Self> {
        let path = format!("/accounts/{account_id}/storage/kv/namespaces/{namespace_id}");
        let namespace = Base::new(base).at(&path)?;
        let below = Base::new(&namespace);
        Ok(Self { bulk_get: below.at("/bulk/get")?, namespace, below })
    }

    fn at(&self, method: Method, path_and_query: &str) -> Result<Request> {
        let request = Request::new(method, self.below.at(path_and_query)?);
        Ok(request.with_answer_bytes_max(REPORT_BYTES_MAX))
    }

    fn json(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Request> {
        Ok(self.at(method, path)?.with_bytes(JSON, body))
    }

    /// The namespace itself.
    pub(crate) fn namespace(&self) -> Result<Request> {
        Ok(Request::new(Method::GET, self.namespace.clone()).with_answer_bytes_max(REPORT_BYTES_MAX))
    }

    /// The bytes of a value.
    pub(crate) fn get_value(&self, key: &str) -> Result<Request> {
        let request = self.at(Method::GET, &format!("/values/{}", encoded(key)))?;
        Ok(request.with_answer_bytes_max(VALUE_BYTES_MAX))
    }

    /// The metadata of an entry: what moves no value.
    pub(crate) fn get_metadata(&self, key: &str) -> Result<Request> {
        self.at(Method::GET, &format!("/metadata/{}", encoded(key)))
    }

    /// Texts, metadata and expiries of up to [`GET_KEYS_MAX`] keys.
    pub(crate) fn bulk_get(&self, keys: &[&str]) -> Result<Request> {
        const OPEN: &str = r#"{"keys":["#;
        const CLOSE: &str = r#"],"type":"text","withMetadata":true}"#;
        let keys_bytes: usize = keys.iter().map(|key| key.len() + 3).sum();
        let mut body = String::with_capacity(OPEN.len() + keys_bytes + CLOSE.len());
        body.push_str(OPEN);
        for (at, key) in keys.iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            json_quoted_into(key, &mut body);
        }
        body.push_str(CLOSE);
        let bytes_max = REPORT_BYTES_MAX + 6 * VALUE_BYTES_MAX + keys.len() * ENTRY_BYTES_MAX;
        let request = Request::new(Method::POST, self.bulk_get.clone()).with_bytes(JSON, body);
        Ok(request.with_answer_bytes_max(bytes_max))
    }

    /// A value by itself where there is nothing beside it to store; else a form, whose parts are files so that no
    /// server takes the bytes for text.
    pub(crate) fn put_value(
        &self,
        key: &str,
        value: &Value,
        metadata: Option<&Metadata>,
        expiry: Expiry,
        now: Timestamp,
    ) -> Result<Request> {
        let query = expiry_of(expiry, now)?.map(|(name, seconds)| format!("?{name}={seconds}")).unwrap_or_default();
        let request = self.at(Method::PUT, &format!("/values/{}{query}", encoded(key)))?;
        let bytes = value.as_bytes().clone();
        Ok(match TaggedMetadata::encode(value, metadata) {
            None => request.with_bytes(BYTES, bytes),
            Some(metadata) => request.with_form(vec![
                FormPart { name: "value", file_name: Some("value"), content_type: BYTES, bytes },
                FormPart { name: "metadata", file_name: None, content_type: JSON, bytes: metadata.as_bytes().clone() },
            ]),
        })
    }

    /// Many entries; the body is made of so many items.
    pub(crate) fn bulk_put(&self, body: Bytes, items: usize) -> Result<Request> {
        Ok(self.json(Method::PUT, "/bulk", body)?.with_answer_bytes_max(REPORT_BYTES_MAX + items * KEY_BYTES_MAX))
    }

    /// One entry less, if there is one.
    pub(crate) fn delete_value(&self, key: &str) -> Result<Request> {
        self.at(Method::DELETE, &format!("/values/{}", encoded(key)))
    }

    /// Many entries less; the body is made of so many keys. The older form, DELETE with a body, loses the body in some
    /// proxies.
    pub(crate) fn bulk_delete(&self, body: Bytes, items: usize) -> Result<Request> {
        let request = self.json(Method::POST, "/bulk/delete", body)?;
        Ok(request.with_answer_bytes_max(REPORT_BYTES_MAX + items * KEY_BYTES_MAX))
    }

    /// A page of keys; without a cursor the first one.
    pub(crate) fn list(&self, prefix: &str, limit: usize, cursor: Option<&str>) -> Result<Request> {
        let mut query = format!("/keys?limit={limit}");
        for (name, value) in [("prefix", prefix), ("cursor", cursor.unwrap_or_default())] {
            if !value.is_empty() {
                query.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let request = self.at(Method::GET, &query)?;
        Ok(request.with_answer_bytes_max(REPORT_BYTES_MAX + limit * ENTRY_BYTES_MAX))
    }
}

/// The one form of expiry that is sent, in whole seconds: given both, the service would take the ttl, whatever the
/// caller decided (EXP-2).
///
/// The service counts a ttl from the second that has begun, so that an entry would end up to a second early (EXP-4). A
/// ttl that begins between two seconds of this side's clock is therefore sent as one second more.
pub(super) fn expiry_of(expiry: Expiry, now: Timestamp) -> Result<Option<(&'static str, String)>> {
    match expiry {
        Expiry::Never => Ok(None),
        Expiry::After(ttl) => {
            let has_begun = now.as_unix_micros().rem_euclid(1_000_000) > 0;
            Ok(Some(("expiration_ttl", ttl.as_secs().saturating_add(u64::from(has_begun)).to_string())))
        }
        Expiry::At(at) => Ok(Some(("expiration", at.as_unix_seconds_ceil().to_string()))),
        _ => Err(Error::not_implemented("a form of expiry")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_remote::http::Body;
    use serde_json::json;
    use std::time::Duration;

    const BASE: &str = "https://host/client/v4/accounts/a/storage/kv/namespaces/n";

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_161_822);

    fn requests() -> Requests {
        Requests::new(&Url::parse("https://host/client/v4").unwrap(), "a", "n").unwrap()
    }

    #[test]
    fn key_2_no_key_changes_the_route() {
        for (key, segment) in [
            ("keys", "keys"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("../x", "..%2Fx"),
            ("...", "..."),
            ("50%", "50%25"),
            ("?a=b", "%3Fa%3Db"),
            ("#", "%23"),
            ("a\tb\r\nc\0", "a%09b%0D%0Ac%00"),
            (" + &", "%20%2B%20%26"),
            ("\\", "%5C"),
            ("😀", "%F0%9F%98%80"),
        ] {
            let expected = format!("{BASE}/values/{segment}");
            assert_eq!(requests().get_value(key).unwrap().url.as_str(), expected, "{key:?}");
            assert_eq!(requests().delete_value(key).unwrap().url.as_str(), expected, "{key:?}");
            let put = requests().put_value(key, &"v".into(), None, Expiry::Never, NOW).unwrap();
            assert_eq!(put.url.as_str(), expected, "{key:?}");
            let metadata = requests().get_metadata(key).unwrap();
            assert_eq!(metadata.url.as_str(), format!("{BASE}/metadata/{segment}"));
        }
        for key in [".", ".."] {
            assert!(requests().get_value(key).is_err() && requests().delete_value(key).is_err(), "{key}");
        }
    }

    #[test]
    fn exp_2_one_form_of_expiry_goes_into_the_query() {
        let url_at = |expiry, now| requests().put_value("k", &"v".into(), None, expiry, now).unwrap().url.to_string();
        let url = |expiry| url_at(expiry, NOW);
        assert_eq!(url(Expiry::Never), format!("{BASE}/values/k"));
        assert_eq!(url(Expiry::After(Duration::from_secs(60))), format!("{BASE}/values/k?expiration_ttl=60"));
        let between = Timestamp::from_unix_micros(NOW.as_unix_micros() + 1);
        let expected = format!("{BASE}/values/k?expiration_ttl=61");
        assert_eq!(url_at(Expiry::After(Duration::from_secs(60)), between), expected, "EXP-4");
        let at = Expiry::At(Timestamp::from_unix_seconds(1_795_161_882));
        assert_eq!(url(at), format!("{BASE}/values/k?expiration=1795161882"));
    }

    #[test]
    fn env_2_what_needs_nothing_beside_it_goes_raw() {
        let put = |value: Value, metadata: Option<Metadata>| {
            requests().put_value("k", &value, metadata.as_ref(), Expiry::Never, NOW).unwrap().body
        };
        assert_eq!(put("text".into(), None), Body::Bytes("text".into()));
        assert_eq!(put(b"\xFF".into(), None), Body::Bytes(Bytes::from_static(b"\xFF")));
        let form = |value: &'static [u8], metadata: &'static str| {
            Body::Multipart(vec![
                FormPart { name: "value", file_name: Some("value"), content_type: BYTES, bytes: value.into() },
                FormPart { name: "metadata", file_name: None, content_type: JSON, bytes: metadata.into() },
            ])
        };
        assert_eq!(put(1.into(), None), form(b"1", r#"{"$kv-envelope":[1,"json"]}"#));
        assert_eq!(put("t".into(), Some(json!([1, 2]).into())), form(b"t", "[1,2]"));
    }

    #[test]
    fn an_answer_may_be_as_long_as_the_longest_and_hardly_longer() {
        const KIB: usize = 1024;
        // A byte is spelled with six at most.
        let spelled = |bytes: usize| r"\u0000".repeat(bytes);
        let key = format!(r#""{}","#, spelled(512));
        let listed = format!(r#"{{"name":{key}"expiration":18446744073709551615,"metadata":"{}"}},"#, spelled(KIB));
        let check = |request: Result<Request>, content: usize, items: usize| {
            let room = request.unwrap().answer_bytes_max.checked_sub(256 * KIB + content);
            assert!(room.is_some_and(|room| room <= 128 * items), "{room:?} bytes more than {content}");
        };
        check(requests().namespace(), 0, 0);
        check(requests().get_metadata("k"), 0, 0);
        check(requests().delete_value("k"), 0, 0);
        check(requests().put_value("k", &"v".into(), None, Expiry::Never, NOW), 0, 0);
        assert_eq!(requests().get_value("k").unwrap().answer_bytes_max, 25 * KIB * KIB);
        for items in [10, 1000] {
            check(requests().bulk_put(Bytes::new(), items), items * key.len(), items);
            check(requests().bulk_delete(Bytes::new(), items), items * key.len(), items);
            check(requests().list("", items, None), items * listed.len(), items);
        }
        for keys in [1, GET_KEYS_MAX] {
            check(requests().bulk_get(&vec!["k"; keys]), 6 * 25 * KIB * KIB + keys * listed.len(), keys);
        }
        assert_eq!(requests().bulk_get(&["k"; GET_KEYS_MAX]).unwrap().answer_bytes_max, ANSWER_BYTES_MAX);
    }

    #[test]
    fn a_list_names_its_prefix_and_cursor() {
        let url = |prefix, cursor| requests().list(prefix, 10, Some(cursor)).unwrap().url.to_string();
        assert_eq!(url("", ""), format!("{BASE}/keys?limit=10"));
        assert_eq!(url("a&b=*", "x+/="), format!("{BASE}/keys?limit=10&prefix=a%26b%3D%2A&cursor=x%2B%2F%3D"));
    }
}
