//! What a store supports. The sources are in the README.

use std::time::Duration;

use kv_api::{Capabilities, Consistency, ItemLimit, ListOrder, Support, ValueKinds};

use crate::put::CHUNK_ITEMS_MAX;
use crate::store::READ_KEYS_MAX;

/// An entry of the server's index has at most 2,704 bytes, in which a namespace of 255 bytes lies too.
pub(crate) const KEY_BYTES_MAX: usize = 2048;

/// A column and a message of the server take 1 GB, and without prepared statements a byte takes two of them.
const VALUE_BYTES_MAX: u64 = 256 * 1024 * 1024;

const METADATA_BYTES_MAX: u64 = 1024 * 1024 - 1;

/// Keys on a page at most.
const LIST_PAGE_MAX: usize = 1000;

/// What every PostgreSQL store supports: all of the contract, natively.
///
/// ```
/// use kv_api::{ListOrder, Support};
/// use kv_postgres::CAPABILITIES;
/// assert_eq!(CAPABILITIES.if_version, Support::Native);
/// assert_eq!(CAPABILITIES.list_order, ListOrder::Lexicographic);
/// assert_eq!((CAPABILITIES.key_bytes_min, CAPABILITIES.key_bytes_max), (1, 2048));
/// assert_eq!(CAPABILITIES.item_limit("value_bytes_max"), Some(256 * 1024 * 1024));
/// ```
pub static CAPABILITIES: Capabilities = Capabilities::new("postgres")
    .with_if_not_exists(Support::Native)
    .with_if_exists(Support::Native)
    .with_if_version(Support::Native)
    .with_reports_set_outcome(true)
    .with_reports_delete_outcome(true)
    .with_reports_delete_many_outcome(true)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_resolution(Duration::from_millis(1))
    .with_expiry_read(true)
    .with_expire(Support::Native)
    .with_expire_if_version(Support::Native)
    .with_touch(Support::Native)
    .with_get_and_delete(Support::Native)
    .with_metadata(Support::Native)
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_metadata(true)
    .with_list_expiry(true)
    .with_list_value_bytes(true)
    .with_list_page_max(LIST_PAGE_MAX)
    .with_bulk_items(CHUNK_ITEMS_MAX, READ_KEYS_MAX)
    .with_counters(Support::Native, i64::MIN, i64::MAX)
    .with_counter_range_atomic(true)
    .with_counter_expiry(true)
    .with_counter_ttl(Support::Native)
    .with_all_or_nothing(Support::Native)
    .with_entry_snapshot(true)
    .with_consistency(Consistency::Strong)
    .with_key_bytes(1, KEY_BYTES_MAX)
    .with_item_limits(
        const { &[ItemLimit::value_bytes(VALUE_BYTES_MAX), ItemLimit::metadata_bytes(METADATA_BYTES_MAX)] },
    );
