//! Histories made by hand, and random ones against a search that leaves nothing out.

use std::cell::Cell;
use std::ops::Range;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::checker::{Operation, Verdict, check, operations, search};
use super::diagram::draw;
use super::history::{Action, Answer, Call, History, Moment, When};
use super::register::{State, step};
use super::shrink::shrunk;
use Action::{Delete, Expire, Get, GetAndDelete, GetEntry, Increment, Set};
use Answer::{Count, Deleted, Entry, Exists, NotApplied, NotMet, Unknown, Written};
use When::{Always, IfExists, IfNotExists, IfVersion};

const CREATED: Answer = Written { over_an_entry: Some(false), version: None };
const UPDATED: Answer = Written { over_an_entry: Some(true), version: None };
const STORED: Answer = Written { over_an_entry: None, version: None };
const DELETED: Answer = Deleted { was_there: Some(true) };
const NONE: Answer = Answer::Value(None);

const fn found(value: i64) -> Answer {
    Answer::Value(Some(value))
}

const fn entry(value: i64, version: usize) -> Answer {
    Entry(Some((value, Some(version))))
}

const fn created(version: usize) -> Answer {
    Written { over_an_entry: Some(false), version: Some(version) }
}

const fn updated(version: usize) -> Answer {
    Written { over_an_entry: Some(true), version: Some(version) }
}

/// A call of the caller who has this number, during these moments.
fn call(caller: usize, during: Range<Moment>, action: Action, answer: Answer) -> Call {
    Call { caller, action, began: during.start, ended: Some(during.end), answer, repeats: 0 }
}

fn verdict(calls: Vec<Call>) -> Verdict {
    check(&History::new(calls).unwrap(), None)
}

#[track_caller]
fn fits(calls: Vec<Call>) {
    assert_eq!(verdict(calls), Verdict::Linearizable);
}

#[track_caller]
fn fits_not(calls: Vec<Call>) {
    assert_eq!(verdict(calls), Verdict::NotLinearizable);
}

#[test]
fn calls_one_after_the_other() {
    fits(vec![
        call(0, 0..1, Get, NONE),
        call(0, 2..3, Set(1, IfExists), NotMet),
        call(0, 4..5, Set(2, IfNotExists), CREATED),
        call(0, 6..7, Set(3, Always), UPDATED),
        call(0, 8..9, Expire, Exists(true)),
        call(0, 10..11, GetAndDelete, found(3)),
        call(0, 12..13, Delete(None), Deleted { was_there: Some(false) }),
        call(0, 14..15, Increment(5), Count(5)),
        call(0, 16..17, Get, found(5)),
    ]);
    fits(Vec::new());
    fits_not(vec![call(0, 0..1, Get, found(1))]);
    fits_not(vec![call(0, 0..1, Set(1, Always), UPDATED)]);
    fits_not(vec![call(0, 0..1, Expire, Exists(true))]);
    fits_not(vec![call(0, 0..1, Set(1, Always), STORED), call(0, 2..3, GetAndDelete, NONE)]);
}

#[test]
fn a_stale_read() {
    let set = || call(0, 0..3, Set(1, Always), CREATED);
    fits(vec![set(), call(1, 1..2, Get, NONE)]);
    fits(vec![set(), call(1, 1..2, Get, found(1))]);
    fits_not(vec![set(), call(1, 4..5, Get, NONE)]);
    // Also while the set has no answer yet: it was seen, and what was seen does not go.
    let set = || call(0, 0..9, Set(1, Always), CREATED);
    fits(vec![set(), call(1, 1..2, Get, NONE), call(1, 3..4, Get, found(1))]);
    fits_not(vec![set(), call(1, 1..2, Get, found(1)), call(1, 3..4, Get, NONE)]);
    fits_not(vec![set(), call(1, 1..2, Get, found(1)), call(2, 3..4, Get, NONE)]);
}

#[test]
fn two_winners() {
    let both = |first: Answer, second: Answer| {
        vec![call(0, 0..3, Set(1, IfNotExists), first), call(1, 1..2, Set(2, IfNotExists), second)]
    };
    fits(both(CREATED, NotMet));
    fits(both(NotMet, CREATED));
    fits_not(both(CREATED, CREATED));
    fits_not(both(NotMet, NotMet));
    fits([both(CREATED, CREATED), vec![call(2, 0..9, Delete(None), DELETED)]].concat());
}

