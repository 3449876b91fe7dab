//! The suite over a layer: on the memory store, on a file of SQLite, and on the fake of Workers KV.
//!
//! A layer's test file says how it wraps a backend, and [`suite!`] makes the tests:
//! ```ignore
//! mod common;
//!
//! fn wrap(inner: Arc<dyn Backend>, time: &ManualClock) -> Arc<dyn Backend> {
//!     ReadOnly::new().layer(inner)
//! }
//! common::suite!(wrap);
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cloudflare;
#[allow(dead_code, reason = "not every layer is tried before what fails")]
pub(crate) mod faulty;
pub(crate) mod kept;
mod memory;
#[allow(dead_code, reason = "not every layer stands before two backends")]
pub(crate) mod pair;
mod sqlite;

use std::io::Write;
use std::sync::Arc;

use kv_api::{Backend, ManualClock, Store, Timestamp};
use kv_conformance::{Case, CaseReport, Harness, Outcome, Verdict, run_all};

pub(crate) use cloudflare::Cloudflare;
pub(crate) use memory::Memory;
pub(crate) use sqlite::Sqlite;

/// The cases of counters. The system cannot count in sealed values.
#[allow(dead_code, reason = "not every layer seals values")]
pub(crate) const COUNTER_CASES: &[&str] = &[
    "cap_1_counter_ttl_is_kept_or_refused",
    "cap_1_counters_are_kept_or_refused",
    "err_6_a_dropped_increment_counts_once_or_not",
    "exp_7_an_expired_entry_is_invisible_to_counters",
    "cnt_1_a_counter_reads_as_a_json_integer",
    "cnt_1_a_dropped_increment_leaves_the_counter_in_range",
    "cnt_1_a_json_integer_is_a_counter",
    "cnt_1_concurrent_increments_add_up",
    "cnt_1_histories_of_counters_are_linearizable",
    "cnt_1_increment_answers_the_new_value",
    "cnt_1_increment_keeps_the_expiry",
    "cnt_1_only_a_json_integer_can_be_counted_in",
    "cnt_1_the_range_is_kept",
    "cnt_2_an_entry_with_metadata_is_no_counter",
    "cnt_3_a_counter_that_exists_keeps_its_end",
    "cnt_3_a_dropped_increment_leaves_no_counter_without_end",
    "cnt_3_a_new_counter_gets_the_ttl",
    "cnt_3_counters_that_are_created_at_once_have_an_end",
    "cnt_3_the_ttl_is_checked_as_any",
];

/// How a layer, or a stack of them, wraps a backend. Called for each handle that is opened, as in another process. The
/// clock is the one that the backend was opened with; a layer that waits or counts time takes it as its timer.
pub(crate) type Wrap = fn(Arc<dyn Backend>, &ManualClock) -> Arc<dyn Backend>;

/// A harness over what `Wrap` makes of its backends.
pub(crate) trait System: Harness + Sized {
    /// The name of the system in messages.
    const NAME: &'static str;

    /// The stores of this harness are what `wrap` makes of the backend.
    fn wrapped(wrap: Wrap) -> Self;
}

/// A handle on what `wrap` makes of the backend.
fn wrapped(backend: impl Backend, wrap: Wrap, time: &ManualClock) -> Store {
    Store::from_arc(wrap(Arc::new(backend), time))
}

/// A clock between two whole seconds.
fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456))
}

/// Runs the suite over a layer.
///
/// # Panics
/// When a case fails, or is not shown under the strict setting; when one that passes without the layer does not apply
/// with it and is not among `lost`; when one of `lost` passes after all; and when the kept page says something else.
pub(crate) async fn check<S: System>(name: &str, wrap: Wrap, lost: &[&str]) {
    check_but_for::<S>(name, wrap, lost, &[]).await;
}

/// The same for a layer that breaks a promise on purpose: each of `broken` is the name of a case and what its failure has
/// to say.
pub(crate) async fn check_but_for<S: System>(name: &str, wrap: Wrap, lost: &[&str], broken: &[(&str, &str)]) {
    let report = run_all(&S::wrapped(wrap)).await;
    let totals = report.to_string();
    // Past the test runner's capture: the figures of the README. If it cannot be written, nobody reads.
    let _ = writeln!(std::io::stderr(), "{name} on {}: {}", S::NAME, totals.lines().last().unwrap_or_default());
    let mut complaints = Vec::new();
    for CaseReport { name, outcome, .. } in &report.cases {
        let is_lost = lost.contains(&name.as_str());
        if let Some((_, why)) = broken.iter().find(|(case, _)| case == name) {
            let is_as_it_says = matches!(outcome, Outcome::Failed(text) if text.contains(why));
            complaints.extend((!is_as_it_says).then(|| format!("{name}: {outcome}, and not failed for: {why}")));
            continue;
        }
        match outcome {
            Outcome::Passed if is_lost => complaints.push(format!("{name}: passes, and is listed as lost")),
            outcome if outcome.verdict() == Verdict::Broken => complaints.push(format!("{name}: {outcome}")),
            outcome if *outcome != Outcome::Passed && !is_lost && passes_without::<S>(name).await => {
                complaints.push(format!("{name}: {outcome}; it passes without the layer"));
            }
            _ => {}
        }
    }
    assert!(complaints.is_empty(), "{name} on {}:\n{}", S::NAME, complaints.join("\n"));
    kept::compare_or_write(&format!("{name} on {}", S::NAME), report);
}

async fn passes_without<S: System>(name: &str) -> bool {
    let case = Case::find(name).expect("a case of this name");
    case.run(&S::wrapped(|inner, _| inner)).await == Outcome::Passed
}

/// A test for each system, which runs the whole suite over `$wrap`. What comes after it are the names of the cases that
/// pass without the layer and do not apply with it.
macro_rules! suite {
    ($wrap:path) => {
        crate::common::suite!($wrap, lost: &[]);
    };
    ($wrap:path, lost: $lost:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn memory() {
            crate::common::check::<crate::common::Memory>(module_path!(), $wrap, $lost).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn sqlite() {
            crate::common::check::<crate::common::Sqlite>(module_path!(), $wrap, $lost).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn cloudflare() {
            crate::common::check::<crate::common::Cloudflare>(module_path!(), $wrap, $lost).await;
        }
    };
}
pub(crate) use suite;
