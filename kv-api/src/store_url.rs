//! Store URLs: `scheme:rest?option=value&...`, parsed the same way for every backend.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::authority::{Authority, decoded};
use crate::error::{Error, ErrorKind, Reason, Result};

/// A store URL, taken apart: `scheme://USER:PASSWORD@HOST:PORT/SEGMENT/...?option=value&...`, or `scheme:rest?...`. An
/// adapter takes the options it knows; [`finish`](Self::finish) refuses what is left, so that a misspelt option is an
/// error and not a default.
///
/// A secret may stand anywhere in it by mistake, so errors show nothing of it but the names of options that the adapter
/// asked for, and `Debug` and `Display` show scheme, host and port only, where they are plainly that (ERR-2).
///
/// ```
/// use kv_api::StoreUrl;
/// let mut url: StoreUrl = "sqlite:data/app%20one.db?namespace=users".parse()?;
/// assert_eq!((url.scheme(), url.rest()), ("sqlite", "data/app one.db"));
/// assert_eq!(url.take_option("namespace").as_deref(), Some("users"));
/// url.finish()?;
///
/// let mut url: StoreUrl = "sqlite:app.db?namepsace=users".parse()?;
/// assert_eq!(url.take_option("namespace"), None);
/// let error = url.finish().unwrap_err().to_string();
/// assert!(error.contains("option 1") && error.contains("namespace") && !error.contains("namepsace"));
///
/// let url: StoreUrl = "example://ada:secret@kv.example.com:1987/secret?token=secret".parse()?;
/// assert_eq!(url.to_string(), "example://...@kv.example.com:1987/...?...");
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
pub struct StoreUrl {
    scheme: String,
    /// Still percent-encoded, so that an encoded slash or colon separates nothing.
    raw_rest: String,
    rest: String,
    /// With the position of each in the URL, from 1.
    options: Vec<(usize, String, String)>,
    /// The names of options that were asked for: these may be shown.
    known: Vec<String>,
}

impl StoreUrl {
    /// The scheme in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between the scheme's colon and the question mark, percent-decoded.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// User, host and port; `None` where no `//` follows the scheme.
    ///
    /// # Errors
    /// `InvalidArgument` when the host is no host name and no address, or the port no port.
    pub fn authority(&self) -> Result<Option<Authority>> {
        self.raw_parts().0.map(Authority::parse).transpose()
    }

