//! The suite holds on a clock that runs, as that of a server does: with a fine granularity all of it, with a coarse one
//! what must be right there too; and what is broken is found there as well.

#[allow(dead_code, reason = "not every bug shows in time")]
mod reference;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kv_api::Capabilities;
use kv_conformance::{Case, Outcome};
use reference::{Bug, EVERYTHING, ReferenceHarness};

const FINE: Duration = Duration::from_millis(20);
const COARSE: Duration = Duration::from_secs(1);

/// Runs cases side by side: nearly all that they do is to wait.
async fn run(cases: impl IntoIterator<Item = &'static Case>, harness: &ReferenceHarness, at_once: usize) {
    let outcomes = stream::iter(cases).map(|case| async move { (case.name(), case.run(harness).await) });
    let outcomes: Vec<_> = outcomes.buffer_unordered(at_once).collect().await;
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|(_, outcome)| !outcome.is_ok())
        .map(|(name, outcome)| format!("{name}: {outcome}"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Passed));
}

fn named(names: &[&str]) -> Vec<&'static Case> {
    names.iter().map(|name| Case::find(name).expect("a case of this name")).collect()
}

/// The cases of expiries, and those of other rules that let time pass.
fn timed() -> impl Iterator<Item = &'static Case> {
    const OTHERS: &[&str] = &[
        "batch_5_items_with_and_without_options_mix",
        "cap_1_expire_at_is_kept_or_refused",
        "cap_1_ttl_is_kept_or_refused",
        "cnt_1_increment_keeps_the_expiry",
        "list_1_a_list_tells_the_expiry_it_declares",
        "model_random_calls_agree_with_the_model",
        "set_1_a_set_with_everything_replaces_everything",
        "set_1_a_set_without_expiry_never_expires",
        "set_3_if_exists_not_met_creates_nothing",
        "set_3_if_not_exists_not_met_leaves_everything_untouched",
        "set_3_if_version_not_met_leaves_everything_untouched",
        "set_4_if_exists_is_not_met_over_an_expired_entry",
        "set_4_if_not_exists_is_met_over_an_expired_entry",
        "set_4_if_version_is_not_met_over_an_expired_entry",
        "set_5_over_an_expired_entry_nothing_is_updated",
        "set_6_exactly_one_if_not_exists_wins_over_an_expired_entry",
        "ver_1_reads_and_expire_leave_the_version",
        "ver_2_a_version_of_nothing_is_not_met",
    ];
    Case::ALL.iter().filter(|case| case.name().starts_with("exp_")).chain(named(OTHERS))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_holds_on_a_clock_that_runs() {
    run(Case::ALL, &ReferenceHarness::whole().on_real_time(FINE), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lives_near_the_least_leave_room_on_a_clock_that_runs() {
    static LEAST: Capabilities = EVERYTHING.with_expiry_min(Duration::from_millis(300));
    run(timed(), &ReferenceHarness::whole().on_real_time(FINE).restricted_to(&LEAST), 4).await;
}

/// The clock of this side runs too, and is not quite that of the system: a granularity has room for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_here_that_runs_may_be_a_little_ahead() {
    let harness = ReferenceHarness::whole().on_real_time(FINE * 2).with_clock_ahead(FINE / 2);
    run(timed(), &harness, 4).await;
}

/// Each waits for longer than half a minute there, one after the other end; the whole suite takes a minute and a half.
const LONGEST: [&str; 5] = [
    "cnt_3_counters_that_are_created_at_once_have_an_end",
    "exp_2_another_precedence_can_be_chosen",
    "exp_2_expire_at_wins_over_ttl",
    "exp_4_rounding_never_ends_an_entry_early",
    "set_6_exactly_one_if_not_exists_wins_over_an_expired_entry",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_but_the_longest_cases_hold_with_whole_seconds_on_a_coarse_clock() {
    static SECONDS: Capabilities =
        EVERYTHING.with_expiry_resolution(Duration::from_secs(1)).with_expiry_min(Duration::from_secs(2));
    let longest = named(&LONGEST);
    let is_short = |case: &&Case| longest.iter().all(|long| long.name() != case.name());
    // Those that wait most come first, so that the others fall into their time.
    let (waiting, others): (Vec<_>, Vec<_>) =
        Case::ALL.iter().filter(is_short).partition(|case| timed().any(|timed| timed.name() == case.name()));
    let harness = ReferenceHarness::whole().on_real_time(COARSE).restricted_to(&SECONDS);
    run(waiting.into_iter().chain(others), &harness, 64).await;
}

/// A clock that runs is no excuse: an expiry that is kept, dropped or moved by more than the granularity is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_fails_on_a_clock_that_runs() {
    let planted = [
        (Bug::OverwriteKeepsTheExpiry, "set_1_a_set_without_expiry_never_expires"),
        (Bug::IncrementDropsTheExpiry, "cnt_1_increment_keeps_the_expiry"),
        (Bug::RefusedConditionMovesTheExpiry, "set_3_if_not_exists_not_met_leaves_everything_untouched"),
        (Bug::TtlIsMadeAbsoluteHere, "exp_3_a_wrong_clock_here_moves_no_ttl"),
        (Bug::HidesByTheClockHere, "exp_10_the_reported_clock_ends_an_entry"),
        (Bug::ClaimsItsOwnClock, "exp_10_the_reported_clock_ends_an_entry"),
        (Bug::PastIsNever, "exp_5_an_expiry_past_by_the_systems_clock_alone_leaves_no_entry"),
        (Bug::ExpiredIsListed, "exp_7_an_expired_entry_is_invisible_to_lists"),
    ];
    let outcomes = stream::iter(planted).map(|(bug, name)| async move {
        let case = Case::find(name).expect("a case of this name");
        (bug, case.run(&ReferenceHarness::with(bug).on_real_time(FINE)).await)
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(planted.len()).collect().await;
    for (bug, outcome) in outcomes {
        assert!(matches!(outcome, Outcome::Failed(_)), "{bug:?}: {outcome}");
    }
}
