//! Histories of concurrent calls, which one order of the calls must explain: SET-6 to SET-8, DEL-2, GET-4, CNT-1, ERR-4
//! and ERR-5.

use std::io::Write;

use kv_api::{Consistency, Feature, Store, Support, ValueKind};

use crate::cases::capabilities::a_while;
use crate::context::{Context, support};
use crate::harness::{Fault, Faults};
use crate::linear::{Kind, Plan, Scene, Values, Verdict, check, draw, record, shrunk};
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_applicable, not_shown};

/// How many plans a case runs, each on keys of its own.
const ROUNDS: u64 = 5;
/// The same of a case with faults, of which not each meets a call that shows something.
const ROUNDS_WITH_FAULTS: u64 = 8;
/// The name of a setting that asks for more: how many plans each case runs. The first are those of every run.
const ROUNDS_SETTING: &str = "KV_CONFORMANCE_HISTORIES";
/// Of the first round; the others count on.
const SEED: u64 = 0x6b76_0001;

/// SET-7: reads, sets and deletes of several callers, over two handles where there are.
pub(crate) async fn set_7_histories_of_sets_and_reads_are_linearizable(cx: &Context<'_>) -> CaseResult {
    cx.needs_strong_consistency()?;
    let handles = all_handles(cx).await?;
    linearizable(cx, &handles, &[Kind::Get, Kind::GetEntry, Kind::Set, Kind::Set, Kind::Delete], None).await
}

const CONDITIONS: [Kind; 10] = [
    Kind::SetIfNotExists,
    Kind::SetIfNotExists,
    Kind::SetIfVersion,
    Kind::SetIfVersion,
    Kind::SetIfExists,
    Kind::Delete,
    Kind::Expire,
    Kind::Touch,
    Kind::Get,
    Kind::GetEntry,
];

/// SET-6: conditional sets among other calls of one store, also where they are best effort: that may race with others,
/// never with itself.
pub(crate) async fn set_6_histories_of_one_store_are_linearizable(cx: &Context<'_>) -> CaseResult {
    let kinds: Vec<Kind> = CONDITIONS.into_iter().filter(|kind| is_kept_by_one_store(cx, *kind)).collect();
    if !kinds.iter().any(|kind| is_condition(*kind)) {
        cx.with(Feature::IfNotExists).await?;
        return not_applicable("conditions are best effort, and a look may see what is no longer there");
    }
    linearizable(cx, std::slice::from_ref(cx.store()), &kinds, None).await
}

/// SET-6: the same over two handles that share nothing but the data.
pub(crate) async fn set_6_histories_of_two_handles_are_linearizable(cx: &Context<'_>) -> CaseResult {
    let kinds: Vec<Kind> = CONDITIONS.into_iter().filter(|kind| is_kept(cx, *kind)).collect();
    needs_a_condition(cx, &kinds).await?;
    let handles = [cx.store().clone(), cx.reopen().await?];
    linearizable(cx, &handles, &kinds, None).await
}

/// SET-8: conditional sets and deletes of which some lose their answers: those take effect once or never, at a moment
/// of their own.
pub(crate) async fn set_8_histories_with_faults_are_linearizable(cx: &Context<'_>) -> CaseResult {
    let kinds: Vec<Kind> = CONDITIONS.into_iter().filter(|kind| is_kept(cx, *kind)).collect();
    needs_a_condition(cx, &kinds).await?;
    let faults = cx.faults()?;
    linearizable(cx, std::slice::from_ref(cx.store()), &kinds, Some(faults)).await
}

/// DEL-2: deletes with a version among sets.
pub(crate) async fn del_2_histories_of_deletes_with_a_version_are_linearizable(cx: &Context<'_>) -> CaseResult {
    cx.with_atomic(Feature::IfVersion).await?;
    let versioned = [Kind::DeleteIfVersion, Kind::DeleteIfVersion, Kind::SetIfVersion];
    let others = [Kind::Set, Kind::SetIfNotExists, Kind::Get, Kind::GetEntry];
    let handles = all_handles(cx).await?;
    linearizable(cx, &handles, &kept(cx, &[&versioned[..], &others].concat()), None).await
}

/// GET-4: takers among sets: each value is taken by one of them, overwritten, or still there.
pub(crate) async fn get_4_histories_of_takers_are_linearizable(cx: &Context<'_>) -> CaseResult {
    cx.with_atomic(Feature::GetAndDelete).await?;
    let takers = [Kind::GetAndDelete, Kind::GetAndDelete, Kind::GetAndDelete];
    let others = [Kind::Set, Kind::Set, Kind::SetIfNotExists, Kind::Delete, Kind::Get];
    let handles = all_handles(cx).await?;
    linearizable(cx, &handles, &kept(cx, &[&takers[..], &others].concat()), None).await
}

