//! Time-outs, dropped calls, and many callers at once (ERR-6).
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how these tests fail")]

use std::future::poll_fn;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kv_api::{ErrorKind, Retry, SetItem, Value};
use kv_fakes::{Applied, Fault};
use kv_remote::RetryPolicy;

use super::RemoteSystem;
use crate::{settle, until};

const LONG: Duration = Duration::from_secs(1000);

pub async fn err_3_a_request_without_an_answer_ends_when_its_time_is_up<S: RemoteSystem>() {
    let system = S::start().await;
    // The timer is this side's clock, which only this test moves.
    let store = system.store_with(|remote| {
        remote
            .with_timer(Arc::new(system.client_clock().clone()))
            .with_request_timeout(Duration::from_secs(5))
            .with_retry(RetryPolicy::default().with_attempts_max(NonZeroU32::MIN).with_deadline(LONG))
    });
    for write in [true, false] {
        system.server().inject(Fault::Silent { applied: Applied::Yes }, 1);
        let (before, own) = (system.server().requests(), store.clone());
        let call = tokio::spawn(async move {
            if write { own.set("k", "v").await.map(drop) } else { own.get("k").await.map(drop) }
        });
        until(|| system.server().requests() > before).await;
        settle().await;
        assert!(!call.is_finished());
        system.client_clock().advance(Duration::from_secs(5));
        let error = call.await.unwrap().unwrap_err();
        let known = if write { Retry::OutcomeUnknown } else { Retry::Safe };
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, known), "a read has changed nothing");
    }
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")), "it was carried out, and nothing is stuck");
}

pub async fn err_3_a_body_that_waits_for_room_was_not_sent<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store_with(|remote| {
        remote
            .with_timer(Arc::new(system.client_clock().clone()))
            .with_buffer_bytes_max(NonZeroUsize::MIN)
            .with_retry(RetryPolicy::none().with_deadline(Duration::from_secs(5)))
    });
    system.server().inject(Fault::Silent { applied: Applied::No }, 1);
    let before = system.server().requests();
    let mut calls = Vec::new();
    for key in ["first", "second"] {
        let own = store.clone();
        calls.push(tokio::spawn(async move { own.set(key, "v").await }));
        until(|| system.server().requests() > before).await;
    }
    settle().await;
    system.client_clock().advance(Duration::from_secs(5));
    for (call, known) in calls.into_iter().zip([Retry::OutcomeUnknown, Retry::Safe]) {
        assert_eq!(call.await.unwrap().unwrap_err().retry(), known);
    }
    assert_eq!(system.server().requests(), before + 1);
}

pub async fn err_6_a_dropped_call_gives_its_place_to_the_next<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store_with_window(1);
    store.set("k", "v").await.unwrap();
    for polls in 1..20 {
        system.server().inject(Fault::Silent { applied: Applied::No }, 1);
        let before = system.server().requests();
        let mut call = Box::pin(store.get("k"));
        for _ in 0..polls {
            poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
        drop(call);
        settle().await;
        // Whether or not it had been sent by then.
        assert!(system.server().requests() <= before + 1);
        system.server().inject(Fault::Silent { applied: Applied::No }, 0);
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")));
    }
}

pub async fn the_window_bounds_the_requests_under_way<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store_with_window(5);
    system.server().inject(Fault::Silent { applied: Applied::No }, 10_000);
    let keys: Vec<String> = (0..3000).map(|number| format!("k{number}")).collect();
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let (store, keys) = (store.clone(), keys.clone());
        calls.spawn(async move {
            if caller % 2 == 0 {
                drop(store.get_many(keys).await);
            } else {
                drop(store.set(&keys[caller], "v").await);
            }
        });
    }
    until(|| system.server().requests() >= 5).await;
    settle().await;
    assert_eq!(system.server().requests(), 5);
    calls.shutdown().await;
    system.server().inject(Fault::Silent { applied: Applied::No }, 0);
    store.set("k", "v").await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("v")));
}

pub async fn sixty_four_callers_get_their_own_answers<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store_with_window(16);
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..64_usize {
        let store = store.clone();
        calls.spawn(async move {
            let (mine, shared) = (format!("caller {caller}"), format!("many {}", caller % 4));
            for round in 0..6 {
                let value = match (caller + round) % 3 {
                    0 => Value::from(format!("{caller} {round}")),
                    1 => Value::from(serde_json::json!([caller, round])),
                    _ => Value::from(format!("\u{FFFD}{caller} {round}").into_bytes()),
                };
                store.set(&mine, value.clone()).await.unwrap();
                assert_eq!(store.get(&mine).await.unwrap(), Some(value.clone()));
                assert!(
                    store
                        .set_many([SetItem::new(&*mine, value.clone()), SetItem::new(&*shared, "s")])
                        .await
                        .iter()
                        .all(Result::is_ok)
                );
                let found = store.get_many([&*mine, "missing", &*shared]).await.unwrap();
                assert_eq!(found, [Some(value), None, Some(Value::from("s"))]);
            }
            store.delete(&mine).await.unwrap();
            assert!(!store.exists(&mine).await.unwrap());
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(system.server().keys(), ["many 0", "many 1", "many 2", "many 3"]);
}
