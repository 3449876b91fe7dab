//! Counters: what the system does with them, and what is put right (CNT-1, CNT-2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future;
use kv_api::{Capabilities, ErrorKind, Reason, Retry, Support, Value};
use kv_conformance::Time;
use kv_fakes::puter::{Poison, Switches};
use kv_testkit::RemoteSystem as _;
use serde_json::{Value as Json, json};

use crate::harness::System;
use crate::scripted::{Said, Scripted, failure, success};

const MAX: i64 = 9_007_199_254_740_991;
/// What the storage says of a step on what is no number.
fn no_number() -> Said {
    let said = "An operand in the update expression has an incorrect data type";
    (400, json!({"error": said, "message": said, "code": "upstream_bad_request"}).to_string())
}

const RANGE: Reason = Reason::CounterRange { min: -MAX, max: MAX };

#[tokio::test]
async fn cnt_1_a_step_past_2_53_is_not_sent() {
    for poison in [Poison::Values, Poison::Everything] {
        let system = System::start_with(Switches { poison, ..Switches::default() }).await;
        let store = system.store();
        for (end, by) in [(MAX, 1), (MAX, MAX), (-MAX, -1), (-MAX, -1000)] {
            store.set("k", end).await.unwrap();
            let (result, sent) = system.counted(store.increment("k", by)).await;
            assert_eq!(result.unwrap_err().reason(), Some(&RANGE));
            assert_eq!(sent, 1, "the look");
            assert_eq!(store.get("k").await.unwrap(), Some(Value::from(end)));
            assert_eq!(store.increment("k", -by.signum()).await.unwrap(), end - by.signum());
        }
    }
}

#[tokio::test]
async fn cnt_1_a_step_that_others_led_out_of_the_range_is_taken_back() {
    for (seen, by) in [(MAX - 1, 1), (1 - MAX, -1)] {
        let value = Arc::new(AtomicI64::new(seen));
        let (held, first) = (Arc::clone(&value), AtomicBool::new(true));
        let server = Scripted::serve(move |asked| {
            let step = asked.arguments["pathAndAmountMap"][""].as_i64();
            if step.is_some() && first.swap(false, Ordering::SeqCst) {
                // Another client counts between the look and the step.
                held.fetch_add(by, Ordering::SeqCst);
            }
            let new = held.fetch_add(step.unwrap_or(0), Ordering::SeqCst) + step.unwrap_or(0);
            if (-MAX..=MAX).contains(&new) { success(&json!(new)) } else { failure(500, "internal_error") }
        })
        .await;
        assert_eq!(server.store.increment("k", by).await.unwrap_err().reason(), Some(&RANGE));
        assert_eq!(value.load(Ordering::SeqCst), seen + by, "as the other client left it");
    }
}

#[tokio::test]
async fn cnt_1_a_call_dropped_after_any_request_leaves_the_counter_in_range() {
    let narrow = Capabilities::new("narrow").with_counters(Support::Native, -10, 10);
    for (start, by, is_narrow) in
        [(MAX, 1, false), (MAX - 5, 1000, false), (MAX, MAX, false), (-MAX, -1, false), (10, 1, true)]
    {
        for requests in 1.. {
            let system = System::start_slow().await;
            system.put("k", json!(start)).await;
            let store = if is_narrow { system.store().restricted_to([&narrow]) } else { system.store() };
            let ended = system.dropped_after(requests, store.increment("k", by)).await;
            assert_eq!(system.raw("k").await, json!(start), "dropped after {requests} requests");
            if let Some(result) = ended {
                let error = result.unwrap_err();
                assert!(matches!(error.reason(), Some(Reason::CounterRange { .. })), "{error}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn cnt_1_many_steps_at_the_edge_at_once_never_leave_the_range() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", MAX - 2500).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        calls.spawn(async move { store.increment("k", 1000).await });
    }
    let (made, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 2);
    assert!(refused.into_iter().all(|result| result.unwrap_err().reason() == Some(&RANGE)));
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(MAX - 500)));
}