const COUNTERS: [Kind; 7] =
    [Kind::Increment, Kind::Increment, Kind::Increment, Kind::Get, Kind::Delete, Kind::GetAndDelete, Kind::Set];

/// CNT-1: increments among sets and deletes of the same key.
pub(crate) async fn cnt_1_histories_of_counters_are_linearizable(cx: &Context<'_>) -> CaseResult {
    cx.with_atomic(Feature::Counters).await?;
    needs_a_wide_range(cx)?;
    let handles = all_handles(cx).await?;
    linearizable(cx, &handles, &kept(cx, &COUNTERS), None).await
}

/// ERR-4: increments and takers of which some lose their answers: each takes effect once or never.
pub(crate) async fn err_4_histories_of_steps_with_faults_are_linearizable(cx: &Context<'_>) -> CaseResult {
    cx.with_atomic(Feature::Counters).await?;
    needs_a_wide_range(cx)?;
    let faults = cx.faults()?;
    // Without plain writes: they may be repeated, and would explain much.
    let steps: Vec<Kind> = COUNTERS.into_iter().filter(|kind| !matches!(kind, Kind::Set | Kind::Delete)).collect();
    linearizable(cx, std::slice::from_ref(cx.store()), &kept(cx, &steps), Some(faults)).await
}

/// ERR-5: plain sets and deletes of which some lose their answers, and are repeated: what they say of what they met is
/// true, and each takes effect.
pub(crate) async fn err_5_histories_of_repeated_writes_are_linearizable(cx: &Context<'_>) -> CaseResult {
    cx.needs_strong_consistency()?;
    let faults = cx.faults()?;
    let kinds = [Kind::Set, Kind::Set, Kind::Delete, Kind::Get, Kind::Get, Kind::GetEntry];
    linearizable(cx, std::slice::from_ref(cx.store()), &kinds, Some(faults)).await
}

/// The store, and another handle to its data where the harness opens one.
async fn all_handles(cx: &Context<'_>) -> Result<Vec<Store>, Stop> {
    let mut handles = vec![cx.store().clone()];
    handles.extend(cx.reopened().await?);
    Ok(handles)
}

/// What the store must support to make calls of this kind.
const fn feature(kind: Kind) -> Option<Feature> {
    match kind {
        Kind::Get | Kind::GetEntry | Kind::Set | Kind::Delete => None,
        Kind::Touch => Some(Feature::Touch),
        Kind::Expire => Some(Feature::Expire),
        Kind::SetIfNotExists => Some(Feature::IfNotExists),
        Kind::SetIfExists => Some(Feature::IfExists),
        Kind::SetIfVersion | Kind::DeleteIfVersion => Some(Feature::IfVersion),
        Kind::GetAndDelete => Some(Feature::GetAndDelete),
        Kind::Increment => Some(Feature::Counters),
    }
}

fn is_strong(cx: &Context<'_>) -> bool {
    cx.capabilities().consistency == Consistency::Strong
}

/// Whether calls of this kind have one order with those of all handles. Where consistency is eventual, those that write
/// do, and reads have none.
fn is_kept(cx: &Context<'_>, kind: Kind) -> bool {
    match (kind, feature(kind)) {
        (Kind::Get | Kind::GetEntry, _) => is_strong(cx),
        (_, None) => true,
        (_, Some(feature)) => support(cx.capabilities(), feature).is_full(),
    }
}

/// The same for those of one store (SET-6). Best effort looks, and where consistency is eventual a look may see what is
/// no longer there.
fn is_kept_by_one_store(cx: &Context<'_>, kind: Kind) -> bool {
    let is_declared = feature(kind).is_some_and(|feature| support(cx.capabilities(), feature) != Support::None);
    is_kept(cx, kind) || (is_condition(kind) && is_declared && is_strong(cx))
}

fn kept(cx: &Context<'_>, kinds: &[Kind]) -> Vec<Kind> {
    // A store without JSON has counters, and no other value that can be counted in.
    let counts = kinds.contains(&Kind::Increment);
    let fits = |kind: Kind| kind != Kind::Set || !counts || cx.has_kind(ValueKind::Json);
    kinds.iter().copied().filter(|kind| is_kept(cx, *kind) && fits(*kind)).collect()
}

