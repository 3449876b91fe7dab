//! The stores of a run: each below a prefix of its own, at the URL that was given.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{
    Backend, Clock, Consistency, Error, ErrorKind, ExpiryClock, Layer, ManualClock, Result, Store, SystemClock,
    TokioTimer,
};
use kv_conformance::{Fixture, Harness, Means, OffsetClock, Patience, RealTime, async_trait};
use kv_layers::{Intercepted, RateLimited};

use super::latency;
use super::meter::{Meter, Watch};
use super::prefixes::Prefixes;
use super::proxy::Linked;
use super::target::{Shared, Target};
use super::traces::{Trace, Traces};

/// Opens stores at a URL.
#[derive(Clone)]
pub(crate) struct Live {
    target: Arc<Target>,
    meter: Arc<Meter>,
    traces: Arc<Traces>,
    prefixes: Arc<Prefixes>,
    /// Where a rate is kept to, all of them keep to it together.
    limit: Option<RateLimited>,
    /// As the system is, without what a case does to its store.
    plain: Store,
    granularity: Duration,
    /// A store in memory, on a clock of its case.
    moves_time: bool,
    /// Each case reaches the system through a link of its own.
    is_linked: bool,
    /// Whether a read that may show an old state is made again.
    is_patient: bool,
}

impl Live {
    /// Stores at a URL that has been opened.
    pub(crate) fn new(
        target: Target,
        opened: Arc<dyn Backend>,
        limit: Option<RateLimited>,
        prefixes: Prefixes,
        meter: &Arc<Meter>,
        traces: &Arc<Traces>,
    ) -> Self {
        let limit = limit.map(RateLimited::shared);
        let plain = limited(limit.as_ref(), opened);
        let watch = Watch::new(meter, None, plain.capabilities());
        let plain = Store::from_arc(Intercepted::new(watch).layer(plain));
        Self {
            moves_time: target.open_on(&ManualClock::new(SystemClock.now())).is_some(),
            target: Arc::new(target),
            meter: Arc::clone(meter),
            traces: Arc::clone(traces),
            prefixes: Arc::new(prefixes),
            limit,
            plain,
            granularity: Duration::ZERO,
            is_linked: false,
            is_patient: true,
        }
    }

    /// Stores that send what they are asked for and no more, so that it can be counted.
    pub(crate) fn without_patience(&self) -> Self {
        Self { is_patient: false, ..self.clone() }
    }

    /// How long a call takes.
    ///
    /// # Errors
    /// What it ran into: a store that cannot be written to cannot be looked at.
    pub(crate) async fn measure(&self) -> Result<Duration> {
        let trace = self.traces.begin(&self.plain, &self.prefixes.next());
        let missing = self.plain.capabilities().key_bytes_min.saturating_sub(trace.prefix().len());
        let key = format!("{}k{}", trace.prefix(), "q".repeat(missing));
        trace.remember(std::slice::from_ref(&key));
        // Until it has ended.
        trace.unsettle();
        let latency = latency::measure(&self.plain, &key).await?;
        trace.settle();
        self.traces.end(&trace).await;
        Ok(latency)
    }

    /// What two looks of a case may be apart.
    pub(crate) fn with_granularity(self, granularity: Duration) -> Self {
        Self { granularity, ..self }
    }

    /// With a link before the system of each case, which counts requests and breaks them on purpose.
    pub(crate) fn with_links(self) -> Self {
        Self { is_linked: true, ..self }
    }

    /// Removes what came after the cases had been stopped: a write that was given up may reach the system late.
    pub(crate) async fn sweep(&self) {
        if self.plain.capabilities().list.is_full() {
            let all = self.traces.begin(&self.plain, self.prefixes.root());
            self.traces.end(&all).await;
        }
    }

    /// Zero where a case moves the time.
    pub(crate) fn granularity(&self) -> Duration {
        if self.moves_time { Duration::ZERO } else { self.granularity }
    }

    pub(crate) fn has_namespaces(&self) -> bool {
        self.moves_time || self.target.in_namespace("other").is_some()
    }

