//! The summary for programs; its members are documented in the README.

use std::io;
use std::time::Duration;

use kv_migrate::{Cause, Counts, Error, Failure, Resumed, Summary, Traffic};
use serde::Serialize;

use super::copy::StepReport;
use super::exit::Exit;
use super::plan::Planned;
use super::session::{Refused, Session};
use super::verify::{Differs, Verified};
use super::{report, shell};

/// Grows only when a member goes or changes its meaning.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    command: &'a str,
    exit: ExitCode,
    seconds: f64,
    error: Option<Problem>,
    steps: Vec<Step<'a>>,
    plan: Option<Foresight<'a>>,
    verification: Option<Comparison<'a>>,
}

#[derive(Serialize)]
struct ExitCode {
    code: u8,
    name: &'static str,
}

#[derive(Serialize)]
struct Problem {
    kind: String,
    message: String,
}

#[derive(Serialize)]
struct Step<'a> {
    from: &'a str,
    to: String,
    seconds: f64,
    counts: Numbers,
    repeated_at_least: bool,
    causes: Vec<Why<'a>>,
    stopped: Option<Problem>,
    target_untouched: bool,
    kept_beside: Option<String>,
    resumed: Option<Onward>,
    checkpoint: Option<String>,
    verification: Option<Comparison<'a>>,
}

#[derive(Serialize)]
struct Numbers {
    read: u64,
    written: u64,
    unchanged: u64,
    kept: u64,
    repeated: u64,
    expired: u64,
    skipped: u64,
    failed: u64,
    unknown: u64,
    missing: u64,
    expiry_lost: u64,
    metadata_lost: u64,
}

#[derive(Serialize)]
struct Why<'a> {
    count: u64,
    examples: Vec<Example<'a>>,
}

#[derive(Serialize)]
struct Example<'a> {
    key: &'a str,
    line: Option<u64>,
    kind: String,
    message: &'a str,
    code: Option<&'a str>,
}

#[derive(Serialize)]
struct Onward {
    entries: u64,
    again: u64,
}

#[derive(Serialize)]
struct Comparison<'a> {
    source: &'a str,
    target: &'a str,
    compared: u64,
    same: u64,
    only_in_source: u64,
    only_in_target: u64,
    different: u64,
    no_value: u64,
    expired: u64,
    skipped: u64,
    unreadable: u64,
    missing: u64,
    expiry_not_reported: u64,
    changed_meanwhile: u64,
    target_not_listed: bool,
    is_sample: bool,
    examples: Vec<Differs<'a>>,
    stopped: Option<Problem>,
}

#[derive(Serialize)]
struct Foresight<'a> {
    from: &'a str,
    to: &'a str,
    counts: Numbers,
    repeated_at_least: bool,
    causes: Vec<Why<'a>>,
    existing: Option<u64>,
    key_bytes: u64,
    value_bytes: u64,
    metadata_bytes: u64,
    value_bytes_max: u64,
    expiry_moved: u64,
    notes: Vec<String>,
    source_traffic: Option<Requests>,
    target_traffic: Option<Requests>,
    sample: Option<Chosen>,
    stopped: Option<Problem>,
}

#[derive(Serialize)]
struct Requests {
    requests: u64,
    seconds: Option<f64>,
}

#[derive(Serialize)]
struct Chosen {
    listed: u64,
    read: u64,
    value_bytes_listed: bool,
}

/// Writes it as one line, and answers how the command ended then.
pub(crate) fn print(command: &str, session: &Session, refused: Option<&Refused>, exit: Exit, took: Duration) -> Exit {
    let (steps, planned, verified) = (session.take_steps(), session.take_planned(), session.take_verified());
    let done = Done { steps: &steps, planned: planned.as_ref(), verified: verified.as_ref() };
    let document = document(command, &done, refused, exit, took);
    let line = serde_json::to_vec(&document).map_err(io::Error::from).map(|mut line| {
        line.push(b'\n');
        line
    });
    // Standard output is full of entries then.
    let written = line.and_then(|line| match session.writes_stdout() {
        true => io::Write::write_all(&mut io::stderr(), &line),
        false => shell::print(&line),
    });
    match written {
        Ok(()) => exit,
        Err(error) => {
            tell!("error: the summary cannot be written: {error}");
            if exit == Exit::Complete { Exit::Stopped } else { exit }
        }
    }
}

/// What was done.
struct Done<'a> {
    steps: &'a [StepReport],
    planned: Option<&'a Planned>,
    verified: Option<&'a Verified>,
}

