//! SET-9.

use kv_api::{EntryExpiry, Error, ErrorKind, Feature, Metadata, Reason, Store, Value};
use serde_json::json;

use crate::context::Context;
use crate::expiring::Form;
use crate::harness::Fault;
use crate::outcome::{CaseResult, Stop, refused};
use crate::races::race;

/// A handle on which updates work without saying more: where expiries are not reported that is refused, nothing is
/// sent, and the case ends there.
async fn updating<'c>(cx: &'c Context<'_>) -> Result<&'c Store, Stop> {
    let store = cx.with(Feature::IfVersion).await?;
    if cx.capabilities().expiry_read || !(cx.declares(Feature::Ttl) || cx.declares(Feature::ExpireAt)) {
        return Ok(store);
    }
    let key = cx.key("kept");
    store.set(&key, cx.value(1)).await?;
    let sent = cx.requests();
    let result = store.update(&key, |_| Some(cx.value(2))).await;
    let reason = Some(Reason::ExpiryNotReported);
    ensure_refused!(result, ErrorKind::Unsupported, reason, "an update that would lose an expiry");
    cx.expect_sent(sent, 0, "an update that would lose an expiry")?;
    cx.expect(&key, Some(&cx.value(1)), "after a refused update").await?;
    ensure!(store.update(&key, |_| Some(cx.value(2))).never().await?.is_written(), "an update with never");
    cx.expect(&key, Some(&cx.value(2)), "after an update with never").await?;
    refused("expiries are not reported, so an update has to say which one an entry gets; that was checked")
}

/// SET-9: an update gives the old value to the caller and sets the new one; what is declined or fails changes nothing.
pub(crate) async fn set_9_an_update_creates_changes_or_leaves_alone(cx: &Context<'_>) -> CaseResult {
    let store = updating(cx).await?;
    // What creates an entry is a set under this condition.
    cx.with(Feature::IfNotExists).await?;
    let key = cx.key("k");
    let declined = store.update(&key, |old| old.map(|_| cx.value(9))).await?;
    ensure!(!declined.is_written() && declined.value().is_none(), "an update that declines over nothing: {declined:?}");
    cx.expect(&key, None, "after an update that declined").await?;

    let mut seen = Vec::new();
    for number in 1..4 {
        let outcome = store
            .update(&key, |old: Option<&Value>| {
                seen.push(old.cloned());
                Some(cx.value(number))
            })
            .await?;
        ensure!(outcome.is_written(), "update {number} was not written");
        ensure_eq!(outcome.value(), Some(&cx.value(number)), "the value that update {number} answers");
        ensure_eq!(outcome.version(), Some(&cx.version(&key).await?), "the version that update {number} answers");
        cx.expect(&key, Some(&cx.value(number)), "after an update").await?;
    }
    ensure_eq!(seen, [None, Some(cx.value(1)), Some(cx.value(2))], "the old values");

    let before = cx.entry(&key).await?;
    let declined = store.update(&key, |_| None::<Value>).await?;
    ensure_eq!(declined.value(), Some(before.value()), "the value that a declined update answers");
    let refusal = || Error::new(ErrorKind::Exhausted, "no more");
    let failed = store.try_update(&key, |_| Err::<Option<Value>, _>(refusal())).await;
    ensure_refused!(failed, ErrorKind::Exhausted, None, "an update whose closure fails");
    ensure_eq!(cx.entry(&key).await?, before, "the entry after updates that declined and failed");
    Ok(())
}

