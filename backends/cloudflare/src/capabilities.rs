//! What a store supports; the sources are in the tables of `README.md`.

use std::borrow::Cow;
use std::time::Duration;

use kv_api::{
    Capabilities, Consistency, ExpiryClock, ItemLimit, ListOrder, RequestRate, Support, TaggedMetadata, Timestamp,
    ValueKinds,
};

use crate::wire::{BULK_LIMITS, GET_KEYS_MAX};

/// The nearest expiry that the service takes, for both forms (EXP-6).
pub(crate) const EXPIRY_MIN: Duration = Duration::from_secs(60);

/// What Workers KV can do through its REST API, and how much it holds.
pub static CAPABILITIES: Capabilities = Capabilities::new("cloudflare")
    .with_if_not_exists(Support::BestEffort)
    .with_if_exists(Support::BestEffort)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_clock(ExpiryClock::System)
    .with_expiry_min(EXPIRY_MIN)
    // The binding has been seen to cut greater numbers of seconds to 32 signed bits; what REST does with them is
    // unknown, and an entry that ended in the past would be lost (CAP-3). One less, as a ttl may be sent with a second
    // more (EXP-4).
    .with_expire_at_max(Timestamp::from_unix_seconds(i32::MAX as i64 - 1))
    .with_expiry_read(true)
    .with_metadata(Support::Native)
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_metadata(true)
    .with_list_expiry(true)
    .with_list_page_max(1000)
    .with_bulk_items(BULK_LIMITS.items_max, GET_KEYS_MAX)
    // For a user, over all interfaces of the vendor.
    .with_request_rate(RequestRate::new(1200, Duration::from_secs(5 * 60)))
    .with_consistency(Consistency::Eventual { usually_within: Some(Duration::from_secs(60)) })
    .with_forbidden_keys(const { &[Cow::Borrowed("."), Cow::Borrowed("..")] })
    .with_key_bytes(1, 512)
    .with_item_limits(const { &[ItemLimit::value_bytes(26_214_400), STORED_METADATA] });

/// Counts the tag of the value too, where it needs one (CHK-2, META-1).
const STORED_METADATA: ItemLimit = ItemLimit::new("metadata_bytes_max", 1024, |item| {
    TaggedMetadata::encode(item.value, item.metadata).map_or(0, |stored| stored.as_bytes().len() as u64)
});

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Metadata, Reason, Resolver, SetItem, SystemClock, Value};
    use serde_json::json;

    #[test]
    fn cap_5_the_documented_figures_are_reported() {
        assert_eq!((CAPABILITIES.bulk_write_items, CAPABILITIES.bulk_read_items), (10_000, 100));
        assert_eq!(CAPABILITIES.request_rate, Some(RequestRate::new(1200, Duration::from_secs(300))));
    }

    #[test]
    fn meta_1_the_tag_counts_as_metadata() {
        let metadata = |letters: usize| Metadata::from(json!({"m": "a".repeat(letters)}));
        let check = |value: Value, letters: usize, found: Option<u64>| {
            let item = SetItem::new("k", value).metadata(metadata(letters));
            let error = Resolver::new(&CAPABILITIES).write(item, &SystemClock).err();
            let limit = found.map(|found| Reason::Limit { name: "metadata_bytes_max".into(), allowed: 1024, found });
            assert_eq!(error.as_ref().and_then(|error| error.reason()), limit.as_ref());
        };
        check("text".into(), 1016, None);
        check("text".into(), 1017, Some(1025));
        let tag = r#""$kv-envelope":[1,"json"],"#.len();
        check(1.into(), 1016 - tag, None);
        check(1.into(), 1017 - tag, Some(1025));
    }
}
