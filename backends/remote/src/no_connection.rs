//! What is known when no connection was made: nothing was sent.

use std::error::Error as StdError;
use std::io;

use kv_api::{Error, ErrorKind, Retry};

use crate::redaction::shown;

/// "Too many open files", of the process and of the system, as Unix and Windows number it.
const NO_MORE_FILES: [i32; 3] = [24, 23, 10_024];

/// The error of a connection to this host and port that was not made. Nothing was sent. `error` and its sources say
/// why.
///
/// `Misconfigured` for a name without a host, a certificate that is not accepted, or a proxy that asks for credentials.
/// `Exhausted` with `Safe` when this process may open no more files. Else `Unavailable` with `Safe`.
///
/// ```
/// use kv_api::{ErrorKind, Retry};
/// let error = kv_remote::no_connection(std::io::Error::from(std::io::ErrorKind::ConnectionRefused), "host:443");
/// assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
/// assert_eq!(error.message(), "no connection to host:443");
/// ```
pub fn no_connection(error: impl StdError + Send + Sync + 'static, host: &str) -> Error {
    let (kind, retry, message) = why(&error, host);
    Error::new(kind, message).with_retry(retry).with_source(error)
}

/// Resolver, TLS and proxy have no types for their errors that could be asked here, so that their texts have to do. The
/// tests hold them. A text that is not known makes the error `Unavailable` and `Safe`, which is true of all.
fn why(error: &(dyn StdError + 'static), host: &str) -> (ErrorKind, Retry, String) {
    let mut asked_a_resolver = false;
    for cause in std::iter::successors(Some(error), |error| (*error).source()) {
        let code = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if code.is_some_and(|code| NO_MORE_FILES.contains(&code)) {
            let message = format!("no connection to {host}: too many open files in this process or on this machine");
            return (ErrorKind::Exhausted, Retry::Safe, message);
        }
        let text = cause.to_string();
        if text.starts_with("invalid peer certificate") {
            let message = format!("the certificate of {host} is not accepted: {}", shown(&text, []));
            return (ErrorKind::Misconfigured, Retry::Never, message);
        }
        if text == "tunnel error: proxy authorization required" {
            let message = format!("the proxy on the way to {host} asks for credentials");
            return (ErrorKind::Misconfigured, Retry::Never, message);
        }
        asked_a_resolver |= ["dns error", "failed to lookup address"].iter().any(|known| text.starts_with(known));
        if asked_a_resolver && is_unknown_name(&text) {
            return (ErrorKind::Misconfigured, Retry::Never, format!("there is no host of the name in {host}"));
        }
    }
    let why = if asked_a_resolver { ": its name could not be looked up" } else { "" };
    (ErrorKind::Unavailable, Retry::Safe, format!("no connection to {host}{why}"))
}

/// As glibc, musl, macOS and Windows say that a name does not exist. A resolver that does not answer is another matter.
fn is_unknown_name(text: &str) -> bool {
    ["Name or service not known", "Name does not resolve", "nodename nor servname", "No such host is known"]
        .iter()
        .any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn err_1_the_reason_that_there_is_no_connection_says_what_to_do() {
        let lookup = |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
        for (outer, inner, kind, retry, shown) in [
            ("tcp open error", io::Error::from_raw_os_error(24), ErrorKind::Exhausted, Retry::Safe, "open files"),
            ("dns error", io::Error::from_raw_os_error(24), ErrorKind::Exhausted, Retry::Safe, "open files"),
            (
                "dns error",
                lookup("Name or service not known"),
                ErrorKind::Misconfigured,
                Retry::Never,
                "there is no host of the name in h:1",
            ),
            (
                "dns error",
                lookup("Temporary failure in name resolution"),
                ErrorKind::Unavailable,
                Retry::Safe,
                "no connection to h:1: its name could not be looked up",
            ),
            (
                "client error (Connect)",
                io::Error::other("invalid peer certificate: UnknownIssuer"),
                ErrorKind::Misconfigured,
                Retry::Never,
                "the certificate of h:1 is not accepted: invalid peer certificate: UnknownIssuer",
            ),
            (
                "what asks the resolver itself",
                lookup("Temporary failure in name resolution"),
                ErrorKind::Unavailable,
                Retry::Safe,
                "its name could not be looked up",
            ),
            (
                "tcp connect error",
                io::ErrorKind::ConnectionRefused.into(),
                ErrorKind::Unavailable,
                Retry::Safe,
                "no connection to h:1",
            ),
        ] {
            let error = no_connection(Outer(outer, inner), "h:1");
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
            assert!(error.message().contains(shown), "{error}");
        }
    }
}
