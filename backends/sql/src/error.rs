//! The error of a row that no backend of ours writes.

use kv_api::{Error, ErrorKind};

/// The error of a row that this library cannot have written: `Protocol`.
#[must_use]
pub fn damaged_row(what: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, format!("a stored row is not as this library writes it: {what}"))
}
