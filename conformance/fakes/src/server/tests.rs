//! How a server behaves, whichever engine it has.

use std::time::Duration;

use kv_api::{ManualClock, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::fault::Applied;
use crate::model::{Answer, Quota, Request};

macro_rules! under_both_engines {
    ($($test:ident)*) => {
        mod under_wiremock {
            $(#[tokio::test] async fn $test() { super::$test(super::Engine::Wiremock).await; })*
        }
        mod under_hyper {
            $(#[tokio::test] async fn $test() { super::$test(super::Engine::Hyper).await; })*
        }
    };
}

under_both_engines! {
    a_server_ends_also_in_a_task_that_has_used_up_its_turn
    counts_logs_and_hides_secrets
    breaks_as_many_requests_as_ordered_before_or_after_they_are_carried_out
    a_fault_by_chance_is_of_every_kind_and_an_ordered_one_goes_before
    truncates_and_garbles_what_was_carried_out
    keeps_silent_until_it_ends
    ends_with_its_last_clone_and_frees_whoever_waits
    limits_the_rate_by_its_clock
    holds_every_answer_back
    a_port_in_use_is_an_error
    closes_every_connection_and_keeps_its_data_when_it_is_restarted
    remembers_as_many_exchanges_as_it_is_told_to
}

/// More than both ends of a connection hold.
const LONG: usize = 32 * 1024 * 1024;

/// Counts what is carried out and says so; a path is a secret.
struct Counting(u64);

impl Model for Counting {
    fn answer(&mut self, request: &Request<'_>, _now: Timestamp) -> Answer {
        self.0 += 1;
        let headers = vec![("content-type", "application/json".to_owned())];
        let spaces = " ".repeat(if request.path.ends_with("/long") { LONG } else { 0 });
        Answer { status: 200, headers, body: format!("[{spaces}{:>20}]", self.0).into_bytes() }
    }

    fn answer_faulty(&mut self, fault: Fault, _request: &Request<'_>, _now: Timestamp) -> Option<Answer> {
        let Fault::Throttled { retry_after } = fault else { return None };
        let headers = retry_after.map(|wait| ("retry-after", wait.as_secs().to_string())).into_iter().collect();
        Some(Answer { status: 429, headers, body: Vec::new() })
    }

    fn quota_headers(&self, quota: &Quota) -> Vec<(&'static str, String)> {
        vec![("ratelimit", format!("{};{}", quota.remaining, quota.reset_seconds))]
    }

    fn keys(&self, _now: Timestamp) -> Vec<String> {
        vec![self.0.to_string()]
    }

    fn secrets(&self) -> Vec<String> {
        vec!["hush".to_owned(), String::new()]
    }
}

async fn serve(engine: Engine, options: ServerOptions) -> FakeServer {
    FakeServer::start(Counting(0), "/base", options.with_engine(engine)).await.unwrap()
}

async fn a_server_ends_also_in_a_task_that_has_used_up_its_turn(engine: Engine) {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    let mut server = Some(serve(engine, ServerOptions::new()).await);
    poll_fn(|cx| {
        while has_budget_remaining() {
            assert!(pin!(consume_budget()).poll(cx).is_ready());
        }
        drop(server.take());
        Poll::Ready(())
    })
    .await;
}

async fn ask(server: &FakeServer) -> Result<(u16, String), reqwest::Error> {
    // One connection a request: a client may otherwise repeat a request whose reused connection was closed.
    let answer = reqwest::Client::new().post(format!("{}/hush?a=hush", server.base_url())).body("b").send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn applied(server: &FakeServer) -> u64 {
    server.keys()[0].parse().unwrap()
}

async fn counts_logs_and_hides_secrets(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    assert_eq!(ask(&server).await.unwrap(), (200, format!("[{:>20}]", 1)));
    server.inject(Fault::Cut { applied: Applied::No }, 1);
    assert!(ask(&server).await.is_err());
    assert_eq!(server.requests(), 2);
    let lines: Vec<_> = server.exchanges().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["POST /base/***?a=*** 200", "POST /base/***?a=*** no answer"]);
}

async fn breaks_as_many_requests_as_ordered_before_or_after_they_are_carried_out(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    for (count, before_or_after) in [(2, Applied::No), (2, Applied::Yes)] {
        let already = applied(&server);
        server.inject(Fault::Cut { applied: before_or_after }, count);
        assert!(ask(&server).await.is_err());
        assert!(ask(&server).await.is_err());
        assert_eq!(server.faults_left(), 0);
        assert_eq!(applied(&server), if before_or_after == Applied::No { already } else { already + 2 });
        assert!(ask(&server).await.is_ok());
    }
    server.inject(Fault::ServerError { status: 503, applied: Applied::Yes }, 9);
    let before = applied(&server);
    assert_eq!(ask(&server).await.unwrap().0, 503);
    assert_eq!(applied(&server), before + 1);
    server.inject(Fault::ServerError { status: 7, applied: Applied::No }, 9);
    assert_eq!(ask(&server).await.unwrap().0, 500);
    assert_eq!((applied(&server), server.faults_left()), (before + 1, 8));
    server.inject(Fault::Garbage, 0);
    assert_eq!(ask(&server).await.unwrap().0, 200);
    server.inject_after(2, Fault::Cut { applied: Applied::No }, 2);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(ask(&server).await.is_ok());
    }
    assert_eq!(seen, [true, true, false, false, true]);
}

async fn a_fault_by_chance_is_of_every_kind_and_an_ordered_one_goes_before(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    let url = server.base_url();
    let mut seen = std::collections::BTreeSet::new();
    server.inject_at_random(1, 1000);
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    for _ in 0..100 {
        let before = applied(&server);
        let answer = client.post(url).send().await.ok();
        let wait = answer.as_ref().is_some_and(|answer| answer.headers().contains_key("retry-after"));
        seen.insert((answer.map(|answer| answer.status().as_u16()), wait, applied(&server) - before));
    }
    let (cut, refused, failed) = (None, Some(429), [Some(502), Some(503)]);
    let all = [
        (cut, false, 0),
        (cut, false, 1),
        (refused, false, 0),
        (refused, true, 0),
        (failed[0], false, 1),
        (failed[1], false, 0),
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    server.inject(Fault::ServerError { status: 599, applied: Applied::No }, 1);
    assert_eq!(ask(&server).await.unwrap().0, 599);
    server.inject_at_random(1, 0);
    for _ in 0..20 {
        assert_eq!(ask(&server).await.unwrap().0, 200);
    }
}

async fn truncates_and_garbles_what_was_carried_out(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    server.inject(Fault::Truncated, 1);
    let url = format!("{}/x", server.base_url());
    let answer = reqwest::Client::new().get(&url).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(22));
    assert!(answer.bytes().await.is_err());
    server.inject(Fault::Garbage, 1);
    let (status, body) = ask(&server).await.unwrap();
    assert_eq!((status, applied(&server)), (200, 2));
    assert!(body.starts_with('{') && !body.ends_with('}'), "{body}");
    // What the model cannot show waits.
    server.inject(Fault::EmptyPage, 1);
    assert_eq!(ask(&server).await.unwrap().0, 200);
    assert_eq!(server.faults_left(), 1);
}

async fn keeps_silent_until_it_ends(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    server.inject(Fault::Silent { applied: Applied::Yes }, 1);
    let other = server.clone();
    let waiting = tokio::spawn(async move { reqwest::get(format!("{}/x", other.base_url())).await.map(|_| ()) });
    while server.requests() == 0 {
        tokio::task::yield_now().await;
    }
    // Others are served meanwhile.
    assert_eq!(ask(&server).await.unwrap().0, 200);
    assert_eq!(applied(&server), 2);
    assert!(!waiting.is_finished());
    waiting.abort();
}

async fn ends_with_its_last_clone_and_frees_whoever_waits(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    server.inject(Fault::Silent { applied: Applied::No }, 1);
    let url = server.base_url().to_owned();
    let waiting = tokio::spawn(async move { reqwest::get(url).await.map(|_| ()) });
    while server.requests() == 0 {
        tokio::task::yield_now().await;
    }
    let url = server.base_url().to_owned();
    drop(server.clone());
    assert_eq!(ask(&server).await.unwrap().0, 200);
    drop(server);
    assert!(waiting.await.unwrap().is_err());
    assert!(reqwest::get(url).await.is_err());
}

async fn limits_the_rate_by_its_clock(engine: Engine) {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
    let limit = RateLimit { requests: 2, window: Duration::from_secs(10) };
    let server = serve(engine, ServerOptions::new().with_clock(Arc::new(clock.clone())).with_rate_limit(limit)).await;
    let url = format!("{}/x", server.base_url());
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = reqwest::get(&url).await.unwrap();
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        seen.push((answer.status().as_u16(), header("ratelimit"), header("retry-after")));
        clock.advance(Duration::from_millis(if seen.len() == 3 { 8_600 } else { 700 }));
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            (200, text("1;10"), None),
            (200, text("0;10"), None),
            (429, text("0;9"), text("9")),
            (200, text("1;10"), None)
        ]
    );
    assert_eq!(applied(&server), 3);
}

