//! A small backend that keeps the whole contract, and can be told to break one promise.

mod backend;
mod bug;
mod entries;
mod harness;
mod lists;
mod odd;
mod races;
mod system;

#[allow(unused_imports, reason = "some tests plant no bug")]
pub(crate) use bug::Bug;
pub(crate) use harness::ReferenceHarness;
#[allow(unused_imports, reason = "most tests have no use for what is odd")]
pub(crate) use odd::Odd;

use std::time::Duration;

use kv_api::{Capabilities, Consistency, ItemLimit, ListOrder, Support, ValueKinds};

/// Everything the contract knows, at its strongest.
pub(crate) const EVERYTHING: Capabilities = Capabilities::new("reference")
    .with_value_kinds(ValueKinds::ALL)
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
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_metadata(true)
    .with_list_expiry(true)
    .with_list_value_bytes(true)
    .with_bulk_items(1000, 1000)
    .with_counters(Support::Native, i64::MIN, i64::MAX)
    .with_counter_range_atomic(true)
    .with_counter_expiry(true)
    .with_counter_ttl(Support::Native)
    .with_all_or_nothing(Support::Native)
    .with_entry_snapshot(true)
    .with_consistency(Consistency::Strong)
    .with_key_bytes(1, 1024)
    .with_item_limits(const { &[ItemLimit::value_bytes(1024 * 1024), ItemLimit::metadata_bytes(64 * 1024)] });
