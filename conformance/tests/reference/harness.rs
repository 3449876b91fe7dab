//! The harness: the reference, and what can be done around it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kv_api::{
    Capabilities, Clock, Error, ErrorKind, ManualClock, Result, Store, SystemClock, Timestamp, Value, async_trait,
};
use kv_conformance::{ClientClock, Fault, Faults, Fixture, Harness, Means, OffsetClock, RealTime, Time};

use super::EVERYTHING;
use super::bug::Bug;
use super::odd::Odd;
use super::races::Races;
use super::system::{Record, Reference, SECRET, System, Turning};

/// Lets [`Faults`] be implemented for what the store shares.
struct SystemHandle {
    system: Arc<System>,
    has_bulk_requests: bool,
}

impl SystemHandle {
    fn order(&self, fault: Fault, count: u32, spares_looks: bool) {
        self.system.spares_looks.store(spares_looks, Ordering::Relaxed);
        *self.system.fault.lock().unwrap_or_else(PoisonError::into_inner) = (count > 0).then_some((fault, count));
    }
}

impl Faults for SystemHandle {
    fn offers(&self, fault: Fault) -> bool {
        self.has_bulk_requests || fault != Fault::BulkAnswerImplausible
    }

    fn inject(&self, fault: Fault, count: u32) {
        self.order(fault, count, false);
    }

    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.order(fault, count, true);
    }
}

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

static EVERYTHING_THERE_IS: Capabilities = EVERYTHING;

/// Opens the reference, whole or with a bug, as it is or restricted.
#[derive(Default)]
pub(crate) struct ReferenceHarness {
    bug: Option<Bug>,
    odd: &'static [Odd],
    /// What the store reports, where that is not everything.
    reports: Option<&'static Capabilities>,
    restrict: Option<&'static Capabilities>,
    has_still_clock: bool,
    tick: Duration,
    /// Real time, with this granularity.
    runs: Option<Duration>,
    /// How far the clock of this side is ahead.
    ahead: Duration,
    /// One system for all stores.
    shared: Option<Shared>,
    /// Whether each store has a system of its own, and only the entries are one system's.
    is_side_by_side: bool,
}

/// One system that all stores are opened on, each below a prefix of its own.
#[derive(Default)]
struct Shared {
    place: OnceLock<Place>,
    opened: AtomicU64,
}

/// A system and its clocks.
#[derive(Clone)]
struct Place {
    system: Arc<System>,
    still: ManualClock,
    client_clock: OffsetClock,
}

impl ReferenceHarness {
    /// A system as it begins; with the entries of another one, if one is given.
    fn begin(&self, entries_of: Option<&System>) -> Place {
        let start = Timestamp::from_unix_micros(1_795_161_822_123_456);
        let still = ManualClock::new(start);
        let clock: Arc<dyn Clock> = if self.runs.is_some() { Arc::new(SystemClock) } else { Arc::new(still.clone()) };
        let client_clock = OffsetClock::new(Arc::clone(&clock));
        let system = Arc::new(System {
            namespaces: entries_of.map_or_else(Arc::default, |system| Arc::clone(&system.namespaces)),
            versions: entries_of.map_or_else(|| Arc::new(AtomicU64::new(1)), |system| Arc::clone(&system.versions)),
            opened: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            races: Races::default(),
            fault: Mutex::default(),
            spares_looks: AtomicBool::new(false),
            circles: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            restarts: AtomicU8::new(0),
            old: Mutex::default(),
            timer: Turning::default(),
            connections: AtomicU64::new(0),
            began: clock.now(),
            clock,
            client_clock: client_clock.clone(),
            tick: self.tick,
        });
        Place { system, still, client_clock }
    }

    /// The clock of this side runs too, and is ahead.
    #[allow(dead_code, reason = "most tests have no use for real time")]
    pub(crate) fn with_clock_ahead(self, ahead: Duration) -> Self {
        Self { ahead, ..self }
    }

    /// One system for all stores, each of which is a handle below a prefix of its own, as on a live account.
    #[allow(dead_code, reason = "most tests have a system for each case")]
    pub(crate) fn below_prefixes(self) -> Self {
        Self { shared: Some(Shared::default()), ..self }
    }

    /// The same for cases that run at the same time: the entries lie together, and each has a clock, a line and faults
    /// of its own.
    #[allow(dead_code, reason = "most tests run one case at a time")]
    pub(crate) fn side_by_side(self) -> Self {
        Self { is_side_by_side: true, ..self.below_prefixes() }
    }

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

    /// A store that is odd, and right.
    #[allow(dead_code, reason = "most tests have no use for what is odd")]
    pub(crate) fn odd(odd: &'static [Odd]) -> Self {
        Self { odd, ..Self::default() }
    }

    /// A store that can do no more than this.
    #[allow(dead_code, reason = "most tests have no use for what is odd")]
    pub(crate) fn reporting(self, capabilities: &'static Capabilities) -> Self {
        Self { reports: Some(capabilities), ..self }
    }

    pub(crate) fn restricted_to(self, capabilities: &'static Capabilities) -> Self {
        Self { restrict: Some(capabilities), ..self }
    }
}

