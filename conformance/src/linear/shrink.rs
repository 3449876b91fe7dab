//! The part of a history that shows why no order of its calls explains it.
//!
//! A write cannot simply be left out: without it the rest may be impossible that was possible with it, and what was left
//! would show nothing. These two steps keep what was seen:
//!
//! - **What came later** is cut off at the earliest moment at which there is no order any more. Nothing that happens
//!   after a moment changes what was seen before it. A call that had no answer by then is one that may have been carried
//!   out or not.
//! - **What changed nothing** is left out: reads, conditions that were not met, calls that were not applied. An order of
//!   all calls is, without them, an order of the others; so if there is none of the others, there is none of all.

use super::checker::{Verdict, check};
use super::history::{Answer, Call, History, Moment};
use super::register::State;

/// The part of `history`, which has no order, that shows it.
pub(crate) fn shrunk(history: &History, first: State) -> History {
    let fails = |history: &History| check(history, first) == Verdict::NotLinearizable;
    let mut ends: Vec<Moment> = history.calls.iter().filter_map(|call| call.ended).collect();
    ends.sort_unstable();
    // What has an order has one at every moment before, so the first moment without one can be found by halving.
    let first_failing = ends.partition_point(|end| !fails(&until(history, *end)));
    let mut smallest = ends.get(first_failing).map_or_else(|| history.clone(), |end| until(history, *end));
    if !fails(&smallest) {
        // A search was given up on the way.
        smallest = history.clone();
    }
    for at in (0..smallest.calls.len()).rev() {
        if smallest.calls[at].may_change() {
            continue;
        }
        let mut calls = smallest.calls.clone();
        calls.remove(at);
        let smaller = history.with_calls(calls);
        if fails(&smaller) {
            smallest = smaller;
        }
    }
    smallest
}

/// What was seen up to a moment.
fn until(history: &History, moment: Moment) -> History {
    let begun = history.calls.iter().filter(|call| call.began < moment);
    let seen = begun.map(|call| match call.ended {
        Some(ended) if ended <= moment => call.clone(),
        _ => Call { ended: None, answer: Answer::Unknown, ..call.clone() },
    });
    history.with_calls(seen.collect())
}
