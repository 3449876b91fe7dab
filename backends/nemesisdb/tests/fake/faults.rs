//! What is known after each thing that can go wrong (ERR-3 to ERR-6, BATCH-6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use kv_api::{Clock, DeleteOutcome, ErrorKind, ManualClock, Retry, SetItem, SetStatus, Store, Timestamp, Value};
use kv_fakes::nemesisdb::{Data, Fake};
use kv_fakes::{Applied, Fault, ServerOptions};
use kv_nemesisdb::{NemesisdbConfig, NemesisdbStore, RemoteSettings, RetryPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{System, open};
use crate::scripted::{Says, serve};

fn once(config: NemesisdbConfig, system: Option<&System>) -> NemesisdbConfig {
    let remote = system.map_or_else(Default::default, System::remote);
    config.with_remote(remote.with_retry(RetryPolicy::none()))
}

#[tokio::test]
async fn err_5_after_a_drop_a_set_is_stored_a_delete_accepted_and_a_step_unknown() {
    let system = System::start().await;
    let store = system.store().await;
    for applied in [Applied::Yes, Applied::No] {
        system.server.inject(Fault::Cut { applied }, 1);
        assert_eq!(store.set("sixsix", 1).await.unwrap().status(), SetStatus::Stored);
        system.server.inject(Fault::Cut { applied }, 1);
        assert_eq!(store.delete("sixsix").await.unwrap(), DeleteOutcome::Accepted);
        system.server.inject(Fault::Cut { applied }, 1);
        let error = store.set("sixsix", 1).if_not_exists().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
        assert_eq!(store.exists("sixsix").await.unwrap(), applied == Applied::Yes);
        store.delete("sixsix").await.unwrap();
    }
    let definite =
        system.store_with(|remote| remote.with_retry(RetryPolicy::default().without_unknown_retries())).await;
    system.server.inject(Fault::Cut { applied: Applied::No }, 1);
    assert!(definite.set("sixsix", 1).await.unwrap_err().is_outcome_unknown());
    system.server.inject(Fault::Cut { applied: Applied::No }, 3);
    assert_eq!(definite.get("sixsix").await.unwrap(), None, "a read is repeated under every policy");
}

#[tokio::test]
async fn batch_6_of_a_message_that_was_half_answered_each_key_says_what_is_known() {
    let system = System::start().await;
    let keys: Vec<String> = (0..8).map(|number| format!("number{number}")).collect();
    let items = || keys.iter().map(|key| SetItem::new(key, 1));
    let store = open(once(system.config(), Some(&system))).await.unwrap();
    system.server.inject(Fault::Truncated, 1);
    let results = store.set_many(items()).await;
    let (told, unknown): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((told.len(), unknown.len()), (4, 4));
    assert!(told.into_iter().all(|outcome| outcome.unwrap().status() == SetStatus::Created));
    assert!(unknown.into_iter().all(|error| error.unwrap_err().is_outcome_unknown()));

    // Those that were answered are not sent again, and keep their outcome.
    let store = system.store().await;
    system.server.inject(Fault::Truncated, 1);
    let (results, sent) = system.counted(store.set_many(items())).await;
    assert_eq!(sent, 2);
    let count = |wanted| results.iter().filter(|outcome| outcome.as_ref().unwrap().status() == wanted).count();
    assert_eq!((count(SetStatus::Updated), count(SetStatus::Stored)), (4, 4));
    assert_eq!(system.server.messages().last().unwrap().keys.len(), 4);
}

#[tokio::test]
async fn err_3_where_nobody_listens_nothing_is_sent_and_that_is_said() {
    let system = System::start().await;
    let store = system.store().await.allow_best_effort();
    store.set("sixsix", 1).await.unwrap();
    system.server.stop().await;
    // What takes note of the end may come after what is sent on it.
    let _ = store.get("sixsix").await;
    let mut errors = vec![
        store.get("sixsix").await.unwrap_err(),
        store.set("sixsix", 2).await.unwrap_err(),
        store.set("sixsix", 2).if_not_exists().await.unwrap_err(),
        store.set("sixsix", 2).if_exists().await.unwrap_err(),
        store.delete("sixsix").await.unwrap_err(),
        store.ping().await.unwrap_err(),
        open(system.config()).await.unwrap_err(),
    ];
    errors.extend(store.set_many([SetItem::new("sixsix", 3)]).await.into_iter().map(|result| result.unwrap_err()));
    for error in errors {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    }
    // The next call connects by itself.
    system.server.restart(Data::Kept).await.unwrap();
    assert_eq!(store.get("sixsix").await.unwrap(), Some(Value::from(1)));
}

#[tokio::test]
async fn err_3_what_is_no_websocket_is_misconfigured() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let error = open(NemesisdbConfig::new("127.0.0.1", port).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never));
    assert_eq!(error.native_code(), Some("HTTP 404"));
}

