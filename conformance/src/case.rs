//! A case: a named function, and the ways to run it.

use std::any::Any;
use std::fmt;
use std::future::pending;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, select};

use crate::context::Context;
use crate::harness::Harness;
use crate::outcome::{CaseResult, Outcome, Stop, Verdict};
use crate::pace::Pace;
use crate::trail::Trail;

/// Ready when the run is to stop.
pub(crate) type Stopped = Shared<BoxFuture<'static, ()>>;

/// What a case says that the run stopped, or did not begin any more.
pub(crate) const STOPPED: &str = "the run was stopped";

/// What a case says that came too late each time.
const TOO_LATE: &str = "also with lives eight times as long: the harness states too small a granularity";

/// One case: a promise of the contract, and how it is tried.
pub struct Case {
    pub(crate) name: &'static str,
    pub(crate) body: for<'a> fn(&'a Context<'a>) -> BoxFuture<'a, CaseResult>,
}

impl Case {
    /// The rule in lower case, and what it says: `set_3_a_condition_not_met_leaves_everything_untouched`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The id of the rule, as the contract writes it: `SET-3`.
    #[must_use]
    pub fn rule(&self) -> String {
        let mut words = self.name.split('_');
        let family = words.next().unwrap_or_default().to_uppercase();
        match words.next() {
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("{family}-{number}"),
            _ => family,
        }
    }

    /// Runs it on a fresh store. A panic is a failure. Where the harness's clock runs, a case that fails and has come
    /// too late for an end is run again with longer lives, a bounded number of times. What the harness wants to undo is
    /// undone when it returns; a caller that may have to stop in the middle uses [`Suite`](crate::Suite).
    pub async fn run(&self, harness: &dyn Harness) -> Outcome {
        self.run_until(harness, &pending().boxed().shared()).await.0
    }

    /// The same, until `stopped` is ready; with the number of requests, where they are counted.
    pub(crate) async fn run_until(&self, harness: &dyn Harness, stopped: &Stopped) -> (Outcome, Option<u64>) {
        let mut pace = Pace::new();
        let mut requests = None;
        loop {
            let trail = Arc::new(Trail::default());
            let (mut outcome, slower) = self.run_at(harness, pace, &trail, stopped).await;
            requests = requests.into_iter().chain(trail.requests()).reduce(|sum: u64, more| sum + more);
            if let Err(error) = trail.tear_down().await {
                outcome = match outcome {
                    Outcome::Failed(text) => Outcome::Failed(format!("{text}; and it could not be undone: {error}")),
                    _ => Outcome::Failed(format!("it could not be undone: {error}")),
                };
            }
            match slower {
                Some(slower) => pace = slower,
                None => return (outcome, requests),
            }
        }
    }

    /// Runs it once, and answers at which pace to try it again if this run shows nothing.
    async fn run_at(
        &self,
        harness: &dyn Harness,
        pace: Pace,
        trail: &Arc<Trail>,
        stopped: &Stopped,
    ) -> (Outcome, Option<Pace>) {
        let pace = Arc::new(pace);
        let mut is_late = false;
        let run = async {
            let context = Context::open(harness, Arc::clone(&pace), Arc::clone(trail)).await?;
            let result = (self.body)(&context).await;
            is_late = context.is_late();
            match result {
                Err(Stop::NotShown(means, reason)) => match context.fixture.absence(means) {
                    Some(why) => Err(Stop::NotApplicable(why.to_owned())),
                    None => Err(Stop::NotShown(means, reason)),
                },
                result => result,
            }
        };
        let run = AssertUnwindSafe(run).catch_unwind();
        let ended = match select(pin!(run), stopped.clone()).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), _)) => return (Outcome::LeftOut(STOPPED.to_owned()), None),
        };
        let outcome = match ended {
            Ok(result) => Outcome::from(result),
            Err(panic) => return (Outcome::Failed(panicked(&*panic)), None),
        };
        match outcome {
            Outcome::Failed(text) if is_late => {
                let slower = pace.slower();
                (Outcome::Failed(format!("{text}; the case came too late, {TOO_LATE}")), slower)
            }
            outcome => (outcome, None),
        }
    }
}

/// What a store has panicked with.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    format!("panicked: {}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text"))
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Runs one case as a test, on a runtime of its own.
///
/// # Panics
/// When the outcome is not acceptable: that is how a test fails.
pub fn test(harness: &dyn Harness, module: &str, name: &str) {
    let outcome = match (Case::find(name), runtime()) {
        (Some(case), Ok(runtime)) => runtime.block_on(case.run(harness)),
        (None, _) => Outcome::Failed("there is no case of this name".to_owned()),
        (_, Err(error)) => Outcome::Failed(format!("no runtime for the test: {error}")),
    };
    match outcome.verdict() {
        Verdict::Kept => {}
        Verdict::Said => {
            // Past the test runner's capture, so that nobody takes this for a pass. If it cannot be written, nobody
            // reads.
            let _ = writeln!(std::io::stderr(), "{module}::{name}: {outcome}");
        }
        Verdict::Broken => panic!("{module}::{name}: {outcome}"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