    /// Whether the clock of this side can be wrong. Where the store's own clock ends entries, that would end those of
    /// other cases; and where a read may be old, an entry that has ended is taken for one that does not show yet.
    pub(crate) fn has_client_clock(&self) -> bool {
        let is_strong = self.plain.capabilities().consistency == Consistency::Strong;
        self.target.takes_clock() && !self.ends_by_own_clock() && is_strong
    }

    fn ends_by_own_clock(&self) -> bool {
        self.plain.capabilities().expiry_clock == ExpiryClock::Store
    }

    /// The whole store, without a prefix.
    pub(crate) const fn plain(&self) -> &Store {
        &self.plain
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    pub(crate) fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// A store that is gone with its case, on a clock that the case moves; `None` where there is no such store.
    fn in_memory(&self) -> Option<Result<Fixture>> {
        let clock = ManualClock::new(SystemClock.now());
        let backend = match self.target.open_on(&clock)? {
            Ok(backend) => backend,
            Err(error) => return Some(Err(error)),
        };
        let (target, other_clock) = (Arc::clone(&self.target), clock.clone());
        let watched = |backend: &Arc<dyn Backend>| {
            let watch = Watch::new(&self.meter, None, backend.capabilities());
            Store::from_arc(Intercepted::new(watch).layer(Arc::clone(backend)))
        };
        let (store, again) = (watched(&backend), Arc::clone(&backend));
        let fixture = Fixture::new(store)
            .with_time(clock.clone())
            .with_client_clock(clock)
            .with_reopen(move || ready(Ok(Store::from_arc(Arc::clone(&again)))))
            .with_namespaces(move |_| {
                // Each store in memory is a namespace of its own.
                let opened = target.open_on(&other_clock).map(|opened| opened.map(Store::from_arc));
                ready(opened.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "the store is not in memory"))))
            });
        Some(Ok(fixture))
    }

    async fn below_a_prefix(&self) -> Result<Fixture> {
        let prefix = self.prefixes.next();
        // Opened again it would be another store.
        let shared = if self.target.is_in_memory() { Some(self.target.open().await?) } else { None };
        let plain = shared.as_ref().map_or_else(|| self.plain.clone(), |shared| Store::from_arc(Arc::clone(shared)));
        let trace = self.traces.begin(&plain, &prefix);
        let linked = if self.is_linked { Some(Linked::open(&self.target).await?) } else { None };
        let target = linked.as_ref().map_or_else(|| Arc::clone(&self.target), |linked| Arc::new(linked.target.clone()));
        let clock = self.has_client_clock().then(|| OffsetClock::new(Arc::new(SystemClock)));
        let handles = Handles {
            target,
            meter: Arc::clone(&self.meter),
            limit: self.limit.clone(),
            shared,
            clock: clock.clone(),
            patience: Patience::of(plain.capabilities(), Arc::new(TokioTimer)).filter(|_| self.is_patient),
            trace: Arc::clone(&trace),
        };
        let store = handles.open().await?;
        let used = store.clone();
        let mut fixture = Fixture::new(store).with_time(RealTime::new(self.granularity));
        fixture = match clock {
            Some(clock) => fixture.with_client_clock(clock),
            None if self.ends_by_own_clock() && !self.target.is_in_memory() => {
                fixture.without(Means::ClientClock, "by a wrong clock this store would end entries of other cases")
            }
            None => fixture,
        };
        if self.target.has_credentials() {
            let stranger = handles.clone();
            fixture = fixture.with_wrong_credentials(move || {
                let stranger = stranger.clone();
                async move { stranger.open_as_stranger().await }
            });
        }
        if let Some(linked) = &linked {
            let counting = linked.link.link().clone();
            fixture = fixture.with_requests(move || counting.requests()).with_faults(linked.link.clone());
        }
        let (traces, meter) = (Arc::clone(&self.traces), Arc::clone(&self.meter));
        fixture = fixture.with_teardown(move || async move {
            if let Some(linked) = linked {
                meter.count(linked.link.link().requests());
            }
            // A write that was given up in the middle may still be carried out; a store that is closed has done with it.
            let _ = used.close().await;
            // What could not be removed is tried again at the end of the run, and said there.
            traces.end(&trace).await;
            Ok(())
        });
        if self.target.in_namespace("other").is_some() {
            let (live, prefix) = (self.clone(), prefix);
            fixture = fixture.with_namespaces(move |name| {
                let (live, prefix) = (live.clone(), prefix.clone());
                async move { live.namespace(&name, &prefix).await }
            });
        }
        Ok(fixture.with_reopen(move || {
            let handles = handles.clone();
            async move { handles.open().await }
        }))
    }

    /// The same prefix in another namespace. What is written there is removed at the end of the run.
    async fn namespace(&self, name: &str, prefix: &str) -> Result<Store> {
        let missing = || Error::new(ErrorKind::Internal, "the system has no other namespaces");
        // The same names in every run: some systems keep the name of a namespace that is empty.
        let target = Arc::new(self.target.in_namespace(&format!("kvconformance{name}")).ok_or_else(missing)?);
        let backend = limited(self.limit.as_ref(), target.open().await?);
        let watch = Watch::new(&self.meter, None, backend.capabilities());
        let plain = Store::from_arc(Intercepted::new(watch).layer(backend));
        let patience = Patience::of(plain.capabilities(), Arc::new(TokioTimer)).filter(|_| self.is_patient);
        let trace = self.traces.begin(&plain, prefix);
        let (meter, limit) = (Arc::clone(&self.meter), self.limit.clone());
        Handles { target, meter, limit, shared: None, clock: None, patience, trace }.open().await
    }
}

