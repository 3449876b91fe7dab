//! The server that all fakes share: carries requests to a model, counts and logs them, and breaks what it was ordered
//! to. [`decide`] does so; an engine, [`wiremock`] or [`standing`], does no more than carry its decisions out.

mod decide;
mod exchange;
mod options;
mod places;
mod render;
mod standing;
#[cfg(test)]
mod tests;
mod window;
mod wiremock;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use crate::chance::{self, Chance};
use crate::fault::Fault;
use crate::model::Model;
use crate::order::{Order, Orders};
use decide::{Shared, State};
use exchange::Log;
use window::Window;

pub use exchange::{EXCHANGES_MAX, Exchange};
pub use options::{Engine, ServerOptions};
pub use window::RateLimit;

/// A fake that listens on 127.0.0.1. Clones are the same server; it ends when the last one is dropped.
#[derive(Clone)]
pub struct FakeServer {
    base_url: Arc<str>,
    shared: Arc<Shared>,
    serving: Arc<Serving>,
}

/// What listens, and what ends when the last handle goes.
struct Serving {
    /// Kept so that the port is this server's also while it is restarted.
    listener: TcpListener,
    engine: Engine,
    /// `None` while it is restarted.
    running: Mutex<Option<Running>>,
}

enum Running {
    Wiremock(wiremock::Running),
    Standing(standing::Running),
}

impl Serving {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self, shared: &Arc<Shared>) -> io::Result<()> {
        let (listener, shared) = (self.listener.try_clone()?, Arc::clone(shared));
        let running = match self.engine {
            Engine::Wiremock => Running::Wiremock(wiremock::Running::start(listener, shared).await),
            Engine::Hyper => Running::Standing(standing::Running::start(listener, shared)?),
        };
        let before = self.running().replace(running);
        // Not under the lock. There is one only when two calls restart it at a time.
        drop(before);
        Ok(())
    }
}

impl FakeServer {
    /// Serves `model`. `base_path` follows the address in [`base_url`](Self::base_url).
    pub(crate) async fn start(model: impl Model, base_path: &str, options: ServerOptions) -> io::Result<Self> {
        let ServerOptions { port, engine, clock, latency, rate_limit, exchanges_max, observer } = options;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        let base_url = format!("http://{}{base_path}", listener.local_addr()?).into();
        let shared = Arc::new(Shared {
            // An empty text is in every text.
            secrets: model.secrets().into_iter().filter(|secret| !secret.is_empty()).collect(),
            clock,
            latency,
            observer,
            state: Mutex::new(State {
                model: Box::new(model),
                window: Window::new(rate_limit),
                orders: Orders::default(),
                chance: None,
                requests: 0,
                log: Log::new(exchanges_max),
            }),
        });
        let serving = Serving { listener, engine, running: Mutex::new(None) };
        serving.start(&shared).await?;
        Ok(Self { base_url, shared, serving: Arc::new(serving) })
    }

    /// Ends the server and serves the fake again, with all its data, on the same port. Every connection is closed, and
    /// what was being answered is cut; the next connections are taken when this has ended. When it is dropped before,
    /// they wait until a later call has ended.
    ///
    /// # Errors
    /// What listening ran into.
    pub async fn restart(&self) -> io::Result<()> {
        let running = self.serving.running().take();
        match running {
            Some(Running::Wiremock(running)) => running.stop().await,
            Some(Running::Standing(running)) => running.stop().await,
            None => {}
        }
        self.serving.start(&self.shared).await
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

    /// The requests that have reached the server, oldest first, as many as
    /// [are remembered](ServerOptions::with_exchanges_max).
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.lock().log.to_vec()
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
