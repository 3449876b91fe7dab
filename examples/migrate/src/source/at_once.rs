//! How many values of unknown size are read at once.

use kv_api::Capabilities;

/// The most entries that are read at once.
pub(crate) const ENTRIES_MAX: usize = 1000;

/// How many values are asked for one by one at a time: as many as the memory bound allows for, whatever their size.
pub(crate) const SINGLES: usize = 4;

/// How many of them where no value of the store can be large.
const SMALL_SINGLES: usize = 16;

/// No value that is larger counts as small.
const SMALL_BYTES: u64 = 1024 * 1024;

/// How many values of unknown size are read at once from a store of these capabilities, at most.
pub(crate) fn of_unknown_size(capabilities: &Capabilities) -> usize {
    let is_small = capabilities.item_limit("value_bytes_max").is_some_and(|max| max <= SMALL_BYTES);
    match capabilities.bulk_read_items {
        0..=1 if is_small => SMALL_SINGLES,
        0..=1 => SINGLES,
        // A system bounds its own bulk reads.
        items => items.min(ENTRIES_MAX),
    }
}
