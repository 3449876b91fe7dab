//! BATCH-1 to BATCH-6.

use std::time::Duration;

use kv_api::{
    BatchOutcome, ErrorKind, Feature, Metadata, Reason, Result, Retry, SetItem, SetOutcome, SetStatus, Value,
};
use serde_json::json;

use crate::cases::errors::FOR_EVER;
use crate::context::Context;
use crate::harness::Fault;
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_shown};

fn statuses(results: Vec<Result<SetOutcome>>) -> std::result::Result<Vec<SetStatus>, Stop> {
    results.into_iter().map(|result| Ok(result?.status())).collect()
}

fn told(cx: &Context<'_>, status: SetStatus) -> SetStatus {
    if cx.capabilities().reports_set_outcome { status } else { SetStatus::Stored }
}

/// BATCH-1: a batch takes any number of items, none included, and splits by itself.
pub(crate) async fn batch_1_any_number_of_items(cx: &Context<'_>) -> CaseResult {
    const MANY: usize = 2500;
    let sent = cx.requests();
    ensure!(cx.store().set_many(Vec::new()).await.is_empty(), "set_many of nothing has results");
    ensure_eq!(cx.store().get_many(Vec::<String>::new()).await?, [], "get_many of nothing");
    ensure!(cx.store().delete_many(Vec::<String>::new()).await.is_empty(), "delete_many of nothing has results");
    cx.expect_sent(sent, 0, "empty batches")?;
    let keys: Vec<String> = (0..MANY).map(|number| cx.key(&format!("k{number}."))).collect();
    let items = keys.iter().enumerate().map(|(number, key)| SetItem::new(key, cx.value(number)));
    let results = statuses(cx.store().set_many(items).await)?;
    ensure_eq!(results, vec![told(cx, SetStatus::Created); MANY], "the outcomes of {MANY} items");
    let found = cx.store().get_many(keys.iter().map(String::as_str)).await?;
    for (number, value) in found.iter().enumerate() {
        ensure!(value.as_ref() == Some(&cx.value(number)), "item {number} of {MANY} reads as {value:?}");
    }
    let results = cx.store().delete_many(keys.iter().map(String::as_str)).await;
    ensure_eq!(results.len(), MANY, "how many results delete_many has");
    for result in results {
        result?;
    }
    let left = cx.store().get_many(keys.iter().map(String::as_str)).await?;
    ensure!(left.iter().all(Option::is_none), "entries are left after delete_many of all");
    Ok(())
}

/// BATCH-2: one result per item, in input order, each with its own condition, expiry and metadata.
pub(crate) async fn batch_2_one_result_per_item_in_input_order(cx: &Context<'_>) -> CaseResult {
    let (there, missing) = (cx.key("there"), cx.key("missing"));
    cx.store().set(&there, cx.value(0)).await?;
    // In an order that is no order of keys, with outcomes that differ.
    let mut items = vec![SetItem::new(&*missing, cx.value(1))];
    let mut expected = vec![told(cx, SetStatus::Created)];
    let [z, a, m] = cx.keys(["z", "a", "m"]);
    if cx.declares(Feature::IfExists) {
        items.push(SetItem::new(&*z, cx.value(2)).if_exists());
        expected.push(SetStatus::NotMet);
    }
    items.push(SetItem::new(&*there, cx.value(3)));
    expected.push(told(cx, SetStatus::Updated));
    if cx.declares(Feature::IfNotExists) {
        items.push(SetItem::new(&*a, cx.value(4)).if_not_exists());
        expected.push(SetStatus::Created);
    }
    items.push(SetItem::new(&*m, cx.value(5)));
    expected.push(told(cx, SetStatus::Created));
    ensure_eq!(statuses(cx.store().set_many(items).await)?, expected, "the outcomes of set_many");
    cx.expect(&missing, Some(&cx.value(1)), "after set_many").await?;
    cx.expect(&there, Some(&cx.value(3)), "after set_many").await?;
    cx.expect(&m, Some(&cx.value(5)), "after set_many").await?;
    cx.expect(&z, None, "after an item whose condition was not met").await
}