#[tokio::test]
async fn err_3_a_server_that_opens_nothing_in_time_has_been_sent_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let system = System::start().await;
    let remote = system.remote().with_retry(RetryPolicy::none()).with_request_timeout(Duration::from_millis(60));
    let config = NemesisdbConfig::new("127.0.0.1", port).unwrap().with_remote(remote);
    let error = open(config).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
    drop(listener);
}

/// One more connection for each message that fits no request, and no caller gets what was meant for another.
#[tokio::test]
async fn err_6_after_a_reply_of_nobody_the_connection_is_replaced() {
    for nonsense in [
        "no reply",
        r#"{"SERVER_ERROR":{"s":5,"m":"Query is invalid json"}}"#,
        r#"{"GET_RSP":{"st":12,"m":""}}"#,
        r#"{"GET_RSP":{"stranger":"1","st":0}}"#,
        r#"{"SET_RSP":{"k":"second","st":1}}"#,
        "",
    ] {
        let config = serve(move |connection, text| {
            if text.contains("SERVER_INFO") {
                Says::texts([r#"{"SERVER_INFO_RSP":{"st":0}}"#])
            } else if connection == 1 && text.contains("second") {
                if nonsense.is_empty() { Says { binary: true, ..Says::default() } } else { Says::texts([nonsense]) }
            } else if text.contains("second") {
                Says::texts([r#"{"GET_RSP":{"second":2,"st":0}}"#])
            } else {
                Says::default() // the answers to the others never come
            }
        })
        .await;
        let store = open(once(config, None)).await.unwrap();
        let (others, error) = tokio::join!(
            async { tokio::join!(async { store.get("first1").await }, async { store.set("third3", 3).await }) },
            async { store.get("second").await },
        );
        let (first, third, second) = (others.0.unwrap_err(), others.1.map(drop).unwrap_err(), error.unwrap_err());
        for (error, retry) in [(first, Retry::Safe), (third, Retry::OutcomeUnknown), (second, Retry::Safe)] {
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, retry), "{nonsense}: {error}");
            assert!(!format!("{error} {error:?}").contains("stranger"), "{error:?}");
        }
        assert_eq!(store.get("second").await.unwrap(), Some(Value::from(2)), "{nonsense}");
        // All replies that were due have come when the one to SERVER_INFO has.
        store.close().await.unwrap();
    }
}

/// The stray message is no reply, so both replies and that to `SERVER_INFO` are still outstanding after it.
#[tokio::test]
async fn err_6_after_a_reply_of_nobody_no_reply_is_left_unread() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        for expected in ["first1", "second"] {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("no text") };
            assert!(text.contains(expected), "{text}");
        }
        socket.send(Message::text(r#"{"SET_RSP":{"k":"nobody","st":1}}"#)).await.unwrap();
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("no text") };
        assert!(text.contains("SERVER_INFO"), "{text}");
        for reply in [
            r#"{"SET_RSP":{"k":"first1","st":1}}"#,
            r#"{"SET_RSP":{"k":"second","st":1}}"#,
            r#"{"SERVER_INFO_RSP":{"st":0}}"#,
        ] {
            // A client that has sent its close frame answers no ping.
            socket.send(Message::Ping("still there".into())).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("still there".into()), "before {reply}");
            socket.send(Message::text(reply)).await.unwrap();
        }
        assert!(socket.next().await.unwrap().unwrap().is_close());
    });
    let store = open(once(NemesisdbConfig::new("127.0.0.1", port).unwrap(), None)).await.unwrap();
    let (first, second) = tokio::join!(async { store.set("first1", 1).await }, async { store.set("second", 1).await });
    assert!(first.unwrap_err().is_outcome_unknown() && second.unwrap_err().is_outcome_unknown());
    server.await.unwrap();
    store.close().await.unwrap();
}

