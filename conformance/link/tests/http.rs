//! A link before a server that speaks HTTP: what it counts, and how it breaks.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
use kv_fakes::{FakeServer, ServerOptions};
use kv_link::{Link, Protocol, Target};
use reqwest::{Client, Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far more than any step takes.
const LONG: Duration = Duration::from_secs(60);

async fn in_time<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, step).await.expect("an answer or an end")
}

/// A fake of Cloudflare and a link before it.
struct Bench {
    server: FakeServer,
    link: Link,
    base_url: String,
    client: Client,
}

impl Bench {
    async fn new() -> Self {
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        let (link, base_url) = Link::to_url(server.base_url(), Protocol::Http).await.unwrap();
        Self { server, link, base_url, client: Client::new() }
    }

    async fn send(&self, method: Method, key: &str) -> reqwest::Result<(u16, Vec<u8>)> {
        let url = format!("{}/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}/values/{key}", self.base_url);
        let request = self.client.request(method.clone(), url).bearer_auth(TOKEN);
        let request = if method == Method::PUT { request.body("value") } else { request };
        read(in_time(request.send()).await?).await
    }

    async fn put(&self, key: &str) -> reqwest::Result<(u16, Vec<u8>)> {
        self.send(Method::PUT, key).await
    }

    async fn get(&self, key: &str) -> reqwest::Result<(u16, Vec<u8>)> {
        self.send(Method::GET, key).await
    }
}

