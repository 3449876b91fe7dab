//! `run`: the suite against the store at a URL.

mod confirm;
mod display;
mod latency;
mod live;
mod meter;
mod plan;
mod prefixes;
mod proxy;
mod rehearsal;
mod stop;
mod suites;
mod target;
mod traces;

use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{Escaped, RequestRate, Timer, TokioTimer};
use kv_conformance::{Case, Harness};
use kv_layers::RateLimited;
use kv_terminal::signals;

use crate::arguments::{Rate, RunArguments};
use crate::exit::{Exit, Refused};
use crate::figures::{approximate, grouped};
use crate::render::Column;
use display::Display;
use live::Live;
use meter::Meter;
use plan::{Filter, Limits, Plan};
use prefixes::Prefixes;
use proxy::Linked;
use rehearsal::Original;
use stop::{Stop, Why};
use suites::Suites;
use target::Target;
use traces::Traces;

/// How long a call may wait for its turn where a rate is kept to.
const TURN_MAX: Duration = Duration::from_secs(3600);

/// How long it takes until it is looked once more for what is to be removed.
const REST: Duration = Duration::from_secs(2);

/// How many requests are made before the plan: a ping, four calls that show how long one takes, and two that remove what
/// they have written.
const BEGINNING: u64 = 7;

/// Runs the suite on a runtime of its own: the races find more on several threads.
pub(crate) fn main(arguments: &RunArguments) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Refused::new(Exit::Stopped, format!("cannot start: {error}")).tell(),
    };
    let exit = runtime.block_on(async {
        // First, so that it is listened to before there is anything to clean up.
        let mut signal = pin!(signals::stop());
        let traces = Arc::new(Traces::default());
        let prepared = match select(signal.as_mut(), pin!(prepare(arguments, &traces))).await {
            Either::Left((signal, _)) => Err(Exit::from(signal)),
            Either::Right((prepared, _)) => prepared.map_err(Refused::tell),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(exit) => {
                // How long a call takes was seen by a key. A second signal ends the process.
                if traces.are_unsettled() {
                    TokioTimer.sleep(REST).await;
                }
                clear(&traces).await;
                return exit;
            }
        };
        let stop = Stop::new();
        let listening = stop.clone();
        let heard = async move {
            listening.stop(Why::Signal(signal.await));
            std::future::pending::<()>().await;
        };
        match select(pin!(heard), pin!(run(&prepared, arguments, &stop))).await {
            Either::Left(((), _)) => Exit::Stopped,
            Either::Right((exit, _)) => exit,
        }
    });
    // What blocks by then, such as a question that nobody answers, is not waited for.
    runtime.shutdown_background();
    exit
}

/// What a run begins with.
struct Prepared {
    live: Live,
    meter: Arc<Meter>,
    plan: Plan,
}

async fn prepare(arguments: &RunArguments, traces: &Arc<Traces>) -> Result<Prepared, Refused> {
    arguments.output.check().map_err(|error| Refused::new(Exit::Usage, error))?;
    let filter = Filter::parse(&arguments.filter).map_err(|error| Refused::new(Exit::Usage, error))?;
    let target = Target::parse(&arguments.url).map_err(|error| Refused::by(&error))?;
    let (shown, is_asked) = (target.to_string(), !target.is_in_memory());
    let by_store = |error: kv_api::Error| Refused::by_store(&shown, &error);
    let target = if arguments.through_proxy {
        // Before anything is sent.
        Linked::open(&target).await.map_err(by_store)?;
        target.with_few_attempts().map_err(by_store)?
    } else {
        target
    };
    let budget = arguments.budget_requests.map(NonZero::get);
    if budget.is_some_and(|budget| budget < BEGINNING) {
        let message = format!("a run begins with {BEGINNING} requests: the budget has to be as large");
        return Err(Refused::new(Exit::Usage, message));
    }
    let meter = Meter::new();
    let prefixes = Prefixes::below(&arguments.prefix);
    let opened = target.open().await.map_err(by_store)?;
    let rate = match arguments.rate {
        Rate::None => None,
        Rate::Of(rate) => Some(rate),
        Rate::Documented => opened.capabilities().request_rate,
    };
    // Each call may be as many requests: those of the faults are, and by them the rate is to be kept too.
    let attempts = target.attempts_max();
    let rate = rate.map(|rate| if arguments.through_proxy { of_calls(rate, attempts) } else { rate });
    let limit = rate.map(|rate| rate_limited(rate, opened.capabilities().system));
    let live = Live::new(target, opened, limit, prefixes, &meter, traces);
    live.plain().ping().await.map_err(by_store)?;
    let latency = live.measure().await.map_err(by_store)?;
    let turn = rate.map_or(Duration::ZERO, |rate| turn(rate, arguments.concurrency.get()));
    let live = if arguments.through_proxy { live.with_links() } else { live };
    let live = live.with_granularity(latency::granularity(latency, turn));
    let original = Original {
        capabilities: live.plain().capabilities().clone(),
        prefix: live.prefixes().next(),
        granularity: live.granularity(),
        has_namespaces: live.has_namespaces(),
        has_client_clock: live.has_client_clock(),
    };
    let estimates = rehearsal::rehearse(&original, filter.chosen()).await;
    // A list and a delete for each case that runs when the budget is used up.
    let at_once = plan::WAITING_MAX + arguments.concurrency.get();
    let kept = budget.map_or(0, |budget| u64::try_from(at_once * 2).unwrap_or(u64::MAX).min(budget / 10));
    if let Some(budget) = budget {
        meter.set_budget(budget - kept);
    }
    let limits = Limits {
        profile: arguments.profile,
        filter,
        requests: budget,
        spent: meter.spent() + kept,
        time: arguments.budget_seconds.map(|seconds| Duration::from_secs(seconds.get())),
        rate,
        latency,
        concurrency: arguments.concurrency.get(),
    };
    let plan = plan::plan(&estimates, &limits);
    tell!("{shown}, below the prefix {}", Escaped(live.prefixes().root()));
    let cases = plan.waiting.len() + plan.others.len();
    let (requests, time) = (grouped(plan.requests), approximate(plan.time));
    let repeated = grouped(plan.requests.saturating_mul(attempts.into()));
    let most = if attempts > 1 { format!(" ({repeated} if each took {attempts} attempts)") } else { String::new() };
    tell!("{cases} of {} cases: at least {requests} requests{most}, about {time}", Case::ALL.len());
    if is_asked && !arguments.yes {
        confirm::confirm().await?;
    }
    Ok(Prepared { live, meter, plan })
}

