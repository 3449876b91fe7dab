//! Hostile input: no panic, no growth, nothing reached that the token does not allow.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{BackendExt, Store};
use kv_gateway::{Access, Gateway, Tokens};
use kv_layers::{Call, Intercept, Intercepted, Operation};
use kv_memory::MemoryStore;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::harness::{BASE, BOTH_OF_A, READER, Running, in_time, namespace};

const REQUESTS: u32 = 10_000;
/// So many of them at once.
const AT_ONCE: u32 = 20;
const PAUSE: Duration = Duration::from_millis(20);
/// Reads the namespace `r`, and may not change it.
const READS_R: &str = "reads-only-in-r-00001";
/// Changes the namespace `w`, and may not read it.
const WRITES_W: &str = "writes-only-in-w-0001";
/// What no answer may hold, and no request may change.
const CANARY: &str = "c4nary-v4lue";
const SERVER_THREAD: &str = "gateway-under-test";

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of the server's threads; those of other tests are their own.
fn watch_for_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() == Some(SERVER_THREAD) {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
}

fn bytes(text: &'static str) -> BoxedStrategy<Vec<u8>> {
    Just(text.as_bytes().to_vec()).boxed()
}

fn method() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => select(vec!["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "get", "PATCH"])
            .prop_map(|method| method.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..12),
    ]
}

/// Pieces of paths, which are put together as they come.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        select(vec![
            "/",
            "//",
            "/a",
            "/b",
            "/values/",
            "/metadata/",
            "/keys",
            "/bulk",
            "/bulk/get",
            "/bulk/delete",
            "k",
            ".",
            "..",
            "/../",
            "/./",
            "%2e%2e",
            "%2E%2E%2F",
            "%2F",
            "%00",
            "%0d%0a",
            "%zz",
            "%",
            "%C3%28",
            "?",
            "&",
            "prefix=",
            "limit=",
            "limit=10",
            "cursor=",
            "cursor=AAAA",
            "expiration=",
            "expiration_ttl=60",
            "#",
            "é",
            "999999999999999999999",
            "-1",
            "/../../b/values/k",
            "..%2f..%2fb%2fvalues%2fk",
            "secret",
            "%0d%0ax-evil: 1",
            "\\",
            ";",
            "b",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        vec(any::<u8>(), 0..6),
    ];
    let start = prop_oneof![
        6 => bytes(BASE),
        1 => bytes("/keys?namespace=b&key=secret"),
        1 => bytes("/client/v4"),
        1 => bytes("http://localhost/"),
        1 => bytes(""),
    ];
    (start, vec(piece, 0..8)).prop_map(|(mut start, pieces)| {
        start.extend(pieces.concat());
        start
    })
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    const PLAIN: [&str; 13] = [
        "content-type: application/json",
        "content-type: multipart/form-data; boundary=b",
        "if-match: *",
        "if-match: \"v\"",
        "if-none-match: *",
        "connection: close",
        "range: bytes=0-",
        "x-forwarded-for: 127.0.0.1",
        "cookie: token=reads-everything-0001",
        "expect: 100-continue",
        "content-encoding: identity",
        "accept-encoding: gzip",
        "x-original-url: /b/values/secret",
    ];
    const NASTY: [&str; 15] = [
        "content-length: 0",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 4294967296",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "content-type: multipart/form-data",
        "content-type: multipart/form-data; boundary=",
        "if-none-match: \"\x7f\"",
        "host: evil",
        "connection: upgrade\r\nupgrade: websocket",
        "content-encoding: gzip",
        "x: a\r\nauthorization: Bearer reads-everything-0001x",
        " folded: line",
        "authorization: Basic OnJlYWRz",
    ];
    prop_oneof![
        8 => select(PLAIN.to_vec()).prop_map(|header| header.as_bytes().to_vec()),
        3 => select(NASTY.to_vec()).prop_map(|header| header.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ]
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    let bearer = |token| Just(format!("authorization: Bearer {token}").into_bytes());
    prop_oneof![
        6 => bearer(BOTH_OF_A),
        2 => bearer(READS_R),
        2 => bearer(WRITES_W),
        1 => bytes(""),
        1 => bytes("authorization: Bearer wrong"),
        1 => vec(any::<u8>(), 0..30).prop_map(|bytes| [b"authorization: Bearer ", &bytes[..]].concat()),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let known = vec![
        "",
        "[]",
        "{}",
        "null",
        "[[[[",
        r#"[{"key":"secret","value":"x"}]"#,
        r#"[{"key":"k","value":"v","base64":true}]"#,
        r#"{"keys":["secret"]}"#,
        r#"{"keys":["k"],"type":"json","withMetadata":true}"#,
        r#"["secret"]"#,
        "--b\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\nv\r\n--b--\r\n",
        "--b\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nx",
        "0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    ];
    prop_oneof![
        4 => select(known).prop_map(|body| body.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..200),
    ]
}

/// A method and a path that belong together, in namespaces that a token is for and in one that none is for.
fn route() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    const ROUTES: [(&str, &str); 12] = [
        ("GET", "/values/secret"),
        ("HEAD", "/values/secret"),
        ("PUT", "/values/secret?expiration_ttl=60"),
        ("PUT", "/values/k?expiration=-1"),
        ("DELETE", "/values/secret"),
        ("GET", "/metadata/secret"),
        ("GET", "/keys?limit=10&cursor=%00"),
        ("GET", "/keys?prefix=s"),
        ("PUT", "/bulk"),
        ("POST", "/bulk/get"),
        ("POST", "/bulk/delete"),
        ("DELETE", ""),
    ];
    (select(ROUTES.to_vec()), select(vec!["a", "a", "a", "b", "r", "w"])).prop_map(|((method, tail), namespace)| {
        (method.as_bytes().to_vec(), format!("{BASE}/{namespace}{tail}").into_bytes())
    })
}

/// What is nearly a request.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let version = prop_oneof![18 => bytes("HTTP/1.1"), 1 => bytes("HTTP/1.0"), 1 => bytes("HTTP/2.0"), 1 => bytes("")];
    let route = prop_oneof![3 => route().boxed(), 2 => (method(), path()).boxed()];
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    let parts =
        (route, version, token(), vec(header(), 0..4), body(), any::<bool>(), prop::bool::weighted(0.9), damage);
    parts.prop_map(|((method, path), version, token, headers, body, has_length, closes, damage)| {
        let mut lines = vec![[&method[..], b" ", &path, b" ", &version].concat(), b"host: localhost".to_vec()];
        lines.push(token);
        lines.extend(headers);
        if has_length {
            lines.push(format!("content-length: {}", body.len()).into_bytes());
        }
        if closes {
            lines.push(b"connection: close".to_vec());
        }
        lines.retain(|line| !line.is_empty());
        let mut request = [&lines.join(&b"\r\n"[..])[..], b"\r\n\r\n", &body].concat();
        if let Some((at, byte)) = damage {
            let at = at.index(request.len());
            request[at] = byte;
        }
        request
    })
}

