//! The contract, on the memory store: as it is, and restricted to what a plain hosted store offers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{
    Capabilities, ItemLimit, ListOrder, ManualClock, Result, Store, Support, Timestamp, ValueKind, ValueKinds,
    async_trait,
};
use kv_conformance::{Fixture, Harness, conformance_tests};
use kv_memory::{MemoryConfig, MemoryStore};

fn open() -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
    let config = MemoryConfig::new().with_clock(Arc::new(clock.clone()));
    (MemoryStore::with_config(config), clock)
}

struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Fixture> {
        let (store, clock) = open();
        let (again, other_clock) = (store.clone(), clock.clone());
        // A clone is a second handle to the same entries; each store is a namespace of its own.
        Ok(Fixture::new(Store::new(store))
            .with_time(clock.clone())
            .with_client_clock(clock)
            .with_reopen(move || std::future::ready(Ok(Store::new(again.clone()))))
            .with_namespaces(move |_| {
                let config = MemoryConfig::new().with_clock(Arc::new(other_clock.clone()));
                std::future::ready(Ok(Store::new(MemoryStore::with_config(config))))
            }))
    }
}

conformance_tests!(Memory);

/// The refusals and limits of another system, on the memory store (CAP-4).
mod restricted {
    use super::*;

    static HOSTED: Capabilities = Capabilities::new("hosted")
        .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text).with(ValueKind::Json))
        .with_if_not_exists(Support::BestEffort)
        .with_ttl(Support::Native)
        .with_expire_at(Support::Native)
        .with_expiry_min(Duration::from_secs(60))
        .with_metadata(Support::Native)
        .with_list(Support::Native, ListOrder::Lexicographic)
        .with_list_page_max(1000)
        .with_counters(Support::Native, -9_007_199_254_740_991, 9_007_199_254_740_991)
        .with_forbidden_keys(const { &[Cow::Borrowed("."), Cow::Borrowed("..")] })
        .with_key_bytes(1, 512)
        .with_item_limits(const { &[ItemLimit::value_bytes(400_000), ItemLimit::metadata_bytes(1024)] });

    struct Hosted;

    #[async_trait]
    impl Harness for Hosted {
        async fn open(&self) -> Result<Fixture> {
            let (store, clock) = open();
            Ok(Fixture::new(Store::new(store).restricted_to([&HOSTED])).with_time(clock))
        }
    }

    conformance_tests!(Hosted);
}