#[test]
fn a_lost_update() {
    let start = || call(0, 0..1, Set(1, Always), created(1));
    let one = |during: Range<Moment>| call(1, during, Set(2, IfVersion(1)), updated(2));
    fits(vec![start(), one(2..5), call(2, 3..4, Set(3, IfVersion(1)), NotMet)]);
    fits_not(vec![start(), one(2..5), call(2, 3..4, Set(3, IfVersion(1)), updated(3))]);
    // Nobody wrote between.
    fits_not(vec![start(), call(2, 2..3, Set(3, IfVersion(1)), NotMet)]);
    // The winner's value is gone, and nobody took it.
    fits_not(vec![start(), one(2..3), call(1, 4..5, Get, found(1))]);
}

#[test]
fn a_counter_that_counts_twice_or_not_at_all() {
    let add = |caller: usize, answer: Answer| call(caller, 0..9, Increment(1), answer);
    fits(vec![add(0, Count(2)), add(1, Count(1)), call(0, 10..11, Get, found(2))]);
    fits_not(vec![add(0, Count(1)), add(1, Count(1))]);
    fits_not(vec![add(0, Count(1)), call(0, 10..11, Get, found(2))]);
    fits_not(vec![add(0, Count(2)), add(1, Count(3))]);
    // One of unknown outcome counts once or never.
    let unknown = || add(2, Unknown);
    fits(vec![add(0, Count(2)), unknown()]);
    fits(vec![add(0, Count(1)), unknown(), call(0, 10..11, Get, found(2))]);
    fits_not(vec![add(0, Count(1)), unknown(), call(0, 10..11, Get, found(3))]);
}

#[test]
fn a_write_of_unknown_outcome() {
    let unknown = || call(0, 2..3, Set(1, Always), Unknown);
    let get = |at: Moment, answer: Answer| call(1, at..at + 1, Get, answer);
    fits(vec![unknown(), get(4, NONE), get(6, NONE)]);
    // It shows at once, or later.
    fits(vec![unknown(), get(4, found(1)), get(6, found(1))]);
    fits(vec![unknown(), get(4, NONE), get(6, found(1))]);
    // It shows and vanishes.
    fits_not(vec![unknown(), get(4, found(1)), get(6, NONE)]);
    // It shows before it began.
    fits_not(vec![get(0, found(1)), unknown()]);
    // It shows twice.
    let deleted = || call(1, 6..7, Delete(None), DELETED);
    fits(vec![unknown(), get(4, found(1)), deleted(), get(8, NONE)]);
    fits_not(vec![unknown(), get(4, found(1)), deleted(), get(8, found(1))]);
    let repeated = || Call { repeats: 1, ..unknown() };
    fits(vec![repeated(), get(4, found(1)), deleted(), get(8, found(1))]);
    // It can be what another one met, and what it did not meet.
    let other = |answer: Answer| call(1, 4..5, Set(2, IfNotExists), answer);
    fits(vec![unknown(), other(NotMet)]);
    fits(vec![unknown(), other(CREATED), get(6, found(2))]);
    fits(vec![unknown(), other(CREATED), get(6, found(1))]);
    fits_not(vec![call(0, 2..3, Set(1, Always), NotApplied), other(NotMet)]);
}

#[test]
fn a_condition_of_unknown_outcome_holds_when_it_takes_effect() {
    let unknown = |when: When| call(0, 2..3, Set(1, when), Unknown);
    let get = |at: Moment, answer: Answer| call(1, at..at + 1, Get, answer);
    let set = || call(1, 0..1, Set(7, Always), created(7));
    fits_not(vec![set(), unknown(IfNotExists), get(4, found(1))]);
    fits(vec![set(), unknown(IfExists), get(4, found(1))]);
    fits(vec![set(), unknown(IfVersion(7)), get(4, found(1))]);
    let again = || call(1, 4..5, Set(8, Always), updated(8));
    fits_not(vec![set(), unknown(IfVersion(7)), again(), get(6, found(8)), get(8, found(1))]);
    fits(vec![set(), unknown(IfExists), again(), get(6, found(8)), get(8, found(1))]);
}

#[test]
fn deletes_with_a_version() {
    let set = || call(0, 0..1, Set(1, Always), created(1));
    let delete = |caller: usize, answer: Answer| call(caller, 2..9, Delete(Some(1)), answer);
    fits(vec![set(), delete(0, DELETED), delete(1, NotMet)]);
    fits_not(vec![set(), delete(0, DELETED), delete(1, DELETED)]);
    fits_not(vec![set(), delete(0, NotMet), delete(1, NotMet)]);
    fits(vec![set(), delete(0, NotMet), call(1, 3..4, Set(2, Always), updated(2))]);
    // A delete with the version of what was there before.
    let other = || call(1, 2..3, Set(2, Always), updated(2));
    fits_not(vec![set(), other(), call(0, 4..5, Delete(Some(1)), DELETED)]);
}

