//! ERR-1 to ERR-7.

use std::task::{Context as TaskContext, Waker};

use futures_util::future::BoxFuture;
use kv_api::{
    DeleteOutcome, Error, ErrorKind, Feature, Metadata, Reason, Retry, SetItem, SetStatus, Support, Value, ValueKind,
};
use serde_json::json;

use crate::cases::capabilities::a_while;
use crate::context::{Context, foreign_version};
use crate::harness::Fault;
use crate::means::Means;
use crate::outcome::{CaseResult, Stop, not_shown};
use crate::races::race;

/// ERR-1: an error tells by kind and reason what to do next, and an outcome is no error.
pub(crate) async fn err_1_the_kind_tells_what_to_do_next(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    ensure_invalid!(cx.store().get("").await, Reason::KeyEmpty, "an empty key");
    let conditions = cx.store().set(&key, cx.value(2)).if_exists().if_not_exists().await;
    ensure_invalid!(conditions, Reason::ConflictingConditions, "two conditions");
    let misfit = cx.store().get_as::<Vec<(u8, u8)>>(&key).await;
    ensure_refused!(misfit, ErrorKind::WrongType, Some(Reason::Found(cx.value(1).kind())), "get_as of another type");
    if cx.declares(Feature::IfVersion) {
        let outcome = cx.store().set(&key, cx.value(2)).if_version(foreign_version()).await?;
        ensure_eq!(outcome.status(), SetStatus::NotMet, "an unmet condition");
    }
    Ok(())
}

/// ERR-2: an error names store, operation and key, and shows no value.
pub(crate) async fn err_2_context_is_told_and_no_value(cx: &Context<'_>) -> CaseResult {
    const SECRET: &str = "s3cr3t-c0nt3nt";
    let key = cx.key("k");
    let values = [Value::from(SECRET), Value::from(json!([SECRET])), Value::from(SECRET.as_bytes())];
    for value in values.into_iter().filter(|value| cx.has_kind(value.kind())) {
        cx.store().set(&key, value.clone()).await?;
        let mut errors = vec![
            ("get_as", ensure_err!(cx.store().get_as::<u64>(&key).await, "get_as of another type")),
            (
                "set",
                ensure_err!(cx.store().set(&key, value.clone()).if_exists().if_not_exists().await, "two conditions"),
            ),
        ];
        if cx.declares(Feature::Counters) {
            errors.push(("increment", ensure_err!(cx.store().increment(&key, 1).await, "increment of no counter")));
        }
        let item = SetItem::new(&*key, value.clone()).if_exists().if_not_exists();
        for result in cx.store().set_many([item]).await {
            errors.push(("set_many", ensure_err!(result, "two conditions in a batch")));
        }
        for (operation, error) in errors {
            ensure_eq!(error.store(), Some(cx.capabilities().system), "the store in {error}");
            ensure_eq!(error.operation(), Some(operation), "the operation in {error}");
            ensure_eq!(error.key(), Some(&*cx.whole(&key)), "the key in {error}");
            ensure!(!shown_by(&error).contains(SECRET), "an error of {operation} shows a value");
        }
    }
    let below = cx.store().with_prefix("pre/").set(&key, cx.value(1)).if_exists().if_not_exists().await;
    let error = ensure_err!(below, "two conditions below a prefix");
    ensure_eq!(error.key(), Some(&*cx.whole(&format!("pre/{key}"))), "the whole key in {error}");
    Ok(())
}

/// ERR-3: a call that is refused would be refused again, and its outcome is known.
pub(crate) async fn err_3_a_refusal_is_never_repeated(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    let mut errors = vec![
        ensure_err!(cx.store().get("").await, "an empty key"),
        ensure_err!(cx.store().set(&key, cx.value(2)).if_exists().if_not_exists().await, "two conditions"),
        ensure_err!(cx.store().get_as::<Vec<(u8, u8)>>(&key).await, "get_as of another type"),
    ];
    if cx.declares(Feature::Counters) {
        errors.push(ensure_err!(cx.store().increment(&key, 1).await, "increment of no counter"));
    }
    for error in errors {
        ensure_eq!(error.retry(), Retry::Never, "the retry class of {error}");
        ensure!(!error.is_outcome_unknown(), "the outcome of a refusal is known: {error}");
    }
    Ok(())
}

