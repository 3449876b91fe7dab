//! The suite through wrappers of a store (LAYER-1 to LAYER-4).

#[allow(dead_code, reason = "only the whole store is wrapped here")]
mod reference;

use kv_api::Stack;
use kv_conformance::wrappers::{Naive, Renamed, Transparent};
use kv_conformance::{Harness, Layered, Outcome, Report, run_all};
use reference::ReferenceHarness;

async fn run(harness: impl Harness) -> Report {
    let report = run_all(&harness).await;
    assert!(report.is_ok(), "{report}");
    report
}

fn not_passed(report: &Report) -> Vec<&str> {
    let left = report.cases.iter().filter(|case| case.outcome != Outcome::Passed);
    left.map(|case| case.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layer_4_a_transparent_wrapper_keeps_every_rule() {
    let report = run(Layered::new(ReferenceHarness::whole(), Transparent)).await;
    assert_eq!(not_passed(&report), not_passed(&run(ReferenceHarness::whole()).await));
}

/// What it does not forward is refused; nothing goes around it, and nothing answers as if it were not there. That it
/// reports more than it has is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layer_1_a_naive_wrapper_is_refused_what_it_does_not_forward() {
    let report = run_all(&Layered::new(ReferenceHarness::whole(), Naive)).await;
    let failed = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)));
    assert_eq!(failed.map(|case| &*case.name).collect::<Vec<_>>(), ["cap_3_the_declaration_makes_sense"], "{report}");
    for refused in [
        "cap_1_list_is_kept_or_refused",
        "cap_1_counters_are_kept_or_refused",
        "cap_1_expire_is_kept_or_refused",
        "cap_1_all_or_nothing_is_kept_or_refused",
    ] {
        assert!(matches!(report.outcome(refused), Some(Outcome::Refused(_))), "{refused}\n{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layer_2_a_wrapper_that_changes_every_request_keeps_every_rule() {
    let renamed = || Layered::new(ReferenceHarness::whole(), Renamed::new("w/")).with_keys(|key| format!("w/{key}"));
    let report = run(renamed()).await;
    let bare = run(ReferenceHarness::whole()).await;
    assert_eq!(not_passed(&report), not_passed(&bare));
    // Also one around another.
    let twice = Layered::new(renamed(), Stack::new().with(Renamed::new("o/"))).with_keys(|key| format!("o/{key}"));
    run(twice).await;
}
