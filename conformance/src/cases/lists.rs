//! LIST-1 to LIST-7.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};
use kv_api::{
    Cursor, EntryExpiry, ErrorKind, Feature, ListItem, ListOrder, Metadata, Reason, SetItem, Store, Value, ValueKind,
};
use serde_json::json;

use crate::context::{Context, WALK_MAX, collected};
use crate::harness::Fault;
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_applicable, not_shown};

async fn set_all<S: AsRef<str>>(cx: &Context<'_>, keys: &[S]) -> CaseResult {
    let items = keys.iter().enumerate().map(|(number, key)| SetItem::new(key.as_ref(), cx.value(number)));
    for result in cx.store().set_many(items).await {
        result?;
    }
    Ok(())
}

fn ordered(cx: &Context<'_>) -> bool {
    cx.capabilities().list_order == ListOrder::Lexicographic
}

/// Compares a list with the keys it must have, in their order where the store has one. Keys of an unordered list may
/// repeat unless `repeats` are already removed.
fn compare(cx: &Context<'_>, mut found: Vec<String>, keys: &[String], what: &str) -> CaseResult {
    let mut expected = keys.to_vec();
    expected.sort_unstable();
    if !ordered(cx) {
        found.sort_unstable();
        found.dedup();
    }
    ensure_eq!(found, expected, "{what}");
    Ok(())
}

/// LIST-1: an empty store lists nothing, and ends.
pub(crate) async fn list_1_nothing_lists_nothing(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    ensure_eq!(cx.listed("").await?, Vec::<String>::new(), "the keys of an empty store");
    ensure_eq!(cx.listed_in_pages("", 1).await?, Vec::<String>::new(), "the keys of an empty store, in pages of 1");
    set_all(cx, &[cx.key("k")]).await?;
    ensure_eq!(cx.listed("x").await?, Vec::<String>::new(), "the keys below a prefix that none has");
    Ok(())
}

/// LIST-1: a prefix is literal: what means something in a pattern means itself.
pub(crate) async fn list_1_a_prefix_is_literal(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    const PREFIXES: &[&str] = &[
        "*",
        "?",
        "[a]",
        "[",
        "%",
        "_",
        "\\",
        "a*",
        "a?",
        "a%",
        "a_",
        "a\\",
        " ",
        "a ",
        "'",
        "\"",
        "é",
        "{a}",
        "^a",
        "$",
        "a.",
        "\u{1f600}",
        "ÿ",
        "\u{10ffff}",
        "\0",
    ];
    let name = |prefix: &str| cx.key(&format!("{prefix}1"));
    let mut keys: Vec<String> = PREFIXES.iter().map(|prefix| name(prefix)).collect();
    keys.extend(["ab", "abc", "a", "A1", "xa*1", "b"].map(|key| cx.key(key)));
    keys.sort_unstable();
    keys.dedup();
    set_all(cx, &keys).await?;
    for prefix in PREFIXES.iter().copied().chain(["a", "ab", "A", ""]) {
        let below: Vec<String> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        compare(cx, cx.listed(prefix).await?, &below, &format!("the keys below {prefix:?}"))?;
    }
    Ok(())
}

/// LIST-1: the limit is an upper bound on ordered stores, and only the absence of a cursor is the end.
pub(crate) async fn list_1_a_page_has_at_most_the_limit(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let keys: Vec<String> = (0..12).map(|number| cx.key(&format!("k{number:02}"))).collect();
    set_all(cx, &keys).await?;
    for limit in [1, 2, 5, 11, 12, 13, 1000, usize::MAX] {
        let page = cx.store().list().limit(limit).await?;
        let names: BTreeSet<&str> = page.items.iter().map(|item| item.key.as_str()).collect();
        ensure_eq!(names.len(), page.items.len(), "how many different keys are on a page of {limit}");
        if ordered(cx) {
            ensure!(page.items.len() <= limit, "a page of at most {limit} has {} keys", page.items.len());
        }
        ensure!(
            page.items.len() >= 12 || page.cursor.is_some(),
            "a page of {limit} has no cursor, and keys are missing"
        );
    }
    Ok(())
}