#[tokio::test]
async fn cnt_1_a_step_no_number_can_hold_is_not_sent() {
    let system = System::start().await;
    let store = system.store();
    for by in [MAX + 1, i64::MAX, -MAX - 1, i64::MIN] {
        assert_eq!(store.increment("missing", by).await.unwrap_err().reason(), Some(&RANGE));
        store.set("k", 0).await.unwrap();
        assert_eq!(store.increment("k", by).await.unwrap_err().reason(), Some(&RANGE));
        store.set("k", "5").await.unwrap();
        assert_eq!(store.increment("k", by).await.unwrap_err().reason(), Some(&Reason::NotACounter));
    }
    // It would stay in the range, and yet cannot be asked for.
    store.set("k", -MAX).await.unwrap();
    let error = store.increment("k", MAX + 1).await.unwrap_err();
    let limit =
        Reason::Limit { name: "counter_step_max".into(), allowed: 9_007_199_254_740_991, found: 9_007_199_254_740_992 };
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&limit)));
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(-MAX)));
}

#[tokio::test]
async fn cnt_1_a_narrower_range_is_kept() {
    let system = System::start().await;
    let narrow = Capabilities::new("narrow").with_counters(Support::Native, -10, 10);
    let store = system.store().restricted_to([&narrow]);
    assert_eq!(store.increment("k", 10).await.unwrap(), 10);
    let error = store.increment("k", 1).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::CounterRange { min: -10, max: 10 }));
    assert_eq!(system.raw("k").await, json!(10));
    assert_eq!(store.increment("k", -15).await.unwrap(), -5, "a step that would be too far from nothing");
    // Taken back, a step from no entry would leave a zero behind.
    for by in [11, -11] {
        let error = store.increment("missing", by).await.unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::CounterRange { min: -10, max: 10 }));
    }
    assert_eq!(system.server.keys(), ["k"]);
}

#[tokio::test]
async fn cnt_1_others_fractions_are_no_counters_and_stay() {
    let system = System::start().await;
    let store = system.store();
    for (value, reason) in [
        (json!(1.5), Reason::NotACounter),
        (json!("5"), Reason::NotACounter),
        (json!({"n": 5}), Reason::NotACounter),
        (json!({"$kv-envelope": 1, "kind": "json-text", "value": "9007199254740992"}), RANGE),
        (json!({"$kv-envelope": 1, "kind": "json-text", "value": "5"}), Reason::NotACounter),
        (json!({"$kv-envelope": 1, "kind": "json", "value": 5, "metadata": 1}), Reason::NotACounter),
    ] {
        system.put("k", value.clone()).await;
        assert_eq!(store.increment("k", 1).await.unwrap_err().reason(), Some(&reason), "{value}");
        assert_eq!(system.raw("k").await, value);
    }
}

#[tokio::test]
async fn cnt_1_a_counter_begins_anew_over_what_has_expired_or_is_null() {
    let system = System::start().await;
    let store = system.store();
    for value in [Value::from(100), Value::from("text"), Value::from(json!({"a": 1})), Value::from(b"b")] {
        store.set("k", value).ttl(Duration::from_secs(1)).await.unwrap();
        system.clocks().advance(Duration::from_secs(2)).await;
        assert_eq!(store.increment("k", 7).await.unwrap(), 7);
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from(7)));
        system.clocks().advance(Duration::from_secs(100)).await;
        assert_eq!(store.increment("k", 1).await.unwrap(), 8, "it does not expire");
    }
    // Swept, there is nothing to remove.
    store.set("swept", 100).ttl(Duration::from_secs(1)).await.unwrap();
    system.clocks().advance(Duration::from_secs(2)).await;
    system.sweeper.sweep();
    let (sum, sent) = system.counted(store.increment("swept", 7)).await;
    assert_eq!((sum.unwrap(), sent), (7, 2));
    system.put("null", Json::Null).await;
    assert_eq!(store.increment("null", 7).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cnt_1_sixty_four_callers_over_an_expired_entry_lose_nothing() {
    let system = System::start().await;
    let store = system.store_with_window(16);
    store.set("k", "old").ttl(Duration::from_secs(1)).await.unwrap();
    system.clocks().advance(Duration::from_secs(2)).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        calls.spawn(async move { store.increment("k", 1).await.unwrap() });
    }
    let mut sums = calls.join_all().await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=64).collect::<Vec<i64>>());
}

/// A value so near to the edge that no two steps from there are made at once.
const NEAR: i64 = MAX - 100;

#[tokio::test]
async fn set_6_a_set_does_not_come_between_the_removal_of_an_expired_entry_and_the_look_before_it() {
    let system = System::start_slow().await;
    let store = system.store();
    store.set("k", "old").ttl(Duration::from_secs(1)).await.unwrap();
    system.clocks().advance(Duration::from_secs(2)).await;
    let (sum, set) = future::join(store.increment("k", 1), store.set("k", "new")).await;
    set.unwrap();
    // Before the set, or after it: what was acknowledged is never removed.
    assert!(matches!(sum, Ok(1)) || sum.as_ref().is_err_and(|error| error.kind() == ErrorKind::WrongType), "{sum:?}");
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("new")));
}

