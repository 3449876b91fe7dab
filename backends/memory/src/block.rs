//! The one allocation that holds an entry: a header, and behind it key, metadata and value.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use kv_api::{Entry, EntryExpiry, Error, Metadata, Result, Timestamp, Value, ValueKind, Version, Write};
use triomphe::ThinArc;

use crate::call_time::CallTime;
use crate::capabilities::{KEY_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX};
use crate::capacity::Size;
use crate::key_index::KeyFlags;

/// One entry, immutable but for the two numbers in its header. One pointer wide; a clone is one more reference.
///
/// Layout of the bytes: `key | metadata | value`.
#[derive(Clone)]
pub(crate) struct Block(ThinArc<Header, u8>);

struct Header {
    /// Milliseconds since the epoch, or [`NEVER`]. Changed by `expire` alone, and only under the write lock of the
    /// shard, whose read lock orders every reader after that; so no ordering of its own is needed.
    expires_at: AtomicI64,
    /// The number of the entry's version, given under the write lock of the shard when the block goes into its table.
    number: AtomicU64,
    /// [`NO_METADATA`] without metadata.
    metadata_bytes: u32,
    key_bytes: u16,
    kind: ValueKind,
}

/// Later than any expiry that the contract accepts (EXP-5).
const NEVER: i64 = i64::MAX;

const NO_METADATA: u32 = u32::MAX;

/// Up to this length a value is handed out as a copy: that costs one small allocation, as a shared owner would, but
/// leaves the reference count alone, which readers of one key would pass between their cores, and keeps no old block
/// alive.
const COPIED_BYTES_MAX: usize = 256;

/// Up to this many bytes the parts of a block are joined on the stack.
const SMALL_BYTES_MAX: usize = 1024;

impl Block {
    /// A block that is in no table yet: it never expires and has no number.
    ///
    /// # Errors
    /// `InvalidArgument` for a part beyond the store's limits: the resolver saw to that, unless it was given another
    /// set of capabilities than this store's, and then the header could not hold the lengths.
    pub(crate) fn new(key: &str, kind: ValueKind, value: &[u8], metadata: Option<&[u8]>) -> Result<Self> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::limit("key_bytes_max", KEY_BYTES_MAX as u64, key.len() as u64));
        }
        if value.len() as u64 > VALUE_BYTES_MAX {
            return Err(Error::limit("value_bytes_max", VALUE_BYTES_MAX, value.len() as u64));
        }
        let metadata_len = metadata.map_or(0, <[u8]>::len);
        let too_much_metadata = || Error::limit("metadata_bytes_max", METADATA_BYTES_MAX, metadata_len as u64);
        if metadata_len as u64 > METADATA_BYTES_MAX {
            return Err(too_much_metadata());
        }
        let header = Header {
            expires_at: AtomicI64::new(NEVER),
            number: AtomicU64::new(0),
            metadata_bytes: match metadata {
                None => NO_METADATA,
                Some(metadata) => u32::try_from(metadata.len()).map_err(|_| too_much_metadata())?,
            },
            key_bytes: u16::try_from(key.len())
                .map_err(|_| Error::limit("key_bytes_max", KEY_BYTES_MAX as u64, key.len() as u64))?,
            kind,
        };
        Ok(Self(assemble(header, [key.as_bytes(), metadata.unwrap_or_default(), value])))
    }

    /// That of a write. Errors as [`new`](Self::new).
    pub(crate) fn of(write: &Write<'_>) -> Result<Self> {
        let (value, metadata) = (write.value(), write.metadata());
        Self::new(write.key(), value.kind(), value.as_bytes(), metadata.map(|metadata| &metadata.as_bytes()[..]))
    }

    #[inline]
    pub(crate) fn key_bytes(&self) -> &[u8] {
        &self.0.slice[..usize::from(self.0.header.header.key_bytes)]
    }

    /// The key as text, as it was given.
    pub(crate) fn key(&self) -> &str {
        std::str::from_utf8(self.key_bytes()).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> ValueKind {
        self.0.header.header.kind
    }

    pub(crate) fn has_metadata(&self) -> bool {
        self.0.header.header.metadata_bytes != NO_METADATA
    }

    fn metadata_range(&self) -> Option<Range<usize>> {
        let header = &self.0.header.header;
        let start = usize::from(header.key_bytes);
        (header.metadata_bytes != NO_METADATA).then(|| start..self.value_start())
    }

    #[inline]
    fn value_start(&self) -> usize {
        let header = &self.0.header.header;
        let metadata_bytes = if header.metadata_bytes == NO_METADATA { 0 } else { header.metadata_bytes };
        // A length that was a `usize` before it became a `u32` is one again.
        usize::from(header.key_bytes) + usize::try_from(metadata_bytes).unwrap_or(usize::MAX)
    }

    /// The value, ready to be handed to a caller.
    #[inline]
    pub(crate) fn value(&self) -> Value {
        Value::from_stored(self.kind(), self.hand_out(self.value_start()..self.0.slice.len()))
    }

    /// The metadata, ready to be handed to a caller.
    pub(crate) fn metadata(&self) -> Option<Metadata> {
        self.metadata_range().map(|range| Metadata::from_stored(self.hand_out(range)))
    }

    /// The whole entry, at one moment: called under the lock of the shard (GET-1, `entry_snapshot`).
    pub(crate) fn entry(&self, origin: u64) -> Entry {
        Entry::with_details(self.value(), self.metadata(), self.expiry(), Some(self.version(origin)))
    }

    #[inline]
    fn hand_out(&self, range: Range<usize>) -> Bytes {
        if range.len() <= COPIED_BYTES_MAX {
            Bytes::copy_from_slice(&self.0.slice[range])
        } else {
            Bytes::from_owner(Part { block: self.clone(), range })
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.header.header.number.load(Ordering::Relaxed)
    }

    pub(crate) fn set_number(&self, number: u64) {
        self.0.header.header.number.store(number, Ordering::Relaxed);
    }

    pub(crate) fn version(&self, origin: u64) -> Version {
        Version::numbered(origin, self.number())
    }

    /// When it ends, in milliseconds since the epoch; `None` for never.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        let at = self.0.header.header.expires_at.load(Ordering::Relaxed);
        (at != NEVER).then_some(at)
    }

    pub(crate) fn set_expires_at(&self, at: Option<i64>) {
        self.0.header.header.expires_at.store(at.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Whether its expiry has come (EXP-7). Reads the clock only when it has one.
    #[inline]
    pub(crate) fn is_expired(&self, time: &CallTime<'_>) -> bool {
        self.expires_at().is_some_and(|at| time.is_past(at))
    }

    pub(crate) fn expiry(&self) -> EntryExpiry {
        self.expires_at().map_or(EntryExpiry::Never, |at| EntryExpiry::At(Timestamp::from_unix_millis(at)))
    }

    /// What the key index remembers of it.
    pub(crate) fn flags(&self) -> KeyFlags {
        KeyFlags::new(self.expires_at().is_some(), self.has_metadata())
    }

    /// What it counts against the bounds of the store: key, value and metadata.
    pub(crate) fn size(&self) -> Size {
        Size { entries: 1, bytes: self.0.slice.len() as u64 }
    }
}

/// The block with its bytes. Joined first and then copied: the one way to fill a block that needs no `unsafe` and goes
/// at the speed of a copy. What is small is joined on the stack, so that the block is the only allocation.
fn assemble(header: Header, parts: [&[u8]; 3]) -> ThinArc<Header, u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    // Most entries are shorter than what takes time to clear.
    if len <= 256 {
        assemble_in(&mut [0; 256], header, parts)
    } else if len <= SMALL_BYTES_MAX {
        assemble_in(&mut [0; SMALL_BYTES_MAX], header, parts)
    } else {
        ThinArc::from_header_and_slice(header, &parts.concat())
    }
}

fn assemble_in(bytes: &mut [u8], header: Header, parts: [&[u8]; 3]) -> ThinArc<Header, u8> {
    let mut len = 0;
    for part in parts {
        bytes[len..][..part.len()].copy_from_slice(part);
        len += part.len();
    }
    ThinArc::from_header_and_slice(header, &bytes[..len])
}

/// Keeps a block alive for the part of it that a caller holds.
struct Part {
    block: Block,
    range: Range<usize>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.block.0.slice[self.range.clone()]
    }
}

