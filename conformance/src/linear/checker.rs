//! The search for an order of the calls that explains all answers.
//!
//! After Wing and Gong, "Testing and verifying concurrent objects" (1993): of the calls that are not yet in the order,
//! each is tried next that no other one must precede. With Lowe's addition, "Testing for linearizability" (2017): what
//! was tried once, the same calls done with the same state left, is not tried again.
//!
//! Three things keep the search short, and lose no order where there is one:
//!
//! - A call that changes nothing wherever it comes is taken as soon as it fits.
//! - Of calls that may have been carried out or not, those that would do the same are taken in turn: whichever is, it
//!   precedes nothing.
//! - None of them is taken just before a call that writes over it unseen: without it, all would be as it is with it.
//!
//! `stateright` has a tester for this too. It remembers nothing of what it has tried, so that its time grows with the
//! number of orders, and its calls without an answer are the last of their thread.

use std::collections::HashSet;

use super::history::{Action, Answer, History, Moment, When};
use super::register::{State, step};

/// How many pairs of calls done and state left are tried. The histories that the cases record need a few hundred.
const CONFIGURATIONS_MAX: usize = 300_000;

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    NotLinearizable,
    /// The search was given up. This shows nothing, and is no pass.
    Undecided,
}

/// What is put into the order: a call, once for each time that it may be carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) action: Action,
    pub(super) answer: Answer,
    /// Whether it changes nothing, wherever in the order it is.
    only_looks: bool,
    /// Whether it leaves the same and fits, whatever was there before.
    writes_over: bool,
    pub(super) from: Moment,
    /// By when it was carried out. `None` where that may be at any time, or never.
    pub(super) until: Option<Moment>,
}

/// The calls of a history as operations, in the order of their beginnings.
pub(super) fn operations(history: &History) -> Vec<Operation> {
    let mut operations = Vec::with_capacity(history.calls.len());
    for call in history.calls.iter().filter(|call| call.answer != Answer::NotApplied) {
        let only_looks = !call.may_change();
        let attempt = Operation {
            action: call.action,
            answer: Answer::Unknown,
            only_looks,
            writes_over: matches!(call.action, Action::Set(_, When::Always) | Action::Delete(None)),
            from: call.began,
            until: None,
        };
        match call.ended.filter(|_| call.answer != Answer::Unknown) {
            Some(ended) => {
                let says_nothing_of_before = matches!(
                    call.answer,
                    Answer::Written { over_an_entry: None, .. } | Answer::Deleted { was_there: None }
                );
                let writes_over = attempt.writes_over && says_nothing_of_before;
                operations.push(Operation { answer: call.answer, writes_over, until: Some(ended), ..attempt });
            }
            None if !only_looks => operations.push(attempt),
            None => {}
        }
        operations.extend(std::iter::repeat_n(attempt, call.repeats));
    }
    operations
}

/// Looks for an order of the calls on a key that held `first` before all of them.
pub(crate) fn check(history: &History, first: State) -> Verdict {
    search(history, &operations(history), first, CONFIGURATIONS_MAX)
}

/// Which operations are in the order already, and what they have left.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration {
    done: Box<[u64]>,
    state: State,
    /// Whether the last of them may have been carried out or not, and nothing has seen it yet.
    is_unseen: bool,
}

impl Configuration {
    fn first(operations: usize, state: State) -> Self {
        Self { done: vec![0; operations.div_ceil(64)].into(), state, is_unseen: false }
    }

    fn is_done(&self, operation: usize) -> bool {
        self.done[operation / 64] >> (operation % 64) & 1 == 1
    }

    fn after(&self, at: usize, operation: &Operation, state: State) -> Self {
        let mut done = self.done.clone();
        done[at / 64] |= 1 << (at % 64);
        Self { done, state, is_unseen: operation.until.is_none() }
    }
}

pub(super) fn search(history: &History, operations: &[Operation], first: State, configurations_max: usize) -> Verdict {
    let first = Configuration::first(operations.len(), first);
    let mut seen = HashSet::from([first.clone()]);
    let mut to_try = vec![first];
    while let Some(configuration) = to_try.pop() {
        let open = || operations.iter().enumerate().filter(|(at, _)| !configuration.is_done(*at));
        // The first answer to come: what begins after it cannot go before the call that it answers.
        let Some(bound) = open().filter_map(|(_, operation)| operation.until).min() else {
            return Verdict::Linearizable;
        };
        let mut next = Vec::new();
        let mut taken: Vec<Action> = Vec::new();
        for (at, operation) in open().filter(|(_, operation)| operation.from < bound) {
            if configuration.is_unseen && operation.writes_over {
                continue;
            }
            let Some(state) = step(history, configuration.state, operation.action, operation.answer) else { continue };
            if operation.only_looks && state == configuration.state {
                // It fits here and changes nothing anywhere, so no order is lost if it comes now.
                next = vec![(Some(bound), configuration.after(at, operation, state))];
                break;
            }
            if operation.until.is_none() {
                if state == configuration.state || taken.contains(&operation.action) {
                    continue;
                }
                taken.push(operation.action);
            }
            next.push((operation.until, configuration.after(at, operation, state)));
        }
        // What is tried first comes last: the call that was answered first, and what may never have been carried out
        // after all others.
        next.sort_by_key(|(until, _)| std::cmp::Reverse(until.unwrap_or(Moment::MAX)));
        for (_, configuration) in next {
            if seen.insert(configuration.clone()) {
                if seen.len() > configurations_max {
                    return Verdict::Undecided;
                }
                to_try.push(configuration);
            }
        }
    }
    Verdict::NotLinearizable
}
