//! CNT-1 to CNT-3.

use std::time::Duration;

use kv_api::{EntryExpiry, ErrorKind, Feature, Reason, Store, Value, ValueKind};
use serde_json::json;

use crate::cases::errors::dropped_after_requests;
use crate::check::show;
use crate::context::{Context, value_of};
use crate::expiring::Form;
use crate::outcome::{CaseResult, refused};
use crate::races::race;

/// CNT-1: increment starts at 0, adds, subtracts, and answers the new value.
pub(crate) async fn cnt_1_increment_answers_the_new_value(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    let key = cx.key("k");
    let mut sum = 0;
    let range = cx.capabilities().counter_min..=cx.capabilities().counter_max;
    for by in [1, 1, 5, -10, 0, 100, -97] {
        // A store may count in one direction alone.
        if !range.contains(&(sum + by)) {
            continue;
        }
        sum += by;
        ensure_eq!(store.increment(&key, by).await?, sum, "increment by {by}");
    }
    let other = cx.key("other");
    ensure_eq!(store.increment(&other, 0).await?, 0, "increment of a missing key by 0");
    store.delete(&key).await?;
    ensure_eq!(store.increment(&key, 2).await?, 2, "increment after a delete");
    Ok(())
}

/// CNT-1: a counter reads as a JSON integer, by every read.
pub(crate) async fn cnt_1_a_counter_reads_as_a_json_integer(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    let key = cx.key("k");
    let range = cx.capabilities().counter_min..=cx.capabilities().counter_max;
    // 0, 7 and, where a store has such, a number below 0.
    for by in [0, 7, -12].into_iter().filter(|by| range.contains(by)) {
        let count = store.increment(&key, by).await?;
        cx.expect(&key, Some(&Value::from(count)), "after increment").await?;
        let found = store.get(&key).await?;
        ensure!(found.as_ref().and_then(Value::as_i64) == Some(count), "a counter reads as {}", show(found.as_ref()));
        ensure_eq!(store.get_many([&*key]).await?, [Some(Value::from(count))], "get_many of a counter");
        ensure_eq!(store.get_as::<i64>(&key).await?, Some(count), "get_as of a counter");
        ensure_eq!(cx.entry(&key).await?.metadata(), None, "the metadata of a counter");
        ensure!(store.exists(&key).await?, "exists of a counter says no");
    }
    if cx.declares(Feature::List) {
        ensure_eq!(cx.listed("").await?, [key], "the keys listed");
    }
    Ok(())
}

/// CNT-1: a JSON integer that was set is a counter.
pub(crate) async fn cnt_1_a_json_integer_is_a_counter(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let key = cx.key("k");
    let range = cx.capabilities().counter_min..cx.capabilities().counter_max;
    for start in [0_i64, 41, -41, 1_000_000_007].into_iter().filter(|start| range.contains(start)) {
        store.set(&key, start).await?;
        ensure_eq!(store.increment(&key, 1).await?, start + 1, "increment after a set of {start}");
    }
    for result in store.set_many([kv_api::SetItem::new(&*key, 10)]).await {
        result?;
    }
    ensure_eq!(store.increment(&key, -1).await?, 9, "increment after set_many of 10");
    Ok(())
}

/// CNT-1: increment keeps the expiry.
pub(crate) async fn cnt_1_increment_keeps_the_expiry(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let form = cx.form().await?;
    let key = cx.key("k");
    cx.align().await?;
    let life = cx.life(form, 1)?;
    life.set(store.set(&key, 5)).await?;
    if !cx.capabilities().counter_expiry {
        let result = store.increment(&key, 1).await;
        ensure_refused!(
            result,
            ErrorKind::WrongType,
            Some(Reason::NotACounter),
            "increment of an entry with an expiry"
        );
        cx.expect(&key, Some(&Value::from(5)), "after a refused increment").await?;
        return refused("counter_expiry is not supported; the refusal was checked");
    }
    ensure_eq!(store.increment(&key, 1).await?, 6, "increment of an entry with an expiry");
    if cx.capabilities().expiry_read {
        let expiry = cx.entry(&key).await?.expiry();
        ensure!(matches!(expiry, EntryExpiry::At(_)), "the expiry after an increment: {expiry:?}");
    }
    cx.pass_until_before_end(life).await?;
    ensure_eq!(store.increment(&key, 1).await?, 7, "increment just before the expiry");
    cx.pass_until_end(life).await?;
    cx.expect(&key, None, "at its expiry, after increments").await
}

