//! What is known after a request without an answer.

use std::error::Error as StdError;
use std::io;

use kv_api::{Error, ErrorKind, Retry};

use crate::redaction::shown;

/// "Too many open files", of the process and of the system, as Unix and Windows number it.
const NO_MORE_FILES: [i32; 3] = [24, 23, 10_024];

/// What is known after an attempt without an answer, at this host and port. The address is taken out of the cause: it
/// may hold a key or a secret.
pub(super) fn failed(error: reqwest::Error, host: &str) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(ErrorKind::Internal, "the request cannot be built").with_source(error);
    }
    let (kind, retry, message) = if error.is_connect() {
        no_connection(&error, host)
    } else {
        let message = format!("the connection to {host} broke before the whole answer was here");
        (ErrorKind::Unavailable, Retry::OutcomeUnknown, message)
    };
    Error::new(kind, message).with_retry(retry).with_source(error)
}

/// Why there is no connection, so that nothing was sent. Neither the resolver nor TLS has types for its errors that
/// could be asked here, so that their texts have to do; the tests hold them.
fn no_connection(error: &(dyn StdError + 'static), host: &str) -> (ErrorKind, Retry, String) {
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
        asked_a_resolver |= text.starts_with("dns error");
        if asked_a_resolver && is_unknown_name(&text) {
            return (ErrorKind::Misconfigured, Retry::Never, format!("there is no host of the name in {host}"));
        }
    }
    let why = if asked_a_resolver { ": its name could not be looked up" } else { "" };
    (ErrorKind::Unavailable, Retry::Safe, format!("no connection to {host}{why}"))
}

/// As glibc, musl, macOS and Windows say that a name is nowhere known. A resolver that does not answer is another
/// matter.
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
                "tcp connect error",
                io::ErrorKind::ConnectionRefused.into(),
                ErrorKind::Unavailable,
                Retry::Safe,
                "no connection to h:1",
            ),
        ] {
            let (found, class, message) = no_connection(&Outer(outer, inner), "h:1");
            assert_eq!((found, class), (kind, retry), "{message}");
            assert!(message.contains(shown), "{message}");
        }
    }
}
