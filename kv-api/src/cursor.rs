//! Cursors: where a list goes on, in a form that survives the process (LIST-3).
//!
//! Wire form: URL-safe base64 without padding of
//! `version (1 byte) | scope (8) | prefix (8) | position (0 or more) | check sum (8)`.
//! Scope and prefix are SipHash-1-3 with a fixed key over the kind of store and its scope, and over the whole prefix;
//! the check sum is the same hash over all bytes before it. Hashes are little endian.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Reason, Result};
use crate::stable_hash::{HASH_BYTES, stable_hash};

/// Where a list goes on. Opaque and printable: it can be stored, parsed back, and used by another process, for the same
/// store, namespace and prefix (LIST-3). Anything else is `InvalidArgument` with [`Reason::CursorInvalid`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 2 * HASH_BYTES;

/// What a cursor is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CursorScope<'a> {
    pub(crate) system: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) prefix: &'a str,
}

impl CursorScope<'_> {
    pub(crate) fn seal(&self, position: &[u8]) -> Cursor {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + position.len() + HASH_BYTES);
        bytes.extend_from_slice(&self.header());
        bytes.extend_from_slice(position);
        let check_sum = stable_hash(&[&bytes]);
        bytes.extend_from_slice(&check_sum);
        Cursor(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The position in a cursor that [`seal`](Self::seal) made for this scope.
    pub(crate) fn open(&self, cursor: &Cursor) -> Result<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| damaged())?;
        if bytes.len() < HEADER_BYTES + HASH_BYTES {
            return Err(damaged());
        }
        let check_sum = bytes.split_off(bytes.len() - HASH_BYTES);
        if stable_hash(&[&bytes]) != *check_sum {
            return Err(damaged());
        }
        let header = self.header();
        if bytes[0] != header[0] {
            return Err(invalid("the cursor is of a form this version does not know"));
        }
        if bytes[1..1 + HASH_BYTES] != header[1..1 + HASH_BYTES] {
            return Err(invalid("the cursor is of another store or namespace"));
        }
        if bytes[1 + HASH_BYTES..HEADER_BYTES] != header[1 + HASH_BYTES..] {
            return Err(invalid("the cursor is of a list with another prefix"));
        }
        Ok(bytes.split_off(HEADER_BYTES))
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [FORMAT; HEADER_BYTES];
        // The separator keeps ("ab", "c") apart from ("a", "bc"); no system name holds a NUL.
        header[1..1 + HASH_BYTES].copy_from_slice(&stable_hash(&[
            self.system.as_bytes(),
            b"\0",
            self.scope.as_bytes(),
        ]));
        header[1 + HASH_BYTES..].copy_from_slice(&stable_hash(&[self.prefix.as_bytes()]));
        header
    }

    /// 16 hex digits for what a cursor is bound to (NS-3).
    pub(crate) fn fingerprint(&self) -> String {
        let [_, bound_to @ ..] = self.header();
        format!("{:016x}", u64::from_be_bytes(stable_hash(&[&bound_to])))
    }
}

fn damaged() -> Error {
    invalid("the cursor is damaged")
}

fn invalid(message: &'static str) -> Error {
    Error::invalid(Reason::CursorInvalid, message)
}

impl Cursor {
    /// The greatest length of a cursor's text in bytes; longer ones are refused unread.
    pub const BYTES_MAX: usize = 16 * 1024 * 1024;
}

impl FromStr for Cursor {
    type Err = Error;

    /// Takes any text: whether it is a cursor of this store, namespace and prefix is checked when it is used.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty or longer than [`Cursor::BYTES_MAX`].
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > Self::BYTES_MAX { Err(damaged()) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope<'a>(system: &'a str, scope: &'a str, prefix: &'a str) -> CursorScope<'a> {
        CursorScope { system, scope, prefix }
    }

    #[test]
    fn list_3_the_wire_form_is_stable() {
        // A change here breaks cursors that callers have stored: give it a new FORMAT instead.
        let cursor = scope("memory", "", "user/").seal(b"user/1");
        assert_eq!(cursor.to_string(), "AQ6XlgKDLAUIBH6MgzNAIOd1c2VyLzEUPxX3XOht3A");
    }

    #[test]
    fn ns_3_the_fingerprint_is_stable() {
        // A change here makes programs take a store for another.
        assert_eq!(scope("memory", "", "user/").fingerprint(), "d32ce4f52e243857");
        assert_eq!(scope("sqlite", "file/1\0main", "").fingerprint(), "baee01fe4d4a5e9a");
    }

    proptest! {
        #[test]
        fn ns_3_stores_or_prefixes_that_differ_have_another_fingerprint(a: String, b: String) {
            prop_assume!(a != b);
            let print = |system: &str, name: &str, prefix: &str| scope(system, name, prefix).fingerprint();
            prop_assert_ne!(print("s", &a, &b), print("s", &b, &a));
            prop_assert_ne!(print("s", &a, ""), print("s", &b, ""));
            prop_assert_ne!(print("s", "", &a), print("s", "", &b));
            prop_assert_ne!(print("s", &a, ""), print("t", &a, ""));
            prop_assert_eq!(print("s", &a, &b).len(), 16);
        }

        #[test]
        fn list_3_a_cursor_opens_where_it_was_made(system in "[a-z]{1,9}", name: String, prefix: String, position: Vec<u8>) {
            let scope = scope(&system, &name, &prefix);
            let cursor: Cursor = scope.seal(&position).to_string().parse().unwrap();
            prop_assert_eq!(scope.open(&cursor).unwrap(), position);
        }

        #[test]
        fn list_3_a_cursor_opens_nowhere_else(a: String, b: String, position: Vec<u8>) {
            prop_assume!(a != b);
            let cursor = scope("s", &a, "").seal(&position);
            prop_assert!(scope("s", &b, "").open(&cursor).is_err());
            let cursor = scope("s", "", &a).seal(&position);
            prop_assert!(scope("s", "", &b).open(&cursor).is_err());
        }

        #[test]
        fn list_3_a_damaged_cursor_never_opens(position: Vec<u8>, at: prop::sample::Index, flip in 1u8..=255) {
            let whole = scope("s", "", "").seal(&position);
            let mut bytes = URL_SAFE_NO_PAD.decode(whole.to_string()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let cursor = Cursor(URL_SAFE_NO_PAD.encode(bytes));
            prop_assert!(scope("s", "", "").open(&cursor).is_err());
        }

        #[test]
        fn list_3_no_text_makes_it_panic(text in ".{1,80}") {
            let _ = scope("s", "", "").open(&text.parse().unwrap());
        }
    }
}