async fn read(answer: Response) -> reqwest::Result<(u16, Vec<u8>)> {
    let status = answer.status().as_u16();
    Ok((status, in_time(answer.bytes()).await?.to_vec()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_passes_as_it_is() {
    let bench = Bench::new().await;
    assert_eq!(bench.put("a").await.unwrap().0, 200);
    assert_eq!(bench.get("a").await.unwrap(), (200, b"value".to_vec()));
    assert_eq!(bench.get("b").await.unwrap().0, 404);
    assert_eq!((bench.link.requests(), bench.server.requests()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_met_once_and_seen_for_what_it_is() {
    let mut met = 0;
    for fault in Fault::ALL.iter().copied() {
        let bench = Bench::new().await;
        if !bench.link.offers(fault) {
            continue;
        }
        met += 1;
        // The connection is there already.
        assert_eq!(bench.get("a").await.unwrap().0, 404);
        bench.link.inject_into_writes(fault, 1);
        if fault != Fault::Refused {
            assert_eq!(bench.get("a").await.unwrap().0, 404, "{fault:?}");
            assert_eq!(bench.link.faults_left(), 1, "{fault:?}");
        }
        let requests = bench.link.requests();
        let answer = bench.put("a").await;
        let is_counted = bench.link.requests() - requests;
        match (fault, answer) {
            (Fault::Refused, Err(error)) => assert!(error.is_connect(), "{error:?}"),
            (Fault::RequestLost | Fault::AnswerLost | Fault::AnswerTruncated, Err(error)) => {
                assert!(!error.is_connect(), "{error:?}");
            }
            (Fault::Throttled, Ok((status, _))) => assert_eq!(status, 429),
            (Fault::FailureReported, Ok((status, body))) => {
                assert_eq!((status, &body[..]), (500, &b"Internal Server Error\n"[..]));
            }
            (Fault::AnswerGarbled, Ok((status, body))) => {
                assert_eq!(status, 200);
                assert!(String::from_utf8(body).is_err());
            }
            (fault, answer) => panic!("{fault:?}: {answer:?}"),
        }
        let is_carried_out = !matches!(fault, Fault::Refused | Fault::Throttled | Fault::RequestLost);
        assert_eq!(bench.server.keys().len(), usize::from(is_carried_out), "{fault:?}");
        assert_eq!(is_counted, u64::from(fault != Fault::Refused), "{fault:?}");
        bench.link.inject(fault, 0);
        assert_eq!(bench.put("a").await.unwrap().0, 200, "{fault:?}");
    }
    assert_eq!(met, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_status_can_be_answered() {
    let bench = Bench::new().await;
    bench.link.answer_with("503", 1);
    assert_eq!(bench.put("a").await.unwrap(), (503, Vec::new()));
    bench.link.answer_writes_with("403", 1);
    assert_eq!(bench.get("a").await.unwrap().0, 404);
    assert_eq!(bench.put("a").await.unwrap(), (403, Vec::new()));
    assert_eq!((bench.server.requests(), bench.link.requests()), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_any_bytes_is_never_garbled() {
    let bench = Bench::new().await;
    bench.put("a").await.unwrap();
    bench.link.inject(Fault::AnswerGarbled, 1);
    assert_eq!(bench.get("a").await.unwrap(), (200, b"value".to_vec()));
    assert_eq!(bench.link.faults_left(), 1);
    assert!(String::from_utf8(bench.put("a").await.unwrap().1).is_err());
    assert_eq!(bench.link.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_says_what_a_write_is() {
    let (server, _) = scripted(|_| Script::answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let link = Link::open_to(Target::new(server, Protocol::Http).with_writes(|request| {
        request.method == "POST" && request.path == "/call?x=y" && request.body.starts_with(b"set")
    }))
    .unwrap();
    link.inject_into_writes(Fault::Throttled, 1);
    let client = Client::new();
    let post = async |path: &str, body: reqwest::Body| {
        let url = format!("http://{}{path}", link.address());
        read(in_time(client.post(url).body(body).send()).await.unwrap()).await.unwrap().0
    };
    assert_eq!(post("/call?x=y", "get".into()).await, 200);
    assert_eq!(post("/other", "set".into()).await, 200);
    assert_eq!(post("/call?x=y", "".into()).await, 200);
    let chunks = ["s", "et", " a"].map(Ok::<_, std::io::Error>);
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(post("/call?x=y", chunked).await, 429);
    link.inject_into_writes(Fault::Throttled, 1);
    // More than is looked at, and more than is held.
    assert_eq!(post("/call?x=y", "get".repeat(100_000).into()).await, 200);
    assert_eq!(post("/call?x=y", "set".repeat(100_000).into()).await, 429);
}

/// What a scripted server does with a request.
struct Script {
    answer: Vec<u8>,
    closes: bool,
}

impl Script {
    fn answer(text: &str) -> Self {
        Self { answer: text.as_bytes().to_vec(), closes: false }
    }

    fn last(text: &str) -> Self {
        Self { answer: text.as_bytes().to_vec(), closes: true }
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A server that answers each head of a request by a script. Bodies are left unread, and so is what is no head.
async fn scripted(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (script, seen) = (Arc::new(script), Seen::default());
    let heads = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (script, heads) = (Arc::clone(&script), Arc::clone(&heads));
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    while let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(&bytes[..end + 4]).into_owned();
                        bytes.drain(..end + 4);
                        let Some(begin) = ["GET ", "HEAD ", "PUT ", "POST "].iter().find_map(|word| head.find(word))
                        else {
                            continue;
                        };
                        heads.lock().unwrap().push(head[begin..].to_owned());
                        let Script { answer, closes } = script(&head[begin..]);
                        if stream.write_all(&answer).await.is_err() || closes {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

/// Sends these bytes in pieces of this size, and reads until the connection ends or so many bytes have come.
async fn exchange(link: &Link, bytes: &[u8], size: usize, most: usize) -> String {
    let stream = TcpStream::connect(link.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut from, mut to) = stream.into_split();
    let reading = async {
        let mut read = Vec::new();
        while read.len() < most && matches!(from.read_buf(&mut read).await, Ok(1..)) {}
        String::from_utf8(read).unwrap()
    };
    let writing = async {
        for piece in bytes.chunks(size) {
            if to.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        to
    };
    in_time(futures_util::future::join(reading, writing)).await.0
}

const ANSWERS: [(&str, &str); 9] = [
    ("GET /length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"),
    (
        "GET /chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5;a=b\r\n56789\r\n0\r\nA: b\r\n\r\n",
    ),
    ("HEAD /length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    ("GET /empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("GET /none", "HTTP/1.1 204 No Content\r\n\r\n"),
    ("GET /same", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
    ("GET /early", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"),
    ("POST /post", "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx"),
    ("GET /end", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
];

fn script_of_answers(head: &str) -> Script {
    let (name, answer) = ANSWERS.iter().find(|(begin, _)| head.starts_with(&format!("{begin} "))).unwrap();
    if *name == "GET /end" { Script::last(answer) } else { Script::answer(answer) }
}

fn head(name: &str) -> String {
    let headers = if name.starts_with("POST") { "Content-Length: 3\r\n" } else { "" };
    let body = if name.starts_with("POST") { "abc" } else { "" };
    format!("{name} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_an_answer_passes_as_it_is_also_pipelined() {
    let (server, seen) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    let requests: String = ANSWERS.iter().map(|(name, _)| head(name)).collect();
    let answers: String = ANSWERS.iter().map(|(_, answer)| *answer).collect();
    for size in [1, 7, 100_000] {
        let before = link.requests();
        assert_eq!(exchange(&link, requests.as_bytes(), size, usize::MAX).await, answers, "{size}");
        assert_eq!(link.requests() - before, ANSWERS.len() as u64);
    }
    assert_eq!(seen.lock().unwrap().len(), 3 * ANSWERS.len());
    assert!(seen.lock().unwrap()[0].contains("Host: a\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_an_answer_meets_its_fault() {
    let (server, _) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    for (name, whole) in ANSWERS {
        let request = head(name);
        for size in [1, 100_000] {
            link.inject(Fault::AnswerTruncated, 1);
            let part = exchange(&link, request.as_bytes(), size, usize::MAX).await;
            let hints = whole.find("HTTP/1.1 200").filter(|_| name == "GET /early").unwrap_or(0);
            // Hints before an answer that is changed are left out.
            let answer = &whole[hints..];
            assert!(part.len() < answer.len() && answer.starts_with(&part), "{name}: {part:?}");
            // What a client cannot see the end of breaks off before it begins.
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let has_end = head.contains("chunked") || (head.contains("Content-Length") && !body.is_empty());
            assert_eq!(part.contains("\r\n\r\n"), has_end, "{name}: {part:?}");

            link.inject(Fault::AnswerLost, 1);
            assert_eq!(exchange(&link, request.as_bytes(), size, usize::MAX).await, "", "{name}");
            link.inject(Fault::RequestLost, 1);
            assert_eq!(exchange(&link, request.as_bytes(), size, usize::MAX).await, "", "{name}");

            link.inject(Fault::FailureReported, 1);
            // The next request finds where the answer to the one before has ended. A server that ends with its answer
            // has none to it.
            let body = if name.starts_with("HEAD") { "" } else { "Internal Server Error\n" };
            let (next, last) = if name == "GET /end" { ("", "Connection: close\r\n") } else { (whole, "") };
            let failed = format!(
                "HTTP/1.1 500 Internal Server Error\r\n{last}Content-Type: text/plain\r\nContent-Length: 22\r\n\r\n\
                 {body}{next}"
            );
            let two = format!("{request}{request}");
            assert_eq!(exchange(&link, two.as_bytes(), size, failed.len()).await, failed, "{name}");
            assert_eq!(link.faults_left(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_pipelined_requests_one_meets_the_fault_and_the_order_stays() {
    let (server, seen) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    let (one, two) = (head("POST /post"), head("GET /length"));
    let [posted, got] = ["POST /post", "GET /length"].map(|name| ANSWERS.iter().find(|(begin, _)| *begin == name));
    let (posted, got) = (posted.unwrap().1, got.unwrap().1);
    link.inject_into_writes(Fault::Throttled, 1);
    let pipeline = format!("{two}{one}{two}");
    let answers = exchange(&link, pipeline.as_bytes(), 11, got.len() * 2 + 100).await;
    let rest = answers.strip_prefix(got).unwrap();
    assert!(rest.starts_with("HTTP/1.1 429 ") && rest.contains("Retry-After: 0\r\n") && rest.ends_with(got), "{rest}");
    assert_eq!(seen.lock().unwrap().len(), 2);

    link.inject_into_writes(Fault::AnswerLost, 1);
    // What comes after it reaches nobody.
    assert_eq!(exchange(&link, pipeline.as_bytes(), 100_000, usize::MAX).await, got);
    assert_eq!(seen.lock().unwrap().len(), 4);
    assert_eq!(exchange(&link, one.as_bytes(), 100, posted.len()).await, posted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_before_its_body_is_waited_for() {
    let (server, seen) = scripted(|head| {
        let go_on = if head.contains("Expect") { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
        Script::answer(&format!("{go_on}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"))
    })
    .await;
    let link = Link::open_to(Target::new(server, Protocol::Http).with_writes(|request| request.path == "/w")).unwrap();
    let head = "PUT /w HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let whole = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
    // Without a word the body is not sent: the head alone has to pass, or to be answered.
    assert_eq!(exchange(&link, head.as_bytes(), 100, whole.len()).await, whole);
    link.inject_into_writes(Fault::Throttled, 1);
    assert!(exchange(&link, head.as_bytes(), 100, usize::MAX).await.starts_with("HTTP/1.1 429 "));
    link.inject_into_writes(Fault::RequestLost, 1);
    assert_eq!(exchange(&link, head.as_bytes(), 100, usize::MAX).await, "");
    assert_eq!(seen.lock().unwrap().len(), 1);
    link.inject_into_writes(Fault::AnswerLost, 1);
    let begun = exchange(&link, format!("{head}abc").as_bytes(), 100, usize::MAX).await;
    assert_eq!((begun.as_str(), seen.lock().unwrap().len()), ("HTTP/1.1 100 Continue\r\n\r\n", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_any_more_passes() {
    let (server, _) = scripted(|head| {
        if head.contains("Upgrade") {
            Script::answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x01\x02no http")
        } else {
            Script::last("HTTP/1.1 200 OK\r\n\r\nplain")
        }
    })
    .await;
    let link = Link::open(server, Protocol::Http).unwrap();
    link.inject(Fault::Throttled, 1);
    let upgrade = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    // The request in what follows is none of the link's.
    let answers = exchange(&link, format!("{upgrade}{}", head("GET /length")).as_bytes(), 9, usize::MAX).await;
    assert!(answers.ends_with("\x01\x02no httpHTTP/1.1 200 OK\r\n\r\nplain"), "{answers:?}");
    assert_eq!((link.requests(), link.faults_left()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_at_all_ends_the_connection() {
    let (server, seen) = scripted(|_| Script::answer("no http\r\n\r\n")).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    for request in [
        "no http\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno chunk".to_owned(),
        format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(20_000)),
        head("GET /"),
    ] {
        assert_eq!(exchange(&link, request.as_bytes(), 100_000, usize::MAX).await, "", "{request:?}");
    }
    // The chunked one was known to be no request only after its head.
    assert!(seen.lock().unwrap().len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_asked_by_its_own_name() {
    let (server, seen) = scripted(|_| Script::answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let (link, url) =
        Link::to_url(&format!("http://api.puter.localhost:{}/base", server.port()), Protocol::Http).await.unwrap();
    assert_eq!(url, format!("http://{}/base", link.address()));
    assert_eq!(in_time(Client::new().get(format!("{url}/a?b=c")).send()).await.unwrap().status(), 200);
    let seen = seen.lock().unwrap()[0].clone();
    assert!(seen.starts_with("GET /base/a?b=c HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nHost: api.puter.localhost:{}\r\n", server.port())), "{seen}");
    assert!(!seen.contains("127.0.0.1"), "{seen}");
    assert!(Target::new(server, Protocol::Http).with_host("a\r\nb").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_is_refused_by_the_operating_system_and_ends_what_is_idle() {
    let bench = Bench::new().await;
    assert_eq!(bench.get("a").await.unwrap().0, 404);
    for _ in 0..3 {
        bench.link.inject(Fault::Refused, 1);
        // No connection that is idle is tried first.
        let error = bench.put("a").await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        bench.link.inject(Fault::Refused, 0);
        assert_eq!(bench.get("a").await.unwrap().0, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_end_with_the_link() {
    let (server, _) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    let mut idle = TcpStream::connect(link.address()).await.unwrap();
    let whole = ANSWERS[0].1;
    idle.write_all(head("GET /length").as_bytes()).await.unwrap();
    let mut answer = vec![0; whole.len()];
    in_time(idle.read_exact(&mut answer)).await.unwrap();
    let address = link.address();
    tokio::task::spawn_blocking(move || drop(link)).await.unwrap();
    // An end by a reset is an end too.
    assert!(matches!(in_time(idle.read(&mut answer)).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_reads_slowly_holds_the_other_up() {
    const LENGTH: usize = 64 << 20;
    /// More than the buffers of the operating system take, with those of the link.
    const AHEAD_MAX: usize = 32 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::open(listener.local_addr().unwrap(), Protocol::Http).unwrap();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (mut server, _) = in_time(listener.accept()).await.unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&written);
    let writing = tokio::spawn(async move {
        // A connection that is closed with something unread is reset.
        server.read_exact(&mut [0; 18]).await.unwrap();
        server.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).await.unwrap();
        let piece = vec![b'x'; 1 << 16];
        while counting.load(Ordering::Relaxed) < LENGTH {
            server.write_all(&piece).await.unwrap();
            counting.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let (mut read, mut piece) = (0, vec![0; 1 << 16]);
    while read < LENGTH {
        read += in_time(client.read(&mut piece)).await.unwrap();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let ahead = written.load(Ordering::Relaxed).saturating_sub(read);
        assert!(ahead <= AHEAD_MAX, "{ahead} bytes were taken that nobody read");
    }
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_the_end_gets_it_from_the_link_too() {
    let (server, seen) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    for request in [
        "GET /length HTTP/1.1\r\nConnection: keep-alive, Close\r\n\r\n",
        "POST /post HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        "GET /length HTTP/1.0\r\n\r\n",
    ] {
        link.answer_with("503", 1);
        let answer = exchange(&link, request.as_bytes(), 100, usize::MAX).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    assert_eq!(seen.lock().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_in_the_place_of_a_last_answer_says_that_it_is_the_last() {
    let (server, _) =
        scripted(|_| Script::last("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    link.inject(Fault::FailureReported, 1);
    let answer = exchange(&link, head("GET /").as_bytes(), 100, usize::MAX).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_before_the_body_is_lost_at_once() {
    let (server, _) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    for fault in [Fault::AnswerLost, Fault::AnswerTruncated] {
        link.inject(fault, 1);
        // The rest of the body is never sent.
        let request = "POST /post HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc";
        let answer = exchange(&link, request.as_bytes(), 100, usize::MAX).await;
        assert!(answer.len() < ANSWERS[7].1.len(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_said_before_it_hung_up_arrives() {
    const ANSWER: &str = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::open(listener.local_addr().unwrap(), Protocol::Http).unwrap();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    client.write_all(format!("{head}abc").as_bytes()).await.unwrap();
    let (mut server, _) = in_time(listener.accept()).await.unwrap();
    in_time(server.read_exact(&mut vec![0; head.len()])).await.unwrap();
    link.stall(true);
    client.write_all(b"more").await.unwrap();
    server.write_all(ANSWER.as_bytes()).await.unwrap();
    // With something unread it resets the connection.
    drop(server);
    link.stall(false);
    let mut answer = Vec::new();
    in_time(client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), ANSWER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_client_comes_after_all_that_it_has_sent() {
    let (server, seen) = scripted(|_| Script::answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    link.stall(true);
    // What follows an upgrade waits for the answer to it.
    let upgrade = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    client.write_all(format!("{upgrade}{}", head("GET /next")).as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    link.stall(false);
    let mut answers = Vec::new();
    in_time(client.read_to_end(&mut answers)).await.unwrap();
    assert_eq!(String::from_utf8(answers).unwrap().matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_slow_to_read_gets_all_of_the_last_answer() {
    const LENGTH: usize = 256 << 10;
    let (server, _) = scripted(|head| {
        let body = if head.starts_with("GET /large") { "x".repeat(LENGTH) } else { String::new() };
        Script::last(&format!("HTTP/1.1 200 OK\r\n\r\n{body}"))
    })
    .await;
    let link = Link::open(server, Protocol::Http).unwrap();
    let mut slow = TcpStream::connect(link.address()).await.unwrap();
    slow.write_all(head("GET /large").as_bytes()).await.unwrap();
    // Until another that has ended as well is waited for no longer.
    let mut other = TcpStream::connect(link.address()).await.unwrap();
    other.write_all(head("GET /small").as_bytes()).await.unwrap();
    in_time(other.read_to_end(&mut Vec::new())).await.unwrap();
    let given_up = async {
        while other.write_all(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    in_time(given_up).await;
    let mut answer = Vec::new();
    in_time(slow.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer.len(), LENGTH + "HTTP/1.1 200 OK\r\n\r\n".len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_gets_the_answer_that_was_ordered_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::open(listener.local_addr().unwrap(), Protocol::Http).unwrap();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    let (mut server, _) = in_time(listener.accept()).await.unwrap();
    for (count, error) in [(1, None), (2, Some("503")), (3, Some("403"))] {
        if let Some(error) = error {
            link.answer_with(error, 1);
        }
        client.write_all(head("GET /").as_bytes()).await.unwrap();
        while link.requests() < count {
            tokio::task::yield_now().await;
        }
    }
    // The first is answered after all of them have come.
    in_time(server.read_exact(&mut vec![0; head("GET /").len()])).await.unwrap();
    server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    let mut answers = vec![0; 27 + 2 * 79];
    in_time(client.read_exact(&mut answers)).await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    let seen: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(seen, ["204", "503", "403"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_line_after_a_request_is_no_other_one() {
    let (server, seen) = scripted(script_of_answers).await;
    let link = Link::open(server, Protocol::Http).unwrap();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    client.write_all(format!("{}\r\n", head("GET /length")).as_bytes()).await.unwrap();
    let mut answer = vec![0; ANSWERS[0].1.len()];
    in_time(client.read_exact(&mut answer)).await.unwrap();
    link.inject(Fault::Refused, 1);
    // It is idle, so it has ended.
    assert!(matches!(in_time(client.read(&mut answer)).await, Ok(0) | Err(_)));
    assert_eq!(seen.lock().unwrap().len(), 1);
}