/// CNT-1: anything but a JSON integer is an error and no change, the text `5` too.
pub(crate) async fn cnt_1_only_a_json_integer_can_be_counted_in(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    let key = cx.key("k");
    let others = [
        Value::from("5"),
        Value::from(""),
        Value::from("text"),
        Value::from(b"5"),
        Value::from(Vec::new()),
        Value::from(json!(1.5)),
        Value::from(json!(true)),
        Value::from(json!([5])),
        Value::from(json!({ "count": 5 })),
        value_of(ValueKind::Bytes),
    ];
    for value in others.into_iter().filter(|value| cx.has_kind(value.kind())) {
        store.set(&key, value.clone()).await?;
        let before = cx.entry(&key).await?;
        let result = store.increment(&key, 1).await;
        ensure_refused!(result, ErrorKind::WrongType, None, "increment of {}", show(Some(&value)));
        ensure_eq!(cx.entry(&key).await?, before, "the entry after a refused increment");
        cx.expect(&key, Some(&value), "after a refused increment").await?;
    }
    Ok(())
}

/// CNT-1: a result outside the range is an error and no change; the ends of the range can be reached. So it is with the
/// range that is reported, and with a narrower one of a restricted handle.
pub(crate) async fn cnt_1_the_range_is_kept(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    let (min, max) = (cx.capabilities().counter_min, cx.capabilities().counter_max);
    let (least, most) = (min.max(-1000), max.min(1000));
    let narrow = cx.capabilities().clone().with_counters(cx.capabilities().counters, least, most);
    let narrow = store.restricted_to([&narrow]);
    for (store, name, end, outwards) in
        [(store, "max", max, 1), (store, "min", min, -1), (&narrow, "most", most, 1), (&narrow, "least", least, -1)]
    {
        let (min, max) = (store.capabilities().counter_min, store.capabilities().counter_max);
        let reason = Reason::CounterRange { min, max };
        let key = cx.key(name);
        ensure_eq!(store.increment(&key, end).await?, end, "increment to the end of the range");
        for by in [outwards, outwards * 1000, if outwards > 0 { i64::MAX } else { i64::MIN }] {
            ensure_invalid!(store.increment(&key, by).await, reason.clone(), "increment by {by} from {end}");
            cx.expect(&key, Some(&Value::from(end)), "after an increment beyond the range").await?;
        }
        ensure_eq!(store.increment(&key, -outwards).await?, end - outwards, "increment back into the range");
        ensure_eq!(store.increment(&key, outwards).await?, end, "increment to the end of the range again");
    }
    Ok(())
}

/// CNT-1, ERR-6: an increment beyond the range that is dropped, after whichever of its requests, leaves a counter
/// within it.
pub(crate) async fn cnt_1_a_dropped_increment_leaves_the_counter_in_range(cx: &Context<'_>) -> CaseResult {
    const REQUESTS_MAX: u64 = 8;
    let store = cx.with(Feature::Counters).await?;
    let (min, max) = (cx.capabilities().counter_min, cx.capabilities().counter_max);
    for (name, end, outwards) in [("max", max, 1), ("min", min, -1)] {
        for requests in 0..REQUESTS_MAX {
            let key = cx.key(&format!("{name}{requests}."));
            store.increment(&key, end).await?;
            let call = Box::pin(async { drop(store.increment(&key, outwards).await) });
            let ended = dropped_after_requests(cx, requests, call).await;
            // What was on its way has arrived when a later request of the same key is answered.
            let found = store.get(&key).await?;
            let count = found.as_ref().and_then(Value::as_i64);
            ensure!(
                count == Some(end),
                "at {end}, after {requests} requests of a dropped step: {}",
                show(found.as_ref())
            );
            ensure_eq!(store.increment(&key, -outwards).await?, end - outwards, "increment back into the range");
            if ended {
                break;
            }
        }
    }
    Ok(())
}

