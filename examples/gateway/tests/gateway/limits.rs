//! Limits: what is slow, too long, or too much. The clock stands still until everybody waits.

use std::time::Duration;

use kv_gateway::{Access, Ended, Gateway, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{BASE, Client, Running, in_time, namespace, open};

async fn gateway(set: impl FnOnce(&mut Limits)) -> Gateway {
    let mut limits = Limits::default();
    set(&mut limits);
    let namespaces = [namespace("n", open("memory:").await)];
    Gateway::builder(namespaces, Access::Open { loopback: true }).with_limits(limits).build().unwrap()
}

async fn connect(running: &Running, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// The head of a request for a value, with these headers.
fn head(method: &str, headers: &str) -> String {
    format!("{method} {BASE}/n/values/k HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

/// All that comes until the other end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // One that breaks off has said all it had to say.
    let _ = in_time(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The head of one answer.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(in_time(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn under_way(running: &Running) -> String {
    let page =
        rest(&mut connect(running, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await).await;
    let (_, found) = page.split_once("<p>").unwrap();
    found.split_once(" requests under way").unwrap().0.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_costs_a_connection_for_its_time() {
    let running = Running::start(gateway(|_| ()).await).await;
    for sent in ["", "GET / HTTP/1.1\r\nhost:", &head("PUT", "")[..40]] {
        let began = tokio::time::Instant::now();
        let mut stream = connect(&running, sent).await;
        rest(&mut stream).await;
        assert!(began.elapsed() >= Duration::from_secs(30), "{sent:?}");
    }
    // So does a connection that idles after a request.
    let mut stream = connect(&running, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(rest(&mut stream).await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_time_beyond_what_clocks_hold_is_no_mistake() {
    let running = Running::start(gateway(|limits| limits.header_time = Duration::MAX).await).await;
    let sent = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(rest(&mut connect(&running, sent).await).await.ends_with("ok\n"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408() {
    let running = Running::start(gateway(|_| ()).await).await;
    for headers in ["content-length: 10\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = connect(&running, &head("PUT", headers)).await;
        stream.write_all(b"3\r\nabc\r\n").await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(r#""code":99408"#), "{answer}");
    }
    assert_eq!(under_way(&running).await, "0 of 256");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up() {
    let gateway = gateway(|_| ()).await;
    let written = Client::of(&gateway).put("/n/values/k", vec![b'v'; 20_000_000]).await;
    assert_eq!(written.status, 200);
    let running = Running::start(gateway).await;
    let began = tokio::time::Instant::now();
    let mut stream = connect(&running, &head("GET", "")).await;
    // Some of it, so that the request is surely under way.
    in_time(stream.read_u8()).await.unwrap();
    while under_way(&running).await != "0 of 256" {
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(began.elapsed() < Duration::from_secs(3600), "it is never given up");
    }
    assert!(began.elapsed() >= Duration::from_secs(30));
    assert!(rest(&mut stream).await.len() < 20_000_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_at_once_is_429_with_retry_after() {
    let running = Running::start(gateway(|limits| limits.in_flight = 1).await).await;
    let mut first = connect(&running, &head("PUT", "content-length: 3\r\nexpect: 100-continue\r\n")).await;
    // The server asks for the body, so the request is under way.
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 100 "));
    let second = rest(&mut connect(&running, &head("GET", "connection: close\r\n")).await).await;
    assert!(second.starts_with("HTTP/1.1 429 ") && second.contains("retry-after: 1\r\n"), "{second}");
    assert!(second.contains(r#""code":971"#), "{second}");
    first.write_all(b"abc").await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn bodies_are_bounded_each_and_together() {
    let gateway = gateway(|limits| (limits.body_bytes, limits.bodies_bytes) = (10_000, 4096)).await;
    let client = Client::of(&gateway);
    assert_eq!(client.put("/n/values/k", vec![b'v'; 10_001]).await.refusal(), (413, 10001));
    assert_eq!(client.put("/n/values/k", vec![b'v'; 5000]).await.refusal(), (429, 971));
    assert_eq!(client.put("/n/values/k", vec![b'v'; 4096]).await.status, 200);
    // Without a length it shows on the way.
    let running = Running::start(gateway).await;
    let chunk = format!("800\r\n{}\r\n", "v".repeat(0x800));
    for (chunks, status) in [(1, "200"), (2, "200"), (3, "429"), (6, "429")] {
        let sent = format!(
            "{}{}0\r\n\r\n",
            head("PUT", "transfer-encoding: chunked\r\nconnection: close\r\n"),
            chunk.repeat(chunks)
        );
        let answer = rest(&mut connect(&running, &sent).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{chunks}: {answer}");
    }
    assert_eq!(under_way(&running).await, "0 of 256");
}

#[tokio::test]
async fn a_head_is_bounded() {
    let running = Running::start(gateway(|_| ()).await).await;
    let long = format!("x: {}\r\n", "v".repeat(100_000));
    let many = "x: v\r\n".repeat(70);
    for headers in [long, many] {
        let answer = rest(&mut connect(&running, &head("GET", &headers)).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let path = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(70_000));
    let answer = rest(&mut connect(&running, &path).await).await;
    assert!(answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn life_2_a_stop_waits_for_requests_under_way() {
    let mut running = Running::start(gateway(|_| ()).await).await;
    let mut idle = connect(&running, "").await;
    let mut first = connect(&running, &head("PUT", "content-length: 3\r\nexpect: 100-continue\r\n")).await;
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 100 "));
    running.ask_to_stop();
    assert_eq!(rest(&mut idle).await, "");
    first.write_all(b"abc").await.unwrap();
    let answer = rest(&mut first).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(in_time(running.ended()).await, Ended::InOrder);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever() {
    let mut running = Running::start(gateway(|limits| limits.stop_time = Duration::from_secs(5)).await).await;
    let mut first = connect(&running, &head("PUT", "content-length: 3\r\nexpect: 100-continue\r\n")).await;
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 100 "));
    assert_eq!(in_time(running.stop()).await, Ended::BrokenOff);
    assert_eq!(rest(&mut first).await, "");
}

#[tokio::test]
async fn json_is_read_without_a_stack_that_grows_with_it() {
    let client = Client::of(&gateway(|_| ()).await);
    for opening in ["[", "{\"keys\":[", "[{\"key\":\"k\",\"value\":\"v\",\"metadata\":["] {
        let body = opening.repeat(2_000_000 / opening.len());
        for (method, path) in [("PUT", "/n/bulk"), ("POST", "/n/bulk/get"), ("POST", "/n/bulk/delete")] {
            assert_eq!(client.send(method, path, &[], body.clone()).await.refusal(), (400, 10012), "{opening} {path}");
        }
    }
    // Well-formed, and far deeper than what is accepted (VAL-3).
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let item = format!(r#"[{{"key":"k","value":"v","metadata":{deep}}}]"#);
    assert_eq!(client.send("PUT", "/n/bulk", &[], item).await.refusal(), (400, 10001));
    assert_eq!(client.send("PUT", "/n/bulk", &[], deep).await.refusal(), (400, 10012));
}
