//! The contract, on the memory store: as it is, and restricted to what a plain hosted store offers.

use std::borrow::Cow;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{
    Capabilities, ItemLimit, ListOrder, ManualClock, Result, Store, Support, Timestamp, ValueKind, ValueKinds,
    async_trait,
};
use kv_conformance::{Fixture, Harness, Means, conformance_tests};
use kv_memory::{MemoryConfig, MemoryStore};

/// A restricted handle reports the weaker (CAP-4).
const ONE_CLOCK: &str = "the clock of the system is reported to decide, and in memory that of this side is the same";

/// A fresh store and what can be done around it; each handle restricted to these capabilities, where there are some.
fn fixture(restrict: Option<&'static Capabilities>) -> Fixture {
    let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
    let config = MemoryConfig::new().with_clock(Arc::new(clock.clone()));
    let memory = MemoryStore::with_config(config.clone());
    let again = memory.clone();
    let open = move |memory| Store::new(memory).restricted_to(restrict);
    // A clone is a second handle to the same entries; each store is a namespace of its own.
    let fixture = Fixture::new(open(memory))
        .with_time(clock.clone())
        .with_reopen(move || ready(Ok(open(again.clone()))))
        .with_namespaces(move |_| ready(Ok(open(MemoryStore::with_config(config.clone())))));
    let fixture = match restrict {
        None => fixture.with_client_clock(clock),
        Some(_) => fixture.without(Means::ClientClock, ONE_CLOCK),
    };
    let fixture = fixture.embedded();
    let fixture = fixture.without(Means::ForeignWriter, "nothing else writes into the memory of the process");
    fixture.without(Means::ForeignTypeWriter, "it holds nothing but values")
}

struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Fixture> {
        Ok(fixture(None))
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
            Ok(fixture(Some(&HOSTED)))
        }
    }

    conformance_tests!(Hosted);
}