/// CNT-1: concurrent increments lose nothing, also over two handles, and each answer is given once.
pub(crate) async fn cnt_1_concurrent_increments_add_up(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 64;
    const EACH: usize = 8;
    let mut handles: Vec<Store> = vec![cx.with_atomic(Feature::Counters).await?.clone()];
    handles.extend(cx.reopened().await?);
    let key = cx.key("k");
    let call = |caller: usize| {
        let (store, key) = (handles[caller % handles.len()].clone(), key.clone());
        async move {
            let mut answers = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                answers.push(store.increment(&key, 1).await?);
            }
            Ok::<_, kv_api::Error>(answers)
        }
    };
    let mut answers = Vec::new();
    for result in race((0..CALLERS).map(call).collect()).await? {
        answers.extend(result?);
    }
    answers.sort_unstable();
    let total = i64::try_from(CALLERS * EACH).unwrap_or(i64::MAX);
    ensure_eq!(answers, (1..=total).collect::<Vec<_>>(), "the answers of concurrent increments");
    cx.expect(&key, Some(&Value::from(total)), "after concurrent increments").await
}

/// CNT-2: a counter carries no metadata: increment on an entry that has some is `WrongType`, and no change.
pub(crate) async fn cnt_2_an_entry_with_metadata_is_no_counter(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::Counters).await?;
    cx.with(Feature::Metadata).await?;
    cx.with(Feature::ValueKind(ValueKind::Json)).await?;
    let key = cx.key("k");
    store.set(&key, 5).metadata(json!({ "m": 1 })).await?;
    let before = cx.entry(&key).await?;
    let result = store.increment(&key, 1).await;
    ensure_refused!(result, ErrorKind::WrongType, None, "increment of an entry with metadata");
    ensure_eq!(cx.entry(&key).await?, before, "the entry after a refused increment");
    Ok(())
}

/// CNT-3: the increment that creates a counter, over nothing or over an expired one, gives it the ttl.
pub(crate) async fn cnt_3_a_new_counter_gets_the_ttl(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::CounterTtl).await?;
    let key = cx.key("k");
    for window in 0..2 {
        cx.align().await?;
        let life = cx.life(Form::Ttl, 1)?;
        ensure_eq!(store.increment(&key, 5).ttl_if_created(life.ttl).await?, 5, "the first step of window {window}");
        if cx.capabilities().expiry_read {
            let expiry = cx.entry(&key).await?.expiry();
            ensure!(matches!(expiry, EntryExpiry::At(_)), "the expiry of a new counter: {expiry:?}");
        }
        cx.pass_until_before_end(life).await?;
        ensure_eq!(store.increment(&key, 1).await?, 6, "a step just before the end of window {window}");
        cx.pass_until_end(life).await?;
        cx.expect(&key, None, "at the end of a window").await?;
    }
    Ok(())
}

/// CNT-3: a counter that exists keeps its end, and that it has none.
pub(crate) async fn cnt_3_a_counter_that_exists_keeps_its_end(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::CounterTtl).await?;
    let [lasting, ending] = cx.keys(["lasting", "ending"]);
    store.increment(&lasting, 1).await?;
    cx.align().await?;
    let (life, long) = (cx.life(Form::Ttl, 1)?, cx.life(Form::Ttl, 9)?);
    store.increment(&ending, 1).ttl_if_created(life.ttl).await?;
    for key in [&lasting, &ending] {
        ensure_eq!(store.increment(key, 1).ttl_if_created(long.ttl).await?, 2, "a second step on {key:?}");
    }
    cx.pass_until_before_end(life).await?;
    ensure_eq!(store.increment(&ending, 1).ttl_if_created(long.ttl).await?, 3, "a step just before the end");
    ensure_eq!(store.increment(&lasting, 1).ttl_if_created(life.ttl).await?, 3, "a step on a lasting counter");
    cx.pass_until_end(life).await?;
    cx.expect(&ending, None, "at the end that its first step gave it").await?;
    cx.pass(cx.long(life)?).await?;
    cx.expect(&lasting, Some(&Value::from(3)), "a counter that was created without an end").await
}