fn document<'a>(
    command: &'a str,
    done: &Done<'a>,
    refused: Option<&Refused>,
    exit: Exit,
    took: Duration,
) -> Document<'a> {
    Document {
        version: VERSION,
        command,
        exit: ExitCode { code: exit.code(), name: exit.name() },
        seconds: took.as_secs_f64(),
        error: refused.map(|refused| Problem { kind: refused.kind.clone(), message: refused.message.clone() }),
        steps: done.steps.iter().map(step).collect(),
        plan: done.planned.map(foresight),
        verification: done.verified.map(comparison),
    }
}

fn step(step: &StepReport) -> Step<'_> {
    let StepReport { from, to, took, summary, is_cut_off, verified } = step;
    let Summary { counts, repeated_at_least, failures, stopped, target_untouched, .. } = summary;
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    Step {
        from,
        to: to.shown(),
        seconds: took.as_secs_f64(),
        counts: numbers(counts),
        repeated_at_least: *repeated_at_least,
        causes: failures.causes().iter().map(why).collect(),
        stopped: stopped.as_ref().map(problem).or_else(|| is_cut_off.then(cut_off)),
        target_untouched: *target_untouched,
        kept_beside: path(&summary.kept_beside),
        resumed: summary.resumed.map(|Resumed { entries, again, .. }| Onward { entries, again }),
        checkpoint: path(&summary.checkpoint),
        verification: verified.as_ref().map(comparison),
    }
}

const fn numbers(counts: &Counts) -> Numbers {
    Numbers {
        read: counts.read,
        written: counts.written,
        unchanged: counts.unchanged,
        kept: counts.kept,
        repeated: counts.repeated,
        expired: counts.expired,
        skipped: counts.skipped,
        failed: counts.failed,
        unknown: counts.unknown,
        missing: counts.missing,
        expiry_lost: counts.expiry_lost,
        metadata_lost: counts.metadata_lost,
    }
}

fn why(cause: &Cause) -> Why<'_> {
    Why { count: cause.count, examples: cause.examples.iter().map(example).collect() }
}

fn example(failure: &Failure) -> Example<'_> {
    let Failure { key, line, error, .. } = failure;
    Example { key, line: *line, kind: report::store_kind(error), message: error.message(), code: error.native_code() }
}

fn foresight(planned: &Planned) -> Foresight<'_> {
    let Planned { from, to, plan } = planned;
    Foresight {
        from,
        to,
        counts: numbers(&plan.counts),
        repeated_at_least: plan.repeated_at_least,
        causes: plan.failures.causes().iter().map(why).collect(),
        existing: plan.existing,
        key_bytes: plan.key_bytes,
        value_bytes: plan.value_bytes,
        metadata_bytes: plan.metadata_bytes,
        value_bytes_max: plan.value_bytes_max,
        expiry_moved: plan.expiry_moved,
        notes: plan.notes.iter().map(ToString::to_string).collect(),
        source_traffic: plan.source.as_ref().map(requests),
        target_traffic: plan.target.as_ref().map(requests),
        sample: plan.sample.map(|sample| Chosen {
            listed: sample.listed,
            read: sample.read,
            value_bytes_listed: sample.value_bytes_listed,
        }),
        stopped: plan.stopped.as_ref().map(problem),
    }
}

fn requests(traffic: &Traffic) -> Requests {
    Requests { requests: traffic.requests, seconds: traffic.time().map(|time| time.as_secs_f64()) }
}

fn comparison(verified: &Verified) -> Comparison<'_> {
    let Verified { from, to, verification, shown } = verified;
    Comparison {
        source: from,
        target: to,
        compared: verification.compared,
        same: verification.same,
        only_in_source: verification.only_in_source,
        only_in_target: verification.only_in_target,
        different: verification.different,
        no_value: verification.no_value,
        expired: verification.expired,
        skipped: verification.skipped,
        unreadable: verification.unreadable,
        missing: verification.missing,
        expiry_not_reported: verification.expiry_not_reported,
        changed_meanwhile: verification.changed_meanwhile,
        target_not_listed: verification.target_not_listed,
        is_sample: verification.is_sample,
        examples: shown.iter().map(Differs::new).collect(),
        stopped: verification.stopped.as_ref().map(problem),
    }
}

/// What ended a step that a signal cut off.
fn cut_off() -> Problem {
    Problem { kind: "interrupted".to_owned(), message: "interrupted by a signal".to_owned() }
}

fn problem(error: &Error) -> Problem {
    Problem { kind: report::kind(error), message: error.to_string() }
}