/// ERR-3: a request that certainly never left is `Safe` to repeat, or was repeated; it is not applied twice.
pub(crate) async fn err_3_what_never_left_is_safe_to_repeat(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    let key = cx.key("k");
    faults.inject(Fault::Refused, 1);
    let result = cx.store().set(&key, cx.value(1)).await;
    faults.inject(Fault::Refused, 0);
    match result {
        Ok(_) => cx.expect(&key, Some(&cx.value(1)), "after a set that was repeated").await,
        Err(error) => {
            ensure_eq!(error.retry(), Retry::Safe, "the retry class of {error}");
            cx.expect(&key, None, "after a set that never left").await
        }
    }
}

/// More faults than any policy has attempts.
pub(crate) const FOR_EVER: u32 = 1_000;

/// ERR-1, ERR-3, GET-1: a fault that lasts ends each call as an error that tells what is known, and no read takes it for a
/// missing entry.
pub(crate) async fn err_3_a_fault_that_lasts_is_told_for_what_it_is(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    let offered = |fault: &Fault| fault.is_of_every_request() && faults.offers(*fault);
    for fault in Fault::ALL.iter().copied().filter(offered) {
        let cx = cx.fresh().await?;
        let (store, faults) = (cx.store(), cx.faults()?);
        let [there, new, counter] = cx.keys(["there", "new", "counter"]);
        store.set(&there, cx.value(1)).await?;
        let counts = cx.declares(Feature::Counters) && cx.has_kind(ValueKind::Json);
        if counts {
            store.increment(&counter, 5).await?;
        }

        faults.inject(fault, FOR_EVER);
        // Of a key that nothing is known of, so that a request has to be sent.
        let mut reads = vec![
            ("get", store.get(&new).await.map(drop)),
            ("get_entry", store.get_entry(&new).await.map(drop)),
            ("exists", store.exists(&new).await.map(drop)),
            ("get_many", store.get_many([&*there, &*new]).await.map(drop)),
        ];
        if cx.declares(Feature::List) {
            reads.push(("list", store.list().await.map(drop)));
        }
        let mut writes = vec![
            ("set", store.set(&new, cx.value(2)).await.map(drop)),
            ("set_many", store.set_many([SetItem::new(&*new, cx.value(2))]).await.remove(0).map(drop)),
        ];
        if cx.declares(Feature::IfNotExists) {
            writes.push(("set if_not_exists", store.set(&new, cx.value(2)).if_not_exists().await.map(drop)));
        }
        if counts {
            writes.push(("increment", store.increment(&counter, 1).await.map(drop)));
        }
        if cx.declares(Feature::Expire) {
            writes.push(("expire", store.expire(&there).never().await.map(drop)));
        }
        if cx.declares(Feature::Touch) {
            writes.push(("touch", store.get(&there).touch(a_while(&cx)).await.map(drop)));
        }
        let ends_certain = |calls: &[(&str, kv_api::Result<()>)]| -> CaseResult {
            for (call, result) in calls {
                let error = ensure_err!(result, "{call} while each request meets {fault:?}");
                let turned_away = match fault {
                    Fault::Throttled => Some(ErrorKind::RateLimited),
                    Fault::Unavailable => Some(ErrorKind::Unavailable),
                    _ => None,
                };
                if let Some(kind) = turned_away {
                    ensure_eq!(error.kind(), kind, "the kind of {call} with {fault:?}: {error}");
                }
                ensure!(error.retry() != Retry::Never, "{call} with {fault:?} can be tried again: {error}");
                if fault.is_certain() {
                    ensure_eq!(error.retry(), Retry::Safe, "the retry class of {call} with {fault:?}: {error}");
                }
            }
            Ok(())
        };
        ends_certain(&reads)?;
        ends_certain(&writes)?;
        let mut deletes = vec![
            ("delete", store.delete(&there).await.map(drop)),
            ("delete_many", store.delete_many([&*there]).await.remove(0).map(drop)),
        ];
        if cx.declares(Feature::GetAndDelete) {
            deletes.push(("get_and_delete", store.get_and_delete(&there).await.map(drop)));
        }
        ends_certain(&deletes)?;
        faults.inject(fault, 0);

        // Best effort looks first, and what never came to write is known not to be written.
        let looks_first = |call: &str| match call {
            "set if_not_exists" => !cx.capabilities().if_not_exists.is_full(),
            "expire" => !cx.capabilities().expire.is_full(),
            "touch" => !cx.capabilities().touch.is_full(),
            "get_and_delete" => !cx.capabilities().get_and_delete.is_full(),
            // The range is checked first.
            "increment" => !cx.capabilities().counter_range_atomic,
            // What may have expired is looked at before it is deleted.
            "delete" | "delete_many" => cx.capabilities().ttl == Support::Emulated,
            _ => false,
        };
        for (call, result) in
            writes.iter().chain(&deletes).filter(|(call, _)| !fault.is_certain() && !looks_first(call))
        {
            let error = ensure_err!(result, "{call} with {fault:?}");
            ensure!(error.is_outcome_unknown(), "{call} with {fault:?} must say that its outcome is unknown: {error}");
        }
        if fault.is_certain() {
            cx.expect(&there, Some(&cx.value(1)), "after what was never carried out").await?;
            cx.expect(&new, None, "after what was never carried out").await?;
            if counts {
                cx.expect(&counter, Some(&Value::from(5)), "after what was never carried out").await?;
            }
        }
    }
    Ok(())
}