#[test]
fn a_version_is_what_its_readers_say_it_is() {
    // Nobody was given the version of the set of 2 by the set itself.
    let sets = || vec![call(0, 0..1, Set(1, Always), created(1)), call(0, 2..3, Set(2, Always), UPDATED)];
    let with = |others: &[Call]| [sets(), others.to_vec()].concat();
    fits(with(&[call(0, 4..5, GetEntry, entry(2, 2)), call(0, 6..7, Set(3, IfVersion(2)), updated(3))]));
    fits_not(with(&[call(0, 4..5, GetEntry, entry(2, 2)), call(0, 6..7, Set(3, IfVersion(2)), NotMet)]));
    fits_not(with(&[call(0, 4..5, Set(3, IfVersion(1)), updated(3))]));
    // Two reads of one entry are given one version.
    fits_not(with(&[call(0, 4..5, GetEntry, entry(2, 2)), call(0, 6..7, GetEntry, entry(2, 3))]));
    // The same content again, with the same version or another.
    let again = |version: usize| call(0, 6..7, Set(1, Always), updated(version));
    for version in [1, 4] {
        fits(with(&[again(version), call(0, 8..9, GetEntry, entry(1, version))]));
        let is_same = version == 1;
        let old = |answer: Answer| with(&[again(version), call(0, 8..9, Set(3, IfVersion(1)), answer)]);
        assert_eq!(verdict(old(updated(3))) == Verdict::Linearizable, is_same);
        assert_eq!(verdict(old(NotMet)) == Verdict::Linearizable, !is_same);
    }
    // As long as nobody was given the version of the second, both are possible.
    let again = || call(0, 6..7, Set(1, Always), UPDATED);
    for answer in [updated(3), NotMet] {
        fits(with(&[again(), call(0, 8..9, Set(3, IfVersion(1)), answer)]));
    }
    // No order explains one version of two contents.
    assert!(History::new(with(&[call(0, 4..5, GetEntry, entry(2, 1))])).is_err());
}

#[test]
fn a_value_is_taken_once() {
    let set = || call(0, 0..1, Set(1, Always), CREATED);
    let take = |caller: usize, answer: Answer| call(caller, 2..9, GetAndDelete, answer);
    fits(vec![set(), take(0, found(1)), take(1, NONE)]);
    fits_not(vec![set(), take(0, found(1)), take(1, found(1))]);
    fits_not(vec![set(), take(0, NONE), take(1, NONE)]);
    // One that nobody answered may have taken it.
    fits(vec![set(), take(0, Unknown), take(1, NONE)]);
    // It takes what was overwritten, and leaves what is there.
    let over = || call(1, 3..4, Set(2, Always), STORED);
    fits(vec![set(), over(), take(0, found(1))]);
    fits_not(vec![set(), over(), call(0, 5..6, GetAndDelete, found(1))]);
}

#[test]
fn a_search_that_is_too_long_is_no_pass() {
    // Any of some writes may have been carried out, and none explains what was read in the end.
    let unknown = (0..40).map(|at| call(at, 0..1, Set(1, Always), Unknown));
    let value = |at: Moment| if at < 20 { found(1) } else { found(2) };
    let reads = (0..=20).map(|at| call(99, 2 * at + 2..2 * at + 3, Get, value(at)));
    let history = History::new(unknown.chain(reads).collect()).unwrap();
    assert_eq!(search(&history, &operations(&history), None, 10), Verdict::Undecided);
    assert_eq!(search(&history, &operations(&history), None, 1_000), Verdict::NotLinearizable);
}

/// Every order of every choice of what was carried out.
fn has_an_order(history: &History, operations: &[Operation]) -> bool {
    fn orders(history: &History, operations: &[Operation], order: &mut Vec<usize>) -> bool {
        let is_whole = (0..operations.len()).all(|at| order.contains(&at) || operations[at].until.is_none());
        if is_whole && explains(history, operations, order) {
            return true;
        }
        (0..operations.len()).any(|at| {
            if order.contains(&at) {
                return false;
            }
            order.push(at);
            let found = orders(history, operations, order);
            order.pop();
            found
        })
    }
    fn explains(history: &History, operations: &[Operation], order: &[usize]) -> bool {
        let in_time = order.iter().enumerate().all(|(place, later)| {
            let ended_before =
                |earlier: &usize| operations[*later].until.is_some_and(|until| until < operations[*earlier].from);
            !order[..place].iter().any(ended_before)
        });
        let mut state: State = None;
        in_time
            && order.iter().all(|at| {
                match step(history, state, operations[*at].action, operations[*at].answer) {
                    Some(next) => state = next,
                    None => return false,
                }
                true
            })
    }
    orders(history, operations, &mut Vec::new())
}