/// Keeps to the rate, where there is one.
fn limited(limit: Option<&RateLimited>, backend: Arc<dyn Backend>) -> Arc<dyn Backend> {
    match limit {
        Some(limit) => limit.layer(backend),
        None => backend,
    }
}

/// Handles to one place of the system.
#[derive(Clone)]
struct Handles {
    target: Arc<Target>,
    meter: Arc<Meter>,
    limit: Option<RateLimited>,
    /// What all of them go through, where there is such a thing.
    shared: Option<Arc<dyn Backend>>,
    /// That of this side, which may be wrong.
    clock: Option<OffsetClock>,
    /// Where a write may be seen later.
    patience: Option<Patience>,
    trace: Arc<Trace>,
}

impl Handles {
    async fn open(&self) -> Result<Store> {
        let backend: Arc<dyn Backend> = match (&self.shared, &self.clock) {
            (Some(shared), _) => Arc::new(Shared(Arc::clone(shared))),
            (None, Some(clock)) => self.target.open_by(Arc::new(clock.clone())).await?,
            (None, None) => self.target.open().await?,
        };
        Ok(self.store(backend))
    }

    /// With credentials that are wrong.
    async fn open_as_stranger(&self) -> Result<Store> {
        Ok(self.store(self.target.open_as_stranger().await?))
    }

    fn store(&self, backend: Arc<dyn Backend>) -> Store {
        let backend = limited(self.limit.as_ref(), backend);
        let watch = Watch::new(&self.meter, Some(&self.trace), backend.capabilities());
        let backend = Intercepted::new(watch).layer(backend);
        let backend = match &self.patience {
            Some(patience) => patience.layer(backend),
            None => backend,
        };
        Store::from_arc(backend).with_prefix(self.trace.prefix())
    }
}

#[async_trait]
impl Harness for Live {
    async fn open(&self) -> Result<Fixture> {
        let fixture = match self.in_memory() {
            Some(fixture) => fixture?,
            None => self.below_a_prefix().await?,
        };
        let fixture = if self.target.rewrites_json() { fixture.with_json_rewritten() } else { fixture };
        Ok(self.target.absent().into_iter().fold(fixture, |fixture, (means, why)| fixture.without(means, why)))
    }
}
