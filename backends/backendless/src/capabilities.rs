//! What the store supports. The sources are in the README.

use std::borrow::Cow;
use std::time::Duration;

use kv_api::{Capabilities, Consistency, ExpiryClock, ListOrder, Support, Timestamp, ValueKinds};

/// The greatest length of a key in bytes. Backendless names none; a key of this length fits any address, with each of
/// its bytes percent-encoded.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// The most keys asked for on a page. Backendless names 5,000 and 10,000 as the default, on one page of its documents.
pub(crate) const LIST_PAGE_MAX: usize = 1000;

/// The most keys of one bulk request unless the settings say otherwise. Backendless names no limit.
pub(crate) const BULK_ITEMS_MAX_DEFAULT: usize = 500;

/// The greatest value of a counter, and, negative, the least: integers beyond it are kept in the envelope (VAL-3), and
/// nothing is promised of them.
pub(crate) const COUNTER_MAX: i64 = 9_007_199_254_740_991;

/// The latest expiry, in Unix seconds. Backendless names none; its own client for Java counts in 32 bits.
pub(crate) const EXPIRE_AT_MAX_SECONDS: i64 = 2_147_483_647;

/// What every [`BackendlessStore`](crate::BackendlessStore) supports (CAP-1, CAP-3); `bulk_write_items` and
/// `bulk_read_items` are those of plain settings.
pub static CAPABILITIES: Capabilities = Capabilities::new("backendless")
    .with_if_not_exists(Support::Native)
    .with_if_exists(Support::Native)
    .with_reports_delete_outcome(true)
    .with_ttl(Support::Native)
    .with_expire_at(Support::Native)
    .with_expiry_clock(ExpiryClock::System)
    .with_expiry_resolution(Duration::from_secs(1))
    .with_expire_at_max(Timestamp::from_unix_seconds(EXPIRE_AT_MAX_SECONDS))
    .with_expiry_read(true)
    .with_expire(Support::Native)
    .with_metadata(Support::Emulated)
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Unordered)
    .with_list_page_max(LIST_PAGE_MAX)
    .with_bulk_items(BULK_ITEMS_MAX_DEFAULT, BULK_ITEMS_MAX_DEFAULT)
    .with_counters(Support::Native, -COUNTER_MAX, COUNTER_MAX)
    .with_counter_expiry(true)
    .with_consistency(Consistency::Eventual { usually_within: None })
    .with_forbidden_keys(const { &[Cow::Borrowed("."), Cow::Borrowed("..")] })
    .with_key_bytes(1, KEY_BYTES_MAX);
