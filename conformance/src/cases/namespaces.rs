//! NS-1 to NS-4.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use kv_api::{Error, ErrorKind, Feature, Namespace, Reason, SetItem, ValueKind};

use super::sample_limit;
use crate::cases::lists::{first_page, rest};
use crate::context::{Context, collected, listed};
use crate::outcome::{CaseResult, not_applicable};

/// NS-1: nothing in one namespace is visible or touchable through another, in any operation.
pub(crate) async fn ns_1_namespaces_share_nothing(cx: &Context<'_>) -> CaseResult {
    let other = cx.namespace("other").await?;
    let [shared, ours] = cx.keys(["shared", "ours"]);
    cx.store().set(&shared, cx.value(1)).await?;
    cx.store().set(&ours, cx.value(2)).await?;
    cx.expect_through(&other, &shared, None, "through another namespace").await?;
    ensure!(!other.exists(&shared).await?, "exists through another namespace");
    ensure_eq!(other.get_many([&*shared, &*ours]).await?, [None, None], "get_many through another namespace");
    if cx.declares(Feature::List) {
        ensure_eq!(listed(&other, "").await?, Vec::<String>::new(), "keys listed through another namespace");
    }
    if cx.declares(Feature::Expire) {
        ensure!(!other.expire(&shared).never().await?, "expire reached into another namespace");
    }
    other.delete(&shared).await?;
    other.delete_many([&*shared, &*ours]).await;
    cx.expect(&shared, Some(&cx.value(1)), "after a delete through another namespace").await?;
    other.set(&shared, cx.value(3)).await?;
    cx.expect(&shared, Some(&cx.value(1)), "after a set through another namespace").await?;
    cx.expect_through(&other, &shared, Some(&cx.value(3)), "in its own namespace").await?;
    if cx.declares(Feature::Counters) {
        let counter = cx.key("counter");
        cx.store().increment(&counter, 5).await?;
        ensure_eq!(other.increment(&counter, 1).await?, 1, "the first increment in another namespace");
        ensure_eq!(cx.store().increment(&counter, 1).await?, 6, "the counter after one in another namespace");
    }
    Ok(())
}

/// NS-1, DEL-3: clearing one namespace leaves the others alone.
pub(crate) async fn ns_1_clear_stays_in_its_namespace(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let other = cx.namespace("other").await?;
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    other.set(&key, cx.value(2)).await?;
    ensure_eq!(other.clear().await?, 1, "entries that clear deleted");
    cx.expect(&key, Some(&cx.value(1)), "after another namespace was cleared").await?;
    other.set(&key, cx.value(2)).await?;
    ensure_eq!(cx.store().clear().await?, 1, "entries that clear deleted");
    cx.expect_through(&other, &key, Some(&cx.value(2)), "after this namespace was cleared").await
}

/// NS-1: two names never address one entry, not even when name and key joined would be the same.
pub(crate) async fn ns_1_names_that_begin_alike_are_different_namespaces(cx: &Context<'_>) -> CaseResult {
    let (short, long) = (cx.namespace("ns").await?, cx.namespace("ns1").await?);
    let [key, longer] = cx.keys(["0", "10"]);
    long.set(&key, cx.value(1)).await?;
    short.set(&longer, cx.value(2)).await?;
    cx.expect_through(&long, &key, Some(&cx.value(1)), "in the longer name").await?;
    cx.expect_through(&short, &longer, Some(&cx.value(2)), "in the shorter name").await?;
    cx.expect_through(&short, &key, None, "in the shorter name").await?;
    if cx.declares(Feature::List) {
        ensure_eq!(listed(&short, "").await?, [longer], "keys of the shorter name");
        ensure_eq!(short.clear().await?, 1, "entries that clear deleted");
    }
    cx.expect_through(&long, &key, Some(&cx.value(1)), "after the shorter name was cleared").await
}

/// NS-2: a handle with a prefix sees what is below it, and nothing else.
pub(crate) async fn ns_2_a_prefix_narrows_the_handle(cx: &Context<'_>) -> CaseResult {
    let users = cx.store().with_prefix("user/");
    let [one, outside] = cx.keys(["1-first", "usez"]);
    let full = format!("user/{one}");
    users.set(&one, cx.value(1)).await?;
    cx.store().set(&outside, cx.value(2)).await?;
    cx.expect(&full, Some(&cx.value(1)), "by its whole key").await?;
    cx.expect_through(&users, &one, Some(&cx.value(1)), "through the prefix").await?;
    cx.expect_through(&users, &outside, None, "through the prefix").await?;
    if cx.declares(Feature::List) {
        ensure_eq!(listed(&users, "").await?, std::slice::from_ref(&one), "keys listed through the prefix");
        ensure_eq!(listed(&users, "1").await?, std::slice::from_ref(&one), "keys listed through both prefixes");
        ensure_eq!(users.clear().await?, 1, "entries that clear deleted through the prefix");
        cx.expect(&full, None, "after clear through the prefix").await?;
    } else {
        users.delete(&one).await?;
        cx.expect(&full, None, "after a delete through the prefix").await?;
    }
    cx.expect(&outside, Some(&cx.value(2)), "outside the prefix").await
}

/// NS-2: prefixes add up, in the order they were given.
pub(crate) async fn ns_2_prefixes_add_up(cx: &Context<'_>) -> CaseResult {
    let inner = cx.store().with_prefix("a/").with_prefix("b/");
    let key = cx.key("k");
    inner.set(&key, cx.value(1)).await?;
    cx.expect(&format!("a/b/{key}"), Some(&cx.value(1)), "by its whole key").await
}

