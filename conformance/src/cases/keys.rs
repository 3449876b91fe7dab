//! KEY-1 to KEY-3.

use std::borrow::Cow;

use kv_api::{Feature, Reason, Result, SetItem, Store, Value};

use super::sample_limit;
use crate::context::Context;
use crate::outcome::{CaseResult, not_applicable};
use crate::samples::{KEYS_NEARLY_ALIKE, ODD_KEYS};

/// Every call that takes a key, with a key that is not acceptable.
async fn calls_with(cx: &Context<'_>, store: &Store, key: &str) -> Vec<(&'static str, Result<()>)> {
    let one = |mut results: Vec<Result<()>>| results.pop().unwrap_or(Ok(()));
    let value = cx.value(1);
    let mut calls = vec![
        ("get", store.get(key).await.map(drop)),
        ("get_entry", store.get_entry(key).await.map(drop)),
        ("exists", store.exists(key).await.map(drop)),
        ("set", store.set(key, value.clone()).await.map(drop)),
        ("delete", store.delete(key).await.map(drop)),
        ("get_many", store.get_many([key]).await.map(drop)),
        ("delete_many", one(store.delete_many([key]).await.into_iter().map(|result| result.map(drop)).collect())),
        (
            "set_many",
            one(store.set_many([SetItem::new(key, value.clone())]).await.into_iter().map(|r| r.map(drop)).collect()),
        ),
    ];
    if cx.declares(Feature::Counters) {
        calls.push(("increment", store.increment(key, 1).await.map(drop)));
    }
    if cx.declares(Feature::Expire) {
        calls.push(("expire", store.expire(key).never().await.map(drop)));
    }
    if cx.declares(Feature::AllOrNothing) {
        calls.push((
            "set_many_all_or_nothing",
            store.set_many_all_or_nothing([SetItem::new(key, value)]).await.map(drop),
        ));
    }
    calls
}

async fn refused_everywhere(cx: &Context<'_>, key: &str, reason: &Reason) -> CaseResult {
    let sent = cx.requests();
    for (call, result) in calls_with(cx, cx.store(), key).await {
        ensure_invalid!(result, reason.clone(), "{call} with a key of {} bytes", key.len());
    }
    cx.expect_sent(sent, 0, "calls with a key that is not acceptable")
}

/// KEY-1: the empty key is refused by every call, before anything is sent.
pub(crate) async fn key_1_an_empty_key_is_refused(cx: &Context<'_>) -> CaseResult {
    refused_everywhere(cx, "", &Reason::KeyEmpty).await
}

/// KEY-1: a key of `key_bytes_max` bytes works; one byte more is refused with both figures.
pub(crate) async fn key_1_the_longest_key_works_and_a_longer_one_is_refused(cx: &Context<'_>) -> CaseResult {
    let allowed = cx.capabilities().key_bytes_max;
    if allowed > sample_limit::LARGEST_KEY {
        return not_applicable(format!("key_bytes_max is {allowed}, too large to try"));
    }
    let max = *cx.key_bytes().end();
    let longest = "k".repeat(max);
    let neighbour = format!("{}l", "k".repeat(max - 1));
    cx.store().set(&longest, cx.value(1)).await?;
    cx.store().set(&neighbour, cx.value(2)).await?;
    cx.expect(&longest, Some(&cx.value(1)), "of the greatest length").await?;
    cx.expect(&neighbour, Some(&cx.value(2)), "that differs in its last byte only").await?;
    let reason = Reason::Limit { name: "key_bytes_max".into(), allowed: allowed as u64, found: allowed as u64 + 1 };
    refused_everywhere(cx, &"k".repeat(max + 1), &reason).await
}

/// KEY-1: a key of `key_bytes_min` bytes works; a shorter one is refused with both figures.
pub(crate) async fn key_1_the_shortest_key_works_and_a_shorter_one_is_refused(cx: &Context<'_>) -> CaseResult {
    let min = *cx.key_bytes().start();
    let shortest = "k".repeat(min);
    cx.store().set(&shortest, cx.value(1)).await?;
    cx.expect(&shortest, Some(&cx.value(1)), "of the least length").await?;
    if min < 2 {
        return Ok(()); // what is shorter is empty, and has its own case
    }
    let allowed = cx.capabilities().key_bytes_min as u64;
    let reason = Reason::Limit { name: "key_bytes_min".into(), allowed, found: allowed - 1 };
    refused_everywhere(cx, &"k".repeat(min - 1), &reason).await
}

