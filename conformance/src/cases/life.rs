//! LIFE-1 and LIFE-2.

use std::task::{Context as TaskContext, Waker};

use kv_api::{ErrorKind, Feature, Retry, SetItem};

use crate::cases::errors::dropped_after;
use crate::context::Context;
use crate::means::Means;
use crate::outcome::{CaseResult, not_shown};
use crate::races::race;

/// LIFE-1: ping answers, and leaves no trace.
pub(crate) async fn life_1_ping_proves_the_store(cx: &Context<'_>) -> CaseResult {
    cx.strict().ping().await?;
    if cx.declares(Feature::List) {
        ensure_eq!(cx.listed("").await?, Vec::<String>::new(), "the keys listed after ping");
    }
    Ok(())
}

/// LIFE-1: wrong credentials are refused, on opening where that connects, and else by each call; nothing changes.
pub(crate) async fn life_1_wrong_credentials_are_refused(cx: &Context<'_>) -> CaseResult {
    let Some(open) = &cx.fixture.open_with_wrong_credentials else {
        return not_shown(Means::WrongCredentials, "the harness opens nothing with wrong credentials");
    };
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    match open().await {
        Err(error) => is_refused(Err(error), "open")?,
        Ok(store) => {
            let store = store.allow_best_effort();
            is_refused(store.ping().await, "ping")?;
            is_refused(store.get(&key).await.map(drop), "get")?;
            is_refused(store.get_many([&*key]).await.map(drop), "get_many")?;
            is_refused(store.set(&key, cx.value(2)).await.map(drop), "set")?;
            for result in store.set_many([SetItem::new(&*key, cx.value(2))]).await {
                is_refused(result.map(drop), "set_many")?;
            }
            is_refused(store.delete(&key).await.map(drop), "delete")?;
            if cx.declares(Feature::List) {
                is_refused(store.list().await.map(drop), "list")?;
            }
        }
    }
    cx.expect(&key, Some(&cx.value(1)), "after calls with wrong credentials").await
}

/// The same call would be refused again, so it must not be repeated either (ERR-3).
fn is_refused(result: kv_api::Result<()>, call: &str) -> CaseResult {
    let error = ensure_err!(result, "{call} with wrong credentials");
    // A system may not tell them from a place that is not there.
    let is_named = matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Misconfigured);
    ensure!(is_named, "the kind of {call} with wrong credentials: {:?}: {error}", error.kind());
    ensure_eq!(error.retry(), Retry::Never, "the retry class of {call} with wrong credentials: {error}");
    Ok(())
}

/// LIFE-2: after `close` every call is `Closed`, through clones and restricted handles too; closing again is no error.
pub(crate) async fn life_2_calls_after_close_are_refused(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let store = cx.store();
    store.set(&key, cx.value(1)).await?;
    let handles = [store.clone(), store.with_prefix("p"), store.restricted_to([cx.capabilities()])];
    store.close().await?;
    store.close().await?;
    for store in &handles {
        let mut results = vec![
            ("get", store.get(&key).await.map(drop)),
            ("get_entry", store.get_entry(&key).await.map(drop)),
            ("exists", store.exists(&key).await.map(drop)),
            ("set", store.set(&key, cx.value(2)).await.map(drop)),
            ("delete", store.delete(&key).await.map(drop)),
            ("get_many", store.get_many([&*key]).await.map(drop)),
            ("ping", store.ping().await),
        ];
        for result in store.set_many([SetItem::new(&*key, cx.value(2))]).await {
            results.push(("set_many", result.map(drop)));
        }
        for result in store.delete_many([&*key]).await {
            results.push(("delete_many", result.map(drop)));
        }
        if cx.declares(Feature::List) {
            results.push(("list", store.list().await.map(drop)));
            results.push(("clear", store.clear().await.map(drop)));
        }
        if cx.declares(Feature::Counters) {
            results.push(("increment", store.increment(&key, 1).await.map(drop)));
        }
        if cx.declares(Feature::Expire) {
            results.push(("expire", store.expire(&key).never().await.map(drop)));
        }
        if cx.declares(Feature::AllOrNothing) {
            let batch = store.set_many_all_or_nothing([SetItem::new(&*key, cx.value(2))]).await;
            results.push(("set_many_all_or_nothing", batch.map(drop)));
        }
        for (call, result) in results {
            ensure_refused!(result, ErrorKind::Closed, None, "{call} after close");
        }
    }
    Ok(())
}

