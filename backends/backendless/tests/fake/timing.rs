//! Time-outs, dropped calls, and many callers at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use kv_api::{ErrorKind, ManualClock, Retry, SetItem, Store, Value};
use kv_backendless::{RemoteSettings, RetryPolicy};
use kv_fakes::{Applied, Fault};
use kv_testkit::{RemoteSystem, until};

use crate::harness::{Form, HIVES, NOW, System, open};
use crate::scripted::Scripted;

// Here a condition is one request, so that the tests of looks do not fit.
kv_testkit::remote_tests!(timing for System);

/// Until a task waits on the clock.
async fn until_asleep(clock: &ManualClock) {
    until(|| clock.sleepers() > 0).await;
}

fn by_hand(clock: &ManualClock) -> RemoteSettings {
    let zero = RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO);
    RemoteSettings::default()
        .with_clock(Arc::new(clock.clone()))
        .with_timer(Arc::new(clock.clone()))
        .with_retry(zero)
        .with_request_timeout(Duration::from_secs(30))
}

#[tokio::test]
async fn err_3_no_answer_in_time_is_an_unknown_outcome() {
    let clock = ManualClock::new(NOW);
    let server = Scripted::start([(200, "{}")]).await;
    let store = open(server.config().with_remote(by_hand(&clock)));
    let step = tokio::spawn({
        let store = store.clone();
        async move { store.increment("n", 1).await }
    });
    while server.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    until_asleep(&clock).await;
    clock.advance(Duration::from_secs(30));
    let error = step.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    assert_eq!(server.asked().len(), 2, "a look, and a step that is not repeated");
}

#[tokio::test]
async fn err_4_the_deadline_ends_a_call_with_all_its_repeats() {
    let clock = ManualClock::new(NOW);
    let server = Scripted::start([]).await;
    let policy = RetryPolicy::default()
        .with_delays(Duration::ZERO, Duration::ZERO)
        .with_attempts_max(1_000.try_into().unwrap())
        .with_deadline(Duration::from_secs(100));
    let store = open(server.config().with_remote(by_hand(&clock).with_retry(policy)));
    let mut read = Box::pin(async move { store.get("k").await });
    let mut waited = Duration::ZERO;
    let error = loop {
        if let Some(result) = (&mut read).now_or_never() {
            break result.unwrap_err();
        }
        // One attempt after the other, each as long as it may take.
        if clock.sleepers() > 0 && server.asked().len() as u64 > waited.as_secs() / 30 {
            clock.advance(Duration::from_secs(10));
            waited += Duration::from_secs(10);
        }
        assert!(waited <= Duration::from_secs(110), "no end");
        tokio::task::yield_now().await;
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(waited, Duration::from_secs(100));
    assert_eq!(server.asked().len(), 4, "at 0, 30, 60 and 90 seconds");
}

#[tokio::test]
async fn err_6_a_dropped_call_gives_its_turn_back() {
    let system = System::start().await;
    let remote = system.remote().with_requests_max(1.try_into().unwrap());
    let store = open(system.config(Form::Application, HIVES[0]).with_remote(remote));
    store.set("k", "v").await.unwrap();
    for applied in [Applied::No, Applied::Yes] {
        for _ in 0..8 {
            system.server.inject(Fault::Silent { applied }, 1);
            let before = system.server.requests();
            let mut stuck = Box::pin(async { store.set("k", "w").await });
            while system.server.requests() == before {
                assert!((&mut stuck).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
            // The one place is taken, so this waits for its turn.
            let mut waiting = Box::pin(async { store.get("k").await });
            assert!((&mut waiting).now_or_never().is_none());
            drop(stuck);
            let found = waiting.await.unwrap();
            assert!([Some(Value::from("v")), Some(Value::from("w"))].contains(&found), "{found:?}");
        }
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_get_their_own_answers() {
    const CALLERS: usize = 64;
    const ROUNDS: usize = 8;
    let system = System::start().await;
    let remote = system.remote().with_requests_max(8.try_into().unwrap());
    let store = open(system.config(Form::Application, HIVES[0]).with_remote(remote));

    async fn caller(store: Store, number: usize) -> i64 {
        let key = format!("k{number}");
        for round in 0..ROUNDS {
            let value = Value::from(format!("{number} in round {round}"));
            match round % 3 {
                0 => drop(store.set(&key, value.clone()).await.unwrap()),
                1 => drop(store.set(&key, value.clone()).if_exists().await.unwrap()),
                _ => drop(store.set_many([SetItem::new(&*key, value.clone())]).await.remove(0).unwrap()),
            }
            assert_eq!(store.get(&key).await.unwrap(), Some(value.clone()));
            let found = store.get_many([key.clone(), format!("none{number}")]).await.unwrap();
            assert_eq!(found, [Some(value), None]);
            store.increment("all", 1).await.unwrap();
        }
        store.increment(format!("own{number}"), i64::try_from(number).unwrap()).await.unwrap()
    }
    let calls = (0..CALLERS).map(|number| tokio::spawn(caller(store.clone(), number)));
    let results: Vec<_> = stream::iter(calls).buffered(CALLERS).collect().await;
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap(), i64::try_from(number).unwrap());
    }
    let all = i64::try_from(CALLERS * ROUNDS).unwrap();
    assert_eq!(store.get("all").await.unwrap(), Some(Value::from(all)));
}
