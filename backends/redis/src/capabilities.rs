//! What a store supports. The sources are in the README.

use std::time::Duration;

use kv_api::{Capabilities, Consistency, ExpiryClock, ItemLimit, ListOrder, Support, ValueKinds};

use crate::config::RedisConfig;
use crate::wire::value::stored_bytes;

/// The longest string of the server, a key or a value, unless it is configured otherwise (`proto-max-bulk-len`).
const STRING_BYTES_MAX: usize = 512 * 1024 * 1024;

/// How many items one pipeline of a batch holds. More of them gain little.
pub(crate) const BATCH_ITEMS_MAX: usize = 256;

/// What a store supports, on one server or on a cluster, without a namespace and reading from masters (CAP-1, CAP-3).
pub static CAPABILITIES: Capabilities = Capabilities::new("redis")
    .with_if_not_exists(Support::Native)
    .with_if_exists(Support::Native)
    .with_if_version(Support::Emulated)
    .with_reports_delete_outcome(true)
    .with_reports_delete_many_outcome(true)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_clock(ExpiryClock::System)
    .with_expiry_resolution(Duration::from_millis(1))
    .with_expiry_read(true)
    .with_expire(Support::Native)
    .with_expire_if_version(Support::Emulated)
    .with_touch(Support::Emulated)
    .with_get_and_delete(Support::Emulated)
    .with_metadata(Support::Emulated)
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Unordered)
    .with_counters(Support::Native, i64::MIN, i64::MAX)
    .with_counter_range_atomic(true)
    .with_counter_expiry(true)
    .with_counter_ttl(Support::Emulated)
    .with_all_or_nothing(Support::Emulated)
    .with_bulk_items(BATCH_ITEMS_MAX, BATCH_ITEMS_MAX)
    .with_entry_snapshot(true)
    .with_consistency(Consistency::Strong)
    .with_key_bytes(1, STRING_BYTES_MAX)
    .with_item_limits(const { &[VALUE] });

/// The string that is stored for a value (CHK-2).
const VALUE: ItemLimit =
    ItemLimit::new("value_bytes_max", STRING_BYTES_MAX as u64, |item| stored_bytes(item.value, item.metadata));

/// What a store with these settings supports.
pub(crate) fn capabilities(config: &RedisConfig) -> Capabilities {
    let mut capabilities = CAPABILITIES.clone();
    capabilities.key_bytes_max = STRING_BYTES_MAX - config.prefix().len();
    if config.read_from_replicas {
        capabilities.consistency = Consistency::Eventual { usually_within: None };
    }
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_capabilities_are_those_of_plain_settings() {
        let config = RedisConfig::new("localhost", 6379).unwrap();
        assert_eq!(format!("{:?}", capabilities(&config)), format!("{CAPABILITIES:?}"));
        let named = capabilities(&config.with_namespace("abc").unwrap());
        assert_eq!(named.key_bytes_max, CAPABILITIES.key_bytes_max - 4);
    }

    #[test]
    fn set_7_replicas_make_a_store_eventually_consistent() {
        let config = RedisConfig::cluster([("localhost", 6379)]).unwrap().with_read_from_replicas(true);
        assert_eq!(capabilities(&config).consistency, Consistency::Eventual { usually_within: None });
    }
}
