//! Counters: what the system does with them, and what is put right (CNT-1, CNT-2).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kv_api::{Capabilities, ErrorKind, Reason, Retry, Support, Value};
use kv_conformance::Time;
use kv_fakes::puter::{Poison, Switches};
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
async fn cnt_1_a_step_past_2_53_is_taken_back() {
    for poison in [Poison::Values, Poison::Everything] {
        let system = System::start_with(Switches { poison, ..Switches::default() }).await;
        let store = system.store();
        for (end, by) in [(MAX, 1), (MAX, MAX), (-MAX, -1), (-MAX, -1000)] {
            store.set("k", end).await.unwrap();
            let (result, sent) = system.counted(store.increment("k", by)).await;
            assert_eq!(result.unwrap_err().reason(), Some(&RANGE));
            assert_eq!(sent, 3, "the step, a look, the step back");
            assert_eq!(store.get("k").await.unwrap(), Some(Value::from(end)));
            assert_eq!(store.increment("k", -by.signum()).await.unwrap(), end - by.signum());
        }
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
async fn cnt_1_many_steps_past_2_53_at_once_are_all_taken_back() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", MAX - 2).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        calls.spawn(async move { store.increment("k", 1000).await });
    }
    let mut known = 0;
    while let Some(result) = calls.join_next().await {
        let error = result.unwrap().unwrap_err();
        if error.reason() == Some(&RANGE) {
            known += 1;
        } else {
            assert!(error.is_outcome_unknown(), "{error}");
        }
    }
    assert!(known > 0);
    // Each has taken back its own, also those that could not see it.
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(MAX - 2)));
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
        Reason::Limit { name: "counter_step_max", allowed: 9_007_199_254_740_991, found: 9_007_199_254_740_992 };
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
        system.advance(Duration::from_secs(2)).await;
        assert_eq!(store.increment("k", 7).await.unwrap(), 7);
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from(7)));
        system.advance(Duration::from_secs(100)).await;
        assert_eq!(store.increment("k", 1).await.unwrap(), 8, "it does not expire");
    }
    // Swept, there is nothing to remove.
    store.set("swept", 100).ttl(Duration::from_secs(1)).await.unwrap();
    system.advance(Duration::from_secs(2)).await;
    system.sweeper.sweep();
    let (sum, sent) = system.counted(store.increment("swept", 7)).await;
    assert_eq!((sum.unwrap(), sent), (7, 1));
    system.put("null", Json::Null).await;
    assert_eq!(store.increment("null", 7).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cnt_1_sixty_four_callers_over_an_expired_entry_lose_nothing() {
    let system = System::start().await;
    let store = system.store_with_window(16);
    store.set("k", "old").ttl(Duration::from_secs(1)).await.unwrap();
    system.advance(Duration::from_secs(2)).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        calls.spawn(async move { store.increment("k", 1).await.unwrap() });
    }
    let mut sums = calls.join_all().await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=64).collect::<Vec<i64>>());
}

#[tokio::test]
async fn cnt_1_a_failure_that_was_none_of_the_number_is_not_corrected() {
    // Every read fails, and the first step, which was not made.
    let value = AtomicI64::new(5);
    let server = Scripted::serve(move |asked| {
        let by = asked.arguments["pathAndAmountMap"][""].as_i64();
        match (asked.method, asked.number) {
            ("incr", 0) => failure(500, "internal_error"),
            ("incr", _) => success(&json!(value.fetch_add(by.unwrap(), Ordering::SeqCst) + by.unwrap())),
            ("get", _) if asked.number < 9 => failure(500, "internal_error"),
            _ => success(&json!(value.load(Ordering::SeqCst))),
        }
    })
    .await;
    let error = server.store.increment("k", 3).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    while server.requests() < 9 {
        drop(server.store.get("k").await);
    }
    assert_eq!(server.store.get("k").await.unwrap(), Some(Value::from(5)), "what was taken back was added again");
}

#[tokio::test]
async fn cnt_1_a_failure_after_which_the_number_can_be_read_is_unknown() {
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
async fn cnt_1_a_step_that_the_storage_failed_at_is_unknown_and_not_repeated() {
    // It has been made, and a refusal of the step would lead to another, or to a delete.
    for (status, code) in [(400, "upstream_provider_unavailable"), (429, "upstream_rate_limited")] {
        let server = Scripted::serve(move |asked| match asked.method {
            "incr" if asked.number == 0 => failure(status, code),
            "incr" => success(&json!(7)),
            _ => success(&json!(6)),
        })
        .await;
        let error = server.store.increment("k", 1).await.unwrap_err();
        assert_eq!(error.retry(), Retry::OutcomeUnknown, "{code}: {error}");
        assert_eq!(server.requests(), 1, "{code}");
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
        assert_eq!(server.requests(), 1, "{code}: nothing is removed for a step that the system does not take");
    }
}

#[tokio::test]
async fn cnt_1_a_counter_that_cannot_be_brought_back_is_told() {
    let server = Scripted::serve(|_| failure(500, "internal_error")).await;
    let error = server.store.increment("k", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    assert!(error.to_string().contains("beyond what the system can read"), "{error}");
    assert_eq!(server.requests(), 4, "step, look, step back, look");
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
    assert_eq!(server.requests(), 8);
}
