//! A run of cases: what is undone, what stops it, what is left out, and what the report says.

#[allow(dead_code, reason = "few bugs are needed here")]
mod reference;

use std::fmt;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kv_api::{Backend, Capabilities, Error, ErrorKind, Increment, Layer, Result, Support, forward_backend};
use kv_conformance::{
    Case, Event, Fact, Fixture, Harness, Layered, Means, Outcome, Report, Requests, Suite, async_trait, probe, run_all,
};
use reference::{Bug, ReferenceHarness};
use tokio::sync::Notify;

/// Counts what it has opened and undone.
struct Counting {
    inner: ReferenceHarness,
    opened: Arc<AtomicU64>,
    undone: Arc<AtomicU64>,
    undo_fails: bool,
    /// Opens one store, and then none any more.
    hangs: bool,
    hanging: Arc<Notify>,
}

impl Counting {
    fn new(inner: ReferenceHarness) -> Self {
        let (opened, undone, hanging) = Default::default();
        Self { inner, opened, undone, undo_fails: false, hangs: false, hanging }
    }

    fn counts(&self) -> (u64, u64) {
        (self.opened.load(Ordering::SeqCst), self.undone.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Harness for Counting {
    async fn open(&self) -> Result<Fixture> {
        if self.hangs && self.opened.load(Ordering::SeqCst) > 0 {
            self.hanging.notify_one();
            pending::<()>().await;
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (undone, fails) = (Arc::clone(&self.undone), self.undo_fails);
        Ok(self.inner.open().await?.with_teardown(move || {
            undone.fetch_add(1, Ordering::SeqCst);
            ready(if fails { Err(Error::new(ErrorKind::Unavailable, "it is gone")) } else { Ok(()) })
        }))
    }
}

fn case(name: &str) -> &'static Case {
    Case::find(name).expect("a case of this name")
}

#[tokio::test]
async fn what_was_opened_is_undone_however_the_case_ends() {
    // It opens a fresh store for each fault.
    let kept = Counting::new(ReferenceHarness::whole());
    assert_eq!(case("err_3_a_fault_that_lasts_is_told_for_what_it_is").run(&kept).await, Outcome::Passed);
    assert!(kept.counts().0 > 3 && kept.counts().0 == kept.counts().1, "{:?}", kept.counts());

    let broken = Counting::new(ReferenceHarness::with(Bug::EmptyValueIsMissing));
    let outcome = case("val_4_an_empty_value_is_a_value").run(&broken).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome}");
    assert_eq!(broken.counts(), (1, 1));

    let refused = Counting { undo_fails: true, ..Counting::new(ReferenceHarness::whole()) };
    let outcome = case("val_4_an_empty_value_is_a_value").run(&refused).await;
    assert!(outcome.text().is_some_and(|text| text.contains("could not be undone")), "{outcome}");
}

#[tokio::test]
async fn a_run_that_is_stopped_undoes_what_it_has_begun() {
    let harness = Counting { hangs: true, ..Counting::new(ReferenceHarness::whole()) };
    let hanging = Arc::clone(&harness.hanging);
    // The first of them opens two stores, and the second never comes.
    let cases = ["err_3_a_fault_that_lasts_is_told_for_what_it_is", "val_4_an_empty_value_is_a_value"].map(case);
    let suite = Suite::new().with_cases(cases).stop_when(async move { hanging.notified().await });
    let report = suite.run(&harness).await;
    assert_eq!(harness.counts(), (1, 1));
    assert_eq!(report.cases.len(), 2);
    for case in &report.cases {
        assert!(matches!(&case.outcome, Outcome::LeftOut(why) if why == "the run was stopped"), "{}", case.outcome);
    }
    assert!(report.is_ok());
}

#[tokio::test]
async fn a_run_says_what_it_does_and_leaves_out_what_it_is_not_to_begin() {
    let events = Mutex::new(Vec::new());
    let cases = ["val_4_an_empty_value_is_a_value", "key_2_every_character_is_harmless"].map(case);
    let suite = Suite::new()
        .with_cases(cases)
        .with_admission(|case| (case.rule() == "KEY-2").then(|| "not today".to_owned()))
        .with_observer(|event| {
            let text = match event {
                Event::Began(case) => format!("began {}", case.rule()),
                Event::Ended(report) => format!("ended {} {}", report.rule, report.outcome.label()),
                _ => String::new(),
            };
            events.lock().expect("nothing panics in here").push(text);
        });
    let report = suite.run(&ReferenceHarness::whole()).await;
    let events = events.lock().expect("nothing panics in here").clone();
    assert_eq!(events, ["began VAL-4", "ended VAL-4 passed", "ended KEY-2 left out"]);
    // In the order of the contract, not of the run.
    let names: Vec<&str> = report.cases.iter().map(|case| case.rule.as_str()).collect();
    assert_eq!(names, ["KEY-2", "VAL-4"]);
    assert!(report.cases[1].requests.is_some_and(|requests| requests > 0), "{report:?}");
    assert_eq!(report.cases[0].requests, None);
}

#[tokio::test]
async fn what_is_left_out_anyway_says_so_also_when_the_run_is_stopped() {
    let harness = ReferenceHarness::whole();
    let suite = Suite::new().with_admission(|case| (case.rule() == "KEY-2").then(|| "not today".to_owned()));
    let report = suite.stop_when(ready(())).run(&harness).await;
    for case in &report.cases {
        let why = if case.rule == "KEY-2" { "not today" } else { "the run was stopped" };
        assert_eq!(case.outcome, Outcome::LeftOut(why.to_owned()), "{}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_by_side_the_cases_end_as_one_after_the_other() {
    let outcomes = |report: Report| -> Vec<(String, Outcome)> {
        report.cases.into_iter().map(|case| (case.name, case.outcome)).collect()
    };
    let alone = outcomes(run_all(&ReferenceHarness::whole()).await);
    let together = outcomes(Suite::new().with_concurrency(8).run(&ReferenceHarness::whole()).await);
    assert_eq!(alone, together);
    // In one namespace, each below a prefix of its own.
    let harness = ReferenceHarness::whole().side_by_side();
    let below_prefixes = outcomes(Suite::new().with_concurrency(8).run(&harness).await);
    assert_eq!(alone, below_prefixes);
}

#[tokio::test]
async fn a_report_is_the_same_after_it_was_written_and_read() {
    let cases = ["val_4_an_empty_value_is_a_value", "key_2_forbidden_keys_are_refused"].map(case);
    let report = Suite::new().with_cases(cases).run(&ReferenceHarness::whole()).await;
    assert_eq!(report.system, "reference");
    let text = serde_json::to_string(&report).expect("a report can be written");
    assert!(text.contains(r#""rule":"VAL-4","outcome":"passed""#), "{text}");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("and read"), report);
}

#[tokio::test]
async fn a_report_says_what_the_store_reports_and_how_many_requests_each_operation_takes() {
    let harness = Counting::new(ReferenceHarness::whole());
    let suite = || Suite::new().with_cases([case("val_4_an_empty_value_is_a_value")]);
    let report = suite().with_probe().run(&harness).await;
    assert_eq!(harness.counts(), (2, 2), "one store for the case and one for the operations");
    assert_eq!(report.capabilities, Fact::all(&reference::EVERYTHING));
    let requests = |operation: &str| {
        let noted = report.operations.iter().find(|noted| noted.operation == operation);
        noted.map(|noted| noted.requests.clone())
    };
    for (operation, expected) in
        [("get", 1), ("get_many of 10", 1), ("set if_version", 1), ("increment with ttl_if_created", 1), ("update", 2)]
    {
        assert_eq!(requests(operation), Some(Requests::Counted(expected)), "{operation}");
    }
    let counted = |noted: &&kv_conformance::OperationRequests| matches!(noted.requests, Requests::Counted(1..));
    assert_eq!(report.operations.iter().filter(counted).count(), report.operations.len(), "{:?}", report.operations);
    assert!(suite().run(&harness).await.operations.is_empty(), "they are not probed unless that is asked for");
}

#[tokio::test]
async fn what_is_not_supported_or_not_counted_or_fails_has_no_number_of_requests() {
    static WEAK: Capabilities = reference::EVERYTHING.with_touch(Support::None).with_if_version(Support::None);
    let restricted = probe(&ReferenceHarness::whole().restricted_to(&WEAK)).await.expect("a store can be opened");
    let not_supported: Vec<&str> = restricted
        .iter()
        .filter(|noted| noted.requests == Requests::NotSupported)
        .map(|noted| noted.operation.as_str())
        .collect();
    assert_eq!(not_supported, ["set if_version", "delete if_version", "update", "get with touch"]);
    static UNREAD: Capabilities = reference::EVERYTHING.with_expiry_read(false).with_list_expiry(false);
    let unread = probe(&ReferenceHarness::whole().restricted_to(&UNREAD)).await.expect("a store can be opened");
    let counted = unread.iter().filter(|noted| matches!(noted.requests, Requests::Counted(_))).count();
    assert_eq!(counted, unread.len(), "{unread:?}");
    let bare = probe(&Bare).await.expect("a store can be opened");
    assert!(bare.iter().all(|noted| noted.requests == Requests::NotCounted), "{bare:?}");
    let failing = Counting { undo_fails: true, ..Counting::new(ReferenceHarness::whole()) };
    let report = Suite::new().with_cases([]).with_probe().run(&failing).await;
    assert!(matches!(&report.operations[..], [noted] if matches!(noted.requests, Requests::Failed(_))), "{report:?}");
    let stopped = Suite::new().with_cases([]).with_probe().stop_when(ready(())).run(&failing).await;
    assert!(stopped.operations.is_empty());
    assert_eq!(failing.counts(), (1, 1));
}

/// Its stores panic in one of their operations.
#[derive(Debug)]
struct CannotCount;

impl Layer for CannotCount {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(Panicking(inner))
    }
}

impl fmt::Display for CannotCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot count")
    }
}

#[derive(Debug)]
struct Panicking(Arc<dyn Backend>);

#[async_trait]
impl Backend for Panicking {
    forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many,
            delete_many, write_all_or_nothing, list, expire, touch, get_and_delete, ping, close],
        implement: [increment]);

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn increment(&self, _: Increment<'_>) -> Result<i64> {
        panic!("it cannot count")
    }
}

#[tokio::test]
async fn an_operation_that_panics_takes_no_report_with_it() {
    let harness = Layered::new(ReferenceHarness::whole(), CannotCount);
    let report = Suite::new().with_cases([]).with_probe().run(&harness).await;
    let failed = report.operations.iter().filter(|noted| matches!(noted.requests, Requests::Failed(_)));
    let failed: Vec<_> = failed.map(|noted| (noted.operation.as_str(), noted.requests.clone())).collect();
    let panicked = || Requests::Failed("panicked: it cannot count".to_owned());
    assert_eq!(failed, [("increment", panicked()), ("increment with ttl_if_created", panicked())]);
}

#[tokio::test]
async fn two_runs_differ_only_in_what_is_not_kept() {
    let cases = ["val_4_an_empty_value_is_a_value", "key_2_forbidden_keys_are_refused"].map(case);
    let run = || async { Suite::new().with_cases(cases).with_probe().run(&ReferenceHarness::whole()).await };
    let (one, other) = (run().await, run().await);
    assert!(one.began_unix_micros < other.began_unix_micros);
    let (one, other) = (one.without_figures_of_this_run(), other.without_figures_of_this_run());
    assert_eq!(one, other);
    let text = serde_json::to_string(&one).expect("a report can be written");
    assert!(!text.contains("elapsed_micros") && !text.contains("began_unix_micros"), "{text}");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("and read"), one);
}

