//! The life of the connection (LIFE-1, LIFE-2, ERR-6).

use std::time::Duration;

use futures_util::future::join;
use futures_util::{FutureExt, SinkExt, StreamExt};
use kv_api::{ErrorKind, SetItem, Value};
use kv_fakes::nemesisdb::Fake;
use kv_fakes::{Applied, Fault, ServerOptions};
use kv_nemesisdb::NemesisdbConfig;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{System, open};

/// A server whose answers come late, and that goes down when a client hangs up before they came.
async fn slow(latency_ms: u64) -> System {
    let options = ServerOptions::new().with_latency(Duration::from_millis(latency_ms));
    System::start_as(Fake::new().with_crash_on_early_close(), options).await
}

#[tokio::test]
async fn life_1_opening_connects_and_ping_touches_no_key() {
    let system = System::start().await;
    assert_eq!(system.server.connections(), 0);
    let store = system.store().await;
    assert_eq!((system.server.connections(), system.server.requests()), (1, 0));
    store.ping().await.unwrap();
    let messages = system.server.messages();
    assert_eq!((messages.len(), messages[0].command.as_str()), (1, "SERVER_INFO"));
}

#[tokio::test]
async fn life_2_close_reads_what_is_due_to_callers_that_are_gone() {
    let system = slow(50).await;
    let store = system.store().await;
    let keys: Vec<String> = (0..100).map(|number| format!("number{number}")).collect();
    // Sent, and dropped before the first answer.
    let sent = store.set_many(keys.iter().map(|key| SetItem::new(key, 1)));
    let mut sent = Box::pin(sent);
    while system.server.requests() < 2 {
        assert!((&mut sent).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(sent);
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(system.server.closes_with_answers_due(), 0);
    assert_eq!(store.get("number1").await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(!system.server.keys().is_empty());
}

#[tokio::test]
async fn life_2_close_hangs_up_while_handles_are_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = NemesisdbConfig::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (store, socket) = join(open(config), accepting).await;
    let (store, (mut sink, mut stream)) = (store.unwrap(), socket.split());
    let closing = async {
        store.close().await.unwrap();
        // An open connection answers it.
        let _ = sink.send(Message::Ping("still there?".into())).await;
    };
    let reading = async {
        while let Some(Ok(message)) = stream.next().await {
            if message.is_pong() {
                return "open";
            }
        }
        "closed"
    };
    assert_eq!(join(closing, reading).await.1, "closed");
    drop(store);
}

#[tokio::test]
async fn life_2_dropping_the_last_handle_reads_what_is_due_and_then_hangs_up() {
    let system = slow(30).await;
    let store = system.store().await;
    let clone = store.with_prefix("clone/");
    for key in ["first1", "second"] {
        let mut set = Box::pin(store.set(key, 1));
        let before = system.server.requests();
        while system.server.requests() == before {
            assert!((&mut set).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    drop(store);
    clone.set("third3", 1).await.unwrap();
    drop(clone);
    // Another client can still work, so the server is up, and nobody hung up on it.
    let again = system.store().await;
    for key in ["first1", "second", "clone/third3"] {
        assert_eq!(again.get(key).await.unwrap(), Some(Value::from(1)));
    }
    again.close().await.unwrap();
    assert_eq!(system.server.closes_with_answers_due(), 0);
}

#[tokio::test]
async fn err_6_calls_that_are_dropped_or_time_out_hang_up_on_nobody() {
    let system = slow(20).await;
    let hasty = system.store_with(|remote| remote.with_request_timeout(Duration::from_secs(2))).await;
    hasty.set("number0", 0).await.unwrap();
    for round in 0..40_i64 {
        let mut dropped = Box::pin(hasty.get("number0"));
        for _ in 0..round % 7 {
            assert!((&mut dropped).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(dropped);
        if round % 10 == 0 {
            assert_eq!(hasty.get("number0").await.unwrap(), Some(Value::from(0)));
        }
    }
    // Longer than a call waits: it ends, and the answer comes after it.
    let late = system.store_with(|remote| {
        remote.with_retry(kv_nemesisdb::RetryPolicy::none()).with_request_timeout(Duration::from_millis(500))
    });
    let late = late.await;
    system.server.inject(Fault::Slow { delay: Duration::from_millis(700) }, 1);
    assert!(late.set("number1", 1).await.unwrap_err().is_outcome_unknown());
    late.close().await.unwrap();
    assert!(system.server.keys().contains(&"number1".to_owned()), "carried out, and its answer read by nobody");
    hasty.close().await.unwrap();
    assert_eq!(system.server.closes_with_answers_due(), 0);
}

#[tokio::test]
async fn a_silent_client_answers_pings() {
    let fake = Fake::new().with_ping_after(Duration::from_millis(150));
    let system = System::start_as(fake, ServerOptions::new()).await;
    let store = system.store().await;
    store.set("sixsix", 1).await.unwrap();
    // Another silent client, which answers none, is dropped after two silences; ours has lived through as many by then.
    let mut mute = system.another_client().await;
    let mut pings = 0;
    while let Some(Ok(message)) = mute.next().await {
        pings += usize::from(message.is_ping());
        if pings == 4 {
            break; // reading answers them, so this one lives too
        }
    }
    assert_eq!(pings, 4);
    let connections = system.server.connections();
    assert_eq!(store.get("sixsix").await.unwrap(), Some(Value::from(1)));
    assert_eq!(system.server.connections(), connections, "over the same connection");
}

#[tokio::test]
async fn after_a_silent_drop_the_next_call_connects_by_itself() {
    let system = System::start().await;
    let store = open(system.config()).await.unwrap();
    for round in 1..20_i64 {
        store.set("sixsix", round).await.unwrap();
        if round % 2 == 0 {
            system.server.disconnect().await;
        } else {
            system.server.inject(Fault::Cut { applied: Applied::Yes }, 1);
        }
        assert_eq!(store.get("sixsix").await.unwrap(), Some(Value::from(round)));
    }
    assert!(system.server.connections() >= 19);
}