/// A version stands for the value of its last digit.
fn any_answer_of(action: Action) -> BoxedStrategy<Answer> {
    let value = || prop_oneof![Just(None), (1..=2_i64).prop_map(Some)];
    let version = || prop_oneof![Just(0_usize), Just(10)];
    let over = || prop_oneof![Just(None), Just(Some(true)), Just(Some(false))];
    let known = match action {
        Get | GetAndDelete => value().prop_map(Answer::Value).boxed(),
        GetEntry | Action::Touch => (value(), prop::option::of(version()))
            .prop_map(|(value, version)| {
                let number = |value: i64| version.map(|version| version + usize::try_from(value).unwrap_or(0));
                Entry(value.map(|value| (value, number(value))))
            })
            .boxed(),
        Expire => any::<bool>().prop_map(Exists).boxed(),
        Set(value, _) => {
            let number = usize::try_from(value).unwrap_or(0);
            let written = (over(), prop::option::of(version())).prop_map(move |(over_an_entry, version)| Written {
                over_an_entry,
                version: version.map(|version| version + number),
            });
            prop_oneof![3 => written, 1 => Just(NotMet)].boxed()
        }
        Delete(_) => prop_oneof![3 => over().prop_map(|was_there| Deleted { was_there }), 1 => Just(NotMet)].boxed(),
        Increment(_) => (1..=3_i64).prop_map(Count).boxed(),
    };
    prop_oneof![6 => known, 1 => Just(Unknown), 1 => Just(NotApplied)].boxed()
}

fn any_action() -> impl Strategy<Value = Action> {
    let version = || prop_oneof![Just(1_usize), Just(2), Just(11)];
    let when = prop_oneof![Just(Always), Just(IfNotExists), Just(IfExists), version().prop_map(IfVersion)];
    prop_oneof![
        2 => Just(Get),
        2 => Just(GetEntry),
        1 => Just(Expire),
        4 => (1..=2_i64, when).prop_map(|(value, when)| Set(value, when)),
        2 => prop::option::of(version()).prop_map(Delete),
        1 => Just(GetAndDelete),
        1 => Just(Increment(1)),
    ]
}

fn any_history() -> impl Strategy<Value = History> {
    const CALLS: usize = 5;
    let call = any_action().prop_flat_map(|action| (Just(action), any_answer_of(action), 0..8_usize));
    let moments: Vec<Moment> = (0..2 * CALLS as Moment).collect();
    (prop::collection::vec(call, 1..=CALLS), Just(moments).prop_shuffle()).prop_map(|(calls, moments)| {
        let calls =
            calls.into_iter().zip(moments.chunks(2)).enumerate().map(|(caller, ((action, answer, rare), at))| {
                let (began, ended) = (at[0].min(at[1]), at[0].max(at[1]));
                // Of one call, so that all orders can be tried.
                let asks_for_a_state = caller == 0 && matches!(action, Set(_, Always) | Delete(None));
                let repeats = usize::from(asks_for_a_state && rare < 4) + usize::from(asks_for_a_state && rare < 2);
                Call { caller, action, began, ended: Some(ended), answer, repeats }
            });
        History::new(calls.collect()).expect("each version stands for one value")
    })
}

#[test]
fn the_search_finds_what_trying_everything_finds() {
    let (with, without) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: 4_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRunner::deterministic().new_rng());
    let result = runner.run(&any_history(), |history| {
        let expected = has_an_order(&history, &operations(&history));
        let counted = if expected { &with } else { &without };
        counted.set(counted.get() + 1);
        let found = check(&history, None);
        prop_assert_eq!(found == Verdict::Linearizable, expected);
        prop_assert_eq!(found == Verdict::NotLinearizable, !expected);
        if !expected {
            // What is left shows it too, by itself, and only the last call of it can be at fault.
            let shrunk = shrunk(&history, None);
            prop_assert!(shrunk.calls.len() <= history.calls.len());
            prop_assert!(!has_an_order(&shrunk, &operations(&shrunk)));
            let drawn = draw(&shrunk);
            prop_assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{}", drawn);
        }
        Ok(())
    });
    result.unwrap();
    assert!(with.get() > 500 && without.get() > 500, "{} with an order, {} without", with.get(), without.get());
}