/// BATCH-3: an invalid item fails alone, with its own error; the others are written.
pub(crate) async fn batch_3_an_invalid_item_fails_alone(cx: &Context<'_>) -> CaseResult {
    let [first, second, last] = cx.keys(["first", "second", "last"]);
    let results = cx
        .store()
        .set_many([
            SetItem::new(&*first, cx.value(1)),
            SetItem::new("", cx.value(2)),
            SetItem::new(&*second, cx.value(3)).if_exists().if_not_exists(),
            SetItem::new(&*last, cx.value(4)),
        ])
        .await;
    ensure_eq!(results.len(), 4, "how many results there are");
    ensure!(results[0].is_ok() && results[3].is_ok(), "valid items failed beside invalid ones: {results:?}");
    for (at, reason) in [(1, Reason::KeyEmpty), (2, Reason::ConflictingConditions)] {
        let error = ensure_err!(&results[at], "the result of an invalid item");
        ensure_eq!(error.reason(), Some(&reason), "the reason of an invalid item");
        ensure_eq!(error.index(), Some(at), "the index of an invalid item");
    }
    cx.expect(&first, Some(&cx.value(1)), "before an invalid item").await?;
    cx.expect(&second, None, "which was invalid").await?;
    cx.expect(&last, Some(&cx.value(4)), "after an invalid item").await
}

/// BATCH-3: an all-or-nothing batch writes all, each item with what it carries.
pub(crate) async fn batch_3_all_or_nothing_writes_all(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::AllOrNothing).await?;
    let [z, a, m] = cx.keys_together(["z", "a", "m"]).await?;
    store.set(&a, cx.value(0)).await?;
    let mut with_metadata = SetItem::new(&*m, cx.value(3));
    if cx.declares(Feature::Metadata) {
        with_metadata = with_metadata.metadata(json!({ "m": 1 }));
    }
    let items = [SetItem::new(&*z, cx.value(1)), SetItem::new(&*a, cx.value(2)), with_metadata];
    match store.set_many_all_or_nothing(items).await? {
        BatchOutcome::Written(outcomes) => {
            let found: Vec<SetStatus> = outcomes.iter().map(SetOutcome::status).collect();
            let expected = [SetStatus::Created, SetStatus::Updated, SetStatus::Created].map(|status| told(cx, status));
            ensure_eq!(found, expected, "the outcomes, in input order");
            let versions = outcomes.iter().filter(|outcome| outcome.version().is_some()).count();
            ensure_eq!(versions, if cx.declares(Feature::IfVersion) { 3 } else { 0 }, "how many versions are told");
        }
        other => return Err(Stop::Failed(format!("an all-or-nothing batch without conditions: {other:?}"))),
    }
    for (number, key) in [&z, &a, &m].into_iter().enumerate() {
        cx.expect(key, Some(&cx.value(number + 1)), "after an all-or-nothing batch").await?;
    }
    if cx.declares(Feature::Metadata) {
        ensure_eq!(cx.entry(&m).await?.metadata(), Some(&Metadata::from(json!({ "m": 1 }))), "the metadata of an item");
    }
    let nothing = store.set_many_all_or_nothing(Vec::new()).await?;
    ensure_eq!(nothing, BatchOutcome::Written(Vec::new()), "an all-or-nothing batch of nothing");
    Ok(())
}

/// BATCH-3: one unmet condition, and nothing of an all-or-nothing batch is written; the first unmet item is named.
pub(crate) async fn batch_3_one_unmet_condition_and_nothing_is_written(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::AllOrNothing).await?;
    let condition =
        if cx.declares(Feature::IfNotExists) { kv_api::Condition::IfNotExists } else { kv_api::Condition::IfExists };
    let unmet_over_entry = condition == kv_api::Condition::IfNotExists;
    if !unmet_over_entry {
        cx.with(Feature::IfExists).await?;
    }
    let [free, there, other, last] = cx.keys_together(["free", "there", "other", "last"]).await?;
    store.set(&there, cx.value(0)).await?;
    store.set(&last, cx.value(0)).await?;
    let before = (cx.entry(&there).await?, cx.entry(&last).await?);
    let unmet = if unmet_over_entry { &there } else { &other };
    let items = [
        SetItem::new(&*free, cx.value(1)),
        SetItem::new(&**unmet, cx.value(2)).condition(condition.clone()),
        SetItem::new(if unmet_over_entry { &*other } else { &*there }, cx.value(3)),
        SetItem::new(&*last, cx.value(4)),
    ];
    let outcome = store.set_many_all_or_nothing(items).await?;
    ensure_eq!(outcome, BatchOutcome::NotMet { index: 1 }, "a batch whose second item is not met");
    cx.expect(&free, None, "before the unmet item of an all-or-nothing batch").await?;
    cx.expect(&other, None, "in an all-or-nothing batch that was not met").await?;
    ensure_eq!((cx.entry(&there).await?, cx.entry(&last).await?), before, "the entries that were there");
    Ok(())
}

