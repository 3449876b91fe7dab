//! How many keys or rows travel to SQLite in two parameters: a list, which is a JSON array of integers, and the bytes
//! that they point into. Only integers are JSON, so no key and no value is ever escaped or cut, whatever its bytes
//! (KEY-2).
//!
//! ```text
//! keys    list    position << 16 | length                  of each; negative where the key is marked
//!         bytes   key key key ..
//!
//! rows    list    position of the key << 36 | its length << 20 | length of the value << 5
//!                 | 16 if it has metadata | 8 if it expires | kind       of each
//!         bytes   [expiry] version key value [length of the metadata, metadata]   [expiry] version ..
//! ```
//!
//! Positions begin at 1, as SQLite counts. Version and expiry are text, filled up with spaces to [`NUMBER_WIDTH`]
//! characters, and the length of the metadata to [`LENGTH_WIDTH`]: a number of the list costs less than one that is cut
//! out of the bytes, but it has 63 bits. The texts in `queries/group.rs` take this apart.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::row::Row;

/// From this size on (metadata and value) a row is written by a statement of its own: a second copy of the value would
/// cost more than the statement. Below it, the length of the value fits its 15 bits.
pub(crate) const PACKED_BYTES_MAX: usize = 32 * 1024;

const KEY_BITS: u32 = 16;
const EXPIRES_BIT: i64 = 8;
const METADATA_BIT: i64 = 16;
const VALUE_SHIFT: u32 = 5;
const ROW_KEY_SHIFT: u32 = 20;
const ROW_POSITION_SHIFT: u32 = ROW_KEY_SHIFT + KEY_BITS;

/// As long as the longest 64-bit number with its sign.
const NUMBER_WIDTH: usize = 20;

/// Longer than the longest length below [`PACKED_BYTES_MAX`].
const LENGTH_WIDTH: usize = 6;

/// A list under construction, and the bytes it points into.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    list: String,
    bytes: Vec<u8>,
}

impl Packed {
    /// Adds a key; a marked one is written as a negative number.
    pub(crate) fn push_key(&mut self, key: &str, marked: bool) {
        let packed = self.append_key(key);
        self.separate();
        // Writing to a String cannot fail.
        let _ = write!(self.list, "{}", if marked { -packed } else { packed });
    }

    /// Adds a row whose content is below [`PACKED_BYTES_MAX`].
    pub(crate) fn push_row(&mut self, row: &Row<'_>) {
        if let Some(expires_at) = row.expires_at {
            self.append_number(expires_at, NUMBER_WIDTH);
        }
        self.append_number(row.version, NUMBER_WIDTH);
        let value = row.value.as_bytes();
        let position = length(&self.bytes) + 1;
        self.push_number(
            position << ROW_POSITION_SHIFT
                | length(row.key.as_bytes()) << ROW_KEY_SHIFT
                | length(value) << VALUE_SHIFT
                | row.metadata.map_or(0, |_| METADATA_BIT)
                | row.expires_at.map_or(0, |_| EXPIRES_BIT)
                | row.kind,
        );
        self.bytes.extend_from_slice(row.key.as_bytes());
        self.bytes.extend_from_slice(value);
        if let Some(metadata) = row.metadata {
            self.append_number(length(metadata), LENGTH_WIDTH);
            self.bytes.extend_from_slice(metadata);
        }
    }

    /// Adds a pair of a row and its new expiry.
    pub(crate) fn push_expiry(&mut self, row: i64, expires_at: Option<i64>) {
        self.separate();
        let _ = match expires_at {
            None => write!(self.list, "[{row},null]"),
            Some(expires_at) => write!(self.list, "[{row},{expires_at}]"),
        };
    }

    /// Adds a plain number.
    pub(crate) fn push_number(&mut self, number: i64) {
        self.separate();
        let _ = write!(self.list, "{number}");
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many bytes the blob holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The list as JSON, and the bytes it points into.
    pub(crate) fn finish(mut self) -> (String, Vec<u8>) {
        if self.list.is_empty() {
            self.list.push('[');
        }
        self.list.push(']');
        (self.list, self.bytes)
    }

    /// Appends a number, and spaces up to the width.
    fn append_number(&mut self, number: i64, width: usize) {
        let end = self.bytes.len() + width;
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "{number}");
        self.bytes.resize(end, b' ');
    }

    fn append_key(&mut self, key: &str) -> i64 {
        let position = length(&self.bytes) + 1;
        self.bytes.extend_from_slice(key.as_bytes());
        position << KEY_BITS | length(key.as_bytes())
    }

    fn separate(&mut self) {
        self.list.push(if self.list.is_empty() { '[' } else { ',' });
    }
}

/// A length as SQLite's integer: no slice in memory is longer than an `i64` can say.
fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::RowValue;

    #[test]
    fn keys_point_into_the_blob_from_position_one() {
        let mut packed = Packed::default();
        packed.push_key("ab", false);
        packed.push_key("\0é", true);
        let (list, bytes) = packed.finish();
        assert_eq!(list, format!("[{},-{}]", 1 << 16 | 2, 3 << 16 | 3));
        assert_eq!(bytes, "ab\0é".as_bytes());
    }

    #[test]
    fn a_row_is_one_integer_and_none_of_its_bytes_is_json() {
        let mut packed = Packed::default();
        let row = Row {
            key: "k\"",
            kind: 1,
            version: 7,
            expires_at: None,
            metadata: Some(b"{}"),
            value: RowValue::Given(b"\"\\"),
        };
        packed.push_row(&row);
        packed.push_row(&Row { metadata: None, expires_at: Some(i64::MIN), ..row });
        let (list, bytes) = packed.finish();
        let numbers = [21_i64, 73].map(|position| position << 36 | 2 << 20 | 2 << 5 | 1);
        assert_eq!(list, format!("[{},{}]", numbers[0] | 16, numbers[1] | 8));
        let first = format!("{:<20}k\"\"\\{:<6}{{}}", 7, 2);
        let second = format!("{:<20}{:<20}k\"\"\\", i64::MIN, 7);
        assert_eq!(String::from_utf8(bytes).unwrap(), first + &second);
    }

    #[test]
    fn an_empty_list_is_json_too() {
        assert_eq!(Packed::default().finish().0, "[]");
    }
}