/// What was never handed to the socket was never sent; and what says so is never found on the server.
#[tokio::test]
async fn err_3_a_request_that_times_out_before_it_is_sent_was_certainly_not_applied() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (done, begin) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        // Takes nothing until all calls have ended.
        begin.await.unwrap();
        let mut seen = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let Some((_, key)) = text.split_once(r#"{"SET":{""#) else { continue };
            seen.push(key[.."number00".len()].to_owned());
        }
        seen
    });
    let remote = RemoteSettings::default()
        .with_retry(RetryPolicy::none())
        .with_requests_max(32.try_into().unwrap())
        .with_request_timeout(Duration::from_millis(500));
    let config = NemesisdbConfig::new("127.0.0.1", port).unwrap().with_remote(remote);
    let store = open(config.with_message_bytes_max(1 << 20).unwrap()).await.unwrap();
    let value = "v".repeat(1_000_000);
    let sets = (0..32).map(|number| {
        let (store, value) = (&store, value.as_str());
        async move { store.set(format!("number{number:02}").as_str(), value).await.map(drop).unwrap_err() }
    });
    let errors = futures_util::future::join_all(sets).await;
    done.send(()).unwrap();
    store.close().await.unwrap();
    drop(store);
    let seen = server.await.unwrap();
    let mut safe = 0;
    for (number, error) in errors.into_iter().enumerate() {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        if error.retry() == Retry::Safe {
            safe += 1;
            assert!(!seen.contains(&format!("number{number:02}")), "{error}");
        }
    }
    assert!((1..32).contains(&safe), "{safe} of 32 MB were never sent, since no socket holds as much");
}

#[tokio::test]
async fn err_1_damaged_frames_are_a_fault_of_the_server() {
    let long_ping = [&[0x89, 126, 0, 200][..], &[b'p'; 200]].concat();
    for frame in [
        &long_ping[..],
        &[0xc1, 0],                           // reserved bits
        &[0x83, 0],                           // a kind of frame that there is not
        &[0x8b, 0],                           // the same of control frames
        &[0x81, 0x80, 1, 2, 3, 4],            // masked
        &[0x80, 0],                           // goes on with nothing
        &[0x09, 0],                           // half a ping
        &[0x81, 2, 0xff, 0xfe],               // no UTF-8
        &[0x88, 1, 3],                        // half a code of a close
        &[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0], // 4 GB
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let damaged = frame.to_vec();
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
                assert!(socket.next().await.unwrap().unwrap().is_text());
                let stream = socket.get_mut();
                stream.write_all(&damaged).await.unwrap();
                // Until it hangs up.
                while stream.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {}
            }
        });
        let store = open(once(NemesisdbConfig::new("127.0.0.1", port).unwrap(), None)).await.unwrap();
        let set = store.set("sixsix", 1).await.unwrap_err();
        assert_eq!((set.kind(), set.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{frame:?}: {set}");
        let get = store.get("sixsix").await.unwrap_err();
        assert_eq!((get.kind(), get.retry()), (ErrorKind::Protocol, Retry::Safe), "{frame:?}: {get}");
        assert!(!get.to_string().contains("applied"), "{get}");
        store.close().await.unwrap();
        server.await.unwrap();
    }
}

#[tokio::test]
async fn err_1_no_connection_names_the_server_and_an_unknown_host_is_a_wrong_setting() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = open(once(NemesisdbConfig::new("127.0.0.1", free).unwrap(), None)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(error.to_string().contains(&format!("no connection to 127.0.0.1:{free}")), "{error}");
    let unknown = NemesisdbConfig::new("no-such-host.invalid", 1987).unwrap();
    let error = open(unknown).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never), "{error}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

/// The calls under way may hold so much; a call that has ended makes room.
#[tokio::test]
async fn get_2_values_beyond_the_buffer_are_refused_and_the_store_goes_on() {
    let value = "v".repeat(100_000);
    let hit = move |key: &str| format!(r#"{{"GET_RSP":{{"{key}":"{value}","st":0}}}}"#);
    let config = serve(move |_, text| {
        let keys = text.split('"').filter(|part| part.starts_with("number"));
        Says::texts(keys.map(&hit).collect::<Vec<_>>())
    })
    .await;
    let store = open(once(config, None).with_buffer_bytes_max(350_000.try_into().unwrap())).await.unwrap();
    let error = store.get_many(["number1", "number2", "number3", "number4"]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Exhausted, Retry::Safe));
    assert!(error.to_string().contains("buffer_bytes_max"), "{error}");
    for _ in 0..5 {
        let found = store.get_many(["number1", "number2", "number3"]).await.unwrap();
        assert!(found.into_iter().all(|found| found.is_some()));
    }
    store.close().await.unwrap();
}