/// All that the server says to it. One that is not whole is ended after a pause, in which a whole one is answered: a
/// server may drop a request whose sender hangs up.
async fn said_to(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close first: what it says is what counts.
    let _ = stream.write_all(request).await;
    let mut said = Vec::new();
    if timeout(PAUSE, stream.read_to_end(&mut said)).await.is_err() {
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut said).await;
    }
    said
}

/// How many reads and changes a store was asked for.
#[derive(Clone, Default)]
struct Asked {
    reads: Arc<AtomicUsize>,
    changes: Arc<AtomicUsize>,
}

impl Asked {
    fn store(&self) -> Store {
        MemoryStore::default().layer(&Intercepted::new(self.clone())).into_store()
    }

    fn so_far(&self) -> (usize, usize) {
        (self.reads.load(Ordering::SeqCst), self.changes.load(Ordering::SeqCst))
    }
}

impl Intercept for Asked {
    fn before(&self, call: &Call) -> kv_api::Result<()> {
        let count = match call.operation {
            Operation::Get | Operation::GetMany | Operation::List => &self.reads,
            Operation::Ping | Operation::Close => return Ok(()),
            _ => &self.changes,
        };
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(SERVER_THREAD).enable_all().build().unwrap()
}

#[test]
fn ten_thousand_malformed_requests_reach_nothing() {
    watch_for_panics();
    let (server, client) = (runtime(), Builder::new_current_thread().enable_all().build().unwrap());
    let b = Store::new(MemoryStore::default());
    let (of_r, of_w) = (Asked::default(), Asked::default());
    let (address, _running) = server.block_on(async {
        b.set("secret", CANARY).await.unwrap();
        let a = namespace("a", Store::new(MemoryStore::default()));
        let (r, w) = (namespace("r", of_r.store()), namespace("w", of_w.store()));
        let tokens = format!("{READER} read\n{BOTH_OF_A} read,write a\n{READS_R} read r\n{WRITES_W} write w");
        let access = Access::Tokens(Tokens::parse(&tokens).unwrap());
        let gateway = Gateway::builder([a, namespace("b", b.clone()), r, w], access).build().unwrap();
        let running = Running::start(gateway).await;
        (running.address, running)
    });
    let config =
        Config { cases: REQUESTS / AT_ONCE, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    // How many answers were the gateway's own refusals, and how many were successes.
    let (refused, done) = (Cell::new(0), Cell::new(0));
    TestRunner::new(config)
        .run(&vec(request(), AT_ONCE as usize), |requests| {
            let said = client.block_on(in_time(join_all(requests.iter().map(|request| said_to(address, request)))));
            for said in said {
                prop_assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&said));
                prop_assert!(!said.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
                // No header that was sent inside of something else comes back.
                prop_assert!(!said.windows(9).any(|window| window.eq_ignore_ascii_case(b"x-evil: 1")));
                let counter = if said.starts_with(b"HTTP/1.1 2") { &done } else { &refused };
                let is_ours = said.windows(10).any(|window| window == b"\"success\":");
                counter.set(counter.get() + u32::from(is_ours));
            }
            Ok(())
        })
        .unwrap();

    // So many got as far as to be understood, and so many were even answered as they ask.
    assert!(refused.get() > REQUESTS / 5 && done.get() > REQUESTS / 100, "{} {}", refused.get(), done.get());
    // Another one is answered as if nothing had been, and no place is still taken.
    let page = client.block_on(said_to(
        address,
        format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {}\r\nconnection: close\r\n\r\n",
            basic(READER)
        )
        .as_bytes(),
    ));
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("<p>0 of 256 requests under way.</p>"), "{page}");
    let left = client.block_on(async { (b.get("secret").await.unwrap(), b.count("").await.unwrap()) });
    assert_eq!(left, (Some(CANARY.into()), 1));
    // What a token is for was reached, and nothing else.
    let ((read, changes), (reads, changed)) = (of_r.so_far(), of_w.so_far());
    assert!(read > 0 && changes == 0 && reads == 0 && changed > 0, "{read} {changes} {reads} {changed}");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