/// ERR-2: whatever goes wrong, the secret that the store was opened with is in no error, no `Debug` and no log.
pub(crate) async fn err_2_no_secret_is_shown(cx: &Context<'_>) -> CaseResult {
    let Some(secret) = &cx.fixture.secret else { return not_shown(Means::Secret, "the harness has planted no secret") };
    let key = cx.key("k");
    let mut shown = vec![format!("{:?} {:#?} {:?}", cx.store(), cx.strict(), cx.capabilities())];
    let mut look = |result: kv_api::Result<String>| match result {
        Ok(outcome) => shown.push(outcome),
        Err(error) => shown.push(shown_by(&error)),
    };
    let faults = match cx.faults() {
        Ok(faults) => Fault::ALL.iter().copied().filter(|fault| faults.offers(*fault)).map(Some).collect(),
        Err(_) => Vec::new(),
    };
    for fault in [None].into_iter().chain(faults) {
        if let Some(fault) = fault {
            cx.faults()?.inject(fault, FOR_EVER);
        }
        look(cx.store().ping().await.map(|()| String::new()));
        look(cx.store().set(&key, cx.value(1)).await.map(|outcome| format!("{outcome:?}")));
        look(cx.store().get_entry(&key).await.map(|entry| format!("{entry:?}")));
        look(cx.store().get_as::<Vec<(u8, u8)>>(&key).await.map(|_| String::new()));
        look(cx.store().list().await.map(|page| format!("{page:?}")));
        look(cx.store().set(&key, cx.value(1)).if_exists().await.map(|outcome| format!("{outcome:?}")));
        look(cx.store().increment(&key, 1).await.map(|sum| format!("{sum:?}")));
        for result in cx.store().set_many([SetItem::new(&*key, cx.value(1))]).await {
            look(result.map(|outcome| format!("{outcome:?}")));
        }
        look(cx.store().delete(&key).await.map(|outcome| format!("{outcome:?}")));
        if let Some(fault) = fault {
            cx.faults()?.inject(fault, 0);
        }
    }
    shown.push((secret.logged)());
    for text in shown {
        ensure!(!text.contains(&secret.text), "the secret shows in: {}", text.replace(&secret.text, "<the secret>"));
    }
    Ok(())
}