/// BATCH-3: an invalid item or a repeated key fails an all-or-nothing batch as a whole, naming its index.
pub(crate) async fn batch_3_an_invalid_item_fails_all_or_nothing_whole(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::AllOrNothing).await?;
    let [first, second] = cx.keys(["first", "second"]);
    let sent = cx.requests();
    let invalid = [SetItem::new(&*first, cx.value(1)), SetItem::new("", cx.value(2))];
    let error = ensure_err!(store.set_many_all_or_nothing(invalid).await, "an invalid item");
    ensure_eq!((error.reason(), error.index()), (Some(&Reason::KeyEmpty), Some(1)), "reason and index");
    let repeated =
        [SetItem::new(&*first, cx.value(1)), SetItem::new(&*second, cx.value(2)), SetItem::new(&*first, cx.value(3))];
    let error = ensure_err!(store.set_many_all_or_nothing(repeated).await, "a repeated key");
    ensure_eq!(error.kind(), ErrorKind::InvalidArgument, "the kind of a repeated key");
    ensure_eq!(error.reason(), Some(&Reason::RepeatedKey { first_index: 0 }), "the reason of a repeated key");
    ensure_eq!(error.index(), Some(2), "the index of a repeated key");
    cx.expect_sent(sent, 0, "an all-or-nothing batch that is not acceptable")?;
    cx.expect(&first, None, "after refused batches").await?;
    cx.expect(&second, None, "after refused batches").await
}

/// BATCH-4: items with one key apply in input order; the last one written remains.
pub(crate) async fn batch_4_repeated_keys_apply_in_order(cx: &Context<'_>) -> CaseResult {
    let [key, other] = cx.keys(["k", "other"]);
    let items = [
        SetItem::new(&*key, cx.value(1)),
        SetItem::new(&*other, cx.value(2)),
        SetItem::new(&*key, cx.value(3)),
        SetItem::new(&*key, cx.value(4)),
    ];
    let found = statuses(cx.store().set_many(items).await)?;
    let created = told(cx, SetStatus::Created);
    ensure_eq!(found, [SetStatus::Stored, created, SetStatus::Stored, created], "outcomes with a repeated key");
    cx.expect(&key, Some(&cx.value(4)), "the last of three items").await?;
    cx.expect(&other, Some(&cx.value(2)), "beside a repeated key").await?;
    let invalid_last = [SetItem::new(&*key, cx.value(5)), SetItem::new(&*key, cx.value(6)).if_exists().if_not_exists()];
    let results = cx.store().set_many(invalid_last).await;
    ensure!(results[0].is_ok() && results[1].is_err(), "an item before an invalid one on its key: {results:?}");
    cx.expect(&key, Some(&cx.value(5)), "the last valid of two items").await
}

/// BATCH-4: a condition sees the items before it on its key.
pub(crate) async fn batch_4_a_condition_sees_the_items_before_it(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let [key, other] = cx.keys(["k", "other"]);
    let items = [
        SetItem::new(&*key, cx.value(1)).if_not_exists(),
        SetItem::new(&*key, cx.value(2)).if_not_exists(),
        SetItem::new(&*other, cx.value(3)),
        SetItem::new(&*other, cx.value(4)).if_not_exists(),
        SetItem::new(&*key, cx.value(5)),
    ];
    let found = statuses(store.set_many(items).await)?;
    let expected = [
        SetStatus::Created,
        SetStatus::NotMet,
        told(cx, SetStatus::Created),
        SetStatus::NotMet,
        told(cx, SetStatus::Updated),
    ];
    ensure_eq!(found, expected, "outcomes of conditions on repeated keys");
    cx.expect(&key, Some(&cx.value(5)), "the last item written").await?;
    cx.expect(&other, Some(&cx.value(3)), "before an unmet item").await
}

