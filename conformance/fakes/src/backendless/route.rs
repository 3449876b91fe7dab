//! From a method and a path to what is asked for.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::refusal::Refusal;

/// The segment that the official JavaScript client puts before `hive` when the host name stands for the application.
pub(super) const DOMAIN_PREFIX: &str = "api";

/// The bucket that is served; a hive has four more, for other types.
const BUCKET: &str = "key-value";

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    ApplicationInfo,
    HiveNames,
    HiveCreate { hive: String },
    HiveRename { hive: String },
    HiveDelete { hive: String },
    Entries { hive: String, call: Call },
}

/// What is done with the entries of a hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Bucket(BucketCall),
    Key(String, KeyCall),
}

/// What names its keys, if any, in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BucketCall {
    SetMany,
    GetMany,
    DeleteMany,
    Exist,
    Touch,
    Keys,
}

/// What has its key in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCall {
    Set,
    Get,
    Delete,
    Increment,
    Decrement,
    Expire,
    ExpireAt,
    Expiration,
    ClearExpiration,
    SinceLastOperation,
    Rename,
}

impl Route {
    /// Splits first and decodes each segment once, so that `%2F` is a part of a key; a slash at the end adds nothing.
    ///
    /// Both forms of address count at once: `/<application id>/<API key>/…`, and `/api/…`, which no credentials belong
    /// to since the host name stands for them. A server of one's own has the first form behind `/api` too.
    pub(super) fn find(method: &str, path: &str, application: &str, api_key: &str) -> Result<Self, Refusal> {
        let segments = segments(path)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [id, key, rest @ ..] if (*id, *key) == (application, api_key) => Self::in_application(method, rest),
            [DOMAIN_PREFIX, id, key, rest @ ..] if (*id, *key) == (application, api_key) => {
                Self::in_application(method, rest)
            }
            [DOMAIN_PREFIX, rest @ ..] => Self::in_application(method, rest),
            [_, _, "hive" | "info", ..] => Err(Refusal::wrong_application()),
            _ => Err(Refusal::no_such_route()),
        }
    }

    /// Whether entries are read and not changed.
    pub(super) fn reads_entries(&self) -> bool {
        match self {
            Self::Entries { call: Call::Bucket(call), .. } => {
                matches!(call, BucketCall::GetMany | BucketCall::Exist | BucketCall::Keys)
            }
            Self::Entries { call: Call::Key(_, call), .. } => {
                matches!(call, KeyCall::Get | KeyCall::Expiration | KeyCall::SinceLastOperation)
            }
            _ => false,
        }
    }

    fn in_application(method: &str, segments: &[&str]) -> Result<Self, Refusal> {
        let route = match (method, segments) {
            ("GET", ["info"]) => Self::ApplicationInfo,
            ("GET", ["hive"]) => Self::HiveNames,
            (_, ["hive", hive, rest @ ..]) if !hive.is_empty() => {
                return Self::in_hive(method, (*hive).to_owned(), rest);
            }
            _ => return Err(Refusal::no_such_route()),
        };
        Ok(route)
    }

    fn in_hive(method: &str, hive: String, segments: &[&str]) -> Result<Self, Refusal> {
        match (method, segments) {
            ("POST", []) => return Ok(Self::HiveCreate { hive }),
            ("PUT", []) => return Ok(Self::HiveRename { hive }),
            ("DELETE", []) => return Ok(Self::HiveDelete { hive }),
            _ => {}
        }
        let [BUCKET, rest @ ..] = segments else { return Err(Refusal::no_such_route()) };
        // Before the keys: a key of these names is out of reach here, and `keys` is a listing also for a client that
        // means a key.
        let call = match (method, rest) {
            ("PUT", []) => Some(BucketCall::SetMany),
            ("POST", []) => Some(BucketCall::GetMany),
            ("DELETE", []) => Some(BucketCall::DeleteMany),
            ("POST", ["action", "exist"]) => Some(BucketCall::Exist),
            ("PUT", ["action", "touch"]) => Some(BucketCall::Touch),
            ("GET", ["keys"]) => Some(BucketCall::Keys),
            _ => None,
        };
        if let Some(call) = call {
            return Ok(Self::Entries { hive, call: Call::Bucket(call) });
        }
        let (key, call) = match (method, rest) {
            ("PUT", [key]) => (key, KeyCall::Set),
            ("GET", [key]) => (key, KeyCall::Get),
            ("DELETE", [key]) => (key, KeyCall::Delete),
            ("PUT", [key, "increment"]) => (key, KeyCall::Increment),
            ("PUT", [key, "decrement"]) => (key, KeyCall::Decrement),
            ("PUT", [key, "expire"]) => (key, KeyCall::Expire),
            ("PUT", [key, "expire-at"]) => (key, KeyCall::ExpireAt),
            ("GET", [key, "get-expiration-ttl"]) => (key, KeyCall::Expiration),
            ("PUT", [key, "clear-expiration"]) => (key, KeyCall::ClearExpiration),
            ("GET", [key, "seconds-since-last-operation"]) => (key, KeyCall::SinceLastOperation),
            ("PUT", [key, "rename"]) => (key, KeyCall::Rename),
            _ => return Err(Refusal::no_such_route()),
        };
        if key.is_empty() {
            return Err(Refusal::no_such_route());
        }
        Ok(Self::Entries { hive, call: Call::Key((*key).to_owned(), call) })
    }
}