/// LIST-1: a limit of zero is refused.
pub(crate) async fn list_1_a_limit_of_zero_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let sent = cx.requests();
    ensure_invalid!(cx.store().list().limit(0).await, Reason::PageLimitZero, "a limit of zero");
    cx.expect_sent(sent, 0, "a limit of zero")
}

/// LIST-1, EXP-8: a list tells the expiry where that is declared; else it says that it does not know.
pub(crate) async fn list_1_a_list_tells_the_expiry_it_declares(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let form = cx.form().await?;
    let [plain, ending] = cx.keys(["plain", "ending"]);
    cx.store().set(&plain, cx.value(1)).await?;
    cx.align().await?;
    let life = cx.life(form, 2)?;
    life.set(cx.store().set(&ending, cx.value(1))).await?;
    let latest = cx.latest_reported(life)?;
    let items = collected(cx.store().list().stream()).await?;
    ensure_eq!(items.len(), 2, "how many keys are listed");
    for item in items {
        let right = match (cx.capabilities().list_expiry, item.expiry) {
            (false, expiry) => expiry == EntryExpiry::Unknown,
            (true, EntryExpiry::Never) => item.key == plain,
            (true, EntryExpiry::At(at)) => item.key == ending && (life.end..=latest).contains(&at),
            (true, _) => false,
        };
        ensure!(
            right,
            "the listed expiry of {:?}: {:?}; the list declares to tell it: {}",
            item.key,
            item.expiry,
            cx.capabilities().list_expiry
        );
    }
    Ok(())
}

/// LIST-2: no key is lost or repeated at the border of a page, whatever the limit.
pub(crate) async fn list_2_no_key_is_lost_between_pages(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let names = ["a", "aa", "ab", "a\0", "b", "b/1", "b/10", "b/2", "c ", "é", "z", "\u{ffff}", "\u{10000}"];
    let keys: Vec<String> = names.iter().map(|name| cx.key(name)).collect();
    set_all(cx, &keys).await?;
    for limit in 1..=names.len() + 1 {
        compare(cx, cx.listed_in_pages("", limit).await?, &keys, &format!("all keys in pages of {limit}"))?;
    }
    let below: Vec<String> = keys.iter().filter(|key| key.starts_with('b')).cloned().collect();
    compare(cx, cx.listed_in_pages("b", 1).await?, &below, "the keys below \"b\" in pages of 1")
}

/// LIST-2: where the order is declared lexicographic, it is by the bytes of the keys.
pub(crate) async fn list_2_the_order_is_by_bytes(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    if !ordered(cx) {
        return not_applicable("the list is declared unordered");
    }
    // U+FFFF sorts before U+10000 by bytes and after it in UTF-16; upper case before lower case; "10" before "9".
    let names = [
        "Z",
        "a",
        "A",
        "é",
        "e\u{301}",
        "z",
        "\u{ffff}",
        "\u{10000}",
        "\u{ff21}",
        "\u{1f600}",
        "9",
        "10",
        "_",
        "-",
        "a-",
        "a1",
        "ab",
        "\u{7f}",
        "\u{80}",
        "ß",
        "~",
    ];
    let keys: Vec<String> = names.iter().map(|name| cx.key(name)).collect();
    set_all(cx, &keys).await?;
    compare(cx, cx.listed("").await?, &keys, "all keys by their bytes")?;
    compare(cx, cx.listed_in_pages("", 3).await?, &keys, "all keys by their bytes, in pages of 3")
}

/// LIST-2: a key that exists during the whole walk is returned, whatever comes and goes around it; on ordered stores
/// and by the stream exactly once.
pub(crate) async fn list_2_changes_around_a_walk_lose_nothing(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let stable: Vec<String> = (0..20).map(|number| cx.key(&format!("k{number:02}s"))).collect();
    let passing: Vec<String> = (0..20).map(|number| cx.key(&format!("k{number:02}p"))).collect();
    set_all(cx, &stable).await?;
    set_all(cx, &passing[..10]).await?;
    let mut walk = cx.store().list().limit(3).stream().take(WALK_MAX);
    let mut found: Vec<String> = Vec::new();
    let mut step = 0;
    while let Some(item) = walk.next().await {
        found.push(item?.key);
        // Behind and before the place where the walk is.
        if let Some(key) = passing.get(step) {
            if step % 2 == 0 {
                cx.store().delete(key).await?;
            }
            cx.store().set(&passing[passing.len() - 1 - step], cx.value(step)).await?;
        }
        step += 1;
    }
    let mut of_stable: Vec<String> = found.iter().filter(|key| stable.contains(key)).cloned().collect();
    if !ordered(cx) {
        of_stable.sort_unstable();
    }
    ensure_eq!(of_stable, stable, "the keys that were there during the whole walk");
    let known = |key: &String| stable.contains(key) || passing.contains(key);
    ensure!(found.iter().all(known), "a walk found keys that nobody set: {found:?}");
    Ok(())
}