const fn is_condition(kind: Kind) -> bool {
    matches!(kind, Kind::SetIfNotExists | Kind::SetIfExists | Kind::SetIfVersion)
}

/// Ends the case where none of the kinds has a condition.
async fn needs_a_condition(cx: &Context<'_>, kinds: &[Kind]) -> CaseResult {
    if !kinds.iter().any(|kind| is_condition(*kind)) {
        cx.with_atomic(Feature::IfNotExists).await?;
    }
    Ok(())
}

/// How each key is looked at in the end: by a read, or, where reads may be late, by a write that says what it met.
fn last(kinds: &[Kind]) -> Kind {
    let looks =
        [Kind::GetEntry, Kind::Get, Kind::GetAndDelete, Kind::Increment, Kind::SetIfNotExists, Kind::SetIfExists];
    looks.into_iter().find(|look| kinds.contains(look)).unwrap_or(Kind::SetIfVersion)
}

/// What no plan counts as far as: its callers make fewer than a hundred calls.
const FAR: i64 = 1_000;

/// Ends the case where the steps of a plan could lead beyond the range, which without `counter_range_atomic` others see.
fn needs_a_wide_range(cx: &Context<'_>) -> CaseResult {
    if cx.capabilities().counter_max < FAR {
        return not_applicable(format!(
            "counters end at {}, which the steps would pass",
            cx.capabilities().counter_max
        ));
    }
    Ok(())
}

/// Runs plans of calls of these kinds, and looks for an order of the calls on each key.
async fn linearizable(cx: &Context<'_>, handles: &[Store], kinds: &[Kind], faults: Option<&dyn Faults>) -> CaseResult {
    let of_requests = |fault: &Fault| fault.is_of_every_request();
    let offered: Vec<Fault> = faults.map_or_else(Vec::new, |faults| {
        Fault::ALL.iter().copied().filter(of_requests).filter(|fault| faults.offers(*fault)).collect()
    });
    if faults.is_some() && offered.is_empty() {
        return not_shown(Means::Faults, "the harness makes none of the faults that a single request can meet");
    }
    let rounds = if faults.is_some() { ROUNDS_WITH_FAULTS } else { ROUNDS };
    let asked: Option<u64> = std::env::var(ROUNDS_SETTING).ok().and_then(|rounds| rounds.parse().ok());
    let mut calls = 0;
    let mut histories = 0;
    let mut has_versions = false;
    // Fewer would be less than what a pass stands for, and none would be a pass of nothing.
    for round in 0..asked.map_or(rounds, |asked| asked.max(rounds)) {
        let seed = SEED + round;
        let plan = Plan::random(seed, kinds, &offered);
        let plan = if cx.capabilities().counter_min > -FAR { plan.counting_up() } else { plan };
        let keys: Vec<String> = (0..plan.keys).map(|key| cx.key(&format!("h{round}.{key}."))).collect();
        let values = if kinds.contains(&Kind::Increment) {
            Values::Integers
        } else {
            Values::Listed((0..plan.values()).map(|number| cx.value(number)).collect())
        };
        let scene = Scene {
            handles,
            keys: &keys,
            values,
            ttl: a_while(cx),
            has_entry_snapshot: cx.capabilities().entry_snapshot,
            last: last(kinds),
            faults,
        };
        for (key, history) in keys.iter().zip(record(&scene, &plan).await?) {
            calls += history.calls.len();
            histories += 1;
            has_versions |= history.calls.iter().any(|call| call.action.names_a_version());
            let verdict = check(&history, None);
            let key = format!("{key:?} in round {round} (seed {seed:#x})");
            ensure!(
                verdict != Verdict::NotLinearizable,
                "no order of the calls on {key} explains all answers:\n{}",
                draw(&shrunk(&history, None))
            );
            ensure!(
                verdict == Verdict::Linearizable,
                "whether an order of the {} calls on {key} explains all answers was not found out",
                history.calls.len()
            );
        }
    }
    // A call for a version that nobody was given yet is made without one. If there never was one, nothing was shown of
    // the conditions on versions.
    let asks_for_versions = kinds.iter().any(|kind| feature(*kind) == Some(Feature::IfVersion));
    ensure!(
        has_versions || !asks_for_versions,
        "no call was told a version that it could ask for, and versions are declared (SET-5)"
    );
    if asked.is_some() {
        // Who asks for more wants to know how many; past the test runner's capture. If it cannot be written, nobody
        // reads.
        let system = cx.capabilities().system;
        let _ = writeln!(std::io::stderr(), "{system}: {histories} histories of {calls} calls are linearizable");
    }
    Ok(())
}
