//! Connections: accepted within a bound, and ended in order.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer as HyperTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::stream::{Impatient, Turn};
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// How long to wait when no connection can be accepted, such as without a file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least that hyper takes for the head of a request.
const HEADER_BYTES_MIN: usize = 8192;

/// Hyper adds the time to an instant, which must not go beyond what instants hold.
const HEADER_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Every request that was under way has been answered.
    InOrder,
    /// The time for that was over, and the rest was broken off.
    BrokenOff,
}

/// Serves a [`Gateway`] to connections.
#[derive(Debug)]
pub struct Server {
    gateway: Gateway,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Server {
    /// Over HTTP/1.1.
    #[must_use]
    pub const fn new(gateway: Gateway) -> Self {
        Self {
            gateway,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Over TLS.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves until `stop` ends. Then no connection is accepted any more, requests under way have
    /// [`Limits::stop_time`] to end, and the stores are closed.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Ended {
        let gateway = self.gateway.clone();
        let keep_up = async {
            match gateway.metrics() {
                Some(metrics) => metrics.keep_up(gateway.timer()).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = self.serve_connections(listener, stop) => ended,
            never = keep_up => match never {},
        };
        gateway.close().await;
        ended
    }

    async fn serve_connections(self, listener: TcpListener, stop: impl Future<Output = ()>) -> Ended {
        let mut stop = pin!(stop);
        let limits = self.gateway.limits().clone();
        let timer = self.gateway.shared_timer();
        let open = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        let router = self.gateway.router();
        #[cfg(feature = "tls")]
        let (stopping, stopped) = tokio::sync::watch::channel(());
        let acceptor = Acceptor {
            server: Arc::new(self),
            router,
            limits: limits.clone(),
            #[cfg(feature = "tls")]
            stopped,
        };
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&open).acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(error) = ended {
                        // Not its message, which may quote a value.
                        error!(is_panic = error.is_panic(), "a connection ended by a mistake of this program");
                    }
                }
                (permit, accepted) = accepted => match accepted {
                    Ok((stream, _)) => {
                        let serving = acceptor.clone().serve(stream, graceful.watcher());
                        connections.spawn(async move {
                            let _open = permit;
                            serving.await;
                        });
                    }
                    Err(error) => {
                        warn!(%error, "a connection cannot be accepted");
                        timer.sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        // Handshakes hear of it by that; nothing is asked yet.
        #[cfg(feature = "tls")]
        drop(stopping);
        match crate::deadline::within(&*timer, limits.stop_time, graceful.shutdown()).await {
            Some(()) => Ended::InOrder,
            None => {
                connections.shutdown().await;
                Ended::BrokenOff
            }
        }
    }
}

/// Serves one connection.
#[derive(Clone)]
struct Acceptor {
    server: Arc<Server>,
    router: Router,
    limits: Limits,
    /// Its sender is gone once the server stops.
    #[cfg(feature = "tls")]
    stopped: tokio::sync::watch::Receiver<()>,
}

impl Acceptor {
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection has no option for small packets");
        }
        let gateway = &self.server.gateway;
        let turn = Turn::default();
        let stream = Impatient::new(stream, gateway.shared_timer(), &self.limits, turn.clone());
        let service = InTurn { router: TowerToHyperService::new(self.router), turn };
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.server.tls {
            let handshake = crate::deadline::within(gateway.timer(), self.limits.header_time, tls.accept(stream));
            let mut stopped = self.stopped;
            let shaken = tokio::select! {
                shaken = handshake => shaken,
                _ = stopped.changed() => return,
            };
            match shaken {
                Some(Ok(stream)) => serve_stream(stream, service, &self.limits, watcher).await,
                Some(Err(error)) => debug!(%error, "a TLS handshake failed"),
                None => debug!("a TLS handshake took too long"),
            }
            return;
        }
        serve_stream(stream, service, &self.limits, watcher).await;
    }
}

/// Says which request has come.
struct InTurn {
    router: TowerToHyperService<Router>,
    turn: Turn,
}

impl Service<Request<Incoming>> for InTurn {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.turn.next();
        self.router.call(request)
    }
}

async fn serve_stream<S>(stream: S, service: InTurn, limits: &Limits, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = http1::Builder::new()
        .timer(HyperTimer::new())
        .header_read_timeout(limits.header_time.min(HEADER_TIME_MAX))
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes.max(HEADER_BYTES_MIN))
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection broke");
    }
}
