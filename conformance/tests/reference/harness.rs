//! The harness: the reference, and what can be done around it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kv_api::{
    Capabilities, Clock, ManualClock, Result, Store, SystemClock, Timer, Timestamp, TokioTimer, Value, async_trait,
};
use kv_conformance::{Fault, Faults, Fixture, Harness, OffsetClock, Time};

use super::bug::Bug;
use super::system::{Record, Reference, SECRET, System};

impl Faults for SystemHandle {
    fn offers(&self, _: Fault) -> bool {
        true
    }

    fn inject(&self, fault: Fault, count: u32) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = (count > 0).then_some((fault, count));
    }
}

/// Lets [`Faults`] be implemented for what the store shares.
struct SystemHandle(Arc<System>);

/// The time of the system, which that of this side follows.
struct StillTime {
    clock: ManualClock,
    tick: Duration,
}

#[async_trait]
impl Time for StillTime {
    fn now(&self) -> Timestamp {
        Clock::now(&self.clock)
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn lateness(&self) -> Duration {
        self.tick
    }
}

/// Real time, which nothing moves.
struct RunningTime {
    granularity: Duration,
}

#[async_trait]
impl Time for RunningTime {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn advance(&self, by: Duration) {
        TokioTimer.sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        self.granularity
    }
}

/// Opens the reference, whole or with a bug, as it is or restricted.
#[derive(Default)]
pub(crate) struct ReferenceHarness {
    bug: Option<Bug>,
    restrict: Option<&'static Capabilities>,
    has_still_clock: bool,
    tick: Duration,
    loses_places: bool,
    /// Real time, with this granularity.
    runs: Option<Duration>,
}

impl ReferenceHarness {
    pub(crate) fn whole() -> Self {
        Self::default()
    }

    pub(crate) fn with(bug: Bug) -> Self {
        Self { bug: Some(bug), ..Self::default() }
    }

    pub(crate) fn that_cannot_move_time() -> Self {
        Self { has_still_clock: true, ..Self::default() }
    }

    /// A system that looks at its clock once in so long.
    pub(crate) fn with_tick(self, tick: Duration) -> Self {
        Self { tick, ..self }
    }

    /// On real time, which is said to have this granularity.
    #[allow(dead_code, reason = "most tests have no use for real time")]
    pub(crate) fn on_real_time(self, granularity: Duration) -> Self {
        Self { runs: Some(granularity), ..self }
    }

    /// A system whose walks end with it.
    pub(crate) fn that_loses_places(self) -> Self {
        Self { loses_places: true, ..self }
    }

    pub(crate) fn restricted_to(self, capabilities: &'static Capabilities) -> Self {
        Self { restrict: Some(capabilities), ..self }
    }
}

#[async_trait]
impl Harness for ReferenceHarness {
    async fn open(&self) -> Result<Fixture> {
        let start = Timestamp::from_unix_micros(1_795_161_822_123_456);
        let still = ManualClock::new(start);
        let clock: Arc<dyn Clock> = if self.runs.is_some() { Arc::new(SystemClock) } else { Arc::new(still.clone()) };
        let client_clock = OffsetClock::new(Arc::clone(&clock));
        let system = Arc::new(System {
            namespaces: Mutex::default(),
            versions: AtomicU64::new(1),
            opened: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            fault: Mutex::default(),
            circles: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            restarts: AtomicU8::new(0),
            loses_places: self.loses_places,
            clock,
            client_clock: client_clock.clone(),
            tick: self.tick,
        });
        let (bug, restrict) = (self.bug, self.restrict);
        let open = {
            let system = Arc::clone(&system);
            move |namespace: &str, is_stranger: bool| {
                let system = Arc::clone(&system);
                let process = system.opened.fetch_add(1, Ordering::Relaxed).to_string();
                let backend = Reference { system, namespace: namespace.to_owned(), process, bug, is_stranger };
                Store::new(backend).restricted_to(restrict)
            }
        };
        let write_foreign = {
            let system = Arc::clone(&system);
            move |key: String, text: &str, is_foreign: bool| {
                let (value, listed_bytes) = (Value::from(text), text.len());
                let record = Record { value, metadata: None, end: None, version: 0, listed_bytes, is_foreign };
                let mut namespaces = system.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
                namespaces.entry("main".to_owned()).or_default().insert(key, record);
                std::future::ready(Ok(()))
            }
        };
        let write_foreign_type = write_foreign.clone();
        let (counted, restarted) = (Arc::clone(&system), Arc::clone(&system));
        let (reopen, other, stranger) = (open.clone(), open.clone(), open.clone());
        let fixture = Fixture::new(open("main", false));
        let fixture = match self.runs {
            _ if self.has_still_clock => fixture,
            Some(granularity) => fixture.with_time(RunningTime { granularity }),
            None => fixture.with_time(StillTime { clock: still, tick: self.tick }),
        };
        Ok(fixture
            .with_reopen(move || std::future::ready(Ok(reopen("main", false))))
            .with_namespaces(move |name| std::future::ready(Ok(other(&name, false))))
            .with_wrong_credentials(move || std::future::ready(Ok(stranger("main", true))))
            .with_restart(move || {
                restarted.restarts.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
            .with_foreign_writer(move |key, text| write_foreign(key, &text, false))
            .with_foreign_type_writer(move |key| write_foreign_type(key, "", true))
            .with_requests(move || counted.requests.load(Ordering::Relaxed))
            .with_faults(SystemHandle(system))
            .with_client_clock(client_clock)
            .with_secret(SECRET, String::new))
    }
}
