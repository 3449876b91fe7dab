//! The server that all fakes share: carries requests to a model, counts and logs them, and breaks what it was ordered
//! to.
//!
//! `wiremock` asks its mocks one after the other, with exclusive access, whether they match a request. The first, of
//! the highest priority, has the model decide and matches when the connection is to be cut, which only a mock that
//! answers with an error can do; the second gives the answer that the first has left behind.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, thread};

use kv_api::{Clock, SystemClock, Timestamp};
use wiremock::matchers::any;
use wiremock::{Match, Mock, MockServer, Respond, ResponseTemplate};

use crate::chance::{self, Chance};
use crate::fault::{Applied, Fault};
use crate::model::{Answer, Model, Quota, Request};
use crate::order::{Order, Orders};

/// How many exchanges the log of a server remembers; older ones are forgotten.
pub const EXCHANGES_MAX: usize = 100_000;

/// What the quota headers promise while no rate limit is set: Cloudflare's documented 1200 requests in five minutes.
const UNLIMITED_QUOTA: RateLimit = RateLimit { requests: 1200, window: Duration::from_secs(300) };

/// What the gateway of [`Fault::ServerError`] says.
const GATEWAY_PAGE: &[u8] =
    b"<html><head><title>Bad gateway</title></head><body>The origin did not answer.</body></html>";

/// What [`Fault::Garbage`] sends: it begins like an answer and ends in the middle of a string, with a byte that is not
/// UTF-8.
const GARBAGE: &[u8] = b"{\"success\":true,\"result\":\"\xff";

/// How many requests are let through in a window of time; the first request after a window has ended begins the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests; those beyond are answered as too many and not carried out.
    pub requests: u32,
    /// How long the window is, by the clock of the server.
    pub window: Duration,
}

/// One request that reached a fake, and the status of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// The method, in capitals.
    pub method: String,
    /// The path, percent-encoded as it came; secrets in it are replaced by `***`.
    pub path: String,
    /// The query without its question mark, percent-encoded as it came; secrets in it are replaced by `***`.
    pub query: String,
    /// The status of the answer; `None` when none was sent, because of [`Fault::Cut`] or [`Fault::Silent`].
    pub status: Option<u16>,
}

/// `GET /path?query 200`.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        match self.status {
            Some(status) => write!(f, " {status}"),
            None => f.write_str(" no answer"),
        }
    }
}

type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// How a fake is served, whichever system it is: port, clock, delays.
#[derive(Clone)]
pub struct ServerOptions {
    port: u16,
    clock: Arc<dyn Clock>,
    latency: Duration,
    rate_limit: Option<RateLimit>,
    observer: Option<Observer>,
}

impl ServerOptions {
    /// A free port of the loopback interface, the system's clock, no delay, no rate limit.
    #[must_use]
    pub fn new() -> Self {
        Self { port: 0, clock: Arc::new(SystemClock), latency: Duration::ZERO, rate_limit: None, observer: None }
    }

    /// The port on 127.0.0.1. Default: 0, any that is free.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The clock that entries expire and rate limits count by (EXP-10). Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long, in real time, every answer is held back after its request was carried out. Default: none.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Answers what goes beyond as too many requests. Default: no limit.
    #[must_use]
    pub fn with_rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Is called with every exchange when its answer is decided. It must not block, and not call the server. Default:
    /// none.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Port and latency, for a server that does not speak HTTP. `InvalidInput` when there is more that it would have to
    /// heed.
    pub(crate) fn of_a_connection(self) -> io::Result<(u16, Duration)> {
        let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        match self {
            Self { rate_limit: Some(_), .. } => refuse("the system limits no rate"),
            Self { observer: Some(_), .. } => refuse("the system has no HTTP exchanges to be observed"),
            Self { port, latency, .. } => Ok((port, latency)),
        }
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("port", &self.port)
            .field("clock", &self.clock)
            .field("latency", &self.latency)
            .field("rate_limit", &self.rate_limit)
            .finish_non_exhaustive()
    }
}