/// NS-2: the limits on a key hold for the whole key.
pub(crate) async fn ns_2_limits_hold_for_the_whole_key(cx: &Context<'_>) -> CaseResult {
    let allowed = cx.capabilities().key_bytes_max;
    if allowed > sample_limit::LARGEST_KEY {
        return not_applicable(format!("key_bytes_max is {allowed}, too large to try"));
    }
    let (min, max) = cx.key_bytes().into_inner();
    let prefix = "p".repeat(min);
    let handle = cx.store().with_prefix(&prefix);
    handle.set("k", cx.value(1)).await?;
    let rest = "k".repeat(max - min);
    if !rest.is_empty() {
        handle.set(&rest, cx.value(2)).await?;
        cx.expect_through(&handle, &rest, Some(&cx.value(2)), "of the greatest length in all").await?;
    }
    let reason = Reason::Limit { name: "key_bytes_max".into(), allowed: allowed as u64, found: allowed as u64 + 1 };
    ensure_invalid!(handle.set(format!("{rest}k"), cx.value(3)).await, reason, "a whole key one byte too long");
    Ok(())
}

/// NS-3: a store's scope is the same in every process and another in every namespace: to cursors two handles to the
/// same data are one store, and two namespaces are two.
pub(crate) async fn ns_3_the_scope_is_the_same_in_every_process(cx: &Context<'_>) -> CaseResult {
    cx.with(Feature::List).await?;
    let second = cx.reopen().await?;
    let (keys, named, cursor) = first_page(cx, "k/").await?;
    let page = second.list().prefix("k/").limit(3).await?;
    let named_by_second: Vec<String> = page.items.into_iter().map(|item| item.key).collect();
    for (store, named, cursor) in [(&second, named, Some(cursor.clone())), (cx.store(), named_by_second, page.cursor)] {
        let Some(cursor) = cursor else { continue };
        let mut found = named;
        found.extend(rest(store, "k/", cursor).await?);
        found.sort_unstable();
        found.dedup();
        ensure_eq!(found, keys, "the keys of a page of one handle, and what another finds behind its cursor");
    }
    if cx.fixture.open_namespace.is_some() {
        let other = cx.namespace("other").await?;
        for result in other.set_many(keys.iter().map(|key| SetItem::new(key, cx.value(1)))).await {
            result?;
        }
        let result = other.list().prefix("k/").cursor(cursor).await;
        ensure_invalid!(result, Reason::CursorInvalid, "a cursor of another namespace with the same keys");
    }
    Ok(())
}

/// NS-3: the fingerprint of a store is the same in every process, and that of other data is another.
pub(crate) async fn ns_3_the_fingerprint_is_the_same_in_every_process(cx: &Context<'_>) -> CaseResult {
    let fingerprint = cx.store().scope_fingerprint();
    let of_a_prefix = cx.store().with_prefix("k/").scope_fingerprint();
    ensure!(of_a_prefix != fingerprint, "a handle with a prefix has the fingerprint of the one without");
    if cx.fixture.open_namespace.is_some() {
        let other = cx.namespace("other").await?.scope_fingerprint();
        ensure!(other != fingerprint && other != of_a_prefix, "another namespace has the same fingerprint");
    }
    let second = cx.reopen().await?;
    ensure_eq!(second.scope_fingerprint(), fingerprint, "the fingerprint of a second handle to the same data");
    ensure_eq!(second.with_prefix("k/").scope_fingerprint(), of_a_prefix, "the same with a prefix");
    Ok(())
}

/// NS-4: a typed view spells keys and goes through serde; what it cannot read is `WrongType`.
pub(crate) async fn ns_4_a_typed_view_spells_keys_and_values(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let prefix = cx.key("typed/");
    let view: Namespace<u64, BTreeMap<String, u32>> = Namespace::new(store, &prefix);
    let value = |number: u32| BTreeMap::from([("n".to_owned(), number)]);
    view.set(&7, &value(7)).await?;
    view.set(&10, &value(10)).await?;
    ensure_eq!(view.get(&7).await?, Some(value(7)), "get of a typed key");
    ensure_eq!(view.get(&8).await?, None, "get of a typed key that is missing");
    ensure!(view.exists(&10).await?, "exists of a typed key");
    let plain = store.get_as::<BTreeMap<String, u32>>(format!("{prefix}10")).await?;
    ensure_eq!(plain, Some(value(10)), "a typed value, read without the view");
    if cx.declares(Feature::IfNotExists) {
        let load = async || Ok::<_, Error>(value(8));
        ensure_eq!(view.get_or_set(&8, load).await?, value(8), "get_or_set of a typed key");
        view.delete(&8).await?;
        ensure_eq!(view.get(&8).await?, None, "get of a typed key that was deleted");
    }
    store.set_as(format!("{prefix}07"), &value(0)).await?;
    if cx.declares(Feature::List) {
        let misfits = collected(view.keys().map(Ok)).await?;
        let mut keys: Vec<u64> = misfits.iter().flatten().copied().collect();
        keys.sort_unstable();
        ensure_eq!((keys, misfits.len()), (vec![7, 10], 3), "the typed keys, and how many keys there are");
        for result in misfits {
            if let Err(error) = result {
                ensure_eq!(error.kind(), ErrorKind::WrongType, "the error of a key of no such type");
            }
        }
        store.delete(format!("{prefix}07")).await?;
        let entries: BTreeMap<_, _> = collected(view.entries()).await?.into_iter().collect();
        ensure_eq!(entries, BTreeMap::from([(7, value(7)), (10, value(10))]), "the typed entries");
    }
    Ok(())
}
