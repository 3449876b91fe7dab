//! Store URLs: `scheme:rest?option=value&...`, parsed the same way for every backend.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind, Reason, Result};

/// A store URL, taken apart. An adapter takes the options it knows; [`finish`](Self::finish) refuses what is left, so
/// that a misspelt option is an error and not a default.
///
/// `Debug` and `Display` leave out user information, a path of several segments after a host, and the values of all options
/// but `namespace` (ERR-2).
///
/// ```
/// use kv_api::StoreUrl;
/// let mut url: StoreUrl = "sqlite:data/app%20one.db?namespace=users".parse()?;
/// assert_eq!((url.scheme(), url.rest()), ("sqlite", "data/app one.db"));
/// assert_eq!(url.take_option("namespace").as_deref(), Some("users"));
/// url.finish()?;
///
/// let url: StoreUrl = "sqlite:app.db?namepsace=users".parse()?;
/// assert!(url.finish().unwrap_err().to_string().contains("namepsace"));
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
pub struct StoreUrl {
    scheme: String,
    rest: String,
    options: Vec<(String, String)>,
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

    /// Takes the value of an option, percent-decoded.
    pub fn take_option(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(own, _)| own == name)?;
        Some(self.options.remove(at).1)
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

    /// Refuses options that nobody took.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::UnknownOption`], naming the first one.
    pub fn finish(self) -> Result<()> {
        match self.options.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::invalid(
                Reason::UnknownOption,
                format!("{name:?} is no option of a {} URL, or is given twice", self.scheme),
            )),
        }
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
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Error::invalid(Reason::UnknownOption, "an option of the store URL has no value: write name=value")
            })?;
            options.push((decode(name)?, decode(value)?));
        }
        Ok(Self { scheme: scheme.to_ascii_lowercase(), rest: decode(rest)?, options })
    }
}

/// The one option that every system has, that names data, and that is no secret.
const NAMESPACE: &str = "namespace";

/// Whether the password stands where the port of a host would, because the host was forgotten. Without slashes a colon may
/// be part of the name of a file, and after one letter it is that of a drive.
fn is_user(authority: &str, has_slashes: bool) -> bool {
    let least = if has_slashes { 0 } else { 2 };
    !authority.ends_with(']')
        && authority
            .rsplit_once(':')
            .is_some_and(|(name, port)| name.len() >= least && !port.is_empty() && port.parse::<u16>().is_err())
}

/// A host with one segment of a path, or with what stands for several.
fn shortened(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((host, path)) if !host.is_empty() && path.contains('/') => (host, "/..."),
        _ => (text, ""),
    }
}

/// Safe to print: no user information, and of the options only which namespace it is. Nor more than one segment after a
/// host, since some systems have a key in their own addresses.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slashes, rest) = self.rest.strip_prefix("//").map_or(("", &*self.rest), |rest| ("//", rest));
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        match rest.rsplit_once('@') {
            // Also where the slashes were forgotten; a file may have an @ in its name.
            Some((user, host)) if !slashes.is_empty() || user.contains(':') => {
                let (host, more) = shortened(host);
                write!(f, "{}:{slashes}...@{host}{more}", self.scheme)?;
            }
            // The user information went on behind a question mark that should have been encoded.
            None if !slashes.is_empty()
                && self.options.iter().any(|(name, value)| [name, value].iter().any(|text| text.contains('@'))) =>
            {
                return write!(f, "{}://...", self.scheme);
            }
            _ if is_user(authority, !slashes.is_empty()) => return write!(f, "{}:{slashes}...", self.scheme),
            _ if !slashes.is_empty() => {
                let (host, more) = shortened(rest);
                write!(f, "{}://{host}{more}", self.scheme)?;
            }
            _ => write!(f, "{}:{}", self.scheme, self.rest)?,
        }
        for (at, (name, value)) in self.options.iter().enumerate() {
            let shown = if name == NAMESPACE { value } else { "..." };
            write!(f, "{}{name}={shown}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
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
    fn err_2_printing_shows_no_secret() {
        let url: StoreUrl = "redis://user:hunter2@host/0?namespace=a&token=hunter2".parse().unwrap();
        assert_eq!(url.to_string(), "redis://...@host/0?namespace=a&token=...");
        assert!(!format!("{url:?}").contains("hunter2"));
        for (text, shown) in [
            ("redis:user:hunter2@host", "redis:...@host"),
            ("redis:/user:hunter2@host", "redis:...@host"),
            ("redis://user:a@hunter2@host", "redis://...@host"),
            ("redis://user:hunter2?hunter2=hunter2@host", "redis://..."),
            ("redis://user:hunter2?hunter2@host/=0", "redis://..."),
            ("sqlite:me@work/app.db", "sqlite:me@work/app.db"),
            // The host was forgotten, so the password stands where its port would.
            ("redis://user:hunter2/0", "redis://..."),
            ("redis://user:hunter2?namespace=a", "redis://..."),
            ("redis:user:hunter2/0", "redis:..."),
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://[::1]/0", "redis://[::1]/0"),
            ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
            // An address of the system itself, as its documents spell it.
            ("redis://host/user/hunter2/0", "redis://host/..."),
            ("redis://me@host/user/hunter2/0", "redis://...@host/..."),
            ("sqlite:///data/app.db", "sqlite:///data/app.db"),
            ("sqlite:C:/app.db", "sqlite:C:/app.db"),
            ("sqlite:C:\\app.db", "sqlite:C:\\app.db"),
            ("sqlite:data/8:30.db", "sqlite:data/8:30.db"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
        }
    }
}
