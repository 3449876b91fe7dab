//! The kinds of values (VAL-1).

use std::fmt;

/// What a value is (VAL-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ValueKind {
    /// UTF-8 text. A JSON string at the top is text: there is no second kind of string.
    Text,
    /// A JSON number, boolean, array or object.
    Json,
    /// Bytes.
    Bytes,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "JSON",
            Self::Bytes => "bytes",
        })
    }
}
