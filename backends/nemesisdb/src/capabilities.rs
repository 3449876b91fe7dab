//! What a store supports. The sources are in the README.

use std::borrow::Cow;
use std::time::Duration;

use kv_api::{Capabilities, Consistency, ExpiryClock, ItemLimit, Support, ValueKinds, json_quoted_len};

use crate::config::NemesisdbConfig;
use crate::wire::message::{ENDS_BYTES, PAIR_BYTES_LEAST, pair_bytes};

/// The least length of a key on the server, in bytes of UTF-8.
const SERVER_KEY_BYTES_MIN: usize = 6;

const MESSAGE_BYTES_MAX: usize = 1024;

/// What a store supports that was opened with a server's address and nothing else (CAP-1, CAP-3).
pub static CAPABILITIES: Capabilities = shared().with_if_not_exists(Support::Native).with_reports_set_outcome(true);

/// What a store supports that keeps expiries in the envelope, and was else opened with a server's address alone.
pub static CAPABILITIES_WITH_EXPIRY: Capabilities = shared()
    .with_if_not_exists(Support::BestEffort)
    .with_ttl(Support::Emulated)
    .with_expire_at(Support::Emulated)
    .with_expiry_clock(ExpiryClock::Store)
    .with_expiry_resolution(Duration::from_millis(1));

const fn shared() -> Capabilities {
    Capabilities::new("nemesisdb")
        .with_if_exists(Support::BestEffort)
        .with_reports_delete_outcome(true)
        .with_reports_delete_many_outcome(true)
        .with_expiry_read(true)
        .with_metadata(Support::Emulated)
        .with_value_kinds(ValueKinds::ALL)
        .with_entry_snapshot(true)
        .with_consistency(Consistency::Strong)
        .with_key_bytes(SERVER_KEY_BYTES_MIN, MESSAGE_BYTES_MAX - PAIR_BYTES_LEAST)
        .with_item_limits(const { &[MESSAGE] })
        .with_bulk_items(
            items_max(MESSAGE_BYTES_MAX, SERVER_KEY_BYTES_MIN, PAIR_BEYOND_KEY_BYTES),
            items_max(MESSAGE_BYTES_MAX, SERVER_KEY_BYTES_MIN, NAME_BEYOND_KEY_BYTES),
        )
}

/// What stands beside a key in a message that reads it: two quotation marks and a comma.
const NAME_BEYOND_KEY_BYTES: usize = 3;

/// The same in one that sets it: also a colon and a value of one digit.
const PAIR_BEYOND_KEY_BYTES: usize = NAME_BEYOND_KEY_BYTES + 2;

/// The most items, each of the least size, that a message holds; at least one, since one that fits is sent.
const fn items_max(message_bytes_max: usize, key_bytes: usize, beyond_key_bytes: usize) -> usize {
    // The last one has no comma.
    let items = (message_bytes_max + 1).saturating_sub(ENDS_BYTES) / (key_bytes + beyond_key_bytes);
    if items == 0 { 1 } else { items }
}

/// The whole message that sets an item (CHK-2). A namespace is not in it, and its bytes are taken off what is allowed.
const fn message_limit(bytes_max: u64) -> ItemLimit {
    ItemLimit::new("message_bytes_max", bytes_max, |item| {
        (ENDS_BYTES + pair_bytes(item.key, item.value, item.metadata, item.expires)) as u64
    })
}

const MESSAGE: ItemLimit = message_limit(MESSAGE_BYTES_MAX as u64);

/// What a store with these settings supports.
pub(crate) fn capabilities(config: &NemesisdbConfig) -> Capabilities {
    let mut capabilities = if config.expiry { CAPABILITIES_WITH_EXPIRY.clone() } else { CAPABILITIES.clone() };
    let prefix = config.prefix();
    // Without its quotation marks, which the key brings along.
    let room = config.message_bytes_max - (json_quoted_len(&prefix) - 2);
    capabilities.key_bytes_min = SERVER_KEY_BYTES_MIN.saturating_sub(prefix.len()).max(1);
    capabilities.key_bytes_max = room - PAIR_BYTES_LEAST;
    let key_bytes = json_quoted_len(&prefix) - 2 + capabilities.key_bytes_min;
    let items_max = |beyond_key_bytes| items_max(config.message_bytes_max, key_bytes, beyond_key_bytes);
    capabilities.bulk_write_items = items_max(PAIR_BEYOND_KEY_BYTES);
    capabilities.bulk_read_items = items_max(NAME_BEYOND_KEY_BYTES);
    capabilities.item_limits = Cow::Owned(vec![message_limit(room as u64)]);
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(NemesisdbConfig) -> kv_api::Result<NemesisdbConfig>) -> Capabilities {
        capabilities(&change(NemesisdbConfig::new("localhost", 1987).unwrap()).unwrap())
    }

    #[test]
    fn the_published_capabilities_are_those_of_plain_settings() {
        for (built, published) in [
            (with(Ok), &CAPABILITIES),
            (with(|config| Ok(config.with_expiry_in_envelope(true))), &CAPABILITIES_WITH_EXPIRY),
        ] {
            assert_eq!(format!("{built:?}"), format!("{published:?}"));
        }
    }

    #[test]
    fn cap_5_a_message_holds_as_many_of_the_shortest_items_as_is_reported() {
        use crate::wire::message::{Command, keys_message, pairs_message};
        for (built, prefix, bytes_max) in [
            (with(Ok), "", 1024),
            (with(|config| config.with_namespace("abc")), "abc:", 1024),
            (with(|config| config.with_namespace("sessions\"")), "sessions\":", 1024),
            (with(|config| config.with_message_bytes_max(64)), "", 64),
            (with(|config| config.with_message_bytes_max(4096)), "", 4096),
        ] {
            let key = format!("{prefix}{}", "k".repeat(built.key_bytes_min));
            let reads = |items: usize| keys_message(Command::Get, std::iter::repeat_n(&*key, items)).len();
            let writes = |items: usize| {
                pairs_message(Command::Set, std::iter::repeat_n((&*key, Cow::Borrowed("1")), items)).len()
            };
            for (length, items) in
                [(&reads as &dyn Fn(usize) -> usize, built.bulk_read_items), (&writes, built.bulk_write_items)]
            {
                assert!(length(items) <= bytes_max, "{prefix}: {items} items of {} bytes", length(items));
                assert!(length(items + 1) > bytes_max, "{prefix}: not {items} items, but more");
            }
        }
        assert_eq!((CAPABILITIES.bulk_write_items, CAPABILITIES.bulk_read_items), (92, 112));
    }

    #[test]
    fn key_1_a_namespace_and_the_message_limit_change_the_length_of_keys() {
        let lengths = |capabilities: Capabilities| {
            (capabilities.key_bytes_min, capabilities.key_bytes_max, capabilities.item_limit("message_bytes_max"))
        };
        assert_eq!(lengths(with(Ok)), (6, 1000, Some(1024)));
        assert_eq!(lengths(with(|config| config.with_namespace("abc"))), (2, 996, Some(1020)));
        assert_eq!(lengths(with(|config| config.with_namespace("sessions"))), (1, 991, Some(1015)));
        // Quotation marks are escaped on the wire: two bytes each there, one of the key.
        assert_eq!(lengths(with(|config| config.with_namespace("\"\"\"\""))), (1, 991, Some(1015)));
        assert_eq!(lengths(with(|config| config.with_message_bytes_max(64))), (6, 40, Some(64)));
    }
}