/// SET-9: an update keeps metadata and expiry, unless it gives others.
pub(crate) async fn set_9_an_update_keeps_metadata_and_expiry(cx: &Context<'_>) -> CaseResult {
    let store = updating(cx).await?;
    if cx.declares(Feature::Metadata) {
        let key = cx.key("metadata");
        store.set(&key, cx.value(1)).metadata(json!({ "by": "Ada" })).await?;
        store.update(&key, |_| Some(cx.value(2))).await?;
        let kept = cx.entry(&key).await?;
        ensure_eq!(kept.metadata(), Some(&Metadata::from(json!({ "by": "Ada" }))), "the metadata after an update");
        store.update(&key, |_| Some(cx.value(3))).metadata(json!(["new"])).await?;
        let given = cx.entry(&key).await?;
        ensure_eq!(given.metadata(), Some(&Metadata::from(json!(["new"]))), "the metadata that an update gave");
    }
    if !cx.declares(Feature::Ttl) && !cx.declares(Feature::ExpireAt) {
        return Ok(());
    }
    let form = cx.form().await?;
    let [kept, never, given, created] = cx.keys(["kept", "never", "given", "created"]);
    cx.align().await?;
    let (life, longer) = (cx.life(form, 1)?, cx.life(form, 3)?);
    for key in [&kept, &never, &given] {
        life.set(store.set(key, cx.value(1))).await?;
    }
    store.update(&never, |_| Some(cx.value(2))).never().await?;
    let update = store.update(&given, |_| Some(cx.value(2)));
    match longer.form {
        Form::Ttl => update.ttl(longer.ttl),
        Form::At => update.expire_at(longer.end),
    }
    .await?;
    if form == Form::Ttl && cx.declares(Feature::IfNotExists) {
        store.update(&created, |_| Some(cx.value(2))).ttl_if_created(life.ttl).await?;
    }
    let result = store.update(&kept, |_| Some(cx.value(2))).await;
    if cx.declares(Feature::ExpireAt) {
        result?;
        cx.pass_until_before_end(life).await?;
        cx.expect(&kept, Some(&cx.value(2)), "before the expiry that an update has kept").await?;
    } else {
        let reason = Some(Reason::Unsupported(Feature::ExpireAt));
        ensure_refused!(result, ErrorKind::Unsupported, reason, "an update that cannot keep an expiry");
        cx.expect(&kept, Some(&cx.value(1)), "after a refused update").await?;
    }
    cx.pass_until_end(life).await?;
    // A read may report an end that is up to two resolutions late (EXP-8).
    cx.pass(cx.capabilities().expiry_resolution * 2).await?;
    cx.expect(&kept, None, "past the expiry that an update has kept").await?;
    cx.expect(&created, None, "past the expiry of an entry that an update created").await?;
    cx.expect(&given, Some(&cx.value(2)), "before the expiry that an update gave").await?;
    cx.pass_until_end(longer).await?;
    cx.expect(&given, None, "past the expiry that an update gave").await?;
    let entry = cx.entry(&never).await?;
    ensure_eq!((entry.value(), entry.expiry()), (&cx.value(2), EntryExpiry::Never), "the entry that never ends");
    Ok(())
}

/// SET-9: updates that meet lose nothing.
pub(crate) async fn set_9_concurrent_updates_lose_nothing(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 8;
    const STEPS: usize = 16;
    updating(cx).await?;
    let store = cx.with_atomic(Feature::IfVersion).await?.clone();
    let mut handles = vec![store];
    handles.extend(cx.reopened().await?);
    let key = cx.key("k");
    let values: Vec<Value> = (0..=CALLERS * STEPS).map(|number| cx.value(number)).collect();
    cx.store().set(&key, values[0].clone()).await?;
    let raise = |number: usize| {
        let (store, key, values) = (handles[number % handles.len()].clone(), key.clone(), values.clone());
        async move {
            for _ in 0..STEPS {
                let next = |old: Option<&Value>| {
                    let at = values.iter().position(|value| Some(value) == old);
                    at.and_then(|at| values.get(at + 1)).cloned()
                };
                // Each time that one loses another has won.
                let most = u32::try_from(CALLERS * STEPS).unwrap_or(u32::MAX);
                let outcome = store.update(&key, next).attempts(most).await?;
                ensure!(outcome.is_written(), "an update found a value that nobody set, or more steps than made");
            }
            Ok(())
        }
    };
    for result in race((0..CALLERS).map(raise).collect()).await? {
        result?;
    }
    cx.expect_through(&cx.unread().await?, &key, values.last(), "after all steps of all callers").await
}

/// SET-9: an unknown outcome ends an update as unknown.
pub(crate) async fn set_9_an_unknown_outcome_ends_the_update(cx: &Context<'_>) -> CaseResult {
    let faults = cx.faults()?;
    let store = updating(cx).await?;
    // The first call of its kind may take more requests, to prepare what it sends.
    let first = cx.key("first");
    store.set(&first, cx.value(1)).await?;
    store.update(&first, |_| Some(cx.value(2))).await?;
    for (fault, name) in [(Fault::AnswerLost, "a1"), (Fault::RequestLost, "r1")] {
        let key = cx.key(name);
        store.set(&key, cx.value(1)).await?;
        let mut calls = 0;
        let change = |_: Option<&Value>| {
            calls += 1;
            // After the read, for the write.
            faults.inject_into_writes(fault, 1);
            Some(cx.value(2))
        };
        let result = store.update(&key, change).await;
        faults.inject(fault, 0);
        let error = ensure_err!(result, "an update with {fault:?}");
        ensure!(error.is_outcome_unknown(), "an update with {fault:?} must say that its outcome is unknown: {error}");
        ensure_eq!(calls, 1, "how often the closure was called with {fault:?}");
    }
    Ok(())
}