/// A fake that listens on 127.0.0.1. Clones are the same server; it ends when the last one is dropped.
#[derive(Clone)]
pub struct FakeServer {
    base_url: Arc<str>,
    shared: Arc<Shared>,
    /// Ends the server when the last clone goes.
    _serving: Arc<Serving>,
}

/// A running server. It is dropped on a thread of its own: in a task that has used up its turn of the runtime, its drop
/// would wait for a lock of the runtime and spin for ever.
struct Serving(Option<MockServer>);

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            // A panic of the thread is passed over: a server that is gone has nothing left to say.
            drop(thread::spawn(move || drop(server)).join());
        }
    }
}

impl FakeServer {
    /// Serves `model`. `base_path` follows the address in [`base_url`](Self::base_url).
    pub(crate) async fn start(model: impl Model, base_path: &str, options: ServerOptions) -> io::Result<Self> {
        let ServerOptions { port, clock, latency, rate_limit, observer } = options;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        let shared = Arc::new(Shared {
            // An empty text is in every text.
            secrets: model.secrets().into_iter().filter(|secret| !secret.is_empty()).collect(),
            clock,
            latency,
            observer,
            state: Mutex::new(State {
                model: Box::new(model),
                window: Window { limit: rate_limit, ends: Timestamp::UNIX_EPOCH, used: 0 },
                orders: Orders::default(),
                chance: None,
                requests: 0,
                exchanges: VecDeque::new(),
                decided: None,
            }),
        });
        let server = MockServer::builder().listener(listener).disable_request_recording().start().await;
        let deciding =
            Mock::given(Deciding(Arc::clone(&shared))).respond_with_err(|_: &wiremock::Request| CutByRequest);
        deciding.with_priority(1).mount(&server).await;
        let answering = Mock::given(any()).respond_with(Answering(Arc::clone(&shared)));
        answering.with_priority(2).mount(&server).await;
        let base_url = format!("{}{base_path}", server.uri()).into();
        Ok(Self { base_url, shared, _serving: Arc::new(Serving(Some(server))) })
    }

    /// What a client is given as the address of the system, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// How many requests have reached the server, the refused and the broken ones included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// The requests that have reached the server, oldest first, at most [`EXCHANGES_MAX`] of them.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.lock().exchanges.iter().cloned().collect()
    }

    /// The next `count` requests that `fault` fits meet it; what was ordered before is forgotten. Zero ends it.
    pub fn inject(&self, fault: Fault, count: u32) {
        self.order(Order { unharmed: 0, fault, left: count, writes_only: false });
    }

    /// The same for the next `count` requests that ask for a change, where one call of a client looks first and then
    /// writes.
    pub fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.order(Order { unharmed: 0, fault, left: count, writes_only: true });
    }

    /// As [`inject`](Self::inject), but the next `unharmed` requests are served as usual first, whatever they are: so
    /// that the second page, or the second request of a batch, goes wrong.
    pub fn inject_after(&self, unharmed: u32, fault: Fault, count: u32) {
        self.order(Order { unharmed, fault, left: count, writes_only: false });
    }

    fn order(&self, order: Order) {
        self.shared.lock().orders.give(order);
    }

    /// From now on `per_mille` of 1000 requests, by chance, meet a fault: 429 with `Retry-After` of a second and
    /// without, 5xx and a closed connection before and after the request was carried out, all equally often. Zero ends
    /// it. The chances follow the seed: the same requests one after the other meet the same faults. A request that is
    /// beyond the rate limit, or meets a fault that was ordered, is not concerned.
    pub fn inject_at_random(&self, seed: u64, per_mille: u32) {
        self.shared.lock().chance = Some(Chance::new(seed, per_mille, chance::OF_REQUESTS));
    }

    /// How many requests are still to meet the fault that was ordered last.
    #[must_use]
    pub fn faults_left(&self) -> u32 {
        self.shared.lock().orders.left()
    }

    /// The keys that exist now in the store the fake was set up with, sorted by their bytes.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let now = self.shared.clock.now();
        self.shared.lock().model.keys(now)
    }
}

