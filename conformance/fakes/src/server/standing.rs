//! A fake behind `hyper`: nothing is kept of a request that is answered, and its path comes as it was sent.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kv_api::{Timer, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::decide::{Decision, Shared};
use super::places::{AtWork, Places, Taken};
use super::render::{self, CutByRequest};
use crate::model::{Answer, Request};

/// How many connections are served at a time. For the next, the one ends that has been idle for longest; where all are
/// at work it waits. With the descriptors that a process has besides, this is well below the 1024 that many systems
/// allow it.
const CONNECTIONS_MAX: usize = 512;

/// How long a connection may be without a request, and then take for what is still on its way.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The longest body, more than any of the systems takes.
const BODY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How long to wait when a connection cannot be taken, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server; its drop ends it.
pub(super) struct Running {
    /// Its drop is what ends the task.
    stop: oneshot::Sender<Infallible>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Self> {
        let limits = Limits { connections_max: CONNECTIONS_MAX, idle_max: IDLE_MAX };
        Self::start_within(limits, listener, shared, Arc::new(TokioTimer))
    }

    pub(super) fn start_within(
        limits: Limits,
        listener: TcpListener,
        shared: Arc<Shared>,
        timer: Arc<dyn Timer>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (stop, stopped) = oneshot::channel();
        let server = Server { limits, shared, places: Places::new(timer) };
        Ok(Self { stop, task: tokio::spawn(server.serve(listener, stopped)) })
    }

    /// Ends the server; it listens no more, and has no connection left, when this does.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // The task does not panic, and nobody aborts it but its runtime, which ends it as well.
        let _ = self.task.await;
    }
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections_max: usize,
    pub(super) idle_max: Duration,
}

struct Server {
    limits: Limits,
    shared: Arc<Shared>,
    places: Arc<Places>,
}

impl Server {
    async fn serve(self, listener: tokio::net::TcpListener, mut stopped: oneshot::Receiver<Infallible>) {
        let mut connections = JoinSet::new();
        // The one that comes when there is no more room.
        let mut next = None;
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                // One that has panicked took only itself along.
                Some(_) = connections.join_next() => {}
                () = self.places.one_idled(), if next.is_some() => {}
                accepted = listener.accept(), if next.is_none() => match accepted {
                    Ok((stream, _)) => next = Some(stream),
                    Err(_) => TokioTimer.sleep(ACCEPT_PAUSE).await,
                },
            }
            if next.is_some() && connections.len() >= self.limits.connections_max {
                self.places.make_room();
            } else if let Some(stream) = next.take() {
                let place = self.places.take();
                connections.spawn(connection(stream, Arc::clone(&self.shared), place, self.limits.idle_max));
            }
        }
        drop(listener);
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, place: Taken, idle_max: Duration) {
    // Without it an answer is late, and no worse.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &shared, place.work()));
    // An error is how a connection ends that is cut, by this side or the other.
    let mut serving = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    if let Either::Right(_) = select(serving.as_mut(), pin!(place.given_up(idle_max))).await {
        // An answer may still be on its way, or a request have come just now. There is an end to that too.
        serving.as_mut().graceful_shutdown();
        select(serving, pin!(place.rest(idle_max))).await;
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    shared: &Shared,
    _until_answered: AtWork<'_>,
) -> Result<hyper::Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_BYTES_MAX {
        return response(too_long());
    }
    let body = match Limited::new(body, BODY_BYTES_MAX.try_into()?).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return response(too_long()),
        // It broke off.
        Err(error) => return Err(error),
    };
    let headers = render::headers(&head.headers);
    let decision = shared.decide(&Request {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or(""),
        headers: &headers,
        body: &body,
    });
    // An answer can be long in coming.
    drop((headers, body));
    match decision {
        Decision::Answer { answer, delay } => {
            if !delay.is_zero() {
                TokioTimer.sleep(delay).await;
            }
            response(answer)
        }
        Decision::Truncated(answer) => response(render::truncated(answer)),
        Decision::Silent => pending().await,
        Decision::Cut => Err(CutByRequest.into()),
    }
}

/// Ends the connection, since what follows on it is the rest of the body.
fn too_long() -> Answer {
    Answer { status: 413, headers: vec![("connection", "close".to_owned())], body: Vec::new() }
}

fn response(answer: Answer) -> Result<hyper::Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body.into()))?)
}