#[tokio::test]
async fn cnt_1_a_failure_that_was_none_of_the_number_is_not_corrected() {
    // The first step fails and was not made, and then every read does.
    let (value, is_down) = (AtomicI64::new(NEAR), Arc::new(AtomicBool::new(false)));
    let down = Arc::clone(&is_down);
    let server = Scripted::serve(move |asked| match asked.arguments["pathAndAmountMap"][""].as_i64() {
        Some(_) if !down.swap(true, Ordering::SeqCst) => failure(500, "internal_error"),
        Some(by) => success(&json!(value.fetch_add(by, Ordering::SeqCst) + by)),
        None if down.load(Ordering::SeqCst) => failure(500, "internal_error"),
        None => success(&json!(value.load(Ordering::SeqCst))),
    })
    .await;
    let error = server.store.increment("k", 3).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    is_down.store(false, Ordering::SeqCst);
    assert_eq!(server.store.get("k").await.unwrap(), Some(Value::from(NEAR)), "what was taken back was added again");
}

#[tokio::test]
async fn cnt_1_a_failure_far_from_the_edge_is_unknown_and_not_looked_into() {
    let server = Scripted::serve(|asked| match asked.method {
        "incr" => failure(500, "internal_error"),
        _ => success(&json!(6)),
    })
    .await;
    let error = server.store.increment("k", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    assert_eq!(server.requests(), 2, "no step is repeated");
}

#[tokio::test]
async fn cnt_1_a_failure_after_which_the_number_can_be_read_is_unknown() {
    let server = Scripted::serve(|asked| match asked.method {
        "incr" => failure(500, "internal_error"),
        _ => success(&json!(NEAR)),
    })
    .await;
    let error = server.store.increment("k", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    assert_eq!(server.requests(), 4, "two looks, a step that is not repeated, a look");
}

#[tokio::test]
async fn cnt_1_a_step_that_the_storage_failed_at_is_unknown_and_not_repeated() {
    // It has been made, and a refusal of the step would lead to another, or to a delete.
    for (status, code) in [(400, "upstream_provider_unavailable"), (429, "upstream_rate_limited")] {
        let server = Scripted::serve(move |asked| match asked.method {
            "incr" if asked.number == 1 => failure(status, code),
            "incr" => success(&json!(7)),
            _ => success(&json!(6)),
        })
        .await;
        let error = server.store.increment("k", 1).await.unwrap_err();
        assert_eq!(error.retry(), Retry::OutcomeUnknown, "{code}: {error}");
        assert_eq!(server.requests(), 2, "{code}");
    }
}

#[tokio::test]
async fn cnt_1_a_refusal_of_another_kind_says_nothing_of_the_entry() {
    for code in ["bad_request", "upstream_bad_request"] {
        let server = Scripted::serve(move |asked| match asked.method {
            "incr" => failure(400, code),
            "get" => success(&Json::Null),
            _ => success(&json!(true)),
        })
        .await;
        let error = server.store.increment("k", 1).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never), "{code}");
        assert_eq!(server.requests(), 2, "{code}: nothing is removed for a step that the system does not take");
    }
}

#[tokio::test]
async fn cnt_1_a_counter_that_cannot_be_brought_back_is_told() {
    let server = Scripted::serve(|asked| match asked.number {
        0 | 1 => success(&json!(NEAR)),
        _ => failure(500, "internal_error"),
    })
    .await;
    let error = server.store.increment("k", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    assert!(error.to_string().contains("beyond what the system can read"), "{error}");
    assert_eq!(server.requests(), 6, "two looks, step, look, step back, look");
}

#[tokio::test]
async fn cnt_1_an_entry_that_cannot_be_read_is_not_counted_in() {
    let server = Scripted::serve(|_| failure(500, "internal_error")).await;
    let error = server.store.increment("k", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "nothing was sent but looks");
}

#[tokio::test]
async fn cnt_1_an_entry_that_changes_each_time_it_is_looked_at_is_safe_to_try_again() {
    let server = Scripted::serve(|asked| match asked.method {
        "incr" => no_number(),
        _ => success(&json!(6)),
    })
    .await;
    let error = server.store.increment("k", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
    assert_eq!(server.requests(), 10, "a look and a step, and four times both");
}
