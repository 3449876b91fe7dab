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

/// An address below which there are others: of a system's API, or of a part of it.
///
/// ```
/// use kv_remote::http::{Base, Url};
/// let base = Base::new(&Url::parse("https://host/api")?);
/// assert_eq!(base.at("/values/a%2Fb?x=1")?.as_str(), "https://host/api/values/a%2Fb?x=1");
/// assert!(base.at("/values/%2E%2E").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Base {
    /// With a slash at its end, without query and fragment.
    below: Url,
}

impl Base {
    /// What lies below this address, with or without a slash at its end.
    #[must_use]
    pub fn new(base: &Url) -> Self {
        let mut below = base.clone();
        below.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        below.set_query(None);
        below.set_fragment(None);
        Self { below }
    }

    /// The address of `path_and_query`, already encoded and beginning with a slash. Only that is parsed.
    ///
    /// # Errors
    /// `Internal` when it would not stand in the address to the letter: `.` and `..` are taken out of a path even when
    /// they are percent-encoded, and what is left is the address of something else.
    pub fn at(&self, path_and_query: &str) -> Result<Url> {
        path_and_query
            .strip_prefix('/')
            .and_then(|relative| {
                let url = self.below.join(relative).ok()?;
                let is_kept = url.as_str().strip_prefix(self.below.as_str()) == Some(relative);
                (is_kept && url.fragment().is_none()).then_some(url)
            })
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the key would change the address of the request"))
    }
}

/// Shows no path: it may hold a secret.
impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("origin", &self.below.origin().ascii_serialization()).finish_non_exhaustive()
    }
}

/// The address of a system's API as a user gives it, below which [`Base`] finds the requests. Whether plain `http`
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
    use proptest::prelude::*;

    const BASES: [&str; 3] = ["https://host", "https://host/api", "http://[::1]:8080/a%20b//c/"];

    fn at(base: &str, path_and_query: &str) -> Result<Url> {
        Base::new(&Url::parse(base).unwrap()).at(path_and_query)
    }

    #[test]
    fn key_2_what_would_be_taken_for_something_else_has_no_address() {
        for base in BASES {
            for kept in
                ["/", "/x", "/x/", "/x//y", "/x?", "/x?a=b%27&c", "/x/...", "/x/%252E", "/x/a:b", "/?x", "/x?/../"]
            {
                let expected = format!("{}{kept}", base.trim_end_matches('/'));
                assert_eq!(at(base, kept).unwrap().as_str(), expected, "{kept}");
            }
            for changed in [
                "",
                "x",
                "?x",
                "/.",
                "/..",
                "/x/.",
                "/x/..",
                "/x/../y",
                "/x/%2e",
                "/x/%2E%2e",
                "/x/.%2E/y",
                "//",
                "//other/x",
                "/\\x",
                "/x\\y",
                "/x\t",
                "/x\ny",
                "/x\r",
                "/x ",
                "/x y",
                "/ x",
                "/x#",
                "/x#y",
                "/é",
                "/x?é",
                "/x?a b",
                "/x?'",
                "/x\0",
                "/https://other/x",
                "/https:x",
                "/mailto:x",
                "/a:b",
            ] {
                assert!(at(base, changed).is_err(), "{base} {changed:?}");
            }
        }
        let shown = format!("{:?}", Base::new(&Url::parse("https://host/hush?hush#hush").unwrap()));
        assert!(shown.contains("https://host") && !shown.contains("hush"), "ERR-2: {shown}");
    }

    proptest! {
        #[test]
        fn key_2_an_address_is_its_base_and_what_was_asked_for(
            base in prop::sample::select(&BASES[..]),
            path in prop_oneof![any::<String>(), r"[/\\.:?#%2eE@a \t]{0,12}"],
        ) {
            if let Ok(url) = at(base, &path) {
                let base = base.trim_end_matches('/');
                prop_assert_eq!(url.as_str(), format!("{base}{path}"));
                // It is read back as the same parts, on the same host.
                let (base, read) = (Url::parse(base).unwrap(), Url::parse(url.as_str()).unwrap());
                prop_assert_eq!((read.origin(), read.fragment()), (base.origin(), None));
                prop_assert_eq!((read.path(), read.query()), (url.path(), url.query()));
            }
        }

        #[test]
        fn key_2_each_key_but_two_has_an_address(base in prop::sample::select(&BASES[..]), key in any::<String>()) {
            let url = at(base, &format!("/values/{}?a={}", encoded(&key), encoded(&key)));
            match key.as_str() {
                "." | ".." => prop_assert!(url.is_err()),
                _ => {
                    let url = url.unwrap();
                    let last = url.path_segments().unwrap().next_back().unwrap();
                    let read = percent_encoding::percent_decode_str(last).decode_utf8().unwrap();
                    prop_assert_eq!(read, key.as_str());
                }
            }
        }
    }

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
