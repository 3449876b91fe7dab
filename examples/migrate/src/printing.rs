//! How names that others chose are shown to a person.

use std::fmt;

/// A key or the name of a member: quoted, control characters escaped, cut where a person would stop reading.
pub(crate) struct Shortened<'a>(pub(crate) &'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_SHOWN: usize = 80;
        match self.0.char_indices().nth(CHARS_SHOWN) {
            Some((cut, _)) => write!(f, "{:?}... ({} bytes)", &self.0[..cut], self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}