/// Shows the address only: the path of a base URL may hold a key.
impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeServer").field("base_url", &self.shared.redacted(&self.base_url)).finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    latency: Duration,
    observer: Option<Observer>,
    secrets: Vec<String>,
}

struct State {
    model: Box<dyn Model>,
    window: Window,
    orders: Orders,
    chance: Option<Chance>,
    requests: u64,
    exchanges: VecDeque<Exchange>,
    /// What the first mock has decided for the request that the second is about to answer.
    decided: Option<ResponseTemplate>,
}

/// What becomes of a request.
enum Decision {
    Answer { answer: Answer, delay: Duration },
    Truncated(Answer),
    Silent,
    Cut,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a model has already failed the test that caused it; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// Carries a request out; `false` when the connection is to be cut.
    fn decide(&self, incoming: &wiremock::Request) -> bool {
        let headers: Vec<_> = incoming
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let request = Request {
            method: incoming.method.as_str(),
            path: incoming.url.path(),
            query: incoming.url.query().unwrap_or(""),
            headers: &headers,
            body: &incoming.body,
        };
        let now = self.clock.now();
        let mut state = self.lock();
        let decision = state.decide(&request, now);
        let exchange = Exchange {
            method: request.method.to_owned(),
            path: self.redacted(request.path),
            query: self.redacted(request.query),
            status: match &decision {
                Decision::Answer { answer, .. } | Decision::Truncated(answer) => Some(answer.status),
                Decision::Silent | Decision::Cut => None,
            },
        };
        if let Some(observer) = &self.observer {
            observer(&exchange);
        }
        if state.exchanges.len() == EXCHANGES_MAX {
            state.exchanges.pop_front();
        }
        state.exchanges.push_back(exchange);
        state.decided = match decision {
            Decision::Answer { answer, delay } => {
                let delay = self.latency.saturating_add(delay);
                // Even a wait of nothing takes until the timer's next tick.
                Some(if delay.is_zero() { template(answer) } else { template(answer).set_delay(delay) })
            }
            Decision::Truncated(answer) => Some(truncated(answer)),
            // Longer than any test; the server's end drops what still waits.
            Decision::Silent => Some(ResponseTemplate::new(200).set_delay(Duration::MAX)),
            Decision::Cut => None,
        };
        state.decided.is_some()
    }
}

impl State {
    fn decide(&mut self, request: &Request<'_>, now: Timestamp) -> Decision {
        self.requests += 1;
        let (quota, let_through) = self.window.take(now);
        let mut decision = if let_through {
            self.decide_by_order(request, now)
        } else {
            let retry_after = Some(Duration::from_secs(quota.reset_seconds));
            // Every model knows this fault; if one did not, the limit would not hold there.
            match self.model.answer_faulty(Fault::Throttled { retry_after }, request, now) {
                Some(answer) => Decision::Answer { answer, delay: Duration::ZERO },
                None => self.decide_by_order(request, now),
            }
        };
        if let Decision::Answer { answer, .. } | Decision::Truncated(answer) = &mut decision {
            answer.headers.extend(self.model.quota_headers(&quota));
        }
        decision
    }

    fn decide_by_order(&mut self, request: &Request<'_>, now: Timestamp) -> Decision {
        let Some(fault) = self.orders.next(|| self.model.is_write(request)) else {
            return self.decide_by_chance(request, now);
        };
        let (decision, met) = self.decide_faulty(fault, request, now);
        if met {
            self.orders.met();
        }
        decision
    }

    fn decide_by_chance(&mut self, request: &Request<'_>, now: Timestamp) -> Decision {
        match self.chance.as_mut().and_then(Chance::next) {
            Some(fault) => self.decide_faulty(fault, request, now).0,
            None => Decision::Answer { answer: self.model.answer(request, now), delay: Duration::ZERO },
        }
    }

