//! A run of many cases, for a command.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::{FutureExt, StreamExt, stream};
use kv_api::{Capabilities, Clock, SystemClock, Timer, TokioTimer};

use crate::case::{Case, STOPPED, Stopped};
use crate::facts::Fact;
use crate::harness::{Fixture, Harness};
use crate::outcome::Outcome;
use crate::probe::{OperationRequests, Requests, probe_until};
use crate::report::{CaseReport, Report};

type Admission<'a> = Box<dyn Fn(&'static Case) -> Option<String> + Send + Sync + 'a>;
type Observer<'a> = Box<dyn Fn(Event<'_>) + Send + Sync + 'a>;

/// A run of the suite: which cases, how many side by side, and when it stops.
///
/// ```
/// # async fn example(harness: impl kv_conformance::Harness) {
/// use kv_conformance::{Case, Outcome, Suite};
///
/// let conditions = Case::ALL.iter().filter(|case| case.rule() == "SET-6");
/// let report = Suite::new().with_cases(conditions).with_concurrency(4).run(&harness).await;
/// assert!(report.is_ok(), "{report}");
/// # }
/// ```
pub struct Suite<'a> {
    cases: Vec<&'static Case>,
    concurrency: usize,
    is_probed: bool,
    admission: Option<Admission<'a>>,
    observer: Option<Observer<'a>>,
    stopped: Stopped,
}

/// What happens during a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A case begins.
    Began(&'static Case),
    /// A case has ended, and what was made for it is gone.
    Ended(&'e CaseReport),
}

impl<'a> Suite<'a> {
    /// All cases, one after the other.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cases: Case::ALL.iter().collect(),
            concurrency: 1,
            is_probed: false,
            admission: None,
            observer: None,
            stopped: pending().boxed().shared(),
        }
    }

    /// Only these cases, begun in this order.
    #[must_use]
    pub fn with_cases(mut self, cases: impl IntoIterator<Item = &'static Case>) -> Self {
        self.cases = cases.into_iter().collect();
        self
    }

    /// How many cases run side by side, each on a store of its own; at least 1. The default is 1. Most of what a case on
    /// a running clock does is to wait.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Notes after the cases how many requests each operation takes, on a store of its own (see
    /// [`probe`](crate::probe)); not done by default.
    #[must_use]
    pub fn with_probe(mut self) -> Self {
        self.is_probed = true;
        self
    }

    /// Asks before each case whether it has to be left out, and why.
    #[must_use]
    pub fn with_admission(mut self, admission: impl Fn(&'static Case) -> Option<String> + Send + Sync + 'a) -> Self {
        self.admission = Some(Box::new(admission));
        self
    }

    /// Is called with all that happens. It must not block.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(Event<'_>) + Send + Sync + 'a) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Stops the run when `stop` is ready: the cases that run end where they are, and what was made for them is undone;
    /// they and all others are left out.
    #[must_use]
    pub fn stop_when(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stopped = stop.boxed().shared();
        self
    }

    /// Runs the cases. Needs a tokio runtime with its timer; the races find more on one with several threads.
    pub async fn run(&self, harness: &dyn Harness) -> Report {
        let began = SystemClock.now();
        let start = TokioTimer.monotonic_now();
        let seen = Seen { harness, capabilities: Mutex::default() };
        let run = |case: &'static Case| {
            let seen = &seen;
            async move { self.run_one(case, seen).await }
        };
        let mut cases: Vec<CaseReport> =
            stream::iter(self.cases.iter().copied()).map(run).buffer_unordered(self.concurrency).collect().await;
        let place = |report: &CaseReport| Case::ALL.iter().position(|case| case.name() == report.name);
        cases.sort_by_key(place);
        let operations = if self.is_probed { self.probe(&seen).await } else { Vec::new() };
        let capabilities = seen.capabilities.into_inner().unwrap_or_else(PoisonError::into_inner);
        Report {
            format: Report::FORMAT,
            system: capabilities.as_ref().map_or_else(String::new, |found| found.system.to_owned()),
            suite_version: env!("CARGO_PKG_VERSION").to_owned(),
            began_unix_micros: began.as_unix_micros(),
            elapsed_micros: micros_since(start),
            capabilities: capabilities.as_ref().map_or_else(Vec::new, Fact::all),
            operations,
            cases,
        }
    }

    async fn probe(&self, harness: &dyn Harness) -> Vec<OperationRequests> {
        if self.stopped.clone().now_or_never().is_some() {
            return Vec::new();
        }
        probe_until(harness, &self.stopped).await.unwrap_or_else(|error| {
            vec![OperationRequests { operation: "open".to_owned(), requests: Requests::Failed(error.to_string()) }]
        })
    }

    async fn run_one(&self, case: &'static Case, harness: &dyn Harness) -> CaseReport {
        let start = TokioTimer.monotonic_now();
        let left_out = self.admission.as_ref().and_then(|admission| admission(case));
        // What would not have run anyway is not left out by the stop.
        let left_out = left_out.or_else(|| self.stopped.clone().now_or_never().map(|()| STOPPED.to_owned()));
        let (outcome, requests) = match left_out {
            Some(why) => (Outcome::LeftOut(why), None),
            None => {
                self.tell(Event::Began(case));
                case.run_until(harness, &self.stopped).await
            }
        };
        let report = CaseReport {
            name: case.name().to_owned(),
            rule: case.rule(),
            outcome,
            elapsed_micros: micros_since(start),
            requests,
        };
        self.tell(Event::Ended(&report));
        report
    }

    fn tell(&self, event: Event<'_>) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

impl Default for Suite<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("cases", &self.cases.len())
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// Remembers what the first store that was opened reports of itself.
struct Seen<'h> {
    harness: &'h dyn Harness,
    capabilities: Mutex<Option<Capabilities>>,
}

#[async_trait::async_trait]
impl Harness for Seen<'_> {
    async fn open(&self) -> kv_api::Result<Fixture> {
        let fixture = self.harness.open().await?;
        let mut capabilities = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        capabilities.get_or_insert_with(|| fixture.store.capabilities().clone());
        drop(capabilities);
        Ok(fixture)
    }
}

fn micros_since(start: std::time::Duration) -> u64 {
    u64::try_from(TokioTimer.monotonic_now().saturating_sub(start).as_micros()).unwrap_or(u64::MAX)
}

/// Runs every case, one after the other, each on a fresh store: [`Suite::new`] and [`Suite::run`].
pub async fn run_all(harness: &dyn Harness) -> Report {
    Suite::new().run(harness).await
}