/// LIFE-2: `close` waits for calls in flight: each ends as written or as refused, and what was acknowledged is there.
pub(crate) async fn life_2_close_waits_for_calls_in_flight(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 32;
    let key = |caller: usize| cx.key(&format!("k{caller}."));
    let call = |caller: usize| {
        let (store, key, value) = (cx.store().clone(), key(caller), cx.value(caller));
        async move {
            if caller == CALLERS {
                return store.close().await.map(|()| false);
            }
            match store.set(&key, value).await {
                Ok(outcome) => Ok(outcome.is_written()),
                Err(error) if error.kind() == ErrorKind::Closed => Ok(false),
                Err(error) => Err(error),
            }
        }
    };
    let written: Vec<bool> =
        race((0..=CALLERS).map(call).collect()).await?.into_iter().collect::<Result<_, kv_api::Error>>()?;
    let Some(again) = cx.reopened().await? else { return Ok(()) };
    for caller in (0..CALLERS).filter(|caller| written[*caller]) {
        cx.expect_through(&again, &key(caller), Some(&cx.value(caller)), "acknowledged before close").await?;
    }
    Ok(())
}

/// LIFE-2: a `close` that is dropped while a call is under way closes nothing, and the next `close` closes, wherever
/// the dropped one had come to.
pub(crate) async fn life_2_a_dropped_close_can_be_repeated(cx: &Context<'_>) -> CaseResult {
    for polls in 0..4 {
        let cx = cx.fresh().await?;
        let (store, [key, other]) = (cx.store(), cx.keys(["k", "other"]));
        store.set(&other, cx.value(1)).await?;
        let mut call = Box::pin(store.set(&key, cx.value(2)));
        let under_way = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending();
        dropped_after(polls, Box::pin(async { drop(store.close().await) })).await;
        if under_way {
            cx.expect(&other, Some(&cx.value(1)), "after a dropped close that waited for a call").await?;
            ensure!(call.await?.is_written(), "a set that was under way during a dropped close was not written");
        } else {
            drop(call);
        }
        store.close().await?;
        ensure_refused!(
            store.get(&key).await,
            ErrorKind::Closed,
            None,
            "get after close, {polls} polls after a dropped one"
        );
        if let Some(again) = cx.reopened().await? {
            cx.expect_through(&again, &key, Some(&cx.value(2)), "written around a dropped close").await?;
        }
    }
    Ok(())
}

/// LIFE-2: another handle sees all that was acknowledged, after `close` and after a drop without it.
pub(crate) async fn life_2_no_acknowledged_write_is_lost(cx: &Context<'_>) -> CaseResult {
    let [dropped, closed] = cx.keys(["dropped", "closed"]);
    let second = cx.reopen().await?;
    second.set(&dropped, cx.value(1)).await?;
    drop(second);
    let third = cx.reopen().await?;
    cx.expect_through(&third, &dropped, Some(&cx.value(1)), "written through a handle that was dropped").await?;
    third.set(&closed, cx.value(2)).await?;
    third.close().await?;
    let fourth = cx.reopen().await?;
    cx.expect_through(&fourth, &closed, Some(&cx.value(2)), "written through a handle that was closed").await?;
    cx.expect(&closed, Some(&cx.value(2)), "written through another handle that was closed").await?;
    Ok(())
}