/// All that an error shows, with its causes.
fn shown_by(error: &Error) -> String {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        shown.push_str(&format!("{cause} {cause:?}"));
        source = cause.source();
    }
    shown
}

/// ERR-4: what asks for a step is not repeated when its outcome is unknown; what asks for a state may be.
pub(crate) async fn err_4_a_step_is_never_repeated_blindly(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    let [counter, ending, plain] = cx.keys(["counter", "ending", "plain"]);
    cx.store().set(&plain, cx.value(1)).await?;
    faults.inject(Fault::AnswerLost, 1);
    let read = cx.store().get(&plain).await;
    faults.inject(Fault::AnswerLost, 0);
    if let Ok(found) = read {
        ensure_eq!(found, Some(cx.value(1)), "a read that was repeated");
    }
    if cx.declares(Feature::Counters) {
        // Where the range is not checked in the same step, a look goes before it.
        faults.inject_into_writes(Fault::AnswerLost, 1);
        let result = cx.store().increment(&counter, 5).await;
        faults.inject(Fault::AnswerLost, 0);
        let error = ensure_err!(result, "increment whose answer was lost");
        ensure!(error.is_outcome_unknown(), "increment whose answer was lost must say so: {error}");
        cx.expect(&counter, Some(&Value::from(5)), "after one increment whose answer was lost").await?;
    }
    if cx.declares(Feature::Expire) {
        cx.store().set(&ending, cx.value(1)).await?;
        // Where it is best effort, a look goes before it.
        faults.inject_into_writes(Fault::AnswerLost, 1);
        let result = cx.store().expire(&ending).never().await;
        faults.inject(Fault::AnswerLost, 0);
        let error = ensure_err!(result, "expire whose answer was lost");
        ensure!(error.is_outcome_unknown(), "expire whose answer was lost must say so: {error}");
    }
    if cx.declares(Feature::Touch) {
        cx.store().set(&ending, cx.value(1)).await?;
        faults.inject_into_writes(Fault::AnswerLost, 1);
        let result = cx.store().get(&ending).touch(a_while(cx)).await;
        faults.inject(Fault::AnswerLost, 0);
        let error = ensure_err!(result, "a touch whose answer was lost");
        ensure!(error.is_outcome_unknown(), "a touch whose answer was lost must say so: {error}");
    }
    if cx.declares(Feature::GetAndDelete) {
        cx.store().set(&ending, cx.value(1)).await?;
        faults.inject_into_writes(Fault::AnswerLost, 1);
        let result = cx.store().get_and_delete(&ending).await;
        faults.inject(Fault::AnswerLost, 0);
        let error = ensure_err!(result, "get_and_delete whose answer was lost");
        ensure!(error.is_outcome_unknown(), "get_and_delete whose answer was lost must say so: {error}");
    }
    if cx.declares(Feature::AllOrNothing) {
        // Where it is a transaction of several requests, what comes before its end is certainly not applied.
        faults.inject_into_writes(Fault::AnswerLost, 1);
        let result = cx.store().set_many_all_or_nothing([SetItem::new(&*plain, cx.value(2))]).await;
        faults.inject(Fault::AnswerLost, 0);
        let error = ensure_err!(result, "an all-or-nothing batch whose answer was lost");
        ensure!(error.is_outcome_unknown(), "an all-or-nothing batch whose answer was lost must say so: {error}");
    }
    Ok(())
}