/// LIST-2: deleting what a page has named does not make the walk skip what follows.
pub(crate) async fn list_2_deleting_along_the_walk_skips_nothing(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let keys: Vec<String> = (0..15).map(|number| cx.key(&format!("k{number:02}"))).collect();
    set_all(cx, &keys).await?;
    let mut found = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for _ in 0..1000 {
        let mut list = cx.store().list().limit(4);
        if let Some(cursor) = cursor.take() {
            list = list.cursor(cursor);
        }
        let page = list.await?;
        for item in page.items {
            cx.store().delete(&item.key).await?;
            found.push(item.key);
        }
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return compare(cx, found, &keys, "the keys of a walk that deletes what it finds"),
        }
    }
    Err(Stop::Failed("a walk that deletes what it finds has not ended after 1000 pages".to_owned()))
}

/// More than a page of keys, what is on the first page, and the cursor after it.
pub(crate) async fn first_page(cx: &Context<'_>, prefix: &str) -> Result<(Vec<String>, Vec<String>, Cursor), Stop> {
    // An unordered store may give more than was asked for.
    for count in [40, 400] {
        let keys: Vec<String> = (0..count).map(|number| cx.key(&format!("{prefix}{number:03}"))).collect();
        set_all(cx, &keys).await?;
        let page = cx.store().list().prefix(prefix).limit(3).await?;
        let named = page.items.into_iter().map(|item| item.key).collect();
        if let Some(cursor) = page.cursor {
            return Ok((keys, named, cursor));
        }
    }
    not_applicable("the store put four hundred keys on a page of three")
}

pub(crate) async fn rest(store: &Store, prefix: &str, cursor: Cursor) -> Result<Vec<String>, Stop> {
    collected(store.list().prefix(prefix).cursor(cursor).stream().map_ok(|item| item.key)).await
}

/// LIST-3: a cursor can be stored as text and used later, also by a handle that shares nothing but the data.
pub(crate) async fn list_3_a_cursor_survives_the_process(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let (keys, named, cursor) = first_page(cx, "k/").await?;
    let stored = cursor.to_string();
    let mut handles = vec![cx.store().clone()];
    handles.extend(cx.reopened().await?);
    for store in &handles {
        let mut found = named.clone();
        found.extend(rest(store, "k/", stored.parse()?).await?);
        compare(cx, found, &keys, "a page and what follows its stored cursor")?;
    }
    Ok(())
}