/// Only Linux tells what a process holds. Values are small, so what the stores keep of them is little.
#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_malformed_requests_leave_no_memory_taken() {
    use crate::command::{set_mode, start};
    use proptest::strategy::ValueTree;

    const GROWTH_MAX: u64 = 8 * 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, format!("{BOTH_OF_A} read,write a\n{READS_R} read r\n{WRITES_W} write w\n")).unwrap();
    set_mode(&path, 0o600);
    let namespaces =
        ["--namespace=a=memory:", "--namespace=b=memory:", "--namespace=r=memory:", "--namespace=w=memory:"];
    let process = start(&[&namespaces[..], &["--token-file", path.to_str().unwrap()]].concat());
    let address = process.address.parse().unwrap();
    let client = Builder::new_current_thread().enable_all().build().unwrap();
    let (mut runner, requests) = (TestRunner::deterministic(), vec(request(), AT_ONCE as usize));
    let mut send = |count| {
        for _ in 0..count / AT_ONCE {
            let requests = requests.new_tree(&mut runner).unwrap().current();
            client.block_on(in_time(join_all(requests.iter().map(|request| said_to(address, request)))));
        }
    };
    send(REQUESTS / 10);
    let before = process.memory().0;
    send(REQUESTS - REQUESTS / 10);
    let after = process.memory().0;
    assert!(after < before + GROWTH_MAX, "{before} {after}");
    assert_eq!(process.end_with("-TERM").status.code(), Some(0));
}

/// Only Linux tells what a process held at most.
#[cfg(target_os = "linux")]
#[test]
fn many_members_of_json_take_little_more_than_their_text() {
    use crate::command::start;

    let process = start(&["--namespace=n=memory:?like=cloudflare"]);
    let members: Vec<_> = (0..500_000).map(|n| format!(r#""{n:08}":1"#)).collect();
    let members = members.join(",");
    let (_, before) = process.memory();
    let (bulk, get) = (format!("{BASE}/n/bulk"), format!("{BASE}/n/bulk/get"));
    // Members that nobody knows, and metadata beyond the limit of the store.
    for (method, path, body, status) in [
        ("PUT", &bulk, format!(r#"[{{"key":"k","value":"v",{members}}}]"#), 200),
        ("PUT", &bulk, format!(r#"[{{"key":"k","value":"v","metadata":{{{members}}}}}]"#), 413),
        ("POST", &get, format!(r#"{{"keys":["k"],{}}}"#, &members[..13 * 10_000 - 1]), 200),
    ] {
        let answer = process.ask(method, path, "", &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        let (_, most) = process.memory();
        assert!(most - before < 4 * members.len() as u64, "{method} {path}: {} of {}", most - before, members.len());
    }
    assert_eq!(process.end_with("-TERM").status.code(), Some(0));
}

/// Only Linux tells what a process held at most.
#[cfg(target_os = "linux")]
#[test]
fn a_bulk_write_is_taken_apart_into_no_more_than_its_length() {
    use crate::command::start;

    let long = 40_000_000;
    let keys: Vec<_> = (0..9_000).map(|n| format!(r#"{{"key":"{n:04400}","value":""}},"#)).collect();
    // What stands last refuses all.
    for items in [format!(r#"{{"key":"k","value":"{}","base64":true}},"#, "A".repeat(long)), keys.concat()] {
        let body = format!("[{items}1]");
        let process = start(&["--namespace=n=memory:"]);
        let (_, before) = process.memory();
        let answer = process.ask("PUT", &format!("{BASE}/n/bulk"), "", &body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let (_, most) = process.memory();
        let (grown, allowed) = (most - before, 9 * body.len() as u64 / 4);
        assert!(grown < allowed, "{grown} of {allowed}");
        assert_eq!(process.end_with("-TERM").status.code(), Some(0));
    }
}

fn basic(token: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!(":{token}"))
}