/// ERR-5: a write that was repeated after an unknown outcome says `Stored` or `Accepted`: what it found may be itself.
pub(crate) async fn err_5_a_repeated_write_claims_nothing(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    for (fault, name) in [(Fault::AnswerLost, "a1"), (Fault::RequestLost, "r1")] {
        let key = cx.key(name);
        faults.inject_into_writes(fault, 1);
        let set = cx.store().set(&key, cx.value(1)).await;
        faults.inject(fault, 0);
        match set {
            Ok(outcome) => ensure_eq!(outcome.status(), SetStatus::Stored, "a set that was repeated after {fault:?}"),
            Err(error) => ensure!(
                error.is_outcome_unknown(),
                "a set with {fault:?} must say that its outcome is unknown: {error}"
            ),
        }
        cx.store().set(&key, cx.value(2)).await?;
        faults.inject_into_writes(fault, 1);
        let deleted = cx.store().delete(&key).await;
        faults.inject(fault, 0);
        match deleted {
            Ok(outcome) => ensure_eq!(outcome, DeleteOutcome::Accepted, "a delete that was repeated after {fault:?}"),
            Err(error) => ensure!(
                error.is_outcome_unknown(),
                "a delete with {fault:?} must say that its outcome is unknown: {error}"
            ),
        }
    }
    Ok(())
}