    /// As [`authority`](Self::authority), for a system of several nodes: `USER:PASSWORD@HOST:PORT,HOST:PORT,...`. User
    /// and password are those of each; a comma in them stands as `%2C`. `None` where no `//` follows the scheme, else
    /// at least one.
    ///
    /// # Errors
    /// As there, for the first that is not acceptable.
    ///
    /// ```
    /// use kv_api::StoreUrl;
    /// let url: StoreUrl = "example://ada:secret@10.0.0.7:7000,[::1]:7001,db".parse()?;
    /// let nodes = url.authorities()?.expect("it begins with //");
    /// let names: Vec<_> = nodes.iter().map(|node| node.host_and_port()).collect();
    /// assert_eq!(names, ["10.0.0.7:7000", "[::1]:7001", "db"]);
    /// assert!(nodes.iter().all(|node| node.user() == Some("ada")));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn authorities(&self) -> Result<Option<Vec<Authority>>> {
        let parse = |raw| Authority::parse_several(raw).collect();
        self.raw_parts().0.map(parse).transpose()
    }

    /// The path after the authority, split at its slashes and then percent-decoded: nothing for `//host`, one empty
    /// segment for `//host/`. Where no `//` follows the scheme, all of the rest is the path.
    #[must_use]
    pub fn segments(&self) -> Vec<String> {
        self.raw_parts().1.map_or_else(Vec::new, |path| path.split('/').map(decoded).collect())
    }

    fn raw_parts(&self) -> (Option<&str>, Option<&str>) {
        match self.raw_rest.strip_prefix("//") {
            None => (None, Some(&self.raw_rest)),
            Some(rest) => match rest.split_once('/') {
                None => (Some(rest), None),
                Some((authority, path)) => (Some(authority), Some(path)),
            },
        }
    }

    /// Takes the value of an option, percent-decoded.
    pub fn take_option(&mut self, name: &str) -> Option<String> {
        if !self.known.iter().any(|known| known == name) {
            self.known.push(name.to_owned());
        }
        let at = self.options.iter().position(|(_, own, _)| own == name)?;
        Some(self.options.remove(at).2)
    }

    /// Takes an option and parses it.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::UnknownOption`] and `expected`, when the value does not parse.
    pub fn take_parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>> {
        self.take_option(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    Error::invalid(
                        Reason::UnknownOption,
                        format!("the option {name} of the store URL must be {expected}"),
                    )
                })
            })
            .transpose()
    }

    /// Refuses options that were not taken.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::UnknownOption`], for the first one: its place among the options, and the names
    /// that are known. Its own name is shown only where it is one of them and came twice.
    pub fn finish(self) -> Result<()> {
        let Some((at, name, _)) = self.options.first() else { return Ok(()) };
        let message = if self.known.contains(name) {
            format!("the option {name} of the store URL is given twice")
        } else if self.known.is_empty() {
            format!("option {at} of the store URL is unknown: this store has no options")
        } else {
            format!("option {at} of the store URL is unknown; there are {}", self.known.join(", "))
        };
        Err(Error::invalid(Reason::UnknownOption, message))
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` when there is no scheme, or a part does not decode to UTF-8.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = |message: &'static str| Error::new(ErrorKind::InvalidArgument, message);
        let (scheme, rest) = text
            .split_once(':')
            .filter(|(scheme, _)| {
                scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            })
            .ok_or_else(|| {
                invalid("not a store URL: a scheme and a colon are missing").with_reason(Reason::UnknownScheme)
            })?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| invalid("a percent-encoded part of the store URL is not UTF-8"))
        };
        let mut options = Vec::new();
        for (at, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Error::invalid(Reason::UnknownOption, "an option of the store URL has no value: write name=value")
            })?;
            options.push((at + 1, decode(name)?, decode(value)?));
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            raw_rest: rest.to_owned(),
            rest: decode(rest)?,
            options,
            known: Vec::new(),
        })
    }
}

/// Safe to print. What has no `//` shows nothing: its scheme may be a user whose scheme was forgotten. Of the rest only
/// that something is there.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(_), path) = self.raw_parts() else { return f.write_str("...") };
        let Ok(Some(authority)) = self.authority() else { return write!(f, "{}://...", self.scheme) };
        write!(f, "{}://", self.scheme)?;
        if authority.user().is_some() {
            f.write_str("...@")?;
        }
        match authority.host() {
            "" => {}
            _ if authority.is_plainly_a_host() => f.write_str(&authority.host_and_port())?,
            _ => f.write_str("...")?,
        }
        if path.is_some_and(|path| !path.is_empty()) {
            f.write_str("/...")?;
        }
        if self.options.is_empty() { Ok(()) } else { f.write_str("?...") }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_url() {
        for text in ["", "app.db", ":x", "1a:x", "a b:x", "memory:?x", "memory:%ff"] {
            let parsed = text.parse::<StoreUrl>();
            assert_eq!(parsed.unwrap_err().kind(), ErrorKind::InvalidArgument, "{text:?}");
        }
    }

    #[test]
    fn err_2_printing_shows_no_secret_wherever_it_stands() {
        for (text, shown) in [
            ("redis://user:hunter2@db.example/0?namespace=a&token=hunter2", "redis://...@db.example/...?..."),
            ("redis://db.example:6379/0", "redis://db.example:6379/..."),
            ("redis://localhost:6379", "redis://localhost:6379"),
            ("redis://[::1]:6379/0", "redis://[::1]:6379/..."),
            ("redis://10.0.0.7/", "redis://10.0.0.7"),
            ("redis:///0", "redis:///..."),
            // The password or the key in the place of something else.
            ("redis://user:a@hunter2@db.example", "redis://...@db.example"),
            ("redis://user:hunter2?hunter2=hunter2@host", "redis://..."),
            ("redis://user:hunter2?hunter2@host/=0", "redis://..."),
            ("redis://user:hunter2/0", "redis://..."),
            ("redis://hunter2/0", "redis://.../..."),
            ("redis://db.example/hunter2", "redis://db.example/..."),
            ("redis://db.example/0?namespace=hunter2", "redis://db.example/...?..."),
            ("redis://db.example/0?hunter2=1", "redis://db.example/...?..."),
            ("redis://db.example/0?base_url=https://host/hunter2", "redis://db.example/...?..."),
            ("redis:user:hunter2@host", "..."),
            ("user:hunter2@host/0", "..."),
            ("hunter2:@host/0", "..."),
            ("hunter2:x", "..."),
            ("sqlite:app.db?key=hunter2", "..."),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
            assert!(!format!("{url:?} {url:#?}").contains("hunter2"), "{text}");
            let refused = url.clone().authority().err().map(|error| format!("{error:?}"));
            assert!(!refused.unwrap_or_default().contains("hunter2"), "{text}");
            let refused = url.finish().err().map(|error| format!("{error:?}"));
            assert!(!refused.unwrap_or_default().contains("hunter2"), "{text}");
        }
        for text in ["hunter2", "hunter2?a=b", "s:?hunter2", "s:hunter2%ff", "s:?hunter2%ff=1", "hunter2@host:80"] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error:?}");
        }
    }

    #[test]
    fn an_option_that_is_left_is_refused_by_its_place_and_a_repeated_one_by_its_name() {
        let refused = |text: &str| {
            let mut url: StoreUrl = text.parse().unwrap();
            assert!(url.take_option("a").is_some());
            url.take_option("b");
            let error = url.finish().unwrap_err();
            assert_eq!(error.reason(), Some(&Reason::UnknownOption));
            error.message().to_owned()
        };
        assert_eq!(refused("s:?a=1&c=2"), "option 2 of the store URL is unknown; there are a, b");
        assert_eq!(refused("s:?a=1&b=2&a=3"), "the option a of the store URL is given twice");
        let none = "s:?a=1".parse::<StoreUrl>().unwrap().finish().unwrap_err();
        assert_eq!(none.message(), "option 1 of the store URL is unknown: this store has no options");
    }

    #[test]
    fn the_path_is_split_before_it_is_decoded() {
        let segments = |text: &str| text.parse::<StoreUrl>().unwrap().segments();
        assert_eq!(segments("s://host"), [""; 0]);
        assert_eq!(segments("s://host/"), [""]);
        assert_eq!(segments("s://host/a%2Fb/c?x=1/2"), ["a/b", "c"]);
        assert_eq!(segments("s:///a"), ["a"]);
        assert_eq!(segments("s:a/b"), ["a", "b"]);
        assert!("s:a/b".parse::<StoreUrl>().unwrap().authority().unwrap().is_none());
    }
}