/// Messages that wait for replies hold bytes of the buffer, those of callers that are gone included.
#[tokio::test]
async fn err_3_messages_beyond_the_buffer_wait_and_are_not_sent() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let config = serve(move |_, _| {
        counted.fetch_add(1, Ordering::AcqRel);
        Says::default()
    })
    .await;
    let remote = RemoteSettings::default().with_retry(RetryPolicy::none());
    let config = config.with_remote(remote.with_request_timeout(Duration::from_millis(400)));
    let store = open(config.with_buffer_bytes_max(1300.try_into().unwrap())).await.unwrap();
    let value = "v".repeat(500);
    let sets = (0..20).map(|number| {
        let (store, value) = (&store, value.as_str());
        async move { store.set(format!("number{number:02}").as_str(), value).await.map(drop).unwrap_err() }
    });
    let errors = futures_util::future::join_all(sets).await;
    let unknown = errors.iter().filter(|error| error.is_outcome_unknown()).count();
    assert_eq!((unknown, seen.load(Ordering::Acquire)), (2, 2));
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Unavailable && error.retry() != Retry::Never));
    store.close().await.unwrap();
}

#[test]
fn life_1_to_open_without_a_runtime_is_an_error() {
    let opening = NemesisdbStore::open(NemesisdbConfig::new("127.0.0.1", 1987).unwrap());
    let error = opening.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test]
