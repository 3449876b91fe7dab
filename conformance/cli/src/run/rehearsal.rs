//! What a run would take: its cases on a store in memory that imitates the one that is looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kv_api::{Backend, Capabilities, Clock, Layer, ManualClock, Result, Store, SystemClock, Timestamp};
use kv_backends::memory::{MemoryConfig, MemoryStore};
use kv_conformance::{Case, Fixture, Harness, OffsetClock, Time, async_trait};
use kv_layers::{Intercepted, Like};
use tokio::task::JoinSet;

use super::meter::{Meter, Watch};

/// What a case takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) case: &'static Case,
    /// At least, and with those that remove what it has written.
    pub(crate) requests: u64,
    /// How long it waits for time to pass.
    pub(crate) waits: Duration,
}

/// What is imitated.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    pub(crate) capabilities: Capabilities,
    pub(crate) prefix: String,
    /// Zero where time is moved.
    pub(crate) granularity: Duration,
    pub(crate) has_namespaces: bool,
    /// Whether the clock of this side can be wrong.
    pub(crate) has_client_clock: bool,
}

/// Tries each case, and counts. They are tried side by side: what takes time is this processor's work.
pub(crate) async fn rehearse(original: &Original, cases: impl Iterator<Item = &'static Case>) -> Vec<Estimate> {
    let mut tries = JoinSet::new();
    for case in cases {
        let stage = Stage::new(original);
        tries.spawn(async move {
            // How it ends there says nothing about the store.
            let _ = case.run(&stage).await;
            Estimate { case, requests: stage.requests(), waits: stage.waits() }
        });
    }
    tries.join_all().await
}

struct Stage {
    original: Original,
    meter: Arc<Meter>,
    opened: AtomicU64,
    waited_micros: Arc<AtomicU64>,
}

impl Stage {
    fn new(original: &Original) -> Self {
        let (opened, waited_micros) = (AtomicU64::new(0), Arc::default());
        Self { original: original.clone(), meter: Meter::new(), opened, waited_micros }
    }

    fn requests(&self) -> u64 {
        // A list of what is there, and a delete of it.
        let to_remove = if self.original.capabilities.list.is_full() { 2 } else { 1 };
        self.meter.spent().saturating_add(self.opened.load(Ordering::Relaxed).saturating_mul(to_remove))
    }

    fn waits(&self) -> Duration {
        if self.original.granularity.is_zero() {
            return Duration::ZERO;
        }
        Duration::from_micros(self.waited_micros.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Harness for Stage {
    async fn open(&self) -> Result<Fixture> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let clock = ManualClock::new(SystemClock.now());
        let capabilities = self.original.capabilities.clone();
        let prefix = self.original.prefix.clone();
        let (meter, of_clock, of_client) = (Arc::clone(&self.meter), clock.clone(), clock.clone());
        let backend = move || -> Arc<dyn Backend> {
            let config = MemoryConfig::new().with_clock(Arc::new(of_clock.clone()));
            let memory: Arc<dyn Backend> = Arc::new(MemoryStore::with_config(config));
            // Behind the imitation, so that a look before a write counts.
            let watch = Watch::new(&meter, None, &capabilities);
            Like::new(capabilities.clone()).layer(Intercepted::new(watch).layer(memory))
        };
        let first = backend();
        let (again, again_prefix) = (Arc::clone(&first), prefix.clone());
        let time =
            Rehearsed { clock, granularity: self.original.granularity, waited_micros: Arc::clone(&self.waited_micros) };
        let mut fixture =
            Fixture::new(Store::from_arc(first).with_prefix(&prefix)).with_time(time).with_reopen(move || {
                let store = Store::from_arc(Arc::clone(&again)).with_prefix(&again_prefix);
                std::future::ready(Ok(store))
            });
        if self.original.has_client_clock {
            fixture = fixture.with_client_clock(OffsetClock::new(Arc::new(of_client)));
        }
        if self.original.has_namespaces {
            fixture = fixture
                .with_namespaces(move |_| std::future::ready(Ok(Store::from_arc(backend()).with_prefix(&prefix))));
        }
        Ok(fixture)
    }
}

/// Time that only counts what passes.
struct Rehearsed {
    clock: ManualClock,
    granularity: Duration,
    waited_micros: Arc<AtomicU64>,
}

#[async_trait]
impl Time for Rehearsed {
    fn now(&self) -> Timestamp {
        Clock::now(&self.clock)
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.waited_micros.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn granularity(&self) -> Duration {
        self.granularity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_and_waits_are_counted_as_the_system_would_have_them() {
        let original = |granularity| Original {
            capabilities: kv_backends::cloudflare::CAPABILITIES.clone(),
            prefix: "p-".to_owned(),
            granularity,
            has_namespaces: false,
            has_client_clock: false,
        };
        let case = || Case::ALL.iter().filter(|case| case.name() == "exp_1_a_ttl_ends_the_entry");
        let ttl = rehearse(&original(Duration::from_secs(1)), case()).await[0];
        // A minute is the shortest life there.
        assert!(ttl.waits > Duration::from_secs(60) && ttl.waits < Duration::from_secs(600), "{ttl:?}");
        assert!((5..20).contains(&ttl.requests), "{ttl:?}");
        let moved = rehearse(&original(Duration::ZERO), case()).await[0];
        assert_eq!((moved.waits, moved.requests), (Duration::ZERO, ttl.requests));
    }
}
