//! Who is asked, and as whom: the part of a store URL between `//` and the path.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind, Result};

/// `USER:PASSWORD@HOST:PORT` of a store URL, taken apart; every part but the host may be missing, and the host may be
/// empty. `Debug` shows neither user nor password (ERR-2).
///
/// ```
/// use kv_api::StoreUrl;
/// let url: StoreUrl = "example://ada:s%40crets@[::1]:1987/db".parse()?;
/// let authority = url.authority()?.expect("it begins with //");
/// assert_eq!((authority.user(), authority.password()), (Some("ada"), Some("s@crets")));
/// assert_eq!((authority.host(), authority.port()), ("::1", Some(1987)));
/// assert_eq!(authority.host_and_port(), "[::1]:1987");
/// assert_eq!(url.segments(), ["db"]);
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// The user, percent-decoded.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, percent-decoded.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The host: a name, an IPv4 address, or an IPv6 address without its brackets. Empty where the URL names none.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where the URL names one: 1 to 65535.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host and port as they stand in a URL, an IPv6 address in brackets, without user and password.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        let is_address = self.host.contains(':');
        let host = if is_address { format!("[{}]", self.host) } else { self.host.clone() };
        self.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    /// Takes apart what is still percent-encoded. No error shows any of it: it may hold a secret.
    pub(crate) fn parse(raw: &str) -> Result<Self> {
        let (user_info, host_port) = match raw.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(user_info), host_port),
            None => (None, raw),
        };
        let (user, password) = match user_info.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            None => (None, None),
            Some((user, password)) => {
                let has_password = user_info.is_some_and(|text| text.contains(':'));
                (Some(decoded(user)), has_password.then(|| decoded(password)))
            }
        };
        // The colons of an address in brackets are not in front of a port.
        let (host, port) = match host_port.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (host_port, None),
        };
        Ok(Self { user, password, host: parse_host(host)?, port })
    }

    /// Takes apart several that share one user and password; at least one.
    pub(crate) fn parse_several(raw: &str) -> impl Iterator<Item = Result<Self>> {
        let (user_info, hosts) = match raw.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, raw),
        };
        hosts.split(',').map(move |host| match user_info {
            Some(user_info) => Self::parse(&format!("{user_info}@{host}")),
            None => Self::parse(host),
        })
    }

    /// Whether host and port may be shown. A name without a dot may be a secret in the place of a forgotten host.
    pub(crate) fn is_plainly_a_host(&self) -> bool {
        let is_lower = !self.host.contains(|c: char| c.is_ascii_uppercase() || c == '_');
        self.host == "localhost" || (self.host.contains(['.', ':']) && is_lower)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("user", &self.user.is_some())
            .field("password", &self.password.is_some())
            .field("host", &self.host)
            .field("port", &self.port)
            .finish()
    }
}

/// A part of a URL that has been found to decode to UTF-8 as a whole.
pub(crate) fn decoded(raw: &str) -> String {
    percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

fn parse_port(text: &str) -> Result<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            "the port of the store URL is not a number from 1 to 65535; encode a colon in a user or password as %3A",
        )
    })
}

fn parse_host(raw: &str) -> Result<String> {
    if let Some(address) = raw.strip_prefix('[').and_then(|raw| raw.strip_suffix(']')) {
        if address.parse::<Ipv6Addr>().is_ok() {
            return Ok(address.to_owned());
        }
    } else {
        let host = decoded(raw);
        if host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_')) {
            return Ok(host);
        }
    }
    Err(Error::new(
        ErrorKind::InvalidArgument,
        "the host of the store URL is neither a host name nor an address; an IPv6 address stands in brackets",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_taken_apart() {
        let check = |raw: &str, user: Option<&str>, password: Option<&str>, host: &str, port: Option<u16>| {
            let authority = Authority::parse(raw).unwrap();
            let parts = (authority.user(), authority.password(), authority.host(), authority.port());
            assert_eq!(parts, (user, password, host, port), "{raw}");
        };
        check("", None, None, "", None);
        check("host", None, None, "host", None);
        check("host.example:1987", None, None, "host.example", Some(1987));
        check("10.0.0.7:65535", None, None, "10.0.0.7", Some(65_535));
        check("[::1]", None, None, "::1", None);
        check("[fe80::1]:1", None, None, "fe80::1", Some(1));
        check("ada@host", Some("ada"), None, "host", None);
        check("ada:@host", Some("ada"), Some(""), "host", None);
        check(":key@host:1", Some(""), Some("key"), "host", Some(1));
        check("a%40b:c%3Ad%2Fe@host", Some("a@b"), Some("c:d/e"), "host", None);
        check("a:b@c:d@host", Some("a"), Some("b@c:d"), "host", None);
        check("b%C3%BCcher.example", None, None, "bücher.example", None);
    }

    #[test]
    fn err_2_what_is_no_authority_is_refused_and_not_shown() {
        for raw in [
            "hush:hush",
            "host:",
            "host:0",
            "host:65536",
            "host:+80",
            "::1",
            "[::1",
            "[hush]",
            "hu sh",
            "hush%2Fx",
            "hush%00",
            "hush\u{202e}",
            "ada@hush:hush",
        ] {
            let error = Authority::parse(raw).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{raw}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
        let shown = format!("{:?}", Authority::parse("hush:hush@host").unwrap());
        assert!(!shown.contains("hush") && shown.contains("host"), "{shown}");
    }

    #[test]
    fn a_host_is_written_as_urls_have_it() {
        for raw in ["host", "host:1", "[::1]", "[::1]:65535"] {
            assert_eq!(Authority::parse(&format!("a:b@{raw}")).unwrap().host_and_port(), raw);
        }
    }
}
