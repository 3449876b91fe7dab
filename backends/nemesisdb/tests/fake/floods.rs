//! A server that sends without end: no deadline of ours and no other task may wait for it (ERR-6, LIFE-2).

use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kv_api::{Error, ErrorKind, Retry, Store, Timer, TokioTimer};
use kv_nemesisdb::{NemesisdbConfig, RemoteSettings, RetryPolicy};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::accept;

use crate::harness::open;

/// A server on a thread of its own that upgrades each connection and then writes `first` and, again and again, `then`.
struct Flood {
    port: u16,
    stopped: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(first: &[u8], then: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stopped = Arc::new(AtomicBool::new(false));
        let (first, stop) = (first.to_vec(), Arc::clone(&stopped));
        let server = thread::spawn(move || {
            let mut connections = Vec::new();
            loop {
                let (stream, _) = listener.accept().unwrap();
                if stop.load(Ordering::Acquire) {
                    break;
                }
                stream.set_nodelay(true).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                let (first, then, stop) = (first.clone(), then.clone(), Arc::clone(&stop));
                connections.push(thread::spawn(move || {
                    // A client that hangs up ends it.
                    let Ok(socket) = accept(stream) else { return };
                    let mut stream = socket.get_ref();
                    let mut rest = first.as_slice();
                    while !stop.load(Ordering::Acquire) {
                        match stream.write(rest) {
                            Ok(written) => rest = &rest[written..],
                            Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => {}
                            Err(_) => return,
                        }
                        if rest.is_empty() {
                            rest = &then;
                        }
                    }
                }));
            }
            connections.into_iter().for_each(|connection| connection.join().unwrap());
        });
        Self { port, stopped, server: Some(server) }
    }

    async fn store(&self, buffer_bytes_max: usize) -> Store {
        let remote = RemoteSettings::default().with_retry(RetryPolicy::none()).with_request_timeout(ATTEMPT);
        let config = NemesisdbConfig::new("127.0.0.1", self.port).unwrap().with_remote(remote);
        open(config.with_buffer_bytes_max(buffer_bytes_max.try_into().unwrap())).await.unwrap()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
        let ended = self.server.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// How long an attempt may take here.
const ATTEMPT: Duration = Duration::from_millis(500);

/// How late a thing may be on a machine with much to do.
const SLACK: Duration = Duration::from_millis(1500);

/// No call, no `close` and no timer beside them comes late. Gives the errors of three calls.
async fn withstand(first: &[u8], then: &[u8], times: usize) -> [Error; 3] {
    withstand_with(256 * 1024, first, then, times).await
}

async fn withstand_with(buffer_bytes_max: usize, first: &[u8], then: &[u8], times: usize) -> [Error; 3] {
    let flood = Flood::start(first, then.repeat(times));
    let store = flood.store(buffer_bytes_max).await;
    let ticks = async {
        let (tick, mut latest) = (Duration::from_millis(20), Duration::ZERO);
        for _ in 0..20 {
            let begun = Instant::now();
            TokioTimer.sleep(tick).await;
            latest = latest.max(begun.elapsed() - tick);
        }
        latest
    };
    let calls = async {
        let begun = Instant::now();
        let errors = tokio::join!(
            async { store.get("sixsix").await.map(drop).unwrap_err() },
            async { store.set("sixsix", 1).await.map(drop).unwrap_err() },
            async { store.ping().await.unwrap_err() },
        );
        (errors.into(), begun.elapsed())
    };
    let (latest, (errors, took)) = timeout(20 * ATTEMPT, async { tokio::join!(ticks, calls) }).await.unwrap();
    assert!(latest < SLACK, "a timer of another task came {latest:?} late");
    assert!(took < ATTEMPT + SLACK, "calls with {ATTEMPT:?} took {took:?}");
    let begun = Instant::now();
    timeout(20 * ATTEMPT, store.close()).await.unwrap().unwrap();
    assert!(begun.elapsed() < ATTEMPT + SLACK, "close took {:?}", begun.elapsed());
    errors
}

/// What is no progress is taken for a while, and then for what it is.
fn check_refused(errors: [Error; 3]) {
    let [get, set, ping] = errors;
    for error in [&get, &ping] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{error}");
    }
    // It may have been sent before the flood was seen for what it is.
    assert_eq!(set.kind(), ErrorKind::Protocol, "{set}");
}

/// Either that, or there was no answer in time.
fn check_ended(errors: [Error; 3]) {
    for error in errors {
        assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Unavailable), "{error}");
    }
}

#[tokio::test]
async fn life_2_empty_messages_stop_no_deadline() {
    check_refused(withstand(&[], &[0x81, 0], 8192).await);
}

#[tokio::test]
async fn life_2_pings_stop_no_deadline() {
    check_refused(withstand(&[], &[0x89, 0], 8192).await);
    check_refused(withstand(&[], &[&[0x89, 125], &[b'p'; 125][..]].concat(), 512).await);
}

#[tokio::test]
async fn life_2_pongs_stop_no_deadline() {
    check_refused(withstand(&[], &[0x8a, 0], 8192).await);
}

#[tokio::test]
async fn life_2_binary_messages_stop_no_deadline() {
    check_refused(withstand(&[], &[0x82, 1, 0], 8192).await);
}

#[tokio::test]
async fn life_2_messages_of_nobody_stop_no_deadline() {
    let text = br#"{"SET_RSP":{"k":"nobody","st":1}}"#;
    let frame = [&[0x81, u8::try_from(text.len()).unwrap()], &text[..]].concat();
    check_refused(withstand(&[], &frame, 512).await);
}

#[tokio::test]
async fn life_2_endless_fragments_of_one_message_stop_no_deadline() {
    check_refused(withstand_with(1024, &[0x01, 0], &[0, 0], 8192).await);
    check_refused(withstand_with(1024, &[0x01, 1, b'a'], &[0, 1, b'a'], 8192).await);
    // As long as they come, they could still become a reply.
    check_ended(withstand_with(128 * 1024 * 1024, &[0x01, 0], &[0, 0], 8192).await);
}

#[tokio::test]
async fn life_2_tiny_chunks_of_a_long_message_stop_no_deadline() {
    check_ended(withstand(&[0x81, 126, 0xff, 0xff], b"a", 1).await);
}
