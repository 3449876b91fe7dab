//! How much the answers under way hold, and that long ones stop no other task.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::{join_all, poll_immediate};
use kv_api::ErrorKind;
use kv_remote::RemoteSettings;
use kv_remote::http::{Client, HeaderMap, Method, Request, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const MIB: usize = 1024 * 1024;

fn client(address: SocketAddr, buffer_bytes_max: usize, answer_bytes_max: usize) -> Client {
    let settings = RemoteSettings::default().with_buffer_bytes_max(NonZeroUsize::new(buffer_bytes_max).unwrap());
    Client::new(&settings, &Url::parse(&format!("http://{address}")).unwrap(), HeaderMap::new(), answer_bytes_max)
        .unwrap()
}

fn get(address: SocketAddr, path: &str) -> Request {
    Request::new(Method::GET, Url::parse(&format!("http://{address}{path}")).unwrap())
}

/// Bytes that a server has sent over connections that are still open, and the most that there ever were.
#[derive(Default)]
struct Sent {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Answers `/endless` with a body that does not end, and everything else with one of so many bytes as the path says.
async fn serve(sent: Arc<Sent>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let sent = Arc::clone(&sent);
            connections.spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") && stream.read_buf(&mut read).await.unwrap_or(0) > 0 {}
                let text = String::from_utf8(read).unwrap();
                let path = text.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
                if let Ok(length) = path.parse() {
                    let head = format!("HTTP/1.1 200 x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).await;
                    return;
                }
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n").await;
                let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
                let mut here = 0;
                while stream.write_all(&chunk).await.is_ok() {
                    here += 65_536;
                    let now = sent.now.fetch_add(65_536, Ordering::Relaxed) + 65_536;
                    sent.most.fetch_max(now, Ordering::Relaxed);
                }
                sent.now.fetch_sub(here, Ordering::Relaxed);
            });
        }
    });
    (address, serving)
}

#[tokio::test]
async fn endless_answers_hold_no_more_than_the_longest_one_and_a_quarter_of_the_budget() {
    let sent = Arc::new(Sent::default());
    let (address, _serving) = serve(Arc::clone(&sent)).await;
    let (budget, longest) = (8 * MIB, 32 * MIB);
    let client = client(address, budget, longest);
    let answers = join_all((0..8).map(|_| client.send(get(address, "/endless")))).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Protocol, "each has its turn, and is too long");
    }
    let most = sent.most.load(Ordering::Relaxed) / MIB;
    // What lies in the sockets of both sides is the operating system's: up to 10 MiB for each of eight.
    assert!(most <= 2 + 32 + 80, "{most} MiB at once, of 256 without a budget");
    // All of it is free again, for an answer as long as the budget.
    assert_eq!(client.send(get(address, &format!("/{budget}"))).await.unwrap().answer().body.len(), budget);
}

#[tokio::test]
async fn an_answer_whose_length_is_too_great_is_not_read_at_all() {
    let (address, _serving) = serve(Arc::default()).await;
    let client = client(address, MIB, 1000);
    for (path, limit, fits) in [("/1000", usize::MAX, true), ("/1001", usize::MAX, false), ("/100", 99, false)] {
        let answer = client.send(get(address, path).with_answer_bytes_max(limit)).await;
        assert_eq!(answer.is_ok(), fits, "{path}");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_its_bytes_back() {
    let (address, _serving) = serve(Arc::default()).await;
    let client = client(address, MIB, usize::MAX);
    for _ in 0..3 {
        let mut endless: Vec<_> = (0..4).map(|_| Box::pin(client.send(get(address, "/endless")))).collect();
        for _ in 0..300 {
            for call in &mut endless {
                assert!(poll_immediate(call).await.is_none());
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(client.send(get(address, "/1000000")).await.unwrap().answer().body.len(), 1_000_000);
}

#[tokio::test]
async fn the_reading_of_a_long_answer_stops_no_other_task_of_its_thread() {
    let (address, _serving) = serve(Arc::default()).await;
    let client = client(address, MIB, MIB);
    let answer = client.send(get(address, "/300000")).await.unwrap();
    let (go, going) = mpsc::channel();
    // This runtime has one thread: read on it, this would wait for what comes after it.
    let reading = answer.read_with(move |answer| {
        let went = going.recv_timeout(Duration::from_secs(60)).is_ok();
        Ok((went, answer.body.len()))
    });
    let (read, ()) = tokio::join!(reading, async { go.send(()).unwrap() });
    assert_eq!(read.unwrap(), (true, 300_000));
}