#[async_trait]
impl Harness for ReferenceHarness {
    async fn open(&self) -> Result<Fixture> {
        let Place { system, still, client_clock } = match &self.shared {
            Some(shared) if self.is_side_by_side => {
                let first = shared.place.get_or_init(|| self.begin(None));
                self.begin(Some(&first.system))
            }
            Some(shared) => shared.place.get_or_init(|| self.begin(None)).clone(),
            None => self.begin(None),
        };
        // What the case before has left.
        let now = system.clock.now();
        client_clock.set(now.checked_add(self.ahead).unwrap_or(now));
        let prefix = self
            .shared
            .as_ref()
            .map_or_else(String::new, |shared| format!("suite {}/", shared.opened.fetch_add(1, Ordering::Relaxed)));
        let (bug, odd, restrict) = (self.bug, self.odd, self.restrict);
        let reported = self.reports.unwrap_or(&EVERYTHING_THERE_IS);
        let place = move |namespace: &str| match odd.contains(&Odd::NamespacesArePrefixes) {
            true => (String::new(), format!("{namespace}\0")),
            false => (namespace.to_owned(), String::new()),
        };
        let below = prefix.clone();
        let open = {
            let system = Arc::clone(&system);
            move |namespace: &str, is_stranger: bool| {
                let system = Arc::clone(&system);
                let process = system.opened.fetch_add(1, Ordering::Relaxed).to_string();
                let (mut place, mut root) = place(namespace);
                match bug {
                    Some(Bug::EachHandleHasItsOwnData) => place.push_str(&process),
                    Some(Bug::NamespacesHaveNoBorder) => root = std::mem::take(&mut place),
                    _ => {}
                }
                let scope = match odd.contains(&Odd::ScopeIsAnAddress) {
                    true => format!("reference://[2001:db8::1]:6379/0/é {namespace}?tls=yes#{}", "long".repeat(100)),
                    false => namespace.to_owned(),
                };
                let turn = tokio::sync::Mutex::new(());
                let (read_before, replies) = Default::default();
                let backend = Reference {
                    system,
                    scope,
                    place,
                    root,
                    process,
                    bug,
                    odd,
                    reported,
                    read_before,
                    replies,
                    turn,
                    is_stranger,
                };
                let store = Store::new(backend).restricted_to(restrict);
                if prefix.is_empty() { store } else { store.with_prefix(&prefix) }
            }
        };
        let write_foreign = {
            let system = Arc::clone(&system);
            move |key: String, text: &str, is_foreign: bool| {
                let text = match text.strip_prefix('\u{feff}') {
                    Some(rest) if odd.contains(&Odd::TakesOffByteOrderMarks) => rest,
                    _ => text,
                };
                let (value, listed_bytes) = (Value::from(text), text.len());
                let record = Record { value, metadata: None, end: None, version: 0, listed_bytes, is_foreign };
                let mut namespaces = system.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
                let (place, root) = place("main");
                let key = format!("{root}{below}{key}");
                // Another client's write is not late.
                let mut old = system.old.lock().unwrap_or_else(PoisonError::into_inner);
                let of_place = old.iter_mut().filter(|(_, of, _)| *of == place);
                of_place.for_each(|(_, _, data)| drop(data.insert(key.clone(), record.clone())));
                namespaces.entry(place).or_default().insert(key, record);
                std::future::ready(Ok(()))
            }
        };
        let write_foreign_type = write_foreign.clone();
        let (counted, restarted) = (Arc::clone(&system), Arc::clone(&system));
        let (reopen, other, stranger) = (open.clone(), open.clone(), open.clone());
        let fixture = Fixture::new(open("main", false));
        let fixture = match self.runs {
            _ if self.has_still_clock => fixture,
            Some(granularity) => fixture.with_time(RealTime::new(granularity)),
            None => fixture.with_time(StillTime { clock: still, tick: self.tick }),
        };
        let fixture = match odd {
            odd if odd.contains(&Odd::RewritesJson) => fixture.with_json_rewritten(),
            odd if odd.contains(&Odd::TakesOffByteOrderMarks) => fixture.with_byte_order_marks_taken_off(),
            _ => fixture,
        };
        let fixture = match odd.contains(&Odd::SinglesOnly) {
            true => fixture.without(Means::Fault(Fault::BulkAnswerImplausible), "it has no bulk requests"),
            false => fixture,
        };
        let timer = system.timer.clone();
        let faults = SystemHandle { system, has_bulk_requests: !odd.contains(&Odd::SinglesOnly) };
        let fixture = fixture
            .with_reopen(move || std::future::ready(Ok(reopen("main", false))))
            .with_namespaces(move |name| std::future::ready(Ok(other(&name, false))))
            .with_wrong_credentials(move || {
                let refused = || Error::new(ErrorKind::Unauthorized, "these credentials are wrong");
                let is_refused = odd.contains(&Odd::RefusesStrangersAtOnce);
                std::future::ready(if is_refused { Err(refused()) } else { Ok(stranger("main", true)) })
            })
            .with_restart(move || {
                restarted.restarts.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
            .with_foreign_writer(move |key, text| write_foreign(key, &text, false))
            .with_foreign_type_writer(move |key| write_foreign_type(key, "", true))
            .with_requests(move || counted.requests.load(Ordering::Relaxed))
            .with_faults(faults)
            .with_client_clock(client_clock)
            .with_secret(SECRET, String::new);
        Ok(match odd.contains(&Odd::ShowsWritesLate) {
            true => fixture.with_patience(Arc::new(timer)),
            false => fixture,
        })
    }
}