/// Polls a future a number of times and drops it.
pub(crate) async fn dropped_after<T>(polls: usize, mut future: BoxFuture<'_, T>) {
    for _ in 0..polls {
        if future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Polls a future until the system has seen so many more requests, and drops it; whether it had ended by then. For a
/// harness that counts no requests a request is a poll.
pub(crate) async fn dropped_after_requests<T>(cx: &Context<'_>, requests: u64, mut future: BoxFuture<'_, T>) -> bool {
    let before = cx.requests();
    let mut polls = 0;
    loop {
        let sent = cx.requests().zip(before).map_or(polls, |(now, before)| now - before);
        if sent >= requests {
            return false;
        }
        if future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        polls += 1;
        tokio::task::yield_now().await;
    }
}

/// ERR-6: a dropped future leaves each entry whole, and blocks nobody.
pub(crate) async fn err_6_a_dropped_call_leaves_each_entry_whole(cx: &Context<'_>) -> CaseResult {
    let has_metadata = cx.declares(Feature::Metadata);
    let key = cx.key("k");
    let set = |number: usize| {
        let set = cx.store().set(&key, cx.value(number));
        if has_metadata { set.metadata(json!(number)) } else { set }
    };
    set(0).await?;
    for polls in 0..24 {
        dropped_after(polls, Box::pin(async { drop(set(polls + 1).await) })).await;
        let entry = cx.entry(&key).await?;
        let number = (0..=polls + 1).find(|number| entry.value() == &cx.value(*number));
        let Some(number) = number else { return Err(Stop::Failed("an entry of a value that nobody set".to_owned())) };
        let metadata = has_metadata.then(|| Metadata::from(json!(number)));
        ensure_eq!(entry.metadata(), metadata.as_ref(), "the metadata beside value {number}, after a dropped set");
    }
    // Whatever was dropped, later calls are carried out.
    set(99).await?;
    cx.expect(&key, Some(&cx.value(99)), "after dropped sets").await?;
    if cx.declares(Feature::AllOrNothing) {
        let keys = cx.keys_together(["all0.", "all1.", "all2.", "all3."]).await?;
        for polls in 0..24 {
            let items = keys.iter().map(|key| SetItem::new(key, cx.value(polls)));
            dropped_after(polls, Box::pin(async { drop(cx.store().set_many_all_or_nothing(items).await) })).await;
            // A write of its own, so that what was handed over before it has been carried out or never will be.
            cx.store().set(&key, cx.value(polls)).await?;
            let found = cx.store().get_many(keys.iter().map(String::as_str)).await?;
            ensure!(
                found.iter().all(|value| *value == found[0]),
                "after a dropped batch, part of it is there: {found:?}"
            );
        }
    }
    Ok(())
}

/// ERR-6: after calls that were dropped, no call gets the reply of another.
pub(crate) async fn err_6_nobody_gets_the_reply_of_a_dropped_call(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 16;
    let keys: Vec<String> = (0..CALLERS).map(|caller| cx.key(&format!("k{caller}."))).collect();
    for (caller, key) in keys.iter().enumerate() {
        cx.store().set(key, cx.value(caller)).await?;
    }
    let call = |caller: usize| {
        let (store, keys, value) = (cx.store().clone(), keys.clone(), cx.value(caller));
        async move {
            for round in 0..16 {
                let other = &keys[(caller + round) % CALLERS];
                dropped_after(round % 5, Box::pin(async { drop(store.get(other).await) })).await;
                let found = store.get(&keys[caller]).await?;
                ensure!(found.as_ref() == Some(&value), "a get beside dropped ones got another key's value");
            }
            Ok(())
        }
    };
    for result in race((0..CALLERS).map(call).collect()).await? {
        result?;
    }
    Ok(())
}

/// ERR-6, CNT-1: of increments that were dropped each is applied once or not at all.
pub(crate) async fn err_6_a_dropped_increment_counts_once_or_not(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let key = cx.key("k");
    let mut last = store.increment(&key, 1).await?;
    // The first is dropped before it has begun.
    for dropped in 0..24_u8 {
        dropped_after(dropped.into(), Box::pin(async { drop(store.increment(&key, 1).await) })).await;
        let now = store.increment(&key, 1).await?;
        ensure!(now > last, "an increment of {last} answers {now}");
        // A dropped one may still be on its way, on a connection of its own, and be counted later.
        let (dropped, ended) = (i64::from(dropped), i64::from(dropped) + 2);
        ensure!(now <= dropped + ended, "{dropped} dropped increments and {ended} others have led to {now}");
        last = now;
    }
    Ok(())
}

/// ERR-7: key and index of an error are the caller's: the whole key, and the position in the batch.
pub(crate) async fn err_7_key_and_index_are_the_callers(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults().ok();
    for store in [cx.store().clone(), cx.store().with_prefix("k")] {
        let prefix = store.prefix();
        let names: Vec<String> = ["a", "b", "c", "b"].map(|name| cx.key(&format!("{name}."))).to_vec();
        let are_the_callers = |errors: Vec<Option<Error>>, call: &str| -> CaseResult {
            for (at, error) in errors.into_iter().enumerate() {
                let Some(error) = error else { continue };
                ensure_eq!(
                    error.key(),
                    Some(&*format!("{prefix}{}", names[at])),
                    "the key of item {at} of {call}: {error}"
                );
                // A repeated key shares one result.
                let index = error.index().and_then(|index| names.get(index));
                ensure_eq!(index, Some(&names[at]), "the index of item {at} of {call}, {:?}: {error}", error.index());
            }
            Ok(())
        };
        let conflicting = |at: usize| SetItem::new(&*names[at], cx.value(at)).if_not_exists().if_exists();
        let refused = store.set_many((0..4).map(conflicting)).await;
        ensure!(refused.iter().all(Result::is_err), "two conditions: {refused:?}");
        are_the_callers(refused.into_iter().map(Result::err).collect(), "set_many with two conditions")?;
        let Some(faults) = faults else { continue };
        faults.inject(Fault::RequestLost, FOR_EVER);
        let sets = store.set_many((0..4).map(|at| SetItem::new(&*names[at], cx.value(at)))).await;
        let deletes = store.delete_many(&names).await;
        let read = ensure_err!(store.get_many(&names).await, "get_many without a connection");
        let single = ensure_err!(store.get(&names[2]).await, "get without a connection");
        faults.inject(Fault::RequestLost, 0);
        are_the_callers(sets.into_iter().map(Result::err).collect(), "set_many")?;
        are_the_callers(deletes.into_iter().map(Result::err).collect(), "delete_many")?;
        ensure_eq!(single.key(), Some(&*format!("{prefix}{}", names[2])), "the key of get: {single}");
        ensure_eq!(single.index(), None, "the index of a single call: {single}");
        // It fails as a whole; where it names a key at all, that is one that was asked for, at its first place.
        let at = read.key().map(|key| names.iter().position(|name| key == format!("{prefix}{name}")));
        ensure!(at != Some(None), "get_many names a key that nobody asked for: {read}");
        ensure_eq!(read.index(), at.flatten(), "the index of the key that get_many names: {read}");
    }
    Ok(())
}