    /// The decision, and whether the fault fitted.
    fn decide_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> (Decision, bool) {
        let at_once = |answer| Decision::Answer { answer, delay: Duration::ZERO };
        match fault {
            Fault::Throttled { .. }
            | Fault::ThrottledUnderSuccess
            | Fault::EmptyPage
            | Fault::StuckPage
            | Fault::FirstPageAgain
            | Fault::Implausible
            | Fault::Stale
            | Fault::PartlyUnsuccessful { .. }
            | Fault::BrokenOff { .. }
            | Fault::Refused { .. } => match self.model.answer_faulty(fault, request, now) {
                Some(answer) => (at_once(answer), true),
                None => (at_once(self.model.answer(request, now)), false),
            },
            Fault::ServerError { status, applied } => {
                self.apply(applied, request, now);
                let status = if (500..=599).contains(&status) { status } else { 500 };
                let headers = vec![("content-type", "text/html; charset=UTF-8".to_owned())];
                (at_once(Answer { status, headers, body: GATEWAY_PAGE.to_vec() }), true)
            }
            Fault::Slow { delay } => (Decision::Answer { answer: self.model.answer(request, now), delay }, true),
            Fault::Silent { applied } => {
                self.apply(applied, request, now);
                (Decision::Silent, true)
            }
            Fault::Cut { applied } => {
                self.apply(applied, request, now);
                (Decision::Cut, true)
            }
            Fault::Truncated => {
                let answer = self.model.answer(request, now);
                // Without a body to break off in, the answer breaks off before one.
                (if answer.body.len() < 2 { Decision::Cut } else { Decision::Truncated(answer) }, true)
            }
            Fault::Garbage => {
                let answer = self.model.answer(request, now);
                let untyped = !answer.headers.iter().any(|(name, _)| *name == "content-type");
                if answer.is_json() || untyped && answer.body.is_empty() {
                    (at_once(Answer { status: 200, body: GARBAGE.to_vec(), ..answer }), true)
                } else {
                    (at_once(answer), false)
                }
            }
        }
    }

    fn apply(&mut self, applied: Applied, request: &Request<'_>, now: Timestamp) {
        if applied == Applied::Yes {
            self.model.answer(request, now);
        }
    }
}

/// The present window of the rate limit.
struct Window {
    limit: Option<RateLimit>,
    ends: Timestamp,
    used: u32,
}

impl Window {
    /// Counts one request: what is left after it, and whether it is let through.
    fn take(&mut self, now: Timestamp) -> (Quota, bool) {
        let Some(limit) = self.limit else {
            let RateLimit { requests, window } = UNLIMITED_QUOTA;
            return (Quota { requests, window, remaining: requests, reset_seconds: window.as_secs() }, true);
        };
        if now >= self.ends {
            self.ends = now.checked_add(limit.window).unwrap_or(now);
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        let until = self.ends.saturating_since(now);
        let quota = Quota {
            requests: limit.requests,
            window: limit.window,
            remaining: limit.requests.saturating_sub(self.used),
            reset_seconds: until.as_secs() + u64::from(until.subsec_nanos() > 0),
        };
        (quota, self.used <= limit.requests)
    }
}

fn template(answer: Answer) -> ResponseTemplate {
    ResponseTemplate::new(answer.status).append_headers(answer.headers).set_body_bytes(answer.body)
}

/// The whole length announced, half of it sent. The space after the number is optional white space to a reader of the
/// header, and keeps hyper's debug builds from taking the number for one that it should compare.
fn truncated(answer: Answer) -> ResponseTemplate {
    let announced = format!("{} ", answer.body.len());
    let half = answer.body[..answer.body.len() / 2].to_vec();
    ResponseTemplate::new(answer.status)
        .append_headers(answer.headers)
        .insert_header("content-length", announced.as_str())
        .insert_header("connection", "close")
        .set_body_bytes(half)
}

/// Lets the model decide; matches, and so has the connection cut, when there is to be no answer.
struct Deciding(Arc<Shared>);

impl Match for Deciding {
    fn matches(&self, request: &wiremock::Request) -> bool {
        !self.0.decide(request)
    }
}

/// Gives the answer that was decided.
struct Answering(Arc<Shared>);

impl Respond for Answering {
    fn respond(&self, _request: &wiremock::Request) -> ResponseTemplate {
        // The first mock is asked just before, within the same exclusive access, and has left an answer when it did not
        // match.
        self.0.lock().decided.take().unwrap_or_else(|| ResponseTemplate::new(500))
    }
}

/// Why a connection ends without an answer.
#[derive(Debug)]
struct CutByRequest;

impl fmt::Display for CutByRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut, as ordered")
    }
}

