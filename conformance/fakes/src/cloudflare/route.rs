//! From a path to what it addresses.

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// What follows the base URL up to the account.
const ROOT: &str = "/client/v4/accounts/";

/// What a path addresses below an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Namespaces,
    Namespace,
    Keys,
    Bulk,
    BulkGet,
    BulkDelete,
    /// With the key as it stands in the path.
    Value(&'a str),
    /// With the key as it stands in the path.
    Metadata(&'a str),
}

/// A path taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) account: &'a str,
    /// Empty for [`Target::Namespaces`].
    pub(super) namespace: &'a str,
    pub(super) target: Target<'a>,
}

impl<'a> Route<'a> {
    /// `None` for what is no route of the system, a key that is empty or has a bare slash included.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix(ROOT)?.split('/');
        let account = segments.next()?;
        for fixed in ["storage", "kv", "namespaces"] {
            if segments.next()? != fixed {
                return None;
            }
        }
        let rest: Vec<_> = segments.collect();
        if rest.contains(&"") {
            return None;
        }
        let (namespace, target) = match *rest.as_slice() {
            [] => ("", Target::Namespaces),
            [namespace] => (namespace, Target::Namespace),
            [namespace, "keys"] => (namespace, Target::Keys),
            [namespace, "bulk"] => (namespace, Target::Bulk),
            [namespace, "bulk", "get"] => (namespace, Target::BulkGet),
            [namespace, "bulk", "delete"] => (namespace, Target::BulkDelete),
            [namespace, "values", key] => (namespace, Target::Value(key)),
            [namespace, "metadata", key] => (namespace, Target::Metadata(key)),
            _ => return None,
        };
        Some(Self { account, namespace, target })
    }
}

/// The key that a path segment names. A plus sign is a plus sign.
pub(super) fn decode_key(segment: &str) -> Result<String, Refusal> {
    // `percent_decode_str` leaves a percent sign alone that no two hex digits follow. What production does then is
    // unknown.
    let broken = segment.match_indices('%').any(|(at, _)| {
        !segment.as_bytes()[at + 1..].get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_decode_str(segment).decode_utf8();
    match decoded {
        Ok(key) if !broken => Ok(key.into_owned()),
        _ => Err(Refusal::bad_request("Could not URL-decode key name")),
    }
}

/// A parameter of a query, decoded as forms are; the first of its name.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACES: &str = "/client/v4/accounts/a/storage/kv/namespaces";

    #[test]
    fn tells_routes_apart() {
        let check = |rest: &str, expected| {
            assert_eq!(Route::parse(&format!("{NAMESPACES}{rest}")).map(|route| route.target), expected, "{rest}");
        };
        check("", Some(Target::Namespaces));
        check("/n", Some(Target::Namespace));
        check("/n/keys", Some(Target::Keys));
        check("/n/bulk", Some(Target::Bulk));
        check("/n/bulk/get", Some(Target::BulkGet));
        check("/n/bulk/delete", Some(Target::BulkDelete));
        check("/n/values/k%2Fl", Some(Target::Value("k%2Fl")));
        check("/n/metadata/k", Some(Target::Metadata("k")));
        // What a dangerous key may turn a path into must not become another request.
        for nothing in
            ["/", "/n/", "/n/values", "/n/values/", "/n/values/a/b", "/n/keys/", "/n/bulk/put", "/n/nonsense", "//"]
        {
            check(nothing, None);
        }
        assert_eq!(Route::parse("/client/v4/user"), None);
    }

    #[test]
    fn decodes_keys_and_parameters() {
        assert_eq!(decode_key("a%2Fb+c%20%C3%A9").as_deref(), Ok("a/b+c é"));
        assert_eq!(decode_key("%252F").as_deref(), Ok("%2F"));
        assert_eq!(decode_key("%00%0A%09").as_deref(), Ok("\0\n\t"));
        for broken in ["%zz", "%f", "%", "%ff", "a%2"] {
            assert!(decode_key(broken).is_err(), "{broken}");
        }
        assert_eq!(parameter("a=1&prefix=x%2By+z&prefix=2", "prefix").as_deref(), Some("x+y z"));
        assert_eq!(parameter("a=1", "prefix"), None);
        assert_eq!(parameter("cursor=", "cursor").as_deref(), Some(""));
    }
}