/// KEY-1: the length of a key is counted in bytes of UTF-8, not in characters.
pub(crate) async fn key_1_length_is_counted_in_bytes(cx: &Context<'_>) -> CaseResult {
    let allowed = cx.capabilities().key_bytes_max;
    if allowed > sample_limit::LARGEST_KEY {
        return not_applicable(format!("key_bytes_max is {allowed}, too large to try"));
    }
    let max = *cx.key_bytes().end();
    let fits = format!("{}{}", "é".repeat(max / 2), "k".repeat(max % 2));
    cx.store().set(&fits, cx.value(1)).await?;
    cx.expect(&fits, Some(&cx.value(1)), "of two-byte characters").await?;
    // Too long in bytes, while it has no more characters than bytes are allowed.
    let over = "é".repeat(max / 2 + 1);
    let found = cx.whole(&over).len() as u64;
    let reason = Reason::Limit { name: "key_bytes_max".into(), allowed: allowed as u64, found };
    refused_everywhere(cx, &over, &reason).await
}

/// Those of the sample keys that the store can hold, each with a value of its own, all set.
async fn set_all(cx: &Context<'_>, names: &[&str]) -> std::result::Result<Vec<(String, Value)>, crate::outcome::Stop> {
    let capabilities = cx.capabilities();
    // In front: what stands at the end of a key must stay there.
    let lengthened = |name: &&str| format!("{}{name}", "q".repeat(cx.key_bytes().start().saturating_sub(name.len())));
    let keys = names.iter().map(lengthened);
    let keys = keys.filter(|key| {
        let whole = cx.whole(key);
        whole.len() <= capabilities.key_bytes_max && !capabilities.forbidden_keys.contains(&Cow::Borrowed(&*whole))
    });
    let entries: Vec<_> = keys.enumerate().map(|(number, key)| (key, cx.value(number))).collect();
    for (key, value) in &entries {
        cx.store().set(key, value.clone()).await?;
    }
    Ok(entries)
}

async fn each_is_its_own(cx: &Context<'_>, names: &[&str]) -> CaseResult {
    let entries = set_all(cx, names).await?;
    for (key, value) in &entries {
        cx.expect(key, Some(value), "after all were set").await?;
        ensure!(cx.store().exists(key).await?, "{key:?} was set, and exists says no");
    }
    let many = cx.store().get_many(entries.iter().map(|(key, _)| key.as_str())).await?;
    for ((key, value), found) in entries.iter().zip(&many) {
        ensure!(found.as_ref() == Some(value), "get_many of {key:?}: expected its value, found {found:?}");
    }
    if cx.declares(Feature::List) {
        let mut listed = cx.listed("").await?;
        let mut expected: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        listed.sort_unstable();
        expected.sort_unstable();
        ensure_eq!(listed, expected, "the keys listed");
        for (key, _) in &entries {
            ensure!(cx.listed(key).await?.contains(key), "a list with the prefix {key:?} does not name that key");
        }
    }
    // From the front one after the other: no delete may take another one along.
    for (at, (key, _)) in entries.iter().enumerate() {
        cx.store().delete(key).await?;
        cx.expect(key, None, "after its delete").await?;
        if let Some((next, value)) = entries.get(at + 1) {
            cx.expect(next, Some(value), &format!("after the delete of {key:?}")).await?;
        }
    }
    Ok(())
}

/// KEY-2: characters that mean something elsewhere go through unharmed, in every call.
pub(crate) async fn key_2_every_character_is_harmless(cx: &Context<'_>) -> CaseResult {
    each_is_its_own(cx, ODD_KEYS).await
}

/// KEY-2: a key that is declared forbidden is refused before anything is sent.
pub(crate) async fn key_2_forbidden_keys_are_refused(cx: &Context<'_>) -> CaseResult {
    // Below a prefix only those that begin with it can be named.
    let forbidden = cx.capabilities().forbidden_keys.iter().filter_map(|key| key.strip_prefix(cx.prefix()));
    let forbidden: Vec<&str> = forbidden.filter(|key| cx.key_bytes().contains(&key.len())).collect();
    if forbidden.is_empty() {
        return not_applicable("no key of an acceptable length is declared forbidden");
    }
    for key in forbidden {
        refused_everywhere(cx, key, &Reason::KeyForbidden).await?;
    }
    Ok(())
}

/// KEY-3: keys are compared by their bytes: no normalisation, no case folding, no trimming.
pub(crate) async fn key_3_keys_that_differ_in_a_byte_are_different(cx: &Context<'_>) -> CaseResult {
    each_is_its_own(cx, KEYS_NEARLY_ALIKE).await
}