/// CNT-3, EXP-5: the ttl is checked before anything is sent, and a refused step creates nothing.
pub(crate) async fn cnt_3_the_ttl_is_checked_as_any(cx: &Context<'_>) -> CaseResult {
    let store = cx.with(Feature::CounterTtl).await?;
    let key = cx.key("k");
    let sent = cx.requests();
    let zero = store.increment(&key, 1).ttl_if_created(Duration::ZERO).await;
    ensure_invalid!(zero, Reason::TtlZero, "a new counter with a ttl of zero");
    let error = ensure_err!(store.increment(&key, 1).ttl_if_created(Duration::MAX).await, "the longest ttl");
    ensure!(matches!(error.reason(), Some(Reason::ExpiryTooLate { .. })), "the longest ttl: {error}");
    let minimum = cx.capabilities().expiry_min;
    let below = minimum.saturating_sub(cx.capabilities().expiry_resolution);
    if !below.is_zero() {
        let result = store.increment(&key, 1).ttl_if_created(below).await;
        ensure_invalid!(result, Reason::ExpiryTooSoon { minimum }, "a ttl below the minimum");
    }
    cx.expect_sent(sent, 0, "an increment with a ttl that is not acceptable")?;
    cx.expect(&key, None, "after increments that were refused").await?;
    if !below.is_zero() {
        let rounded = store.increment(&key, 1).ttl_if_created(below).min_ttl(kv_api::MinTtl::RoundUp).await?;
        ensure_eq!(rounded, 1, "an increment with a ttl rounded up to the minimum");
    }
    Ok(())
}

/// CNT-3: of callers that meet over nothing none sees a counter without its end, also over two handles.
pub(crate) async fn cnt_3_counters_that_are_created_at_once_have_an_end(cx: &Context<'_>) -> CaseResult {
    const CALLERS: usize = 16;
    let mut handles: Vec<Store> = vec![cx.with_atomic(Feature::CounterTtl).await?.clone()];
    handles.extend(cx.reopened().await?);
    let is_read = cx.capabilities().expiry_read;
    let key = cx.key("k");
    for _ in 0..4 {
        cx.align().await?;
        let life = cx.life(Form::Ttl, 1)?;
        let call = |caller: usize| {
            let (store, key) = (handles[caller % handles.len()].clone(), key.clone());
            async move {
                let count = store.increment(&key, 1).ttl_if_created(life.ttl).await?;
                Ok::<_, kv_api::Error>((count, store.get_entry(&key).await?))
            }
        };
        let mut counts = Vec::new();
        for result in race((0..CALLERS).map(call).collect()).await? {
            let (count, entry) = result?;
            let has_end = entry.is_none_or(|entry| matches!(entry.expiry(), EntryExpiry::At(_)));
            ensure!(has_end || !is_read, "the caller who counted {count} sees a counter without an end");
            counts.push(count);
        }
        counts.sort_unstable();
        let all = i64::try_from(CALLERS).unwrap_or(i64::MAX);
        ensure_eq!(counts, (1..=all).collect::<Vec<_>>(), "the answers of concurrent increments");
        cx.pass_until_end(life).await?;
        cx.expect(&key, None, "at the end of a window that many began").await?;
    }
    Ok(())
}

/// CNT-3, ERR-6: an increment that is dropped, after whichever of its requests, leaves no counter without its end.
pub(crate) async fn cnt_3_a_dropped_increment_leaves_no_counter_without_end(cx: &Context<'_>) -> CaseResult {
    const REQUESTS_MAX: u64 = 8;
    let store = cx.with(Feature::CounterTtl).await?;
    cx.align().await?;
    let life = cx.life(Form::Ttl, 1)?;
    let mut keys = Vec::new();
    for requests in 0..REQUESTS_MAX {
        let key = cx.key(&format!("k{requests}."));
        let call = Box::pin(async { drop(store.increment(&key, 1).ttl_if_created(life.ttl).await) });
        let ended = dropped_after_requests(cx, requests, call).await;
        keys.push(key.clone());
        if ended {
            break;
        }
    }
    // What was on its way has arrived, and may have begun its life only now: also in a store whose reads overtake its
    // writes.
    cx.store().set(cx.key("behind"), cx.value(1)).await?;
    for key in &keys {
        cx.store().get(key).await?;
    }
    cx.pass(life.ttl + cx.after()?).await?;
    for key in &keys {
        cx.expect(key, None, "a life after a dropped increment").await?;
    }
    Ok(())
}
