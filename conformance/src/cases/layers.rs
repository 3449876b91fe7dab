//! LAYER-1, LAYER-2 and LAYER-4: the store behind a wrapper.

use std::time::Duration;

use kv_api::{Entry, EntryExpiry, ErrorKind, Feature, Reason, SetItem, Store, Support};

use crate::cases::capabilities::a_while;
use crate::cases::lists::rest;
use crate::context::{Context, foreign_version};
use crate::outcome::CaseResult;
use crate::wrappers::{Naive, Renamed, Transparent};

/// LAYER-1: a wrapper that forwards only what it must is refused the rest before anything is sent, and what it forwards
/// works.
pub(crate) async fn layer_1_what_a_wrapper_does_not_forward_is_refused(cx: &Context<'_>) -> CaseResult {
    let wrapped = cx.store().layer(&Naive);
    let [key, other] = cx.keys(["k", "other"]);
    wrapped.set(&key, cx.value(1)).await?;
    cx.expect(&key, Some(&cx.value(1)), "what was set through a wrapper").await?;
    let values = wrapped.get_many([&*key, &*other]).await?;
    ensure_eq!(values, [Some(cx.value(1)), None], "get_many through a wrapper");
    let sent = cx.requests();
    for (feature, error) in [
        (Feature::List, wrapped.list().await.err()),
        (Feature::Counters, wrapped.increment(&other, 1).await.err()),
        (Feature::Expire, wrapped.expire(&key).never().await.err()),
        (Feature::Touch, wrapped.get(&key).touch(a_while(cx)).await.err()),
        (Feature::GetAndDelete, wrapped.get_and_delete(&key).await.err()),
        (Feature::AllOrNothing, wrapped.set_many_all_or_nothing([SetItem::new(&*other, cx.value(2))]).await.err()),
    ] {
        ensure_eq!(wrapped.capabilities().support(feature), Support::None, "the support of {feature} by a wrapper");
        let Some(error) = error else {
            ensure!(false, "{feature} went around the wrapper");
            continue;
        };
        let wrong = crate::check::differs(&error, ErrorKind::Unsupported, Some(Reason::Unsupported(feature)));
        ensure!(wrong.is_none(), "{feature} through a wrapper: {}", wrong.unwrap_or_default());
    }
    cx.expect_sent(sent, 0, "what a wrapper does not forward")?;
    wrapped.delete_many([&*key]).await.remove(0)?;
    cx.expect(&key, None, "after a delete through a wrapper").await
}

