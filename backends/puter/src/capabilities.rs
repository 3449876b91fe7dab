//! What the store supports. The sources are in the README.

use std::time::Duration;

use kv_api::{Capabilities, Consistency, ExpiryClock, ItemLimit, ListOrder, RequestRate, Support, ValueKinds};

use crate::wire::{stored_bytes, value_bytes};

/// The greatest length of a key in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// The most keys asked for on a page. The system names no limit; its own client asks for as many.
pub(crate) const LIST_PAGE_MAX: usize = 1000;

/// The greatest value of a counter, and, negative, the least: beyond it the system fails to read what it has written.
pub(crate) const COUNTER_MAX: i64 = 9_007_199_254_740_991;

/// The most items of one `batchPut` unless the settings say otherwise. The system names no limit.
pub(crate) const BATCH_ITEMS_MAX_DEFAULT: usize = 250;

/// The most keys of one get: as many as the server asks its storage for at once.
pub(crate) const GET_KEYS_MAX: usize = 100;

/// What every [`PuterStore`](crate::PuterStore) supports (CAP-1, CAP-3); `bulk_write_items` is that of plain settings.
pub static CAPABILITIES: Capabilities = Capabilities::new("puter")
    .with_if_not_exists(Support::BestEffort)
    .with_if_exists(Support::BestEffort)
    .with_ttl(Support::Emulated)
    .with_expire_at(Support::Native)
    .with_expiry_clock(ExpiryClock::System)
    .with_expire(Support::BestEffort)
    .with_metadata(Support::Emulated)
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_page_max(LIST_PAGE_MAX)
    .with_bulk_items(BATCH_ITEMS_MAX_DEFAULT, GET_KEYS_MAX)
    // Of one method; of lists it is less.
    .with_request_rate(RequestRate::new(400, Duration::from_secs(10)))
    .with_counters(Support::Native, -COUNTER_MAX, COUNTER_MAX)
    .with_entry_snapshot(true)
    .with_consistency(Consistency::Eventual { usually_within: None })
    .with_key_bytes(1, KEY_BYTES_MAX)
    .with_item_limits(const { &[VALUE, ENTRY] });

/// As the text of its JSON, the envelope included: 399 KiB.
const VALUE: ItemLimit = ItemLimit::new("value_bytes_max", 399 * 1024, value_bytes);

/// Key and value in the storage behind the system: 400 KiB, less what it keeps beside them.
const ENTRY: ItemLimit = ItemLimit::new("entry_bytes_max", 400 * 1024 - 200, stored_bytes);

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{Reason, Resolver, SetItem, SystemClock, Value};
    use serde_json::json;
    use std::time::Duration;

    fn refusal(item: SetItem<'_>) -> Option<Reason> {
        Resolver::new(&CAPABILITIES).write(item, &SystemClock).err().and_then(|error| error.reason().cloned())
    }

    fn too_large(found: u64) -> Option<Reason> {
        Some(Reason::Limit { name: "value_bytes_max".into(), allowed: 408_576, found })
    }

    #[test]
    fn chk_2_a_text_of_408_574_letters_is_the_longest() {
        assert_eq!(refusal(SetItem::new("k", "v".repeat(408_574))), None);
        assert_eq!(refusal(SetItem::new("k", "v".repeat(408_575))), too_large(408_577));
        assert_eq!(refusal(SetItem::new("k", "é".repeat(204_287))), None);
        assert_eq!(refusal(SetItem::new("k", "é".repeat(204_288))), too_large(408_578));
        assert_eq!(refusal(SetItem::new("k", "\n".repeat(204_287))), None, "each is two characters of JSON");
        assert_eq!(refusal(SetItem::new("k", "\n".repeat(204_288))), too_large(408_578));
    }

    #[test]
    fn chk_2_the_envelope_counts() {
        let envelope = r#"{"$kv-envelope":1,"kind":"bytes","value":""}"#.len();
        let bytes = (408_576 - envelope) / 4 * 3;
        assert_eq!(refusal(SetItem::new("k", vec![0; bytes])), None);
        assert_eq!(refusal(SetItem::new("k", vec![0; bytes + 1])), too_large(408_580));
    }

    #[test]
    fn chk_2_399_kib_do_not_fit_beside_a_long_key() {
        let largest = "v".repeat(408_574);
        assert_eq!(refusal(SetItem::new("k".repeat(826), largest.as_str())), None);
        let limit = |found| Some(Reason::Limit { name: "entry_bytes_max".into(), allowed: 409_400, found });
        assert_eq!(refusal(SetItem::new("k".repeat(827), largest.as_str())), limit(409_401));
        assert_eq!(refusal(SetItem::new("k".repeat(1024), largest.as_str())), limit(409_598));
        assert_eq!(refusal(SetItem::new("k".repeat(1024), "v".repeat(408_376))), None);
    }

    #[test]
    fn chk_2_the_storage_counts_more_than_the_text_for_many_small_numbers() {
        let digits = |count: usize| Value::from(json!(vec![5; count]));
        assert_eq!(refusal(SetItem::new("k", digits(136_465))), None);
        assert!(matches!(
            refusal(SetItem::new("k", digits(136_466))),
            Some(Reason::Limit { name, .. }) if name == "entry_bytes_max"
        ));
    }

    #[test]
    fn chk_2_a_number_with_an_expiry_is_measured_in_its_envelope() {
        let parts = |expires| value_bytes(kv_api::ItemParts::new("k", &Value::from(5), None, expires));
        assert_eq!(parts(false), 1);
        assert_eq!(parts(true), r#"{"$kv-envelope":1,"kind":"json-text","value":"5"}"#.len() as u64);
        assert_eq!(refusal(SetItem::new("k", 5).ttl(Duration::from_secs(1))), None);
    }

    #[test]
    fn key_1_a_key_has_1_to_1024_bytes() {
        let limit = |found| Some(Reason::Limit { name: "key_bytes_max".into(), allowed: 1024, found });
        assert_eq!(refusal(SetItem::new("k".repeat(1024), "v")), None);
        assert_eq!(refusal(SetItem::new("k".repeat(1025), "v")), limit(1025));
        assert_eq!(refusal(SetItem::new("é".repeat(512), "v")), None);
        assert_eq!(refusal(SetItem::new("é".repeat(513), "v")), limit(1026));
    }
}
