//! What is known after a request without an answer.

use kv_api::{Error, ErrorKind, Retry};

use crate::no_connection::no_connection;

/// What is known after an attempt without an answer, at this host and port. The address is taken out of the cause: it
/// may hold a key or a secret.
pub(super) fn failed(error: reqwest::Error, host: &str) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(ErrorKind::Internal, "the request cannot be built").with_source(error);
    }
    if error.is_connect() {
        return no_connection(error, host);
    }
    let message = format!("the connection to {host} broke before the whole answer was here");
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::OutcomeUnknown).with_source(error)
}
