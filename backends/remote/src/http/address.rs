//! Addresses: of the system, and of what a request is about.

use std::fmt;

use kv_api::{Error, ErrorKind, Reason, Result};
use percent_encoding::utf8_percent_encode;
use reqwest::Url;
use url::Host;

use crate::RESERVED;

/// Text as one segment of a path, or one name or value in a query: percent-encoded.
///
/// ```
/// assert_eq!(kv_remote::http::encoded("a/b?#%\t é").to_string(), "a%2Fb%3F%23%25%09%20%C3%A9");
/// ```
#[must_use]
pub fn encoded(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// The address of `path_and_query`, already encoded and beginning with a slash, below `base`.
///
/// # Errors
/// `Internal` when the address would not keep the path as it is: `.` and `..` are taken out of a path even when they
/// are percent-encoded, and what is left is the address of something else.
///
/// ```
/// use kv_remote::http::{Url, address};
/// let base = Url::parse("https://host/api")?;
/// assert_eq!(address(&base, "/values/a%2Fb?x=1")?.as_str(), "https://host/api/values/a%2Fb?x=1");
/// assert!(address(&base, "/values/%2E%2E").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn address(base: &Url, path_and_query: &str) -> Result<Url> {
    let changed = || Error::new(ErrorKind::Internal, "the key would change the address of the request");
    let (path, query) = match path_and_query.split_once('?') {
        None => (path_and_query, None),
        Some((path, query)) => (path, Some(query)),
    };
    let mut url = base.clone();
    let whole = format!("{}{path}", base.path().trim_end_matches('/'));
    url.set_path(&whole);
    url.set_query(query);
    if url.path() == whole && url.query() == query { Ok(url) } else { Err(changed()) }
}

/// The address of a system's API as a user gives it, below which [`address`] finds the requests. Whether plain `http`
/// is allowed there is [`Client::new`](super::Client::new)'s to decide.
///
/// # Errors
/// `InvalidArgument` with [`Reason::UnknownOption`] unless it is `http` or `https` without user information, query and
/// fragment. Nothing of it is shown: it may hold a secret.
///
/// ```
/// use kv_remote::http::base_url;
/// assert_eq!(base_url("http://127.0.0.1:8787/api")?.path(), "/api");
/// for wrong in ["ftp://host", "host:80", "https://user:password@host", "https://host?a=b", "https://host#a"] {
///     assert!(base_url(wrong).is_err());
/// }
/// # Ok::<(), kv_api::Error>(())
/// ```
pub fn base_url(text: &str) -> Result<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| {
            let is_plain = url.username().is_empty() && url.password().is_none();
            matches!(url.scheme(), "http" | "https") && is_plain && url.query().is_none() && url.fragment().is_none()
        })
        .ok_or_else(|| {
            Error::invalid(
                Reason::UnknownOption,
                "base_url must be an http or https URL without user information, query and fragment",
            )
        })
}

/// Whether requests to this address stay on this machine. `localhost` and the names below it are this machine's (RFC
/// 6761).
pub(super) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// All of an address that an error may show: a path may hold a key or a secret.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        let check = |host: &str| is_this_machine(&Url::parse(&format!("http://{host}/x")).unwrap());
        for host in [
            "127.0.0.1",
            "127.9.9.9:80",
            "2130706433",
            "0x7f.1",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST.",
            "api.puter.localhost:4100",
        ] {
            assert!(check(host), "{host}");
        }
        for host in [
            "10.0.0.7",
            "0.0.0.0",
            "[::]",
            "[::ffff:10.0.0.1]",
            "host",
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
        ] {
            assert!(!check(host), "{host}");
        }
    }

    #[test]
    fn err_2_of_an_address_only_host_and_port_are_shown() {
        let shown = |url: &str| host_and_port(&Url::parse(url).unwrap());
        assert_eq!(shown("https://user:hush@host/hush?hush#hush"), "host:443");
        assert_eq!(shown("http://[::1]:8080/hush"), "[::1]:8080");
    }
}
