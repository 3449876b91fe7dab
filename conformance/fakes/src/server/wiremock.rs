//! A fake behind `wiremock`.
//!
//! `wiremock` asks its mocks one after the other, with exclusive access, whether they match a request. The first, of
//! the highest priority, has the model decide and matches when the connection is to be cut, which only a mock that
//! answers with an error can do; the second gives the answer that the first has left behind.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use wiremock::matchers::any;
use wiremock::{Match, Mock, MockServer, Respond, ResponseTemplate};

use super::decide::{Decision, Shared};
use super::render::{self, CutByRequest};
use crate::model::{Answer, Request};

/// A running server; its drop ends it.
pub(super) struct Running {
    server: Option<MockServer>,
    /// Is closed when the last connection is.
    ended: oneshot::Receiver<Infallible>,
}

impl Running {
    pub(super) async fn start(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let (alive, ended) = oneshot::channel();
        let decided = Arc::default();
        let server = MockServer::builder().listener(listener).disable_request_recording().start().await;
        let deciding = Deciding { shared, decided: Arc::clone(&decided), _alive: alive };
        let deciding = Mock::given(deciding).respond_with_err(|_: &wiremock::Request| CutByRequest);
        deciding.with_priority(1).mount(&server).await;
        Mock::given(any()).respond_with(Answering(decided)).with_priority(2).mount(&server).await;
        Self { server: Some(server), ended }
    }

    /// Ends the server; it listens no more, and has no connection left, when this does.
    pub(super) async fn stop(mut self) {
        self.end();
        // Nothing is ever sent.
        let _ = (&mut self.ended).await;
    }

    /// It is dropped on a thread of its own: in a task that has used up its turn of the runtime, its drop would wait
    /// for a lock of the runtime and spin for ever.
    fn end(&mut self) {
        if let Some(server) = self.server.take() {
            // A panic of the thread is passed over: a server that is gone has nothing left to say.
            drop(thread::spawn(move || drop(server)).join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What was decided for the request that the second mock is about to answer.
type Decided = Arc<Mutex<Option<ResponseTemplate>>>;

/// Lets the model decide; matches, and so has the connection cut, when there is to be no answer.
struct Deciding {
    shared: Arc<Shared>,
    decided: Decided,
    /// Dropped with the server, when its thread has ended.
    _alive: oneshot::Sender<Infallible>,
}

impl Match for Deciding {
    fn matches(&self, incoming: &wiremock::Request) -> bool {
        let headers = render::headers(&incoming.headers);
        let decided = match self.shared.decide(&Request {
            method: incoming.method.as_str(),
            path: incoming.url.path(),
            query: incoming.url.query().unwrap_or(""),
            headers: &headers,
            body: &incoming.body,
        }) {
            Decision::Answer { answer, delay } => {
                // Even a wait of nothing takes until the timer's next tick.
                Some(if delay.is_zero() { template(answer) } else { template(answer).set_delay(delay) })
            }
            Decision::Truncated(answer) => Some(template(render::truncated(answer))),
            // Longer than any test; the server's end drops what still waits.
            Decision::Silent => Some(ResponseTemplate::new(200).set_delay(Duration::MAX)),
            Decision::Cut => None,
        };
        let cut = decided.is_none();
        *self.decided.lock().unwrap_or_else(PoisonError::into_inner) = decided;
        cut
    }
}

/// Gives the answer that was decided.
struct Answering(Decided);

impl Respond for Answering {
    fn respond(&self, _request: &wiremock::Request) -> ResponseTemplate {
        // The first mock is asked just before, within the same exclusive access, and has left an answer when it did not
        // match.
        let decided = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        decided.unwrap_or_else(|| ResponseTemplate::new(500))
    }
}

fn template(answer: Answer) -> ResponseTemplate {
    ResponseTemplate::new(answer.status).append_headers(answer.headers).set_body_bytes(answer.body)
}