async fn err_1_a_key_that_the_server_refuses_fails_alone() {
    let config = serve(|_, text| {
        assert!(text.starts_with(r#"{"SET":{"#));
        Says::texts([
            r#"{"SET_RSP":{"st":6,"k":"first1"}}"#,
            r#"{"SET_RSP":{"k":"third3","st":99}}"#,
            r#"{"SET_RSP":{"k":"second","st":2}}"#,
        ])
    })
    .await;
    let store = open(once(config, None)).await.unwrap();
    let results = store.set_many(["first1", "second", "third3"].map(|key| SetItem::new(key, 1))).await;
    let kinds: Vec<_> =
        results.iter().map(|result| result.as_ref().err().map(|error| (error.kind(), error.retry()))).collect();
    let refused = (ErrorKind::InvalidArgument, Retry::Never);
    assert_eq!(kinds, [Some(refused), None, Some((ErrorKind::Protocol, Retry::OutcomeUnknown))]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn err_1_a_message_that_the_server_finds_too_long_is_a_wrong_setting() {
    let system = System::start_as(Fake::new().with_max_message_bytes(512), ServerOptions::new()).await;
    let store = open(once(system.config(), Some(&system))).await.unwrap();
    let error = store.set("sixsix", "a".repeat(600)).await.unwrap_err();
    assert_eq!((error.kind(), error.native_code()), (ErrorKind::Misconfigured, Some("close 1009")));
    assert!(error.is_outcome_unknown(), "other messages were lost with the connection");
    store.set("sixsix", "short enough").await.unwrap();
    let right = open(system.config().with_message_bytes_max(512).unwrap()).await.unwrap();
    assert!(right.set("sixsix", "a".repeat(600)).await.unwrap_err().reason().is_some());

    for (code, kind) in [(1000, ErrorKind::Unavailable), (1001, ErrorKind::Unavailable), (1007, ErrorKind::Protocol)] {
        let config = serve(move |_, _| Says { close: Some(code), ..Says::default() }).await;
        let error = open(once(config, None)).await.unwrap().delete("sixsix").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, Retry::OutcomeUnknown), "{code}");
        assert_eq!(error.native_code(), Some(format!("close {code}").as_str()));
    }
}

/// Waits until as many sleep on the clock as are expected, and moves it.
async fn pass(clock: &ManualClock, sleepers: usize, time: Duration) {
    while clock.sleepers() < sleepers {
        tokio::task::yield_now().await;
    }
    clock.advance(time);
}

async fn on_manual_time(system: &System) -> (ManualClock, Store) {
    let timer = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = system.remote().with_timer(Arc::new(timer.clone())).with_retry(RetryPolicy::none());
    let store = open(system.config().with_remote(remote.with_request_timeout(Duration::from_secs(10)))).await.unwrap();
    (timer, store)
}

#[tokio::test]
async fn err_6_a_reply_that_never_comes_blocks_nobody_and_its_connection_is_replaced() {
    let system = System::start().await;
    let (timer, store) = on_manual_time(&system).await;
    store.set("sixsix", 1).await.unwrap();
    let connections = system.server.connections();
    system.server.inject(Fault::Silent { applied: Applied::Yes }, 1);
    let second = Duration::from_secs(1);
    // Asleep are the watch over the connection and the attempt.
    let (unanswered, ()) = tokio::join!(async { store.set("sixsix", 2).await }, async {
        while system.server.faults_left() > 0 {
            tokio::task::yield_now().await;
        }
        pass(&timer, 2, 10 * second).await;
    });
    assert!(unanswered.unwrap_err().is_outcome_unknown());
    assert_eq!(store.get("sixsix").await.unwrap(), Some(Value::from(2)), "others go on over the same connection");
    assert_eq!(system.server.connections(), connections);
    // A whole period later it is replaced, or the next SET of this key would wait behind the one that is never
    // answered.
    timer.advance(10 * second);
    store.set("sixsix", 3).await.unwrap();
    assert_eq!(system.server.connections(), connections + 1);
    assert_eq!(store.get("sixsix").await.unwrap(), Some(Value::from(3)));
}

#[tokio::test]
async fn a_connection_that_died_without_a_word_is_noticed_while_it_is_quiet() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (opened, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Opened, and never read again.
            kept.push(accept_async(stream).await.unwrap());
            opened.send(()).unwrap();
        }
    });
    let timer = ManualClock::new(Timestamp::UNIX_EPOCH);
    let system = System::start().await;
    let remote = system.remote().with_timer(Arc::new(timer.clone())).with_retry(RetryPolicy::none());
    let remote = remote.with_request_timeout(Duration::from_secs(10));
    let store = open(NemesisdbConfig::new("127.0.0.1", port).unwrap().with_remote(remote)).await.unwrap();
    seen.recv().await.unwrap();
    // In the first period the opening was heard; in the second nothing is, so it pings; no answer comes in the third.
    let period = Duration::from_secs(10);
    for _ in 0..3 {
        pass(&timer, 1, period).await;
    }
    // The call goes over another connection. Asleep are the end of the old one, the watch over the new one, the
    // attempt, and the whole call.
    let (call, ()) = tokio::join!(async { store.get("sixsix").await }, async {
        seen.recv().await.unwrap();
        pass(&timer, 3, period).await;
    });
    assert_eq!(call.unwrap_err().kind(), ErrorKind::Unavailable, "this server never answers");
}

#[tokio::test]
async fn err_4_the_waits_between_attempts_are_the_policys() {
    let system = System::start().await;
    let timer = ManualClock::new(Timestamp::UNIX_EPOCH);
    let policy = RetryPolicy::default().with_delays(Duration::from_secs(1), Duration::from_secs(1));
    let remote = system.remote().with_timer(Arc::new(timer.clone())).with_retry(policy);
    let store = open(system.config().with_remote(remote)).await.unwrap();
    system.server.stop().await;
    let call = tokio::spawn({
        let store = store.clone();
        async move { store.get("sixsix").await }
    });
    // Nothing but the time that is let pass ends the waits.
    while !call.is_finished() {
        timer.advance(Duration::from_millis(100));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(call.await.unwrap().unwrap_err().retry(), Retry::Safe);
    assert!(timer.now() >= Timestamp::from_unix_seconds(3), "three waits of a second at least: {}", timer.now());
}

#[tokio::test]
async fn err_2_debug_shows_the_store_and_no_namespace() {
    let system = System::start().await;
    let store = open(system.config().with_namespace("hush").unwrap()).await.unwrap();
    let shown = format!("{store:?}");
    assert!(shown.contains("NemesisdbStore { client: Client {") && !shown.contains("hush"), "{shown}");
}