const NOT_IN_SEGMENTS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_SEGMENTS).to_string()
}

fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').map(decode).collect()
}

fn decode(text: &str) -> Result<String, Refusal> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Refusal::bad_request("the address is not UTF-8")),
    }
}

/// The value of a parameter of the query; the first, when it is given more than once.
///
/// As in a form, a plus sign is a space; the documents do not say, and official clients send neither unencoded.
pub(super) fn parameter(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    for pair in query.split('&') {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(&own.replace('+', " "))? == name {
            return decode(&value.replace('+', " ")).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, path: &str) -> Result<Route, Refusal> {
        Route::find(method, path, "APP", "KEY")
    }

    fn key(key: &str, call: KeyCall) -> Result<Route, Refusal> {
        Ok(Route::Entries { hive: "h".to_owned(), call: Call::Key(key.to_owned(), call) })
    }

    fn bucket(call: BucketCall) -> Result<Route, Refusal> {
        Ok(Route::Entries { hive: "h".to_owned(), call: Call::Bucket(call) })
    }

    #[test]
    fn every_form_of_address_leads_to_the_same() {
        for root in ["/APP/KEY", "/api", "/api/APP/KEY"] {
            assert_eq!(find("GET", &format!("{root}/info")), Ok(Route::ApplicationInfo));
            assert_eq!(find("GET", &format!("{root}/hive")), Ok(Route::HiveNames));
            assert_eq!(find("GET", &format!("{root}/hive/h/key-value/k")), key("k", KeyCall::Get));
        }
    }

    #[test]
    fn wrong_credentials_are_told_from_wrong_addresses() {
        let check = |path, expected| assert_eq!(find("GET", path), Err(expected), "{path}");
        check("/APP/other/hive/h/key-value/k", Refusal::wrong_application());
        check("/other/KEY/hive", Refusal::wrong_application());
        check("/APP/KEY/data", Refusal::no_such_route());
        check("/APP/KEY/hive/h", Refusal::no_such_route());
        check("/APP/KEY/hive/h/map/k", Refusal::no_such_route());
        check("/APP/KEY/hive/h/key-value/a/b", Refusal::no_such_route());
        check("/", Refusal::no_such_route());
        assert_eq!(find("PUT", "/APP/KEY/hive/h/key-value//increment"), Err(Refusal::no_such_route()));
    }

    #[test]
    fn segments_are_split_first_and_decoded_once() {
        let check = |segment, expected| {
            assert_eq!(find("GET", &format!("/api/hive/h/key-value/{segment}")), key(expected, KeyCall::Get));
        };
        check("a%2Fb", "a/b");
        check("a%252Fb", "a%2Fb");
        check("50%", "50%");
        check("a+b", "a+b");
        check("a%20b", "a b");
        check("%00", "\0");
        check("%E6%97%A5", "日");
        assert_eq!(find("GET", "/api/hive/h/key-value/%FF"), Err(Refusal::bad_request("the address is not UTF-8")));
    }

    #[test]
    fn bucket_calls_come_before_keys_of_the_same_name() {
        assert_eq!(find("GET", "/api/hive/h/key-value/keys"), bucket(BucketCall::Keys));
        assert_eq!(find("PUT", "/api/hive/h/key-value/keys"), key("keys", KeyCall::Set));
        assert_eq!(find("PUT", "/api/hive/h/key-value/action/touch"), bucket(BucketCall::Touch));
        assert_eq!(find("POST", "/api/hive/h/key-value/action/exist"), bucket(BucketCall::Exist));
        assert_eq!(find("PUT", "/api/hive/h/key-value/action/rename"), key("action", KeyCall::Rename));
        for slash in ["", "/"] {
            assert_eq!(find("PUT", &format!("/api/hive/h/key-value{slash}")), bucket(BucketCall::SetMany));
            assert_eq!(find("DELETE", &format!("/api/hive/h{slash}")), Ok(Route::HiveDelete { hive: "h".to_owned() }));
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let check = |query, expected: Option<&str>| assert_eq!(parameter(query, "p"), Ok(expected.map(str::to_owned)));
        check("", None);
        check("q=1", None);
        check("p", Some(""));
        check("q=1&p=a%26b%3D", Some("a&b="));
        check("p=a+b%2B", Some("a b+"));
        check("p=1&p=2", Some("1"));
    }

    proptest::proptest! {
        #[test]
        fn any_key_written_as_one_segment_is_that_key(name in ".+") {
            let path = format!("/api/hive/h/key-value/{}", segment(&name));
            proptest::prop_assert_eq!(find("PUT", &path), key(&name, KeyCall::Set));
            let path = format!("{path}/rename");
            proptest::prop_assert_eq!(find("PUT", &path), key(&name, KeyCall::Rename));
        }
    }
}