/// BATCH-5: items with and without options mix in one batch, and each keeps its own.
pub(crate) async fn batch_5_items_with_and_without_options_mix(cx: &Context<'_>) -> CaseResult {
    let keys: Vec<String> = (0..24).map(|number| cx.key(&format!("k{number}."))).collect();
    let form = if cx.declares(Feature::Ttl) || cx.declares(Feature::ExpireAt) { Some(cx.form().await?) } else { None };
    if form.is_some() {
        cx.align().await?;
    }
    let life = form.map(|form| cx.life(form, 1)).transpose()?;
    let has_metadata = |number: usize| number % 2 == 1 && cx.declares(Feature::Metadata);
    let has_expiry = |number: usize| number % 3 == 1;
    let items = keys.iter().enumerate().map(|(number, key)| {
        let mut item = SetItem::new(key, cx.value(number));
        if has_metadata(number) {
            item = item.metadata(json!({ "n": number }));
        }
        if number % 4 == 3 && cx.declares(Feature::IfNotExists) {
            item = item.if_not_exists();
        }
        match life {
            Some(life) if has_expiry(number) => life.item(item),
            _ => item,
        }
    });
    for result in cx.store().set_many(items).await {
        ensure!(result?.is_written(), "an item over nothing was not written");
    }
    for (number, key) in keys.iter().enumerate() {
        let entry = cx.entry(key).await?;
        ensure_eq!(entry.value(), &cx.value(number), "the value of item {number}");
        let metadata = has_metadata(number).then(|| Metadata::from(json!({ "n": number })));
        ensure_eq!(entry.metadata(), metadata.as_ref(), "the metadata of item {number}");
    }
    if let Some(life) = life {
        cx.pass_until_end(life).await?;
        for (number, key) in keys.iter().enumerate() {
            let value = cx.value(number);
            cx.expect(key, Some(&value).filter(|_| !has_expiry(number)), "at the expiry of every third item").await?;
        }
    }
    Ok(())
}

/// BATCH-5: a batch sends no more requests than single calls would.
pub(crate) async fn batch_5_a_batch_sends_no_more_than_single_calls(cx: &Context<'_>) -> CaseResult {
    const ITEMS: u64 = 20;
    let Some(before) = cx.requests() else { return not_shown(Means::Requests, "the harness counts no requests") };
    let keys: Vec<String> = (0..ITEMS).map(|number| cx.key(&format!("k{number}."))).collect();
    // The first call of its kind may take more requests, to prepare what it sends.
    cx.store().set(&keys[0], cx.value(0)).await?;
    let single = {
        let before = cx.requests().unwrap_or(before);
        cx.store().set(&keys[0], cx.value(0)).await?;
        cx.requests().unwrap_or(before) - before
    };
    let sent = async |what: &str, before: Option<u64>| {
        let sent = cx.requests().zip(before).map_or(0, |(now, before)| now - before);
        ensure!(
            sent <= single.max(1) * ITEMS,
            "{what} of {ITEMS} items sent {sent} requests; a single set sends {single}"
        );
        Ok::<(), Stop>(())
    };
    let before = cx.requests();
    for result in cx.store().set_many(keys.iter().map(|key| SetItem::new(key, cx.value(1)))).await {
        result?;
    }
    sent("set_many", before).await?;
    let before = cx.requests();
    // Replaced by the next item on its key, an item is not sent at all (BATCH-4).
    for result in cx.store().set_many((0..ITEMS).map(|_| SetItem::new(&*keys[0], cx.value(1)))).await {
        result?;
    }
    cx.expect_sent(before, single, "set_many of one key, many times")
}

/// Whether each item of a batch that met a fault is as it is reported: done, not done, or unknown.
async fn as_reported<T>(
    cx: &Context<'_>,
    keys: &[String],
    results: Vec<Result<T>>,
    is_done: impl Fn(Option<&Value>) -> bool,
    what: &str,
) -> CaseResult {
    ensure_eq!(results.len(), keys.len(), "how many results {what} has");
    for (key, result) in keys.iter().zip(results) {
        let done = is_done(cx.store().get(key).await?.as_ref());
        match result {
            Ok(_) => ensure!(done, "{what}: {key:?} is reported as done, and it is not"),
            Err(error) if error.retry() == Retry::OutcomeUnknown => {}
            Err(error) => ensure!(!done, "{what}: {key:?} is reported as not done ({error}), and it is"),
        }
    }
    Ok(())
}

/// BATCH-6: when a bulk request fails, nothing is reported as done that is not, and nothing as not done that is.
pub(crate) async fn batch_6_a_failed_bulk_request_is_told_item_by_item(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    for (number, fault) in Fault::ALL.iter().copied().enumerate().filter(|(_, fault)| faults.offers(*fault)) {
        let keys: Vec<String> = (0..8).map(|item| cx.key(&format!("f{number}.{item}."))).collect();
        faults.inject(fault, 1);
        let results = cx.store().set_many(keys.iter().map(|key| SetItem::new(key, cx.value(1)))).await;
        faults.inject(fault, 0);
        as_reported(cx, &keys, results, |value| value.is_some(), &format!("set_many with {fault:?}")).await?;
        for result in cx.store().set_many(keys.iter().map(|key| SetItem::new(key, cx.value(2)))).await {
            result?;
        }
        faults.inject(fault, 1);
        let results = cx.store().delete_many(keys.iter().map(String::as_str)).await;
        faults.inject(fault, 0);
        as_reported(cx, &keys, results, |value| value.is_none(), &format!("delete_many with {fault:?}")).await?;
    }
    Ok(())
}

