//! The memory store restricted to what a remote system supports keeps the contract and refuses what that system refuses
//! (CAP-4). Its staleness, races and failures are not part of that.

use std::sync::Arc;

use kv_api::{Capabilities, ManualClock, Result, Store, Timestamp, async_trait};
use kv_conformance::{Fixture, Harness, Means, conformance_tests};
use kv_memory::{MemoryConfig, MemoryStore};

/// A restricted handle reports the weaker (CAP-4).
const ONE_CLOCK: &str = "the clock of the system is reported to decide, and in memory that of this side is the same";

struct Restricted(&'static Capabilities);

#[async_trait]
impl Harness for Restricted {
    async fn open(&self) -> Result<Fixture> {
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
        let memory = MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
        let restrict = self.0;
        let (again, other_clock) = (memory.clone(), clock.clone());
        Ok(Fixture::new(Store::new(memory).restricted_to([restrict]))
            .embedded()
            .without(Means::ForeignWriter, "nothing else writes into the memory of the process")
            .without(Means::ForeignTypeWriter, "it holds nothing but values")
            .without(Means::ClientClock, ONE_CLOCK)
            .with_time(clock)
            .with_reopen(move || std::future::ready(Ok(Store::new(again.clone()).restricted_to([restrict]))))
            .with_namespaces(move |_| {
                let config = MemoryConfig::new().with_clock(Arc::new(other_clock.clone()));
                std::future::ready(Ok(Store::new(MemoryStore::with_config(config)).restricted_to([restrict])))
            }))
    }
}

mod to_redis {
    use super::*;
    conformance_tests!(Restricted(&kv_redis::CAPABILITIES));
}

mod to_postgres {
    use super::*;
    conformance_tests!(Restricted(&kv_postgres::CAPABILITIES));
}

mod to_cloudflare {
    use super::*;
    conformance_tests!(Restricted(&kv_cloudflare::CAPABILITIES));
}

mod to_backendless {
    use super::*;
    conformance_tests!(Restricted(&kv_backendless::CAPABILITIES));
}

mod to_puter {
    use super::*;
    conformance_tests!(Restricted(&kv_puter::CAPABILITIES));
}

mod to_nemesisdb {
    use super::*;
    conformance_tests!(Restricted(&kv_nemesisdb::CAPABILITIES));
}

mod to_nemesisdb_with_expiry {
    use super::*;
    conformance_tests!(Restricted(&kv_nemesisdb::CAPABILITIES_WITH_EXPIRY));
}

mod to_all {
    use super::*;
    use std::sync::LazyLock;

    static ALL: LazyLock<Capabilities> = LazyLock::new(|| {
        let restricted = kv_cloudflare::CAPABILITIES
            .restricted_to(&kv_backendless::CAPABILITIES)
            .restricted_to(&kv_puter::CAPABILITIES);
        restricted.restricted_to(&kv_nemesisdb::CAPABILITIES)
    });

    conformance_tests!(Restricted(&ALL));
}
