//! What a request is about: its path taken apart as it was sent, so that no key can lead elsewhere (KEY-2).

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::fault::Fault;

/// Everything that the dialect can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ListNamespaces,
    CreateNamespace,
    GetNamespace,
    RenameNamespace,
    RemoveNamespace,
    ReadValue,
    WriteValue,
    DeleteValue,
    ReadMetadata,
    ListKeys,
    BulkWrite,
    BulkDelete,
    BulkGet,
}

impl Operation {
    /// Its name in metrics, logs and on the status page.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ListNamespaces => "list namespaces",
            Self::CreateNamespace => "create namespace",
            Self::GetNamespace => "get namespace",
            Self::RenameNamespace => "rename namespace",
            Self::RemoveNamespace => "remove namespace",
            Self::ReadValue => "get",
            Self::WriteValue => "put",
            Self::DeleteValue => "remove key",
            Self::ReadMetadata => "get metadata",
            Self::ListKeys => "list keys",
            Self::BulkWrite => "bulk write",
            Self::BulkDelete => "bulk delete",
            Self::BulkGet => "bulk get keys",
        }
    }

    /// Whether it is on a single value, and so may have a condition.
    pub(crate) const fn takes_condition(self) -> bool {
        matches!(self, Self::ReadValue | Self::WriteValue | Self::DeleteValue)
    }

    /// Whether it changes something, and so needs the scope `write`; else it needs `read`.
    pub(crate) const fn writes(self) -> bool {
        match self {
            Self::ListNamespaces
            | Self::GetNamespace
            | Self::ReadValue
            | Self::ReadMetadata
            | Self::ListKeys
            | Self::BulkGet => false,
            Self::CreateNamespace
            | Self::RenameNamespace
            | Self::RemoveNamespace
            | Self::WriteValue
            | Self::DeleteValue
            | Self::BulkWrite
            | Self::BulkDelete => true,
        }
    }
}

/// A request, as far as its path says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'p> {
    pub(crate) operation: Operation,
    pub(crate) account: &'p str,
    /// Name or identifier; empty where the operation is on all.
    pub(crate) namespace: &'p str,
    /// As it was sent; empty where the operation is on no single key.
    key: &'p str,
}

impl<'p> Target<'p> {
    /// Only the key may be percent-encoded: no name that is served needs it.
    pub(crate) fn of(method: &Method, path: &'p str) -> Result<Self, Fault> {
        let rest = path.strip_prefix("/client/v4/accounts/").ok_or_else(Fault::no_route)?;
        let (account, rest) = rest.split_once('/').ok_or_else(Fault::no_route)?;
        let rest = rest.strip_prefix("storage/kv/namespaces").ok_or_else(Fault::no_route)?;
        if account.is_empty() {
            return Err(Fault::no_route());
        }
        let mut segments = match rest.strip_prefix('/') {
            Some(rest) => rest.split('/'),
            None if rest.is_empty() => return Ok(Self { operation: all(method)?, account, namespace: "", key: "" }),
            None => return Err(Fault::no_route()),
        };
        let namespace = segments.next().unwrap_or_default();
        let tail = [segments.next(), segments.next()];
        if namespace.is_empty() || segments.next().is_some() {
            return Err(Fault::no_route());
        }
        let (operation, key) = match tail {
            [None, _] => (one(method)?, ""),
            [Some("values"), Some(key)] => (value(method)?, key),
            [Some("metadata"), Some(key)] => {
                only(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                (Operation::ReadMetadata, key)
            }
            [Some("keys"), None] => {
                only(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                (Operation::ListKeys, "")
            }
            [Some("bulk"), None] => (bulk(method)?, ""),
            [Some("bulk"), Some("get")] => {
                only(method, &[Method::POST], "POST")?;
                (Operation::BulkGet, "")
            }
            [Some("bulk"), Some("delete")] => {
                only(method, &[Method::POST], "POST")?;
                (Operation::BulkDelete, "")
            }
            _ => return Err(Fault::no_route()),
        };
        Ok(Self { operation, account, namespace, key })
    }

    /// The key: its bytes exactly as they were encoded. What is no percent-encoding means itself.
    pub(crate) fn key(&self) -> Result<String, Fault> {
        // At once of the greatest length that it can have.
        let mut bytes = Vec::with_capacity(self.key.len());
        bytes.extend(percent_decode_str(self.key));
        let key = String::from_utf8(bytes).map_err(|_| Fault::invalid("the key is not UTF-8"))?;
        check_key(&key).map(|()| key)
    }
}

/// The dialect has no such keys: clients and proxies make another path of them.
pub(crate) fn check_key(key: &str) -> Result<(), Fault> {
    match key {
        "" => Err(Fault::invalid("the key is empty")),
        "." | ".." => Err(Fault::invalid("\".\" and \"..\" are no keys")),
        _ => Ok(()),
    }
}

fn all(method: &Method) -> Result<Operation, Fault> {
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::ListNamespaces),
        Method::POST => Ok(Operation::CreateNamespace),
        _ => Err(Fault::method("GET, HEAD, POST")),
    }
}

fn one(method: &Method) -> Result<Operation, Fault> {
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::GetNamespace),
        Method::PUT => Ok(Operation::RenameNamespace),
        Method::DELETE => Ok(Operation::RemoveNamespace),
        _ => Err(Fault::method("GET, HEAD, PUT, DELETE")),
    }
}