/// BATCH-6: an answer that cannot be says nothing of any item: none is reported as done by it, and none as not done.
pub(crate) async fn batch_6_an_answer_that_cannot_be_is_no_evidence(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults_like(Fault::BulkAnswerImplausible)?;
    let keys: Vec<String> = (0..8).map(|number| cx.key(&format!("k{number}."))).collect();
    let unknown = |results: &[Result<()>], call: &str| -> CaseResult {
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            ensure_eq!(error.kind(), ErrorKind::Protocol, "the kind of an item of {call}: {error}");
            ensure!(error.is_outcome_unknown(), "an item of {call} must say that its outcome is unknown: {error}");
        }
        Ok(())
    };
    faults.inject(Fault::BulkAnswerImplausible, FOR_EVER);
    let results = cx.store().set_many(keys.iter().map(|key| SetItem::new(key, cx.value(1)))).await;
    faults.inject(Fault::BulkAnswerImplausible, 0);
    let results: Vec<_> = results.into_iter().map(|result| result.map(drop)).collect();
    unknown(&results, "set_many")?;
    as_reported(cx, &keys, results, |value| value.is_some(), "set_many with an answer that cannot be").await?;
    for result in cx.store().set_many(keys.iter().map(|key| SetItem::new(key, cx.value(2)))).await {
        result?;
    }
    faults.inject(Fault::BulkAnswerImplausible, FOR_EVER);
    let results = cx.store().delete_many(keys.iter().map(String::as_str)).await;
    faults.inject(Fault::BulkAnswerImplausible, 0);
    let results: Vec<_> = results.into_iter().map(|result| result.map(drop)).collect();
    unknown(&results, "delete_many")?;
    as_reported(cx, &keys, results, |value| value.is_none(), "delete_many with an answer that cannot be").await
}

/// BATCH-3, SET-6: of all-or-nothing batches that meet, one is written whole and the others not at all.
pub(crate) async fn batch_3_one_of_competing_batches_is_written_whole(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 16;
    let store = cx.with(Feature::AllOrNothing).await?.clone();
    cx.with_atomic(Feature::IfNotExists).await?;
    let mut handles = vec![store];
    handles.extend(cx.reopened().await?);
    let keys = cx.keys_together(["k0.", "k1.", "k2.", "k3."]).await?;
    let call = |caller: usize| {
        let (store, mut keys, value) = (handles[caller % handles.len()].clone(), keys.clone(), cx.value(caller));
        if caller % 2 == 1 {
            keys.reverse(); // an order that a store with locks must not stumble over
        }
        async move {
            let items = keys.iter().map(|key| SetItem::new(key, value.clone()).if_not_exists());
            store.set_many_all_or_nothing(items).await
        }
    };
    let mut winners = Vec::new();
    for (caller, outcome) in crate::races::race((0..CALLERS).map(call).collect()).await?.into_iter().enumerate() {
        if outcome?.is_written() {
            winners.push(caller);
        }
    }
    ensure!(winners.len() == 1, "of {CALLERS} competing batches these were written: {winners:?}");
    for key in &keys {
        cx.expect(key, Some(&cx.value(winners[0])), "after competing batches: the winner's").await?;
    }
    Ok(())
}

/// BATCH-3, EXP-5: an invalid expiry fails its item alone, before anything of it is sent.
pub(crate) async fn batch_3_an_invalid_expiry_fails_alone(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::Ttl).await?;
    let [bad, good] = cx.keys(["bad", "good"]);
    let items = [SetItem::new(&*bad, cx.value(1)).ttl(Duration::ZERO), SetItem::new(&*good, cx.value(2))];
    let results = cx.store().set_many(items).await;
    let error = ensure_err!(&results[0], "an item with a ttl of zero");
    ensure_eq!(error.reason(), Some(&Reason::TtlZero), "the reason");
    ensure!(results[1].is_ok(), "the item beside it failed: {:?}", results[1]);
    cx.expect(&bad, None, "with a ttl of zero").await?;
    cx.expect(&good, Some(&cx.value(2)), "beside an item with a ttl of zero").await
}
