//! `compare`: what changed from one report to another.

use std::path::PathBuf;

use clap::Args;
use kv_conformance::kv_api::Support;
use kv_conformance::{CaseReport, Fact, FactValue, Report, Requests};

use crate::exit::Exit;
use crate::kept::Kept;
use crate::render::{Ending, Style, line, time};

/// What changed from one report to another, what got worse first
///
/// Worse is a case that fails and did not, or is no longer shown, or passed and is gone; a capability that is weaker,
/// or a limit that is tighter; an operation that takes more requests. Times are compared only where they differ much,
/// and are never worse.
#[derive(Args, Debug)]
pub(crate) struct CompareArguments {
    /// The report before
    #[arg(value_name = "BEFORE.json")]
    before: PathBuf,
    /// The report after
    #[arg(value_name = "AFTER.json")]
    after: PathBuf,
}

/// How many times as long a case takes before it is said, and from which time on. A run is never as fast as the next.
const MUCH_LONGER: u64 = 5;
const LONG_MICROS: u64 = 200_000;

/// A change, and whether it takes something away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trend {
    Worse,
    Better,
    Neither,
}

#[derive(Debug, PartialEq, Eq)]
struct Change {
    trend: Trend,
    text: String,
}

pub(crate) fn main(arguments: &CompareArguments) -> Exit {
    let (before, after) = match (Kept::read(&arguments.before), Kept::read(&arguments.after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => {
            tell!("error: {error}");
            return Exit::Usage;
        }
    };
    let changes = changes(&before.report, &after.report);
    say!("{}", listed(&changes, Style::of_stdout()));
    if changes.iter().any(|change| change.trend == Trend::Worse) { Exit::Broken } else { Exit::Kept }
}

/// All changes, what got worse first.
fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |trend, text| changes.push(Change { trend, text });
    for (what, old, new) in
        [("system", &before.system, &after.system), ("suite", &before.suite_version, &after.suite_version)]
    {
        if old != new {
            note(Trend::Neither, format!("{what}: {} -> {}", line(old), line(new)));
        }
    }
    cases(before, after, &mut note);
    facts(before, after, &mut note);
    operations(before, after, &mut note);
    changes.sort_by_key(|change| change.trend);
    changes
}

fn cases(before: &Report, after: &Report, note: &mut impl FnMut(Trend, String)) {
    for new in &after.cases {
        let ending = Ending::of(&new.outcome);
        match before.cases.iter().find(|old| old.name == new.name) {
            None => {
                let trend = if ending.is_ok() { Trend::Neither } else { Trend::Worse };
                note(trend, format!("{}: new, {}", line(&new.name), ended(new)));
            }
            Some(old) if Ending::of(&old.outcome) != ending => {
                let was = Ending::of(&old.outcome);
                let trend = match evidence(ending).cmp(&evidence(was)) {
                    std::cmp::Ordering::Less => Trend::Worse,
                    std::cmp::Ordering::Greater => Trend::Better,
                    std::cmp::Ordering::Equal => Trend::Neither,
                };
                note(trend, format!("{}: {} -> {}", line(&new.name), was.word(), ended(new)));
            }
            Some(old) if !ending.is_ok() && old.outcome != new.outcome => {
                note(Trend::Neither, format!("{}: still {}", line(&new.name), ended(new)));
            }
            Some(old) => timing(old, new, note),
        }
    }
    let is_gone = |old: &&CaseReport| !after.cases.iter().any(|new| new.name == old.name);
    for old in before.cases.iter().filter(is_gone) {
        let was = Ending::of(&old.outcome);
        // What said something for the store is no longer shown.
        let trend = if evidence(was) == evidence(Ending::Passed) { Trend::Worse } else { Trend::Neither };
        note(trend, format!("{}: gone, {} before", line(&old.name), was.word()));
    }
}

/// How much an outcome says: a failure against the store, what was not tried nothing, the rest for it.
const fn evidence(ending: Ending) -> u8 {
    match ending {
        Ending::Failed | Ending::NotExercised => 0,
        Ending::NotShown | Ending::LeftOut => 1,
        Ending::Passed | Ending::Refused | Ending::NotApplicable => 2,
    }
}

fn ended(case: &CaseReport) -> String {
    let word = Ending::of(&case.outcome).word();
    case.outcome.text().map_or_else(|| word.to_owned(), |text| format!("{word}: {}", line(text)))
}

