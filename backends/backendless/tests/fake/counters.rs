//! Counters: what is read before a step, and what is put right after one (CNT-1, CNT-2).

use std::time::Duration;

use kv_api::{Capabilities, ErrorKind, Reason, Retry, Support, Value};
use kv_backendless::CAPABILITIES;
use kv_testkit::RemoteSystem as _;
use serde_json::json;

use crate::harness::System;
use crate::scripted::Scripted;

const MAX: i64 = 9_007_199_254_740_991;

fn narrow() -> Capabilities {
    CAPABILITIES.clone().with_counters(Support::Native, -10, 10)
}

#[tokio::test]
async fn cnt_1_a_call_dropped_after_any_request_leaves_the_counter_in_range() {
    for (start, by, is_narrow) in
        [(MAX, 1, false), (MAX - 5, 1000, false), (MAX, MAX, false), (-MAX, -1, false), (10, 1, true)]
    {
        for requests in 1.. {
            let system = System::start_slow().await;
            let store = if is_narrow { system.store().restricted_to([&narrow()]) } else { system.store() };
            store.set("k", start).await.unwrap();
            let ended = system.dropped_after(requests, store.increment("k", by)).await;
            let found = store.get("k").await.unwrap();
            assert_eq!(found, Some(Value::from(start)), "dropped after {requests} requests");
            if let Some(result) = ended {
                let error = result.unwrap_err();
                assert!(matches!(error.reason(), Some(Reason::CounterRange { .. })), "{error}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn cnt_1_a_step_out_of_the_range_is_not_sent() {
    let system = System::start().await;
    let store = system.store();
    let restricted = store.restricted_to([&narrow()]);
    assert_eq!(store.increment("n", 9).await.unwrap(), 9);
    let (result, requests) = system.counted(restricted.increment("n", 2)).await;
    assert_eq!(result.unwrap_err().reason(), Some(&Reason::CounterRange { min: -10, max: 10 }));
    assert!(requests <= 2, "looks alone");
    assert_eq!(store.get("n").await.unwrap(), Some(Value::from(9)));
    // From out of the range back into it.
    assert_eq!(store.increment("n", 91).await.unwrap(), 100);
    assert_eq!(restricted.increment("n", -95).await.unwrap(), 5);

    store.set("text", "v").await.unwrap();
    let before = system.server.exchanges().len();
    let far = store.increment("n", i64::MAX).await.unwrap_err();
    assert!(matches!(far.reason(), Some(Reason::CounterRange { .. })), "{far}");
    for by in [1, i64::MIN] {
        let text = store.increment("text", by).await.unwrap_err();
        assert_eq!(text.reason(), Some(&Reason::NotACounter));
    }
    for (store, by) in [(&restricted, 11), (&restricted, -11), (&store, 9_007_199_254_740_992)] {
        let error = store.increment("missing", by).await.unwrap_err();
        assert!(matches!(error.reason(), Some(Reason::CounterRange { .. })), "{error}");
        assert!(!store.exists("missing").await.unwrap(), "an increment that failed by {by} made an entry");
    }
    assert!(system.server.exchanges()[before..].iter().all(|exchange| !exchange.path.ends_with("/increment")));
}

#[tokio::test]
async fn cnt_1_a_fraction_is_not_counted_in() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", json!(1.5)).await.unwrap();
    let before = system.server.exchanges().len();
    assert_eq!(store.increment("k", 1).await.unwrap_err().reason(), Some(&Reason::NotACounter));
    assert!(system.server.exchanges()[before..].iter().all(|exchange| !exchange.path.ends_with("/increment")));
}

/// The requests that follow the looks before a step.
fn steps(server: &Scripted) -> Vec<String> {
    let asked = server.asked();
    asked
        .iter()
        .filter(|asked| asked.contains("/increment?"))
        .map(|asked| asked.lines().next().unwrap().into())
        .collect()
}

#[tokio::test]
async fn cnt_1_a_step_that_others_led_astray_is_taken_back() {
    for (made, reason) in [
        ("9007199254740992", Reason::CounterRange { min: -MAX, max: MAX }),
        ("1e300", Reason::CounterRange { min: -MAX, max: MAX }),
        ("2.5", Reason::NotACounter),
    ] {
        let server = Scripted::start([(200, r#"{"n":1}"#), (200, made), (200, "1")]).await;
        assert_eq!(server.store().increment("n", 1).await.unwrap_err().reason(), Some(&reason), "{made}");
        let steps = steps(&server);
        assert!(steps[0].contains("/n/increment?value=1 ") && steps[1].contains("/n/increment?value=-1 "), "{steps:?}");
        assert!(server.asked()[1].to_ascii_lowercase().contains("content-length: 0\r\n"), "{:?}", server.asked());
    }
    // When the way back is cut off nobody knows.
    let server = Scripted::start([(200, "{}"), (200, "9007199254740992"), (500, "")]).await;
    let error = server.store().increment("n", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.is_outcome_unknown()), (ErrorKind::Unavailable, true));
}

#[tokio::test]
async fn err_4_a_step_that_may_have_been_made_is_not_repeated() {
    let server = Scripted::start([(200, r#"{"n":1}"#), (500, "")]).await;
    let error = server.store().increment("n", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.is_outcome_unknown()), (ErrorKind::Unavailable, true));
    assert_eq!(server.asked().len(), 2);
    // A look that fails has changed nothing.
    let server = Scripted::start([(500, "")]).await;
    let error = server.store().increment("n", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
}

#[tokio::test]
async fn cnt_1_an_entry_that_changed_since_it_was_read_says_why_it_was_refused() {
    let refused = r#"{"code":27005,"message":"said","errorData":{}}"#;
    let server = Scripted::start([(200, r#"{"n":1}"#), (400, refused), (200, r#"{"n":"text"}"#)]).await;
    assert_eq!(server.store().increment("n", 1).await.unwrap_err().reason(), Some(&Reason::NotACounter));
    // As before, so it is about something else.
    let server = Scripted::start([(200, r#"{"n":1}"#), (400, refused), (200, r#"{"n":1}"#)]).await;
    let error = server.store().increment("n", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.native_code()), (ErrorKind::InvalidArgument, Some("HTTP 400, code 27005")));
}

#[tokio::test]
async fn cnt_1_an_integer_out_of_the_range_is_no_other_type() {
    let system = System::start().await;
    let store = system.store();
    for (key, value) in [("max", json!(i64::MAX)), ("min", json!(i64::MIN)), ("unsigned", json!(u64::MAX))] {
        store.set(key, value.clone()).await.unwrap();
        let error = store.increment(key, 1).await.unwrap_err();
        assert!(matches!(error.reason(), Some(Reason::CounterRange { .. })), "{key}: {error}");
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from(value)));
    }
}

#[tokio::test]
async fn cnt_2_a_handle_whose_counters_do_not_expire_counts_in_none_that_does() {
    let system = System::start().await;
    let store = system.store();
    let restrict = store.restricted_to([&CAPABILITIES.clone().with_counter_expiry(false)]);
    store.set("ending", 1).ttl(Duration::from_secs(60)).await.unwrap();
    store.set("lasting", 1).await.unwrap();
    assert_eq!(restrict.increment("ending", 1).await.unwrap_err().reason(), Some(&Reason::NotACounter));
    assert_eq!(restrict.increment("lasting", 1).await.unwrap(), 2);
    assert_eq!(restrict.increment("new", 1).await.unwrap(), 1);
    assert_eq!(store.increment("ending", 1).await.unwrap(), 2);
}
