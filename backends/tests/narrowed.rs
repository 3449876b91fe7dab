//! The memory store narrowed to what a remote system declares keeps the contract and refuses what that system refuses, so
//! that a program tested on it fails where it would in production (CAP-4).

use std::sync::Arc;

use kv_api::{ManualClock, Profile, Result, Store, Timestamp, async_trait};
use kv_conformance::{Harness, Subject, conformance_tests};
use kv_memory::{MemoryConfig, MemoryStore};

struct Narrowed(&'static Profile);

#[async_trait]
impl Harness for Narrowed {
    async fn open(&self) -> Result<Subject> {
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
        let memory = MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
        let narrow = self.0;
        let (again, other_clock) = (memory.clone(), clock.clone());
        Ok(Subject::new(Store::new(memory).narrowed_to([narrow]))
            .with_time(clock)
            .with_reopen(move || std::future::ready(Ok(Store::new(again.clone()).narrowed_to([narrow]))))
            .with_namespaces(move |_| {
                let config = MemoryConfig::new().with_clock(Arc::new(other_clock.clone()));
                std::future::ready(Ok(Store::new(MemoryStore::with_config(config)).narrowed_to([narrow])))
            }))
    }
}

mod to_cloudflare {
    use super::*;
    conformance_tests!(Narrowed(&kv_cloudflare::PROFILE));
}

mod to_backendless {
    use super::*;
    conformance_tests!(Narrowed(&kv_backendless::PROFILE));
}

mod to_puter {
    use super::*;
    conformance_tests!(Narrowed(&kv_puter::PROFILE));
}

mod to_nemesisdb {
    use super::*;
    conformance_tests!(Narrowed(&kv_nemesisdb::PROFILE));
}

mod to_nemesisdb_with_expiry {
    use super::*;
    conformance_tests!(Narrowed(&kv_nemesisdb::PROFILE_WITH_EXPIRY));
}

mod to_all {
    use super::*;
    use std::sync::LazyLock;

    static ALL: LazyLock<Profile> = LazyLock::new(|| {
        let narrowed = kv_cloudflare::PROFILE.narrowed_to(&kv_backendless::PROFILE).narrowed_to(&kv_puter::PROFILE);
        narrowed.narrowed_to(&kv_nemesisdb::PROFILE)
    });

    conformance_tests!(Narrowed(&ALL));
}