/// Never the content (ERR-2).
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({:?}, {} bytes)", self.key(), self.0.slice.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_pointer_and_its_header_is_compact() {
        assert_eq!(size_of::<Block>(), size_of::<usize>());
        assert_eq!(size_of::<Option<Block>>(), size_of::<usize>());
        assert_eq!(size_of::<Header>(), 24);
    }

    #[test]
    fn parts_come_back_as_they_went_in() {
        let (long, longer) = (vec![7_u8; COPIED_BYTES_MAX + 1], vec![8_u8; SMALL_BYTES_MAX]);
        for key in ["k", "a\0b", "ключ", &"x".repeat(KEY_BYTES_MAX)] {
            for value in [&b""[..], b"v", &long, &longer] {
                for metadata in [None, Some(&b""[..]), Some(&b"{}"[..]), Some(&long)] {
                    let block = Block::new(key, ValueKind::Bytes, value, metadata).unwrap();
                    assert_eq!(block.key(), key);
                    assert_eq!(block.value().as_bytes(), value);
                    let got = block.metadata();
                    assert_eq!(got.as_ref().map(|metadata| &metadata.as_bytes()[..]), metadata);
                    let bytes = key.len() + value.len() + metadata.map_or(0, <[u8]>::len);
                    assert_eq!(block.size(), Size { entries: 1, bytes: bytes as u64 });
                    assert_eq!(block.flags(), KeyFlags::new(false, metadata.is_some()));
                }
            }
        }
    }

    #[test]
    fn a_long_value_outlives_its_entry_without_a_copy() {
        let long = vec![7_u8; COPIED_BYTES_MAX + 1];
        let block = Block::new("k", ValueKind::Bytes, &long, None).unwrap();
        let (first, second) = (block.value().into_bytes(), block.value().into_bytes());
        assert_eq!(first.as_ptr(), second.as_ptr());
        drop(block);
        drop(second);
        assert_eq!(first, long);
    }

    #[test]
    fn parts_beyond_the_header_are_refused_and_never_cut() {
        let error = Block::new(&"x".repeat(KEY_BYTES_MAX + 1), ValueKind::Text, b"", None).unwrap_err();
        assert!(error.to_string().contains("key_bytes_max"), "{error}");
        let metadata = vec![b' '; usize::try_from(METADATA_BYTES_MAX).unwrap() + 1];
        let error = Block::new("k", ValueKind::Text, b"", Some(&metadata)).unwrap_err();
        assert!(error.to_string().contains("metadata_bytes_max"), "{error}");
    }

    #[test]
    fn err_2_debug_never_shows_the_value() {
        let block = Block::new("k", ValueKind::Text, b"secret", None).unwrap();
        assert_eq!(format!("{block:?}"), "Block(\"k\", 7 bytes)");
    }
}
