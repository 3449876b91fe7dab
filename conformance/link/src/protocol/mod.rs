//! Where messages begin and end. Pure and incremental: any split of the bytes gives the same borders.

pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod resp;
pub(crate) mod sql;
pub(crate) mod topology;
pub(crate) mod websocket;

use std::fmt;

/// What is no message of the protocol. The link ends such a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
