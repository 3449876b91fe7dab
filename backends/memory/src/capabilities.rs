//! What the store supports.

use std::time::Duration;

use kv_api::{Capabilities, Consistency, ExpiryClock, ItemLimit, ListOrder, Support, ValueKind, ValueKinds};

/// The greatest length of a key in bytes: what the block's header can hold.
pub(crate) const KEY_BYTES_MAX: usize = 65_535;
/// The greatest length of a value in bytes: 512 MiB.
pub(crate) const VALUE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The greatest length of metadata in bytes: 16 MiB.
pub(crate) const METADATA_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most keys on a page, which bounds the work of one list call.
pub(crate) const LIST_PAGE_MAX: usize = 10_000;

/// A batch has no limit, and so many items are soon done.
const BULK_ITEMS: usize = 1000;

/// What every [`MemoryStore`](crate::MemoryStore) supports: all of the contract, natively (CAP-1, CAP-3).
pub static CAPABILITIES: Capabilities = Capabilities::new("memory")
    .with_if_not_exists(Support::Native)
    .with_if_exists(Support::Native)
    .with_if_version(Support::Native)
    .with_reports_set_outcome(true)
    .with_reports_delete_outcome(true)
    .with_reports_delete_many_outcome(true)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_clock(ExpiryClock::Store)
    .with_expiry_resolution(Duration::from_millis(1))
    .with_expiry_read(true)
    .with_expire(Support::Native)
    .with_expire_if_version(Support::Native)
    .with_touch(Support::Native)
    .with_get_and_delete(Support::Native)
    .with_metadata(Support::Native)
    .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text).with(ValueKind::Json).with(ValueKind::Bytes))
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_metadata(true)
    .with_list_expiry(true)
    .with_list_page_max(LIST_PAGE_MAX)
    .with_bulk_items(BULK_ITEMS, BULK_ITEMS)
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
