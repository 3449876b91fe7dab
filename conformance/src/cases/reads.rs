//! GET-1, GET-2 and GET-4.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kv_api::{Consistency, Feature, Metadata, Reason, Store, Value};
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
    let may_be_late = cx.capabilities().consistency != Consistency::Strong;
    let values: Vec<Value> = (0..STEPS).map(|number| cx.value(number)).collect();
    let call = |caller: usize| {
        let (store, key, values) = (cx.store().clone(), key.clone(), values.clone());
        async move {
            for (number, value) in values.iter().enumerate() {
                if caller == 0 {
                    store.set(&key, value.clone()).metadata(json!(number)).await?;
                    continue;
                }
                let Some(entry) = store.get_entry(&key).await? else {
                    // Of a time before the first write, where reads may be late.
                    ensure!(may_be_late, "an entry is missing while it is replaced");
                    continue;
                };
                let number = entry.metadata().and_then(|metadata| metadata.decode::<usize>().ok());
                let is_whole = number.and_then(|number| values.get(number)) == Some(entry.value());
                ensure!(is_whole, "an entry has parts of two writes: {entry:?}");
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

/// GET-4: `get_and_delete` answers the whole entry and leaves nothing of it.
pub(crate) async fn get_4_get_and_delete_takes_everything(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::GetAndDelete).await?;
    let [key, kept] = cx.keys(["k", "kept"]);
    store.set(&kept, cx.value(9)).await?;
    for number in 0..3 {
        let mut set = store.set(&key, cx.value(number));
        if cx.declares(Feature::Metadata) && number > 0 {
            set = set.metadata(json!({ "number": number }));
        }
        set.await?;
        let before = cx.entry(&key).await?;
        if number == 1 {
            ensure_eq!(store.get_and_delete(&key).entry().await?, Some(before), "the entry that was taken");
        } else {
            ensure_eq!(store.get_and_delete(&key).await?, Some(cx.value(number)), "the value that was taken");
        }
        cx.expect(&key, None, "after it was taken").await?;
        ensure!(!store.exists(&key).await?, "exists of what was taken says yes");
        if cx.declares(Feature::List) {
            ensure_eq!(cx.listed("").await?, std::slice::from_ref(&kept), "the keys listed after one was taken");
        }
        ensure_eq!(store.get_and_delete(&key).await?, None, "a second get_and_delete");
    }
    store.set(&key, cx.value(4)).await?;
    ensure_eq!(cx.entry(&key).await?.metadata(), None, "metadata after an entry was taken and set again");
    cx.expect(&kept, Some(&cx.value(9)), "which was not taken").await
}

/// GET-4: of a missing or expired entry nothing is taken.
pub(crate) async fn get_4_nothing_is_taken_where_nothing_is(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::GetAndDelete).await?;
    let [missing, expired] = cx.keys(["missing", "expired"]);
    ensure_eq!(store.get_and_delete(&missing).await?, None, "get_and_delete of nothing");
    ensure_eq!(store.get_and_delete(&missing).entry().await?, None, "get_and_delete of nothing, as an entry");
    cx.set_expired(&expired, 1).await?;
    ensure_eq!(store.get_and_delete(&expired).await?, None, "get_and_delete of an expired entry");
    Ok(())
}

/// GET-4: of any number of callers exactly one gets the value, also over two handles.
pub(crate) async fn get_4_exactly_one_caller_gets_the_value(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 64;
    let mut handles: Vec<Store> = vec![cx.with_atomic(Feature::GetAndDelete).await?.clone()];
    handles.extend(cx.reopened().await?);
    let key = cx.key("k");
    for round in 0..4 {
        cx.store().set(&key, cx.value(round)).await?;
        let call = |caller: usize| {
            let (store, key) = (handles[caller % handles.len()].clone(), key.clone());
            async move { store.get_and_delete(&key).await }
        };
        let mut taken = Vec::new();
        for found in race((0..CALLERS).map(call).collect()).await? {
            taken.extend(found?);
        }
        ensure_eq!(taken, [cx.value(round)], "what {CALLERS} concurrent callers got of one value");
    }
    Ok(())
}

/// GET-4: what is written while others take is taken in its turn: no delete takes a value that its caller did not get.
pub(crate) async fn get_4_nothing_is_deleted_that_nobody_got(cx: &Context<'_>) -> CaseResult {
    const TAKERS: usize = 4;
    const VALUES: usize = 32;
    const TRIES: usize = 100_000;
    let store = cx.with_atomic(Feature::GetAndDelete).await?.clone();
    cx.with_atomic(Feature::IfNotExists).await?;
    let key = cx.key("k");
    let values: Vec<Value> = (0..VALUES).map(|number| cx.value(number)).collect();
    let ended = Arc::new(AtomicBool::new(false));
    let call = |caller: usize| {
        let (store, key, values, ended) = (store.clone(), key.clone(), values.clone(), Arc::clone(&ended));
        async move {
            let put_all = async {
                for value in &values {
                    let mut tries = 0;
                    while !store.set(&key, value.clone()).if_not_exists().await?.is_written() {
                        tries += 1;
                        ensure!(tries < TRIES, "a value is there that nobody takes");
                        tokio::task::yield_now().await;
                    }
                }
                Ok::<_, Stop>(Vec::new())
            };
            if caller == 0 {
                let result = put_all.await;
                ended.store(true, Ordering::SeqCst);
                return result;
            }
            let mut taken = Vec::new();
            loop {
                let is_last = ended.load(Ordering::SeqCst);
                match store.get_and_delete(&key).await? {
                    Some(value) => taken.push(value),
                    None if is_last => return Ok(taken),
                    None => tokio::task::yield_now().await,
                }
            }
        }
    };
    let mut taken = Vec::new();
    for found in race((0..=TAKERS).map(call).collect()).await? {
        taken.extend(found?);
    }
    for value in &values {
        let times = taken.iter().filter(|found| *found == value).count();
        ensure_eq!(times, 1, "how many callers got {value:?}");
    }
    Ok(())
}
