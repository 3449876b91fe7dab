//! GET-3.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use kv_api::{Error, ErrorKind, Feature, Value};
use tokio::task::yield_now;

use crate::context::Context;
use crate::expiring::Form;
use crate::outcome::{CaseResult, Stop};
use crate::races::race;

/// GET-3: what is there is not loaded; what is not there is loaded, set and answered.
pub(crate) async fn get_3_only_what_is_missing_is_loaded(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let [there, missing] = cx.keys(["there", "missing"]);
    store.set(&there, cx.value(1)).await?;
    let unwanted = async || Err::<Value, _>(Error::new(ErrorKind::Internal, "it was loaded"));
    ensure_eq!(store.get_or_set(&there, unwanted).await?, cx.value(1), "get_or_set of what is there");
    let load = async || Ok::<_, Error>(cx.value(2));
    ensure_eq!(store.get_or_set(&missing, load).await?, cx.value(2), "get_or_set of what is missing");
    cx.expect(&missing, Some(&cx.value(2)), "after it was loaded").await?;
    ensure_eq!(store.get_or_set(&missing, unwanted).await?, cx.value(2), "get_or_set of what was loaded");
    if cx.declares(Feature::Ttl) || cx.declares(Feature::ExpireAt) {
        let (form, key) = (cx.form().await?, cx.key("ending"));
        cx.align().await?;
        let life = cx.life(form, 1)?;
        let call = store.get_or_set(&key, async || Ok::<_, Error>(cx.value(3)));
        match form {
            Form::Ttl => call.ttl(life.ttl).await?,
            Form::At => call.expire_at(life.end).await?,
        };
        cx.pass_until_end(life).await?;
        cx.expect(&key, None, "past the expiry that get_or_set gave").await?;
    }
    Ok(())
}

/// GET-3: a load that fails changes nothing, its error is the caller's own, and the next call loads again.
pub(crate) async fn get_3_a_failed_load_changes_nothing(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let key = cx.key("k");
    let failing = async || Err::<Value, _>(Error::new(ErrorKind::Exhausted, "no more"));
    ensure_refused!(store.get_or_set(&key, failing).await, ErrorKind::Exhausted, None, "a load that fails");
    cx.expect(&key, None, "after a load that failed").await?;
    let load = async || Ok::<_, Error>(cx.value(1));
    ensure_eq!(store.get_or_set(&key, load).await?, cx.value(1), "get_or_set after a load that failed");
    Ok(())
}

/// GET-3: what another writer sets during the load stays, and is the answer.
pub(crate) async fn get_3_what_is_set_meanwhile_stays(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let key = cx.key("k");
    let load = async || {
        store.set(&key, cx.value(1)).await?;
        Ok::<_, Error>(cx.value(2))
    };
    ensure_eq!(store.get_or_set(&key, load).await?, cx.value(1), "get_or_set of what was set meanwhile");
    cx.expect(&key, Some(&cx.value(1)), "which was set during a load").await
}

/// GET-3: of many calls at once through one store and its clones one loads, and all have its result.
pub(crate) async fn get_3_one_loads_for_all(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 16;
    let store = cx.with(Feature::IfNotExists).await?;
    let (key, loads) = (cx.key("k"), Arc::new(AtomicUsize::new(0)));
    let call = |number: usize| {
        let (store, key, value, loads) = (store.clone(), key.clone(), cx.value(number), Arc::clone(&loads));
        async move {
            let load = async || {
                loads.fetch_add(1, Ordering::Relaxed);
                // A load that takes its time, so that the others come meanwhile.
                for _ in 0..CALLERS {
                    yield_now().await;
                }
                Ok::<_, Error>(value)
            };
            store.get_or_set(&key, load).await
        }
    };
    let found = race((0..CALLERS).map(call).collect()).await?.into_iter().collect::<kv_api::Result<Vec<_>>>()?;
    ensure_eq!(loads.load(Ordering::Relaxed), 1, "how often it was loaded");
    ensure!(found.iter().all(|value| *value == found[0]), "the callers have different values");
    cx.expect(&key, Some(&found[0]), "after all calls").await
}

/// GET-3: callers of several handles on the same data agree on one value.
pub(crate) async fn get_3_all_agree_on_one_value(cx: &Context<'_>) -> CaseResult {
    let store = cx.with_atomic(Feature::IfNotExists).await?.clone();
    let handles = [store, cx.reopen().await?];
    for round in 0..16 {
        let key = cx.key(&format!("k{round}."));
        let call = |number: usize| {
            let (store, key, value) = (handles[number].clone(), key.clone(), cx.value(number));
            let load = async || {
                yield_now().await;
                Ok::<_, Error>(value)
            };
            async move { store.get_or_set(&key, load).await }
        };
        let found =
            race((0..handles.len()).map(call).collect()).await?.into_iter().collect::<kv_api::Result<Vec<_>>>()?;
        if cx.needs_strong_consistency().is_ok() {
            ensure_eq!(found[0], found[1], "what two handles have got in round {round}");
        }
    }
    Ok(())
}

/// GET-3: a load that is dropped makes way for the next that waits.
pub(crate) async fn get_3_a_dropped_load_makes_way(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::IfNotExists).await?;
    let key = cx.key("k");
    let begun = Arc::new(tokio::sync::Notify::new());
    let first = {
        let (store, key, begun) = (store.clone(), key.clone(), Arc::clone(&begun));
        let load = async move || {
            begun.notify_one();
            std::future::pending::<Result<Value, Error>>().await
        };
        tokio::spawn(async move { store.get_or_set(&key, load).await })
    };
    begun.notified().await;
    let mut second = Box::pin(store.get_or_set(&key, async || Ok::<_, Error>(cx.value(2))));
    for _ in 0..16 {
        ensure!((&mut second).now_or_never().is_none(), "a second call did not wait for the load of the first");
        yield_now().await;
    }
    first.abort();
    let ended = first.await;
    ensure!(ended.is_err(), "a load that never ends has ended");
    ensure_eq!(second.await?, cx.value(2), "get_or_set after a load that was dropped");
    cx.expect(&key, Some(&cx.value(2)), "after the second load").await?;
    Ok::<(), Stop>(())
}