/// A report that was made to be kept says no times.
fn timing(old: &CaseReport, new: &CaseReport, note: &mut impl FnMut(Trend, String)) {
    let (less, more) = (old.elapsed_micros.min(new.elapsed_micros), old.elapsed_micros.max(new.elapsed_micros));
    if less > 0 && more >= LONG_MICROS && more / less >= MUCH_LONGER {
        let (took, takes) = (time(old.elapsed_micros), time(new.elapsed_micros));
        note(Trend::Neither, format!("{}: took {took}, takes {takes}", line(&new.name)));
    }
}

fn facts(before: &Report, after: &Report, note: &mut impl FnMut(Trend, String)) {
    let find = |report: &Report, name: &str| report.capabilities.iter().find(|fact| fact.name == name).cloned();
    for new in &after.capabilities {
        match find(before, &new.name) {
            Some(old) if old.value == new.value => {}
            old => note(trend(old.as_ref(), Some(new)), fact(&new.title, old.as_ref(), Some(new))),
        }
    }
    for old in before.capabilities.iter().filter(|old| find(after, &old.name).is_none()) {
        note(trend(Some(old), None), fact(&old.title, Some(old), None));
    }
}

fn fact(title: &str, old: Option<&Fact>, new: Option<&Fact>) -> String {
    let shown =
        |fact: Option<&Fact>| fact.map_or_else(|| "not reported".to_owned(), |fact| line(&fact.value.to_string()));
    format!("capability \"{}\": {} -> {}", line(title), shown(old), shown(new))
}

/// Whether a store that reports something else promises less. What has no order counts as less, so that it is looked
/// at; a limit of an item that is not reported is none.
fn trend(old: Option<&Fact>, new: Option<&Fact>) -> Trend {
    use FactValue::{AtLeast, AtMost, Flag, Micros, Support as Supported};
    let at_most = |max: &Option<i64>| max.unwrap_or(i64::MAX);
    let micros = |micros: &Option<u64>| micros.unwrap_or(u64::MAX);
    let limits_items = old.or(new).is_some_and(|fact| fact.name.starts_with("item_limits."));
    let order = match (old.map(|fact| &fact.value), new.map(|fact| &fact.value)) {
        (Some(Supported(old)), Some(Supported(new))) => new.cmp(old),
        (None, Some(Supported(new))) => new.cmp(&Support::None),
        (Some(Supported(old)), None) => Support::None.cmp(old),
        (Some(Flag(old)), Some(Flag(new))) => new.cmp(old),
        (Some(AtMost(old)), Some(AtMost(new))) => at_most(new).cmp(&at_most(old)),
        (None, Some(AtMost(new))) if limits_items => at_most(new).cmp(&i64::MAX),
        (Some(AtMost(old)), None) if limits_items => i64::MAX.cmp(&at_most(old)),
        (Some(AtLeast(old)), Some(AtLeast(new))) => old.cmp(new),
        (Some(Micros(old)), Some(Micros(new))) => micros(old).cmp(&micros(new)),
        // What says more about something comes and goes with it, and the change of that is said by itself.
        (None, _) | (_, None) => return Trend::Neither,
        _ => std::cmp::Ordering::Less,
    };
    match order {
        std::cmp::Ordering::Less => Trend::Worse,
        std::cmp::Ordering::Greater => Trend::Better,
        std::cmp::Ordering::Equal => Trend::Neither,
    }
}

fn operations(before: &Report, after: &Report, note: &mut impl FnMut(Trend, String)) {
    for new in &after.operations {
        let old = before.operations.iter().find(|old| old.operation == new.operation);
        let Some(old) = old.filter(|old| old.requests != new.requests) else { continue };
        let trend = match (&old.requests, &new.requests) {
            (Requests::Counted(old), Requests::Counted(new)) if new < old => Trend::Better,
            (_, Requests::NotCounted) | (Requests::NotCounted, Requests::Counted(_)) => Trend::Neither,
            // Still, for another reason.
            (Requests::Failed(_), Requests::Failed(_)) => Trend::Neither,
            (Requests::NotSupported | Requests::Failed(_), Requests::Counted(_)) => Trend::Better,
            _ => Trend::Worse,
        };
        let text = format!("{}: {} -> {}", line(&new.operation), requests(&old.requests), requests(&new.requests));
        note(trend, text);
    }
}

