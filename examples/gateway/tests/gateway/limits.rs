//! Limits: what is slow, too long, or too much. The clock stands still until everybody waits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use futures_util::poll;
use kv_api::{BackendExt, ManualClock, Store, Timestamp};
use kv_gateway::{Access, Ended, Gateway, Limits};
use kv_layers::{Call, Intercept, Intercepted, Operation};
use kv_memory::MemoryStore;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::harness::{BASE, Client, Running, in_time, namespace, open};

async fn gateway(set: impl FnOnce(&mut Limits)) -> Gateway {
    over(open("memory:").await, set)
}

fn over(store: Store, set: impl FnOnce(&mut Limits)) -> Gateway {
    let mut limits = Limits::default();
    set(&mut limits);
    let namespaces = [namespace("n", store)];
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

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_given_up_and_each_answer_has_its_own_time() {
    const LENGTH: usize = 20_000_000;
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let mut limits = Limits::default();
    limits.write_time = Duration::from_secs(3600);
    let gateway = Gateway::builder([namespace("n", open("memory:").await)], Access::Open { loopback: true });
    let gateway = gateway.with_limits(limits).with_timer(Arc::new(clock.clone())).build().unwrap();
    Client::of(&gateway).put("/n/values/k", vec![b'v'; LENGTH]).await.result();
    let running = Running::start(gateway).await;
    let mut stream = connect(&running, "").await;
    let mut bytes = vec![0; LENGTH];
    for seconds in [200, 200, 301] {
        stream.write_all(head("GET", "").as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
        // Two waits are those of an answer that waits for its reader: for any byte, and in all.
        let waits = async {
            while clock.sleepers() < 2 {
                tokio::task::yield_now().await;
            }
        };
        in_time(waits).await;
        clock.advance(Duration::from_secs(seconds));
        let is_whole = in_time(stream.read_exact(&mut bytes)).await.is_ok();
        assert_eq!(is_whole, seconds < 300, "{seconds}");
    }
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
async fn a_body_is_bounded() {
    let gateway = gateway(|limits| (limits.body_bytes, limits.bodies_bytes) = (10_000, 4096)).await;
    let client = Client::of(&gateway);
    assert_eq!(client.put("/n/values/k", vec![b'v'; 10_001]).await.refusal(), (413, 10001));
    // Another one would be refused as well: it is no use to try again.
    assert_eq!(client.put("/n/values/k", vec![b'v'; 4097]).await.refusal(), (413, 10001));
    assert_eq!(client.put("/n/values/k", vec![b'v'; 4096]).await.status, 200);
    // Without a length it shows on the way.
    let running = Running::start(gateway).await;
    let chunk = format!("800\r\n{}\r\n", "v".repeat(0x800));
    for (chunks, status) in [(1, "200"), (2, "200"), (3, "413"), (6, "413")] {
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
async fn bodies_take_room_as_they_come() {
    let gateway = gateway(|limits| (limits.body_bytes, limits.bodies_bytes) = (4096, 4096)).await;
    let client = Client::of(&gateway);
    let running = Running::start(gateway).await;
    let mut first = connect(&running, &head("PUT", "content-length: 4096\r\nexpect: 100-continue\r\n")).await;
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 100 "));
    // It is under way, and has brought nothing yet.
    assert_eq!(client.put("/n/values/other", vec![b'v'; 4096]).await.status, 200);
    first.write_all(&[b'v'; 3000]).await.unwrap();
    let refused = in_time(async {
        loop {
            let other = client.put("/n/values/other", vec![b'v'; 2000]).await;
            if other.status != 200 {
                break other;
            }
            tokio::task::yield_now().await;
        }
    });
    let refused = refused.await;
    assert_eq!((refused.refusal(), refused.header("retry-after")), ((429, 971), Some("1")));
    first.write_all(&[b'v'; 1096]).await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.put("/n/values/other", vec![b'v'; 4096]).await.status, 200);
}

#[tokio::test]
async fn what_is_taken_apart_counts_twice() {
    let client = Client::of(&gateway(|limits| limits.bodies_bytes = 8192).await);
    let form = |length| {
        let value = "v".repeat(length);
        format!("--b\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\n{value}\r\n--b--\r\n")
    };
    let kind = ("content-type", "multipart/form-data; boundary=b");
    assert_eq!(client.send("PUT", "/n/values/k", &[kind], form(5000)).await.refusal(), (413, 10001));
    assert_eq!(client.send("PUT", "/n/values/k", &[kind], form(4000)).await.status, 200);
    let items = |length| json!([{"key": "k", "value": "v".repeat(length)}]).to_string();
    assert_eq!(client.send("PUT", "/n/bulk", &[], items(5000)).await.refusal(), (413, 10001));
    assert_eq!(client.send("PUT", "/n/bulk", &[], items(4000)).await.status, 200);
    // A value stays as it comes.
    assert_eq!(client.put("/n/values/k", vec![b'v'; 8192]).await.status, 200);
}

#[tokio::test]
async fn a_body_of_keys_is_no_longer_than_they_can_be() {
    let client = Client::of(&over(open("memory:?like=cloudflare").await, |_| ()));
    let keys: Vec<_> = (0..100).map(|n| format!("{n:0512}")).collect();
    let padded = |text: String, length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    for (method, path, keys, fits, too_long) in [
        ("POST", "/n/bulk/get", json!({"keys": keys, "type": "text"}), 300_000, 400_000),
        ("POST", "/n/bulk/delete", json!(keys), 30_000_000, 40_000_000),
        ("DELETE", "/n/bulk", json!(keys), 30_000_000, 40_000_000),
    ] {
        let fits = client.send(method, path, &[], padded(keys.to_string(), fits)).await;
        assert_eq!(fits.status, 200, "{path}");
        let too_long = client.send(method, path, &[], padded(keys.to_string(), too_long)).await;
        assert_eq!(too_long.refusal(), (413, 10001), "{path}");
    }
}

/// The threads that serve go on with others meanwhile.
#[test]
fn what_takes_a_while_is_done_beside_the_threads_that_serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    // The only thread for such work is taken until this is dropped.
    let (taken, until) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || until.recv());
    runtime.block_on(async {
        let client = Client::of(&gateway(|_| ()).await);
        client.put("/n/values/long", vec![b'v'; 100_000]).await.result();
        let keys: Vec<_> = (0..100).map(|n| format!("{n:01000}")).collect();
        let mut written =
            pin!(client.send("PUT", "/n/bulk", &[], json!([{"key": "k", "value": "v".repeat(100_000)}]).to_string()));
        let mut deleted = pin!(client.post("/n/bulk/delete", json!(keys)));
        let mut read = pin!(client.post("/n/bulk/get", json!({"keys": keys})));
        let mut read_long = pin!(client.post("/n/bulk/get", json!({"keys": ["long"]})));
        for call in [
            poll!(written.as_mut()).is_pending(),
            poll!(deleted.as_mut()).is_pending(),
            poll!(read.as_mut()).is_pending(),
            poll!(read_long.as_mut()).is_pending(),
        ] {
            assert!(call);
        }
        assert_eq!(client.send_to("GET", "/healthz", &[], "").await.status, 200);
        drop(taken);
        let all = async { (written.await.status, deleted.await.status, read.await.status, read_long.await.status) };
        let (written, deleted, read, read_long) = in_time(all).await;
        assert_eq!([written, deleted, read, read_long].map(|status| status.as_u16()), [200; 4]);
    });
}

#[test]
fn the_metadata_of_a_form_is_looked_at_beside_the_threads_that_serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let (taken, until) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || until.recv());
    runtime.block_on(async {
        let client = Client::of(&gateway(|_| ()).await);
        let part = |name: &str, content: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        let metadata = json!("m".repeat(100_000)).to_string();
        let form = format!("{}{}--b--\r\n", part("metadata", &metadata), part("value", "v"));
        let kind = ("content-type", "multipart/form-data; boundary=b");
        let headers = [kind];
        let mut written = pin!(client.send("PUT", "/n/values/k", &headers, form));
        // Far more often than a form of this length pauses.
        for _ in 0..1000 {
            assert!(poll!(written.as_mut()).is_pending());
        }
        drop(taken);
        assert_eq!(in_time(written).await.status, 200);
        assert_eq!(client.get("/n/metadata/k").await.result().to_string(), metadata);
    });
}