impl std::error::Error for CutByRequest {}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ManualClock;

    /// Counts what is carried out and says so; a path is a secret.
    struct Counting(u64);

    impl Model for Counting {
        fn answer(&mut self, _request: &Request<'_>, _now: Timestamp) -> Answer {
            self.0 += 1;
            let headers = vec![("content-type", "application/json".to_owned())];
            Answer { status: 200, headers, body: format!("[{:>20}]", self.0).into_bytes() }
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

    async fn serve(options: ServerOptions) -> FakeServer {
        FakeServer::start(Counting(0), "/base", options).await.unwrap()
    }

    #[tokio::test]
    async fn a_server_ends_also_in_a_task_that_has_used_up_its_turn() {
        use std::future::poll_fn;
        use std::pin::pin;
        use std::task::Poll;
        use tokio::task::coop::{consume_budget, has_budget_remaining};

        let mut server = Some(serve(ServerOptions::new()).await);
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

    #[tokio::test]
    async fn counts_logs_and_hides_secrets() {
        let server = serve(ServerOptions::new()).await;
        assert_eq!(ask(&server).await.unwrap(), (200, format!("[{:>20}]", 1)));
        server.inject(Fault::Cut { applied: Applied::No }, 1);
        assert!(ask(&server).await.is_err());
        assert_eq!(server.requests(), 2);
        let lines: Vec<_> = server.exchanges().iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["POST /base/***?a=*** 200", "POST /base/***?a=*** no answer"]);
    }

    #[tokio::test]
    async fn breaks_as_many_requests_as_ordered_before_or_after_they_are_carried_out() {
        let server = serve(ServerOptions::new()).await;
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

    #[tokio::test]
    async fn a_fault_by_chance_is_of_every_kind_and_an_ordered_one_goes_before() {
        let server = serve(ServerOptions::new()).await;
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

    #[tokio::test]
    async fn truncates_and_garbles_what_was_carried_out() {
        let server = serve(ServerOptions::new()).await;
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

    #[tokio::test]
    async fn keeps_silent_until_it_ends() {
        let server = serve(ServerOptions::new()).await;
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

    #[tokio::test]
    async fn ends_with_its_last_clone_and_frees_whoever_waits() {
        let server = serve(ServerOptions::new()).await;
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

    #[tokio::test]
    async fn limits_the_rate_by_its_clock() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
        let limit = RateLimit { requests: 2, window: Duration::from_secs(10) };
        let server = serve(ServerOptions::new().with_clock(Arc::new(clock.clone())).with_rate_limit(limit)).await;
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

    #[tokio::test]
    async fn holds_every_answer_back() {
        let server = serve(ServerOptions::new().with_latency(Duration::from_millis(200))).await;
        let impatient = reqwest::Client::new().get(server.base_url()).timeout(Duration::from_millis(40));
        assert!(impatient.send().await.unwrap_err().is_timeout());
        assert_eq!(applied(&server), 1);
        assert_eq!(ask(&server).await.unwrap().0, 200);
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let options = ServerOptions::new().with_port(taken.local_addr().unwrap().port());
        let refused = FakeServer::start(Counting(0), "", options).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