async fn holds_every_answer_back(engine: Engine) {
    let server = serve(engine, ServerOptions::new().with_latency(Duration::from_secs(3600))).await;
    let waiting = tokio::spawn(reqwest::Client::new().get(server.base_url()).send());
    while server.requests() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((applied(&server), waiting.is_finished()), (1, false));
    waiting.abort();
    let server = serve(engine, ServerOptions::new().with_latency(Duration::from_millis(1))).await;
    assert_eq!(ask(&server).await.unwrap().0, 200);
}

async fn a_port_in_use_is_an_error(engine: Engine) {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let options = ServerOptions::new().with_engine(engine).with_port(taken.local_addr().unwrap().port());
    let refused = FakeServer::start(Counting(0), "", options).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
}

/// Everything that comes back over one connection for this request, until it is closed.
async fn raw(server: &FakeServer, request: &str) -> String {
    let address = server.base_url().split('/').nth(2).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is one more way to close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The bytes on the wire: but for the date, nothing tells a client which engine it is.
#[tokio::test]
async fn both_engines_send_the_same_bytes() {
    const GET: &str = "GET /k HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let faults = [
        None,
        Some(Fault::Throttled { retry_after: Some(Duration::from_secs(7)) }),
        Some(Fault::ServerError { status: 503, applied: Applied::Yes }),
        Some(Fault::Slow { delay: Duration::from_millis(1) }),
        Some(Fault::Cut { applied: Applied::No }),
        Some(Fault::Truncated),
        Some(Fault::Garbage),
        Some(Fault::EmptyPage),
    ];
    let requests = [
        GET.to_owned(),
        GET.replace("GET", "HEAD"),
        GET.replace("GET", "OPTIONS"),
        GET.replace("/k", "http://elsewhere/k?q=%20"),
        GET.replace("1.1", "1.0"),
        format!(
            "{}3\r\nabc\r\n0\r\n\r\n",
            GET.replace("GET", "PUT").replace("host", "transfer-encoding: chunked\r\nhost")
        ),
        "nonsense\r\n\r\n".to_owned(),
    ];
    let mut seen = Vec::new();
    for engine in [Engine::Wiremock, Engine::Hyper] {
        let server = serve(engine, ServerOptions::new()).await;
        let mut answers = Vec::new();
        for request in &requests {
            for fault in faults {
                server.inject(fault.unwrap_or(Fault::EmptyPage), u32::from(fault.is_some()));
                let answer = raw(&server, request).await;
                answers.push((
                    request,
                    fault,
                    answer.lines().filter(|line| !line.starts_with("date: ")).collect::<String>(),
                ));
            }
        }
        assert_eq!(server.requests(), 6 * 8);
        seen.push(answers);
    }
    for (wiremock, hyper) in seen[0].iter().zip(&seen[1]) {
        assert_eq!(wiremock, hyper);
    }
    let answered = |fault| &seen[1].iter().find(|(_, own, _)| *own == fault).unwrap().2;
    assert_eq!(answered(faults[4]), "");
    assert!(answered(faults[5]).contains("content-length: 22") && !answered(faults[5]).contains(']'));
}

