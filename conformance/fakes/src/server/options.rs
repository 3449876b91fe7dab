//! How a fake is served, whichever system it is.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use kv_api::{Clock, SystemClock};

use super::exchange::{EXCHANGES_MAX, Exchange, Observer};
use super::window::RateLimit;

/// What speaks HTTP for a fake. The same requests get the same answers, and the same faults look the same, under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// `wiremock`, for tests. It has a thread of its own. It keeps a copy of every request until the server ends, and
    /// applies the URL standard to a path before the fake sees it: segments `.` and `..` are gone, written `%2E` too.
    #[default]
    Wiremock,
    /// `hyper`, for a server that stands for days. It keeps nothing, and the fake sees every path as it came. It runs
    /// in the Tokio runtime that it is started in. Bodies have at most 128 MiB, more than any of the systems takes;
    /// what is longer is answered 413 and not carried out. There are at most 512 connections at a time: for the next
    /// one the one ends that has been idle for longest, and where all are at work it waits. A connection ends when it
    /// has had no request for a minute or two.
    Hyper,
}

/// How a fake is served, whichever system it is: port, clock, delays.
#[derive(Clone)]
pub struct ServerOptions {
    pub(super) port: u16,
    pub(super) engine: Engine,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) latency: Duration,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) exchanges_max: usize,
    pub(super) observer: Option<Observer>,
}

impl ServerOptions {
    /// A free port of the loopback interface, wiremock, the system's clock, no delay, no rate limit.
    #[must_use]
    pub fn new() -> Self {
        Self {
            port: 0,
            engine: Engine::default(),
            clock: Arc::new(SystemClock),
            latency: Duration::ZERO,
            rate_limit: None,
            exchanges_max: EXCHANGES_MAX,
            observer: None,
        }
    }

    /// The port on 127.0.0.1. Default: 0, any that is free.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// What speaks HTTP. Default: [`Engine::Wiremock`].
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
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

    /// How many [exchanges](super::FakeServer::exchanges) are remembered; older ones are forgotten. Zero turns the log
    /// off. Default: [`EXCHANGES_MAX`].
    #[must_use]
    pub fn with_exchanges_max(mut self, count: usize) -> Self {
        self.exchanges_max = count;
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
            Self { engine: Engine::Hyper, .. } => {
                refuse("the system has a server of its own, which is no engine of HTTP")
            }
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
            .field("engine", &self.engine)
            .field("clock", &self.clock)
            .field("latency", &self.latency)
            .field("rate_limit", &self.rate_limit)
            .field("exchanges_max", &self.exchanges_max)
            .finish_non_exhaustive()
    }
}