/// Without any of the means.
struct Bare;

#[async_trait]
impl Harness for Bare {
    async fn open(&self) -> Result<Fixture> {
        Ok(Fixture::new(ReferenceHarness::whole().open().await?.store().clone()))
    }
}

/// And with a reason for one of them.
struct WithReason;

#[async_trait]
impl Harness for WithReason {
    async fn open(&self) -> Result<Fixture> {
        Ok(Bare.open().await?.without(Means::Restart, "it lives in the process").without(Means::Faults, "no line"))
    }
}

#[tokio::test]
async fn what_cannot_be_shown_is_said_unless_the_system_has_nothing_of_the_kind() {
    for (name, is_excused) in [
        ("list_3_a_walk_across_a_restart_loses_nothing", true),
        ("list_5_a_walk_in_circles_ends", true),
        ("set_8_an_unknown_outcome_says_so", true),
        ("val_5_foreign_data_is_readable", false),
        ("err_2_no_secret_is_shown", false),
    ] {
        let outcome = case(name).run(&Bare).await;
        assert!(matches!(outcome, Outcome::NotShown(_)), "{name}: {outcome}");
        let outcome = case(name).run(&WithReason).await;
        assert_eq!(matches!(outcome, Outcome::NotApplicable(_)), is_excused, "{name}: {outcome}");
    }
}
