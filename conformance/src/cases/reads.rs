//! GET-1 and GET-2.

use kv_api::{Feature, Metadata, Reason, Value};
use serde_json::json;

use crate::context::Context;
use crate::outcome::{CaseResult, Stop, not_applicable};
use crate::races::race;

/// GET-1: a missing key is no error.
pub(crate) async fn get_1_a_missing_key_is_no_error(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("missing");
    cx.expect(&key, None, "which was never set").await?;
    ensure_eq!(cx.store().get_entry(&key).await?, None, "get_entry of a missing key");
    ensure_eq!(cx.store().get_as::<String>(&key).await?, None, "get_as of a missing key");
    ensure_eq!(cx.store().get_entry_many([&*key]).await?, [None], "get_entry_many of a missing key");
    Ok(())
}

/// GET-1: an entry has its value, its metadata, and a version where versions are declared.
pub(crate) async fn get_1_an_entry_has_all_its_parts(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let mut set = cx.store().set(&key, cx.value(1));
    let metadata = cx.declares(Feature::Metadata).then(|| Metadata::from(json!({ "m": 1 })));
    if let Some(metadata) = &metadata {
        set = set.metadata(metadata.clone());
    }
    set.await?;
    let one = cx.entry(&key).await?;
    let many = cx.store().get_entry_many([&*key]).await?;
    ensure_eq!(many, [Some(one.clone())], "get_entry_many, against get_entry");
    ensure_eq!(one.value(), &cx.value(1), "the value");
    ensure_eq!(one.metadata(), metadata.as_ref(), "the metadata");
    ensure_eq!(one.version().is_some(), cx.declares(Feature::IfVersion), "whether there is a version");
    Ok(())
}

/// GET-1: where `entry_snapshot` is declared, all parts of an entry come from one write, also while others write.
pub(crate) async fn get_1_all_parts_come_from_one_write(cx: &Context<'_>) -> CaseResult {
    const STEPS: usize = 64;
    cx.with(Feature::Metadata).await?;
    if !cx.capabilities().entry_snapshot {
        return not_applicable("entry_snapshot is declared absent: a write may come between");
    }
    let key = cx.key("k");
    cx.store().set(&key, cx.value(0)).metadata(json!(0)).await?;
    let values: Vec<Value> = (0..STEPS).map(|number| cx.value(number)).collect();
    let call = |caller: usize| {
        let (store, key, values) = (cx.store().clone(), key.clone(), values.clone());
        async move {
            for (number, value) in values.iter().enumerate() {
                if caller == 0 {
                    store.set(&key, value.clone()).metadata(json!(number)).await?;
                    continue;
                }
                let entry = store.get_entry(&key).await?;
                let whole = entry.as_ref().is_some_and(|entry| {
                    let number = entry.metadata().and_then(|metadata| metadata.decode::<usize>().ok());
                    number.and_then(|number| values.get(number)) == Some(entry.value())
                });
                ensure!(whole, "an entry has parts of two writes: {entry:?}");
            }
            Ok(())
        }
    };
    for result in race((0..4).map(call).collect()).await? {
        result?;
    }
    Ok(())
}

/// GET-2: `get_many` answers in the order asked, one slot per key, repeats and missing keys included.
pub(crate) async fn get_2_many_answers_in_the_order_asked(cx: &Context<'_>) -> CaseResult {
    let [first, second, third, missing] = cx.keys(["z", "a", "m", "none"]);
    for (number, key) in [&first, &second, &third].into_iter().enumerate() {
        cx.store().set(key, cx.value(number)).await?;
    }
    let asked = [&*third, &*missing, &*first, &*second, &*third, &*missing, &*first];
    let expected =
        [Some(2), None, Some(0), Some(1), Some(2), None, Some(0)].map(|number| number.map(|number| cx.value(number)));
    ensure_eq!(cx.store().get_many(asked).await?, expected, "get_many");
    let entries = cx.store().get_entry_many(asked).await?;
    let values: Vec<Option<Value>> = entries.into_iter().map(|entry| entry.map(kv_api::Entry::into_value)).collect();
    ensure_eq!(values, expected, "get_entry_many");
    ensure_eq!(cx.store().get_many(Vec::<String>::new()).await?, [], "get_many of no key");
    Ok(())
}

/// GET-2: `get_many` fails as a whole, with the index of the first key that is not acceptable.
pub(crate) async fn get_2_many_fails_as_a_whole(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    cx.store().set(&key, cx.value(1)).await?;
    let sent = cx.requests();
    let error = ensure_err!(cx.store().get_many([&*key, "", &*key, ""]).await, "get_many with an empty key");
    ensure_eq!((error.reason(), error.index()), (Some(&Reason::KeyEmpty), Some(1)), "reason and index");
    cx.expect_sent(sent, 0, "get_many with a key that is not acceptable")
}

/// GET-2: `exists_many` says of each key what `exists` would, repeats included, and fails as a whole.
pub(crate) async fn get_2_exists_many_says_what_exists_would(cx: &Context<'_>) -> CaseResult {
    let [first, second, missing, deleted] = cx.keys(["z", "a", "none", "gone"]);
    for key in [&first, &second, &deleted] {
        cx.store().set(key, cx.value(1)).await?;
    }
    cx.store().delete(&deleted).await?;
    let asked = [&*first, &*missing, &*second, &*first, &*deleted];
    let mut expected = Vec::new();
    for key in asked {
        expected.push(cx.store().exists(key).await?);
    }
    ensure_eq!(expected, [true, false, true, true, false], "exists, key by key");
    ensure_eq!(cx.store().exists_many(asked).await?, expected, "exists_many, against exists");
    ensure!(cx.store().exists_many(Vec::<String>::new()).await?.is_empty(), "exists_many of no key");
    let sent = cx.requests();
    let error = ensure_err!(cx.store().exists_many([&*first, ""]).await, "exists_many with an empty key");
    ensure_eq!((error.reason(), error.index()), (Some(&Reason::KeyEmpty), Some(1)), "reason and index");
    cx.expect_sent(sent, 0, "exists_many with a key that is not acceptable")
}

/// GET-2: `exists` says whether `get` would give a value.
pub(crate) async fn get_2_exists_says_what_get_would(cx: &Context<'_>) -> CaseResult {
    let key = cx.key("k");
    let same = async |expected: bool, when: &str| {
        ensure_eq!(cx.store().exists(&key).await?, expected, "exists {when}");
        ensure_eq!(cx.store().get(&key).await?.is_some(), expected, "get {when}");
        Ok::<(), Stop>(())
    };
    same(false, "before a set").await?;
    cx.store().set(&key, cx.value(1)).await?;
    same(true, "after a set").await?;
    cx.store().delete(&key).await?;
    same(false, "after a delete").await
}