/// Cloudflare takes one write to a key in a second, beside the rate of all requests.
fn rate_limited(rate: RequestRate, system: &str) -> RateLimited {
    let limit = RateLimited::new(rate).with_max_wait(TURN_MAX);
    if system == "cloudflare" { limit.with_key_write_interval(Duration::from_secs(1)) } else { limit }
}

/// The rate of calls that keeps to one of requests, where each is sent so often at most. Rather too slow than too fast.
fn of_calls(rate: RequestRate, attempts: u32) -> RequestRate {
    RequestRate::new(rate.requests.max(1), rate.per * attempts)
}

/// How long a call may wait behind those of all others.
fn turn(rate: RequestRate, concurrency: usize) -> Duration {
    rate.per * u32::try_from(concurrency * 2).unwrap_or(u32::MAX) / rate.requests.max(1)
}

async fn run(prepared: &Prepared, arguments: &RunArguments, stop: &Stop) -> Exit {
    let Prepared { live, meter, plan } = prepared;
    let timer: Arc<dyn Timer> = Arc::new(TokioTimer);
    let display = Display::new(Case::ALL.len(), &timer);
    let as_it_is = live.without_patience();
    let suites = Suites {
        plan,
        concurrency: arguments.concurrency.get(),
        // What it takes is in no estimate.
        probed: arguments.budget_requests.is_none().then_some(&as_it_is as &dyn Harness),
        display: &display,
        stop,
    };
    let time = arguments.budget_seconds.map(|seconds| Duration::from_secs(seconds.get()));
    let work = Box::pin(suites::within(suites.run(live), stop, meter, time, &*timer));
    let report = display.during(work).await;
    if stop.why().is_some() || live.traces().are_unsettled() {
        timer.sleep(REST).await;
    }
    if stop.why().is_some() {
        live.sweep().await;
    }
    let is_clean = clear(live.traces()).await;
    let is_ok = report.is_ok();
    let report = if arguments.stable { report.without_figures_of_this_run() } else { report };
    if let Err(error) = arguments.output.write(&[Column::alone(&report)]) {
        return Refused::new(Exit::Usage, error).tell();
    }
    match meter.counted() {
        0 => tell!("at least {} requests were made: so many calls of the store", grouped(meter.spent())),
        counted => tell!("{} requests of cases were counted on their way", grouped(counted)),
    }
    match stop.why() {
        Some(Why::Signal(signal)) => return Exit::from(signal),
        Some(Why::Requests) => tell!("stopped: the budget of requests is used up"),
        Some(Why::Time(time)) => tell!("stopped: the budget of {} seconds is used up", time.as_secs()),
        None => {}
    }
    match (is_ok, is_clean) {
        (false, _) => Exit::Broken,
        (true, false) => Exit::NotRemoved,
        (true, true) => Exit::Kept,
    }
}

/// Removes what is left of the run, and says what could not be.
async fn clear(traces: &Traces) -> bool {
    let mut failures = traces.clear().await;
    if !failures.is_empty() {
        TokioTimer.sleep(REST).await;
        failures = traces.clear().await;
    }
    for (prefix, error) in &failures {
        tell!("error: keys that begin with {} may be left, and could not be removed: {error}", Escaped(prefix));
    }
    failures.is_empty()
}