/// LAYER-2: a wrapper changes every request, and each call means what it means without it: conditions, expiry,
/// metadata, batches and their results, counters.
pub(crate) async fn layer_2_a_changed_request_means_the_same(cx: &Context<'_>) -> CaseResult {
    const PREFIX: &str = "w/";
    let wrapped = cx.store().layer(&Renamed::below(cx.prefix(), PREFIX));
    let inner = |key: &str| format!("{PREFIX}{key}");
    let [key, other, third] = cx.keys(["k", "other", "third"]);

    wrapped.set(&key, cx.value(1)).await?;
    cx.expect(&inner(&key), Some(&cx.value(1)), "under the key of the store inside").await?;
    cx.expect_through(&wrapped, &key, Some(&cx.value(1)), "through the wrapper").await?;
    if cx.declares(Feature::IfNotExists) {
        let outcome = wrapped.set(&key, cx.value(2)).if_not_exists().await?;
        ensure!(!outcome.is_written(), "a condition through a wrapper was lost");
    }
    if cx.declares(Feature::Metadata) {
        wrapped.set(&key, cx.value(1)).metadata(serde_json::json!({"by": "wrapper"})).await?;
        let found = cx.entry(&inner(&key)).await?;
        ensure!(found.metadata().is_some(), "metadata through a wrapper was lost");
    }
    if cx.declares(Feature::Ttl) {
        let ttl = cx.capabilities().expiry_min.max(Duration::from_secs(1000));
        wrapped.set(&key, cx.value(1)).ttl(ttl).await?;
        let (through, bare) = (wrapped.get_entry(&key).await?, cx.store().get_entry(inner(&key)).await?);
        cx.expect_same(through.as_ref(), bare.as_ref(), "an entry with an expiry, through a wrapper")?;
        if cx.capabilities().expiry_read {
            ensure!(
                bare.is_some_and(|entry| entry.expiry() != EntryExpiry::Never),
                "an expiry through a wrapper was lost"
            );
        }
    }

    let mut results = wrapped
        .set_many([SetItem::new(&*key, cx.value(1)), SetItem::new("", cx.value(2)), SetItem::new(&*other, cx.value(3))])
        .await;
    ensure!(results.remove(2).is_ok() && results.remove(0).is_ok(), "the good items of a batch through a wrapper");
    let error = ensure_err!(results.remove(0), "an item without a key through a wrapper");
    ensure_eq!(error.index(), Some(1), "the index of the item that failed");
    let values = wrapped.get_many([&*other, &*third, &*key]).await?;
    ensure_eq!(values, [Some(cx.value(3)), None, Some(cx.value(1))], "get_many through a wrapper");
    if cx.capabilities().all_or_nothing.is_full() {
        let items = [SetItem::new(&*third, cx.value(4)), SetItem::new(&*other, cx.value(5))];
        match wrapped.set_many_all_or_nothing(items).await {
            // A system that writes together only what lies together (BATCH-3).
            Err(error) if error.reason() == Some(&Reason::KeysApart) => {}
            outcome => {
                ensure!(outcome?.is_written(), "an all-or-nothing batch through a wrapper");
                let when = "after an all-or-nothing batch through a wrapper";
                cx.expect(&inner(&third), Some(&cx.value(4)), when).await?;
            }
        }
    }
    if cx.declares(Feature::Counters) {
        let counter = cx.key("counter");
        ensure_eq!(wrapped.increment(&counter, 5).await?, 5, "a counter through a wrapper");
        ensure_eq!(cx.store().increment(inner(&counter), 1).await?, 6, "the counter of the store inside");
        wrapped.delete(&counter).await?;
        if cx.declares(Feature::CounterTtl) {
            wrapped.increment(&counter, 1).ttl_if_created(a_while(cx)).await?;
            let entry = cx.entry(&inner(&counter)).await?;
            ensure!(entry.expiry() != EntryExpiry::Never, "the ttl of a new counter was lost by a wrapper");
            wrapped.delete(&counter).await?;
        }
    }
    if cx.declares(Feature::ExpireIfVersion) {
        let expire = wrapped.expire(&key).never().if_version(foreign_version());
        ensure!(!expire.await?, "the version of an expire was lost by a wrapper");
    }
    if cx.declares(Feature::Touch) {
        let touched = wrapped.get_entry(&key).touch(a_while(cx)).await?;
        ensure_eq!(touched.as_ref().map(Entry::value), Some(&cx.value(1)), "a touch through a wrapper");
        let entry = cx.entry(&inner(&key)).await?;
        ensure!(entry.expiry() != EntryExpiry::Never, "the ttl of a touch was lost by a wrapper");
    }
    if cx.declares(Feature::GetAndDelete) {
        ensure_eq!(wrapped.get_and_delete(&key).await?, Some(cx.value(1)), "get_and_delete through a wrapper");
        cx.expect(&inner(&key), None, "after get_and_delete through a wrapper").await?;
    }
    for result in wrapped.delete_many([&*key, &*other, &*third]).await {
        result?;
    }
    cx.expect(&inner(&other), None, "after delete_many through a wrapper").await
}

/// LAYER-4: a wrapper that shows the same keys hands scope, versions and cursors through.
pub(crate) async fn layer_4_scope_versions_and_cursors_are_handed_through(cx: &Context<'_>) -> CaseResult {
    let wrapped: Store = cx.store().layer(&Transparent);
    ensure!(wrapped.has_same_scope(cx.store()), "a wrapper of the same keys has another scope");
    ensure_eq!(wrapped.scope_fingerprint(), cx.store().scope_fingerprint(), "the fingerprint through a wrapper");
    let [one, two, three] = cx.keys(["k1", "k2", "k3"]);
    for (number, key) in [&one, &two, &three].into_iter().enumerate() {
        wrapped.set(key, cx.value(number)).await?;
    }
    if cx.declares(Feature::IfVersion) {
        let version = cx.version(&one).await?;
        ensure!(
            wrapped.set(&one, cx.value(9)).if_version(version).await?.is_written(),
            "a version of the store inside was not met through a wrapper"
        );
    }
    if cx.declares(Feature::List) {
        let page = wrapped.list().limit(1).await?;
        let mut listed: Vec<String> = page.items.into_iter().map(|item| item.key).collect();
        if let Some(cursor) = page.cursor {
            listed.extend(rest(cx.store(), "", cursor).await?);
        }
        listed.sort();
        listed.dedup();
        ensure_eq!(listed, [one, two, three], "keys listed in part through a wrapper");
    }
    Ok(())
}
