//! How many keys or rows travel in two parameters: a JSON array of integers, and one blob that they point into. Only
//! integers are JSON, so no key and no value is ever escaped or cut, whatever its bytes (KEY-2).
//!
//! Positions in the blob begin at 1, as SQLite counts. A key is one integer, `position << 16 | length`. A row is four: its
//! key; `value length << 19 | (metadata length + 1, or 0 without) << 3 | kind`; version; expiry or null. Metadata and value
//! follow their key in the blob. The queries in `queries.rs` take this apart.

use std::fmt::Write;

/// From this size on (metadata and value) a row is written by a statement of its own: a second copy of the value would cost
/// more than the statement. Below it, both lengths fit their 16 bits.
pub(crate) const PACKED_BYTES_MAX: usize = 32 * 1024;

const KEY_BITS: u32 = 16;
const METADATA_SHIFT: u32 = 3;
const VALUE_SHIFT: u32 = 19;

/// A list under construction, and the bytes it points into.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    list: String,
    bytes: Vec<u8>,
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a str,
    pub(crate) kind: i64,
    pub(crate) version: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) metadata: Option<&'a [u8]>,
    pub(crate) value: RowValue<'a>,
}

/// The value of a row: a caller's, or a counter's new one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowValue<'a> {
    Given(&'a [u8]),
    Counter(String),
}

impl RowValue<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Counter(text) => text.as_bytes(),
        }
    }
}

impl Row<'_> {
    /// The bytes beside the key.
    pub(crate) fn content_bytes(&self) -> usize {
        self.value.as_bytes().len() + self.metadata.map_or(0, <[u8]>::len)
    }
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
        let key = self.append_key(row.key);
        let metadata_field = match row.metadata {
            None => 0,
            Some(metadata) => {
                self.bytes.extend_from_slice(metadata);
                length(metadata) + 1
            }
        };
        let value = row.value.as_bytes();
        self.bytes.extend_from_slice(value);
        let lengths = length(value) << VALUE_SHIFT | metadata_field << METADATA_SHIFT | row.kind;
        self.separate();
        let _ = write!(self.list, "[{key},{lengths},{},", row.version);
        match row.expires_at {
            None => self.list.push_str("null]"),
            Some(expires_at) => {
                let _ = write!(self.list, "{expires_at}]");
            }
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
    fn a_row_is_four_integers_and_none_of_its_bytes_is_json() {
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
        packed.push_row(&Row { metadata: None, expires_at: Some(-5), ..row });
        let (list, bytes) = packed.finish();
        let first = format!("[{},{},7,null]", 1 << 16 | 2, 2 << 19 | 3 << 3 | 1);
        let second = format!("[{},{},7,-5]", 7 << 16 | 2, 2 << 19 | 1);
        assert_eq!(list, format!("[{first},{second}]"));
        assert_eq!(bytes, b"k\"{}\"\\k\"\"\\");
    }

    #[test]
    fn an_empty_list_is_json_too() {
        assert_eq!(Packed::default().finish().0, "[]");
    }
}