async fn closes_every_connection_and_keeps_its_data_when_it_is_restarted(engine: Engine) {
    let server = serve(engine, ServerOptions::new()).await;
    let url = server.base_url().to_owned();
    let address = url.split('/').nth(2).unwrap();
    // One that is answered and stays, and one that waits for its answer.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 16]).await.unwrap() > 0);
    server.inject(Fault::Silent { applied: Applied::Yes }, 1);
    let waiting = tokio::spawn(reqwest::Client::new().get(&url).send());
    while server.requests() < 2 {
        tokio::task::yield_now().await;
    }
    server.clone().restart().await.unwrap();
    assert!(waiting.await.unwrap().is_err());
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!((server.base_url(), server.requests(), applied(&server)), (url.as_str(), 2, 2));
    for count in 3..20 {
        assert_eq!(ask(&server).await.unwrap(), (200, format!("[{count:>20}]")));
        server.restart().await.unwrap();
    }
}

async fn remembers_as_many_exchanges_as_it_is_told_to(engine: Engine) {
    for max in [0, 1, 2] {
        let server = serve(engine, ServerOptions::new().with_exchanges_max(max)).await;
        for count in 0..3 {
            assert_eq!(reqwest::get(format!("{}?{count}", server.base_url())).await.unwrap().status(), 200);
        }
        let seen: Vec<_> = server.exchanges().into_iter().map(|exchange| exchange.query).collect();
        assert_eq!((seen.as_slice(), server.requests()), (&["1".to_owned(), "2".to_owned()][2 - max..], 3));
    }
}