/// The head of an answer whose body is not taken yet.
async fn begun(client: &Client, path: &str) -> Response {
    let request = Request::get(format!("{BASE}{path}")).body(Body::empty()).unwrap();
    client.0.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn answers_are_bounded_together_until_they_are_sent() {
    let client = Client::of(&gateway(|limits| limits.answers_bytes = 100 * 1024).await);
    for (key, length) in [("small", 100), ("k", 60 * 1024), ("whole", 100 * 1024), ("long", 100 * 1024 + 1)] {
        client.put(&format!("/n/values/{key}"), vec![b'v'; length]).await.result();
    }
    let first = begun(&client, "/n/values/k").await;
    assert_eq!(first.status(), 200);
    let second = client.get("/n/values/k").await;
    assert_eq!((second.refusal(), second.header("retry-after")), ((429, 971), Some("1")));
    assert_eq!(client.post("/n/bulk/get", json!({"keys": ["k"]})).await.refusal(), (429, 971));
    for path in ["/n/values/small", "/n/keys"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    drop(first);
    assert_eq!(client.get("/n/values/k").await.bytes.len(), 60 * 1024);
    assert_eq!(client.get("/n/values/whole").await.bytes.len(), 100 * 1024);
    // It is no use to try again.
    for too_long in
        [client.get("/n/values/long").await, client.post("/n/bulk/get", json!({"keys": ["k", "whole"]})).await]
    {
        assert_eq!((too_long.refusal(), too_long.header("retry-after")), ((413, 10001), None));
    }
}

/// A store that counts how often it was asked for something.
struct Reads(Arc<AtomicUsize>);

impl Intercept for Reads {
    fn before(&self, call: &Call) -> kv_api::Result<()> {
        if matches!(call.operation, Operation::Get | Operation::GetMany | Operation::List) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[tokio::test]
async fn where_there_is_no_room_for_an_answer_the_store_is_not_asked() {
    let reads = Arc::new(AtomicUsize::new(0));
    let store = MemoryStore::default().layer(&Intercepted::new(Reads(Arc::clone(&reads)))).into_store();
    let client = Client::of(&over(store, |limits| limits.answers_bytes = 64 * 1024));
    client.put("/n/values/k", vec![b'v'; 64 * 1024]).await.result();
    let first = begun(&client, "/n/values/k").await;
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    for path in ["/n/values/k", "/n/values/none", "/n/metadata/k", "/n/keys"] {
        assert_eq!(client.get(path).await.refusal(), (429, 971), "{path}");
    }
    assert_eq!(client.post("/n/bulk/get", json!({"keys": ["k"]})).await.refusal(), (429, 971));
    assert_eq!(client.send_to("GET", "/keys?namespace=n", &[], "").await.status, 429);
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    // A write has a short answer.
    assert_eq!(client.put("/n/values/other", "v").await.status, 200);
    drop(first);
    assert_eq!(client.get("/n/values/none").await.status, 404);
}

#[tokio::test]
async fn lists_and_pages_of_them_count_too() {
    let store = open("memory:").await;
    for n in 0..100 {
        store.set(format!("{n:01000}"), "v").metadata(json!("m".repeat(1000))).await.unwrap();
    }
    let client = |bytes| Client::of(&over(store.clone(), |limits| limits.answers_bytes = bytes));
    let little = client(100 * 1024);
    assert_eq!(little.get("/n/keys").await.refusal(), (413, 10001));
    assert_eq!(little.get("/n/keys?limit=10").await.status, 200);
    assert_eq!(little.send_to("GET", "/keys?namespace=n", &[], "").await.status, 413);
    // The first page is as long as there are namespaces.
    let namespaces = (0..100).map(|n| namespace(&format!("n{n}"), store.clone()));
    let mut limits = Limits::default();
    limits.answers_bytes = 16 * 1024;
    let many = Gateway::builder(namespaces, Access::Open { loopback: true }).with_limits(limits).build().unwrap();
    assert_eq!(Client::of(&many).send_to("GET", "/", &[], "").await.status, 413);
    let ample = client(1024 * 1024);
    assert_eq!(ample.get("/n/keys").await.result().as_array().unwrap().len(), 100);
    assert_eq!(ample.send_to("GET", "/keys?namespace=n", &[], "").await.status, 200);
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