fn value(method: &Method) -> Result<Operation, Fault> {
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::ReadValue),
        Method::PUT => Ok(Operation::WriteValue),
        Method::DELETE => Ok(Operation::DeleteValue),
        _ => Err(Fault::method("GET, HEAD, PUT, DELETE")),
    }
}

fn bulk(method: &Method) -> Result<Operation, Fault> {
    match *method {
        Method::PUT => Ok(Operation::BulkWrite),
        Method::DELETE => Ok(Operation::BulkDelete),
        _ => Err(Fault::method("PUT, DELETE")),
    }
}

fn only(method: &Method, allowed: &[Method], shown: &'static str) -> Result<(), Fault> {
    if allowed.contains(method) { Ok(()) } else { Err(Fault::method(shown)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "/client/v4/accounts/a/storage/kv/namespaces";

    fn of(method: Method, tail: &str) -> Result<(Operation, String), u16> {
        let path = format!("{BASE}{tail}");
        let target = Target::of(&method, &path).map_err(|fault| fault.status.as_u16())?;
        let key = if target.key.is_empty() { String::new() } else { target.key().map_err(|_| 0u16)? };
        Ok((target.operation, key))
    }

    #[test]
    fn each_route_is_found() {
        use Operation as O;
        for (method, tail, operation) in [
            (Method::GET, "", O::ListNamespaces),
            (Method::POST, "", O::CreateNamespace),
            (Method::GET, "/n", O::GetNamespace),
            (Method::PUT, "/n", O::RenameNamespace),
            (Method::DELETE, "/n", O::RemoveNamespace),
            (Method::GET, "/n/values/k", O::ReadValue),
            (Method::HEAD, "/n/values/k", O::ReadValue),
            (Method::PUT, "/n/values/k", O::WriteValue),
            (Method::DELETE, "/n/values/k", O::DeleteValue),
            (Method::GET, "/n/metadata/k", O::ReadMetadata),
            (Method::GET, "/n/keys", O::ListKeys),
            (Method::PUT, "/n/bulk", O::BulkWrite),
            (Method::DELETE, "/n/bulk", O::BulkDelete),
            (Method::POST, "/n/bulk/delete", O::BulkDelete),
            (Method::POST, "/n/bulk/get", O::BulkGet),
        ] {
            assert_eq!(of(method.clone(), tail).map(|found| found.0), Ok(operation), "{method} {tail}");
        }
    }

    #[test]
    fn what_is_no_route_is_none() {
        for tail in [
            "/",
            "s",
            "/n/",
            "//values/k",
            "/n/values",
            "/n/values/raw/slash",
            "/n/values/k/",
            "/n/keys/",
            "/n/bulk/",
            "/n/bulk/put",
            "/n/other",
            "/n//values/k",
            "/n/Values/k",
        ] {
            assert_eq!(of(Method::GET, tail), Err(404), "{tail}");
        }
        for path in [
            "",
            "/",
            "/client/v4",
            "/client/v4/accounts//storage/kv/namespaces",
            "/client/v4/accounts/a/b/storage/kv/namespaces",
            "*",
        ] {
            assert!(Target::of(&Method::GET, path).is_err(), "{path}");
        }
        for (method, tail) in [(Method::POST, "/n/values/k"), (Method::PATCH, "/n"), (Method::GET, "/n/bulk/get")] {
            assert_eq!(of(method, tail), Err(405));
        }
    }

    #[test]
    fn a_key_is_what_was_sent() {
        for (sent, key) in [
            ("a%2Fb", "a/b"),
            ("x%2F..%2Fy", "x/../y"),
            ("a+b", "a+b"),
            ("bad%zz", "bad%zz"),
            ("%25", "%"),
            ("%00", "\0"),
            ("...", "..."),
            ("%C3%A9", "é"),
            ("a%09b", "a\tb"),
            ("values", "values"),
        ] {
            assert_eq!(of(Method::GET, &format!("/n/values/{sent}")), Ok((Operation::ReadValue, key.to_owned())));
        }
        for sent in [".", "..", "%2E", "%2e%2E", "%FF"] {
            assert_eq!(of(Method::GET, &format!("/n/values/{sent}")), Err(0), "{sent}");
        }
        let path = format!("{BASE}/n/values/");
        assert!(Target::of(&Method::DELETE, &path).unwrap().key().is_err());
    }

    proptest! {
        #[test]
        fn every_key_can_be_sent_and_leads_nowhere_else(key in ".{1,40}") {
            prop_assume!(key != "." && key != "..");
            let sent = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC);
            let path = format!("{BASE}/n/values/{sent}");
            let target = Target::of(&Method::PUT, &path).unwrap();
            prop_assert_eq!(target.key().unwrap(), key);
            prop_assert_eq!((target.operation, target.namespace), (Operation::WriteValue, "n"));
        }

        #[test]
        fn no_path_makes_it_panic(path in ".{0,80}", tail in ".{0,40}") {
            for path in [path, format!("{BASE}{tail}"), format!("{BASE}/n/values/{tail}")] {
                let _ = Target::of(&Method::GET, &path).map(|target| target.key());
            }
        }
    }
}
