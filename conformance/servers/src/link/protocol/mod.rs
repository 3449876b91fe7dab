//! Where messages begin and end. Pure and incremental: any split of the bytes gives the same borders.

pub(super) mod postgres;
pub(super) mod resp;
pub(super) mod sql;
pub(super) mod topology;

use std::fmt;

/// What is no message of the protocol. The link ends such a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