/// LIST-3, LIST-2: a walk across a restart of the system loses no key, or says that its place is lost.
pub(crate) async fn list_3_a_walk_across_a_restart_loses_nothing(cx: &Context<'_>) -> CaseResult {
    /// How many calls may fail for the connections that the restart has ended.
    const LOST_CALLS: usize = 20;
    cx.with(Feature::List).await?;
    let Some(restart) = &cx.fixture.restart else { return not_shown(Means::Restart, "the harness restarts nothing") };
    let keys: Vec<String> = (0..500).map(|number| cx.key(&format!("k/{number:03}"))).collect();
    set_all(cx, &keys).await?;
    let mut found = Vec::new();
    let mut cursor: Option<Cursor> = None;
    let mut lost = 0;
    for pages in 0..WALK_MAX {
        if pages == 3 {
            restart().await?;
        }
        let list = cx.store().list().prefix("k/").limit(10);
        let page = match &cursor {
            Some(cursor) => list.cursor(cursor.clone()).await,
            None => list.await,
        };
        match page {
            Ok(page) => {
                found.extend(page.items.into_iter().map(|item| item.key));
                cursor = page.cursor;
                if cursor.is_none() {
                    ensure!(pages >= 3, "five hundred keys are on {} pages of ten", pages + 1);
                    compare(cx, found, &keys, "the keys of a walk across a restart")?;
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && pages >= 3 && lost < LOST_CALLS => lost += 1,
            Err(error) if pages >= 3 => {
                ensure_invalid!(Err::<(), _>(error), Reason::CursorInvalid, "a walk whose place a restart has lost");
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    compare(cx, cx.listed("k/").await?, &keys, "the keys of a walk after a restart")
}

/// LIST-3: a cursor can be used twice, and goes on at the same place.
pub(crate) async fn list_3_a_cursor_can_be_used_again(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let (_, _, cursor) = first_page(cx, "k/").await?;
    let sorted = |mut keys: Vec<String>| {
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let once = sorted(rest(cx.store(), "k/", cursor.clone()).await?);
    let twice = sorted(rest(cx.store(), "k/", cursor).await?);
    ensure_eq!(twice, once, "what follows a cursor that is used again");
    Ok(())
}

/// LIST-3: a cursor that is damaged, of another store or namespace, or used with another prefix is refused.
pub(crate) async fn list_3_a_wrong_cursor_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let (_, _, cursor) = first_page(cx, "k/").await?;
    let text = cursor.to_string();
    let sent = cx.requests();
    let halves = [
        text[..text.len() / 2].to_owned(),
        format!("{text}A"),
        format!("A{text}"),
        "x".to_owned(),
        "0".to_owned(),
        " ".to_owned(),
    ];
    for damaged in halves {
        let result = cx.store().list().prefix("k/").cursor(damaged.parse()?).await;
        ensure_invalid!(result, Reason::CursorInvalid, "the damaged cursor {damaged:?}");
    }
    for prefix in ["", "k", "k/0", "K/"] {
        let result = cx.store().list().prefix(prefix).cursor(cursor.clone()).await;
        ensure_invalid!(result, Reason::CursorInvalid, "a cursor of \"k/\" used with {prefix:?}");
    }
    cx.expect_sent(sent, 0, "a wrong cursor")?;
    if cx.fixture.open_namespace.is_some() {
        let other = cx.namespace("other").await?;
        let result = other.list().prefix("k/").cursor(cursor).await;
        ensure_invalid!(result, Reason::CursorInvalid, "a cursor of another namespace");
    }
    Ok(())
}

/// More pages than any walk may take in vain (LIST-5).
const PAGES: u32 = 4_000;

/// How many pages a walk that gets nowhere may ask for: those that LIST-5 allows, and some to spare.
const PAGES_MAX: u64 = 1_100;

/// LIST-3: a page whose cursor leads back to where the page began is an error, and no page.
pub(crate) async fn list_3_a_cursor_that_stands_still_is_refused(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let faults = cx.faults_like(Fault::PageStandsStill)?;
    let (_, _, mut cursor) = first_page(cx, "k/").await?;
    faults.inject(Fault::PageStandsStill, PAGES);
    // The place where a page begins can have two cursors: that of the page before, and the one that leads back.
    let mut refused = None;
    for _ in 0..2 {
        match cx.store().list().prefix("k/").limit(3).cursor(cursor.clone()).await {
            Err(error) => {
                refused = Some(error);
                break;
            }
            Ok(page) => {
                ensure_eq!(page.items.len(), 0, "how many keys an empty page has");
                match page.cursor {
                    Some(next) => cursor = next,
                    None => return Err(Stop::Failed("a page that leads back is passed on as the last".to_owned())),
                }
            }
        }
    }
    faults.inject(Fault::PageStandsStill, 0);
    ensure!(refused.is_some(), "a page whose cursor is the one it was asked with is passed on");
    ensure_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Protocol), "the kind of the error");
    Ok(())
}

/// LIST-5: a walk over pages that stand still ends, as an error.
pub(crate) async fn list_5_a_walk_that_stands_still_ends(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    cx.faults_like(Fault::PageStandsStill)?;
    let keys: Vec<String> = (0..8).map(|number| cx.key(&format!("k{number}."))).collect();
    set_all(cx, &keys).await?;
    let store = cx.store();
    let stream = store.list().stream().take(WALK_MAX).try_collect::<Vec<_>>();
    ends(cx, Fault::PageStandsStill, "stream", stream).await?;
    let entries = store.list().entries().take(WALK_MAX).try_collect::<Vec<_>>();
    ends(cx, Fault::PageStandsStill, "entries", entries).await?;
    ends(cx, Fault::PageStandsStill, "delete_prefix", store.delete_prefix("k")).await?;
    ends(cx, Fault::PageStandsStill, "clear", store.clear()).await?;
    compare(cx, cx.listed("").await?, &keys, "the keys, after walks that got nowhere")
}

/// Runs a walk while each page meets a fault: it must end as an error, after no more requests than LIST-5 allows.
async fn ends<T>(
    cx: &Context<'_>,
    fault: Fault,
    walk: &str,
    run: impl Future<Output = kv_api::Result<T>>,
) -> CaseResult {
    let before = cx.requests();
    cx.store().list().limit(1).await?;
    let sent = cx.requests();
    let of_a_page = sent.zip(before).map_or(1, |(now, before)| now - before).max(1);
    cx.faults()?.inject(fault, PAGES);
    let ended = run.await;
    cx.faults()?.inject(fault, 0);
    ensure_refused!(ended, ErrorKind::Protocol, None, "{walk} with {fault:?}");
    let sent = cx.requests().zip(sent).map_or(0, |(now, before)| now - before);
    ensure!(sent <= PAGES_MAX * of_a_page, "{walk} with {fault:?} sent {sent} requests");
    Ok(())
}

/// LIST-5: a walk over empty pages with ever new cursors ends, as an error.
pub(crate) async fn list_5_a_walk_of_empty_pages_ends(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    cx.faults_like(Fault::PageEmpty)?;
    set_all(cx, &[cx.key("k")]).await?;
    ends(cx, Fault::PageEmpty, "stream", cx.store().list().stream().take(WALK_MAX).try_collect::<Vec<_>>()).await?;
    ensure_eq!(cx.listed("").await?, [cx.key("k")], "the keys, after a walk that got nowhere");
    Ok(())
}

/// LIST-5, LIST-2: a walk over known keys with ever new cursors ends, as an error; no key is passed on twice.
pub(crate) async fn list_5_a_walk_in_circles_ends(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    cx.faults_like(Fault::PageInCircles)?;
    let keys: Vec<String> = (0..24).map(|number| cx.key(&format!("k{number:02}."))).collect();
    set_all(cx, &keys).await?;
    let mut found = Vec::new();
    let walk = cx.store().list().limit(12).stream().take(WALK_MAX);
    let walk = walk.try_for_each(|item| {
        found.push(item.key);
        std::future::ready(Ok(()))
    });
    ends(cx, Fault::PageInCircles, "stream", walk).await?;
    let different: BTreeSet<&String> = found.iter().collect();
    ensure_eq!(different.len(), found.len(), "how many different keys are among those passed on");
    ensure!(found.iter().all(|key| keys.contains(key)), "keys that nobody set: {found:?}");
    Ok(())
}

/// LIST-4: the stream of entries gives each key with its value, and leaves out what vanished in between.
pub(crate) async fn list_4_entries_leave_out_what_vanished(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let keys: Vec<String> = (0..9).map(|number| cx.key(&format!("k{number}"))).collect();
    set_all(cx, &keys).await?;
    let mut entries = collected(cx.store().list().limit(2).entries()).await?;
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    ensure_eq!(entries.len(), keys.len(), "how many entries are walked");
    for (number, (key, entry)) in entries.iter().enumerate() {
        ensure_eq!(key, &keys[number], "the key of a walked entry");
        ensure_eq!(entry.value(), &cx.value(number), "the value of {key:?}");
        ensure_eq!(Some(entry), cx.store().get_entry(key).await?.as_ref(), "a walked entry, against get_entry");
    }
    let mut walk = cx.store().list().limit(2).entries().take(WALK_MAX);
    let mut walked = vec![];
    if let Some(first) = walk.next().await {
        walked.push(first?.0);
    }
    for key in &keys {
        if !walked.contains(key) {
            cx.store().delete(key).await?;
        }
    }
    while let Some(entry) = walk.next().await {
        walked.push(entry?.0);
    }
    // What was read with the first one may come; what was deleted before its page was read may not. An unordered store
    // may have put all on one page.
    ensure!(
        !ordered(cx) || walked.len() < keys.len(),
        "a walk gave all entries, although all but one were deleted before it went on"
    );
    Ok(())
}

/// Two values of each kind, the second longer than the first; no length is that of the characters.
fn of_two_lengths(kind: ValueKind) -> [Value; 2] {
    match kind {
        ValueKind::Text => [Value::from(""), Value::from("é\u{10000}".repeat(20))],
        ValueKind::Json => [Value::from(json!(["é"])), Value::from(json!({ "long": "é".repeat(50) }))],
        _ => [Value::from(&[]), Value::from(vec![0xff; 100])],
    }
}

/// Each listed item has the length of what a read of its key gives, or none where lists do not report it.
async fn compare_lengths(store: &Store, items: &[ListItem], reports: bool, what: &str) -> CaseResult {
    for item in items {
        let value = if reports { store.get(&item.key).await? } else { None };
        let length = value.map(|value| value.as_bytes().len() as u64);
        ensure_eq!(item.value_bytes, length, "the listed length of {:?}, {what}", item.key);
    }
    Ok(())
}

/// LIST-6: a list reports the length of each value where that is declared; else it says that it does not.
pub(crate) async fn list_6_a_list_reports_the_length_of_each_value(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::List).await?;
    let reports = cx.capabilities().list_value_bytes;
    let kinds = [ValueKind::Text, ValueKind::Json, ValueKind::Bytes].into_iter().filter(|kind| cx.has_kind(*kind));
    let pairs: Vec<[Value; 2]> = kinds.map(of_two_lengths).collect();
    let keys: Vec<[String; 2]> =
        (0..pairs.len()).map(|kind| [0, 1].map(|length| cx.key(&format!("k{kind}{length}")))).collect();
    // As they are, and then each with the value of the other.
    for (overwritten, what) in [(false, "written once"), (true, "overwritten")] {
        let items = pairs.iter().zip(&keys).flat_map(|(values, keys)| {
            let key_of = |length: usize| &*keys[if overwritten { 1 - length } else { length }];
            [0, 1].map(|length| SetItem::new(key_of(length), values[length].clone()))
        });
        for result in store.set_many(items).await {
            result?;
        }
        let walked = collected(store.list().limit(2).stream()).await?;
        ensure_eq!(walked.len(), 2 * keys.len(), "how many keys are listed");
        compare_lengths(store, &walked, reports, what).await?;
        compare_lengths(store, &store.list().await?.items, reports, what).await?;
    }
    if cx.declares(Feature::Counters) {
        let counter = cx.key("counter");
        store.increment(&counter, 9).await?;
        store.increment(&counter, 1).await?;
    }
    if cx.declares(Feature::Metadata) {
        let long = Metadata::from(json!({ "long": "m".repeat(100) }));
        let fits = cx.fits(&cx.key("metadata"), &cx.value(1), Some(&long));
        let metadata = if fits { long } else { Metadata::from(json!("m")) };
        store.set(cx.key("metadata"), cx.value(1)).metadata(metadata).await?;
    }
    let walked = collected(store.list().stream()).await?;
    compare_lengths(store, &walked, reports, "among counters and metadata").await
}

/// LIST-7: `count` counts what a walk gives, each key once, within the prefix of the handle.
pub(crate) async fn list_7_count_counts_each_key_once(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::List).await?;
    let below: Vec<String> = (0..30).map(|number| cx.key(&format!("p/{number}."))).collect();
    let beside: Vec<String> = (0..3).map(|number| cx.key(&format!("q{number}."))).collect();
    ensure_eq!(store.count("").await?, 0, "count of nothing");
    set_all(cx, &below).await?;
    set_all(cx, &beside).await?;
    ensure_eq!(store.count("p/").await?, 30, "count below a prefix");
    ensure_eq!(store.count("").await?, 33, "count of everything");
    ensure_eq!(store.count("p/x").await?, 0, "count below a prefix of no key");
    ensure_eq!(store.with_prefix("p/").count("").await?, 30, "count through a handle with a prefix");
    store.delete(&below[0]).await?;
    ensure_eq!(store.count("p/").await?, 29, "count after a delete");
    Ok(())
}