fn requests(requests: &Requests) -> String {
    match requests {
        Requests::Counted(1) => "1 request".to_owned(),
        Requests::Counted(number) => format!("{number} requests"),
        Requests::NotCounted => "requests not counted".to_owned(),
        Requests::NotSupported => "not supported".to_owned(),
        Requests::Failed(text) => format!("failed: {}", line(text)),
        _ => "unknown".to_owned(),
    }
}

fn listed(changes: &[Change], style: Style) -> String {
    if changes.is_empty() {
        return "nothing changed".to_owned();
    }
    let mut parts = Vec::new();
    for (trend, head, ending) in [
        (Trend::Worse, "worse", Ending::Failed),
        (Trend::Better, "better", Ending::Passed),
        (Trend::Neither, "neither worse nor better", Ending::NotShown),
    ] {
        let mut lines: Vec<String> =
            changes.iter().filter(|change| change.trend == trend).map(|change| format!("  {}", change.text)).collect();
        if !lines.is_empty() {
            lines.insert(0, style.ending(ending, format!("{head} ({})", lines.len())).to_string());
            parts.push(lines.join("\n"));
        }
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::tests::{report, report_of};

    fn found(before: &Report, after: &Report) -> Vec<(Trend, String)> {
        changes(before, after).into_iter().map(|change| (change.trend, change.text)).collect()
    }

    fn one(outcome: &str) -> Report {
        let text = (outcome != "passed").then(|| json!({ "outcome": outcome, "text": "why" }));
        report_of(&[("set_1_a", text.unwrap_or_else(|| json!({ "outcome": "passed" })))])
    }

    #[test]
    fn a_report_is_as_itself() {
        assert_eq!(listed(&changes(&one("failed"), &one("failed")), Style::PLAIN), "nothing changed");
    }

    #[test]
    fn less_evidence_is_worse_and_more_is_better() {
        use Trend::{Better, Neither, Worse};
        for (before, after, expected) in [
            ("passed", "failed", Worse),
            ("passed", "not_exercised", Worse),
            ("passed", "not_shown", Worse),
            ("refused", "left_out", Worse),
            ("not_shown", "failed", Worse),
            ("failed", "passed", Better),
            ("left_out", "passed", Better),
            ("failed", "not_shown", Better),
            ("passed", "refused", Neither),
            ("failed", "not_exercised", Neither),
        ] {
            let found = found(&one(before), &one(after));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, expected, "{before} -> {after}");
        }
        let (trend, text) = &found(&one("passed"), &one("failed"))[0];
        assert_eq!((*trend, text.as_str()), (Worse, "set_1_a: passed -> failed: why"));
    }

    #[test]
    fn a_new_case_that_fails_is_worse_and_so_is_one_that_passed_and_is_gone() {
        let (none, passed, failed) = (report(&[]), one("passed"), one("failed"));
        assert_eq!(found(&none, &failed), [(Trend::Worse, "set_1_a: new, failed: why".to_owned())]);
        assert_eq!(found(&none, &passed), [(Trend::Neither, "set_1_a: new, passed".to_owned())]);
        assert_eq!(found(&passed, &none), [(Trend::Worse, "set_1_a: gone, passed before".to_owned())]);
        assert_eq!(found(&one("refused"), &none)[0].0, Trend::Worse);
        for (outcome, word) in [("failed", "failed"), ("not_shown", "not shown"), ("left_out", "left out")] {
            let expected = format!("set_1_a: gone, {word} before");
            assert_eq!(found(&one(outcome), &none), [(Trend::Neither, expected)]);
        }
        let mut other = one("failed");
        other.cases[0].outcome = kv_conformance::Outcome::Failed("another reason".to_owned());
        assert_eq!(found(&failed, &other), [(Trend::Neither, "set_1_a: still failed: another reason".to_owned())]);
    }

    #[test]
    fn a_weaker_promise_and_a_tighter_limit_are_worse() {
        use FactValue::{AtLeast, AtMost, Flag, Micros, Text};
        let with = |value: Option<FactValue>| {
            let mut report = report(&[]);
            report.capabilities.truncate(1);
            match value {
                Some(value) => report.capabilities[0].value = value,
                None => report.capabilities.clear(),
            }
            report
        };
        for (less, more) in [
            (Some(FactValue::Support(Support::BestEffort)), Some(FactValue::Support(Support::Native))),
            (None, Some(FactValue::Support(Support::Emulated))),
            (Some(Flag(false)), Some(Flag(true))),
            (Some(AtMost(Some(5))), Some(AtMost(Some(6)))),
            (Some(AtMost(Some(5))), Some(AtMost(None))),
            (Some(AtLeast(2)), Some(AtLeast(1))),
            (Some(Micros(Some(1000))), Some(Micros(Some(1)))),
        ] {
            let (less, more) = (with(less), with(more));
            assert_eq!(found(&more, &less)[0].0, Trend::Worse, "{:?}", less.capabilities);
            assert_eq!(found(&less, &more)[0].0, Trend::Better, "{:?}", less.capabilities);
        }
        let (one, other) = (with(Some(Text("one".to_owned()))), with(Some(Text("other".to_owned()))));
        let expected = "capability \"a relative ttl\": one -> other".to_owned();
        assert_eq!(found(&one, &other), [(Trend::Worse, expected)], "what has no order is looked at");
    }

    #[test]
    fn what_says_more_about_a_feature_comes_and_goes_with_it() {
        use FactValue::{AtMost, Flag, Micros, Support as Supported};
        let with = |facts: &[(&str, FactValue)]| {
            let mut report = report(&[]);
            let ttl = report.capabilities.swap_remove(0);
            let fact = |(name, value): &(&str, FactValue)| Fact {
                name: (*name).to_owned(),
                value: value.clone(),
                ..ttl.clone()
            };
            report.capabilities = facts.iter().map(fact).collect();
            report
        };
        let trends = |before: &Report, after: &Report| -> Vec<Trend> {
            changes(before, after).into_iter().map(|change| change.trend).collect()
        };
        let eventual = with(&[("consistency", Flag(false)), ("consistency.usually_within", Micros(Some(60_000_000)))]);
        let strong = with(&[("consistency", Flag(true))]);
        assert_eq!(trends(&eventual, &strong), [Trend::Better, Trend::Neither]);
        assert_eq!(trends(&strong, &eventual), [Trend::Worse, Trend::Neither]);
        let listed = with(&[("list", Supported(Support::Native)), ("list_page_max", AtMost(Some(1_000)))]);
        let unlisted = with(&[("list", Supported(Support::None))]);
        assert_eq!(trends(&unlisted, &listed), [Trend::Better, Trend::Neither]);
        assert_eq!(trends(&listed, &unlisted), [Trend::Worse, Trend::Neither]);
        let limited = with(&[("item_limits.value_bytes_max", AtMost(Some(5)))]);
        assert_eq!(trends(&limited, &with(&[])), [Trend::Better], "a limit of an item that is not reported is none");
        assert_eq!(trends(&with(&[]), &limited), [Trend::Worse]);
    }

    #[test]
    fn more_requests_are_worse_and_times_never() {
        let (before, mut after) = (one("passed"), one("passed"));
        after.operations[0].requests = Requests::Counted(3);
        assert_eq!(found(&before, &after), [(Trend::Worse, "get: 1 request -> 3 requests".to_owned())]);
        assert_eq!(found(&after, &before)[0].0, Trend::Better);
        after.operations[0].requests = Requests::NotCounted;
        assert_eq!(found(&before, &after)[0].0, Trend::Neither);
        after.operations[0].requests = Requests::Failed("once".to_owned());
        assert_eq!(found(&before, &after)[0].0, Trend::Worse);
        let mut again = one("passed");
        again.operations[0].requests = Requests::Failed("again".to_owned());
        assert_eq!(found(&after, &again)[0].0, Trend::Neither, "still, for another reason");
        let mut after = one("passed");
        after.cases[0].elapsed_micros = 1_000_000;
        assert_eq!(found(&before, &after), [], "four times as long is not much");
        after.cases[0].elapsed_micros = 1_250_000;
        let expected = "set_1_a: took 250 ms, takes 1.25 s".to_owned();
        assert_eq!(found(&before, &after), [(Trend::Neither, expected)]);
        after.cases[0].elapsed_micros = 0;
        assert_eq!(found(&before, &after), [], "a kept report says no times");
    }
}