/// With these limits in the place of its own.
async fn serve_within(connections_max: usize, timer: &ManualClock) -> FakeServer {
    const IDLE_MAX: Duration = Duration::from_secs(60);
    let server = serve(Engine::Hyper, ServerOptions::new()).await;
    let Some(Running::Standing(running)) = server.serving.running().take() else { panic!("it has another engine") };
    running.stop().await;
    let (listener, shared) = (server.serving.listener.try_clone().unwrap(), Arc::clone(&server.shared));
    let limits = standing::Limits { connections_max, idle_max: IDLE_MAX };
    let running = standing::Running::start_within(limits, listener, shared, Arc::new(timer.clone())).unwrap();
    *server.serving.running() = Some(Running::Standing(running));
    server
}

/// A connection over which something has been asked.
async fn asking(server: &FakeServer) -> TcpStream {
    asking_for(server, "/").await
}

async fn asking_for(server: &FakeServer, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.base_url().split('/').nth(2).unwrap()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Over which it has been answered.
async fn answered(server: &FakeServer) -> TcpStream {
    let mut stream = asking(server).await;
    is_answered(&mut stream).await;
    stream
}

async fn is_answered(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"]") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "it has ended");
    }
}

/// Fails when it does not end.
async fn ends(mut stream: TcpStream) {
    let ended = tokio::time::timeout(Duration::from_secs(30), async move { stream.read_to_end(&mut Vec::new()).await });
    assert_eq!(ended.await.expect("it stays open").unwrap(), 0);
}

async fn requests_are(server: &FakeServer, count: u64) {
    while server.requests() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_without_a_request_for_a_minute_ends() {
    let timer = ManualClock::new(Timestamp::from_unix_seconds(0));
    let server = serve_within(10, &timer).await;
    let idle = answered(&server).await;
    server.inject(Fault::Silent { applied: Applied::Yes }, 1);
    let at_work = asking(&server).await;
    requests_are(&server, 2).await;
    timer.advance(Duration::from_secs(59));
    let mut later = answered(&server).await;
    timer.advance(Duration::from_secs(1));
    ends(idle).await;
    later.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    is_answered(&mut later).await;
    timer.advance(Duration::from_secs(120));
    ends(later).await;
    assert_eq!(at_work.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn the_next_connection_takes_the_place_of_the_one_that_is_idle_for_longest() {
    let timer = ManualClock::new(Timestamp::from_unix_seconds(0));
    let server = serve_within(3, &timer).await;
    server.inject(Fault::Silent { applied: Applied::Yes }, 1);
    let at_work = asking(&server).await;
    requests_are(&server, 1).await;
    let longest = answered(&server).await;
    timer.advance(Duration::from_secs(1));
    let mut shorter = answered(&server).await;
    let _next = answered(&server).await;
    ends(longest).await;
    shorter.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    is_answered(&mut shorter).await;
    assert_eq!(at_work.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn where_all_connections_are_at_work_the_next_waits_for_one() {
    let server = serve_within(1, &ManualClock::new(Timestamp::from_unix_seconds(0))).await;
    for round in 0..20 {
        server.inject(Fault::Slow { delay: Duration::from_millis(1) }, 1);
        let mut first = asking(&server).await;
        requests_are(&server, round * 2 + 1).await;
        let mut next = asking(&server).await;
        is_answered(&mut first).await;
        is_answered(&mut next).await;
        ends(first).await;
    }
}

#[tokio::test]
async fn an_answer_on_its_way_is_not_cut_by_the_next_connection() {
    let server = serve_within(1, &ManualClock::new(Timestamp::from_unix_seconds(0))).await;
    let mut first = asking_for(&server, "/base/long").await;
    assert!(first.read(&mut [0]).await.unwrap() > 0);
    let mut next = asking(&server).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    first.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > LONG, "cut after {} bytes", answer.len());
    is_answered(&mut next).await;
}
