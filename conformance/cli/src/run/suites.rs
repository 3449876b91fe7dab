//! The cases of a run: those that wait beside the others.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, pending, select};
use kv_api::Timer;
use kv_conformance::{Case, Harness, Report, Suite};

use super::display::Display;
use super::meter::Meter;
use super::plan::Plan;
use super::stop::{Stop, Why};

/// What is run, and how.
pub(crate) struct Suites<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) concurrency: usize,
    /// Stores on which the requests of each operation are counted.
    pub(crate) probed: Option<&'a dyn Harness>,
    pub(crate) display: &'a Display,
    pub(crate) stop: &'a Stop,
}

impl Suites<'_> {
    /// Runs what was planned. What was left out is in the report too.
    pub(crate) async fn run(&self, harness: &dyn Harness) -> Report {
        let plan = self.plan;
        let left_out = Case::ALL.iter().filter(|case| plan.left_out.contains_key(case.name()));
        let waiting = self.suite(&plan.waiting, plan.waiting_at_once);
        let others = self.suite(&plan.others, self.concurrency);
        let (waiting, mut report) = join(waiting.run(harness), others.run(harness)).await;
        absorb(&mut report, waiting);
        // Also of a run that was stopped it is known why they were left out.
        let left_out = Suite::new().with_cases(left_out).with_admission(|case| plan.left_out.get(case.name()).cloned());
        let left_out = left_out.with_observer(|event| self.display.observe(event));
        absorb(&mut report, left_out.run(harness).await);
        if let Some(probed) = self.probed {
            let probe = Suite::new().with_cases([]).with_probe().stop_when(self.stop.stopped());
            report.operations = probe.run(probed).await.operations;
        }
        report
    }

    fn suite(&self, cases: &[&'static Case], at_once: usize) -> Suite<'_> {
        Suite::new()
            .with_cases(cases.iter().copied())
            .with_concurrency(at_once)
            .with_observer(|event| self.display.observe(event))
            .stop_when(self.stop.stopped())
    }
}

/// One report of two, in the order of the rules.
fn absorb(report: &mut Report, other: Report) {
    if report.system.is_empty() {
        (report.system, report.capabilities) = (other.system, other.capabilities);
    }
    report.elapsed_micros = report.elapsed_micros.max(other.elapsed_micros);
    report.cases.extend(other.cases);
    report.cases.sort_by_key(|case| Case::ALL.iter().position(|other| other.name() == case.name));
}

/// Stops the run when the meter's budget is used up, or the time is over.
pub(crate) async fn within<T>(
    work: impl Future<Output = T>,
    stop: &Stop,
    meter: &Meter,
    time: Option<Duration>,
    timer: &dyn Timer,
) -> T {
    let time_is_over = async {
        match time {
            Some(time) => {
                timer.sleep(time).await;
                time
            }
            None => pending().await,
        }
    };
    let over = async {
        stop.stop(match select(pin!(meter.exhausted()), pin!(time_is_over)).await {
            Either::Left(_) => Why::Requests,
            Either::Right((time, _)) => Why::Time(time),
        });
    };
    match select(pin!(work), pin!(over)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}
