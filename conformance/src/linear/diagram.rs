//! A history as a picture of text: time goes to the right, each caller has a row.

use std::fmt::Write;

use super::history::{Answer, Call, History, Moment};

/// How many columns a picture has at most.
const COLUMNS: usize = 100;

/// Draws the calls, each from its beginning to its answer, and lists them by their numbers below.
///
/// ```text
/// caller 0  [1 set 7: created]   [3 get: none]
/// caller 1         [2 delete: unknown~~~~~~~~~~~
/// ```
pub(crate) fn draw(history: &History) -> String {
    let calls = &history.calls;
    let mut events: Vec<Moment> = calls.iter().flat_map(|call| [Some(call.began), call.ended]).flatten().collect();
    events.sort_unstable();
    let margin = format!("caller {}  ", calls.iter().map(|call| call.caller).max().unwrap_or(0)).len();
    let with_calls: Vec<String> =
        calls.iter().enumerate().map(|(at, call)| format!("{} {}", at + 1, said(call))).collect();
    let with_numbers: Vec<String> = (1..=calls.len()).map(|number| number.to_string()).collect();
    let mut text = String::new();
    // With what was called inside the bars, if that is not too wide.
    let (labels, places) = match places(calls, &events, &with_calls) {
        wide if wide.last().is_none_or(|last| margin + last < COLUMNS) => (with_calls, wide),
        _ => {
            let places = places(calls, &events, &with_numbers);
            (with_numbers, places)
        }
    };
    // What is wider than a page goes on below.
    let width = COLUMNS - margin;
    let end = places.last().map_or(0, |last| last + 1);
    for page in 0..end.div_ceil(width) {
        for caller in callers(calls) {
            let own = calls.iter().zip(&labels).filter(|(call, _)| call.caller == caller);
            let row = row(own, &events, &places, end);
            let part: String = row.chars().skip(page * width).take(width).collect();
            let name = format!("caller {caller}");
            let _ = writeln!(text, "{}", format!("{name:margin$}{part}").trim_end());
        }
        text.push('\n');
    }
    for (number, call) in (1..).zip(calls) {
        let _ = writeln!(text, "{number:>4}  caller {}: {}", call.caller, said(call));
    }
    if calls.iter().any(|call| call.answer == Answer::Unknown) {
        text.push_str("~ without a certain answer: carried out at any moment from [ on, or never\n");
    }
    if calls.iter().any(|call| call.repeats > 0) {
        text.push_str("* may have been carried out more than once, since an answer may have been lost\n");
    }
    text
}

/// Call and answer.
fn said(call: &Call) -> String {
    let answer = match call.ended {
        Some(_) => call.answer.to_string(),
        None => "no answer yet".to_owned(),
    };
    format!("{}: {answer}{}", call.action, if call.repeats > 0 { " *" } else { "" })
}

fn callers(calls: &[Call]) -> Vec<usize> {
    let mut callers: Vec<usize> = calls.iter().map(|call| call.caller).collect();
    callers.sort_unstable();
    callers.dedup();
    callers
}

/// The column of each event: as far left as leaves each call room for its label between its two ends.
fn places(calls: &[Call], events: &[Moment], labels: &[String]) -> Vec<usize> {
    let place_of = |places: &[usize], moment: Moment| {
        events.binary_search(&moment).ok().and_then(|at| places.get(at)).copied().unwrap_or(0)
    };
    let mut places: Vec<usize> = Vec::with_capacity(events.len() + 1);
    for event in events.iter().copied().map(Some).chain([None]) {
        let mut place = places.last().map_or(0, |last| last + 1);
        // At the right edge all calls end that have not ended before.
        for (call, label) in calls.iter().zip(labels).filter(|(call, _)| call.ended == event) {
            place = place.max(place_of(&places, call.began) + label.chars().count() + 1);
        }
        places.push(place);
    }
    places
}

/// The bars of one caller.
fn row<'c>(
    calls: impl Iterator<Item = (&'c Call, &'c String)>,
    events: &[Moment],
    places: &[usize],
    end: usize,
) -> String {
    let place = |moment: Moment| events.binary_search(&moment).ok().and_then(|at| places.get(at)).copied();
    let mut row = vec![' '; end + 1];
    for (call, label) in calls {
        let (from, until) = (place(call.began).unwrap_or(0), call.ended.and_then(place).unwrap_or(end));
        let is_open = call.answer == Answer::Unknown;
        let line = if is_open { '~' } else { '-' };
        row[from..until].fill(line);
        row[from] = '[';
        row[until] = if is_open { '~' } else { ']' };
        for (at, letter) in (from + 1..until).zip(label.chars()) {
            row[at] = letter;
        }
    }
    row.into_iter().collect()
}
