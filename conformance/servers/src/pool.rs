//! A few servers for many test cases, one at a time each.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Result;
use crate::error::While;

/// A server that a [`Pool`] can hold.
#[async_trait]
pub trait Server: Sized + Send + Sync + 'static {
    /// How it is set up.
    type Options: Clone + Send + Sync + 'static;

    /// Starts one.
    ///
    /// # Errors
    /// What the server said.
    async fn start(options: Self::Options) -> Result<Self>;

    /// Makes it as if nobody had used it.
    ///
    /// # Errors
    /// What the server said. The pool then starts another one.
    async fn renew(&self) -> Result<()>;
}

/// At most so many servers, started when they are needed. A test case moves its server's time and breaks its
/// connections, so no two cases hold the same server at once.
///
/// ```no_run
/// use kv_servers::{Pool, Redis, RedisOptions};
/// use std::sync::LazyLock;
///
/// static SERVERS: LazyLock<Pool<Redis>> = LazyLock::new(|| Pool::new(2, RedisOptions::new()));
///
/// # async fn example() -> kv_servers::Result<()> {
/// let redis = SERVERS.lease().await?;
/// redis.time().freeze();
/// # Ok(())
/// # }
/// ```
pub struct Pool<S: Server>(Arc<Inner<S>>);

struct Inner<S: Server> {
    options: S::Options,
    idle: Mutex<Vec<Arc<S>>>,
    places: Arc<Semaphore>,
}

impl<S: Server> Pool<S> {
    /// Nothing is started yet. As many servers as tests run at the same time are enough; fewer make tests wait.
    #[must_use]
    pub fn new(servers_max: usize, options: S::Options) -> Self {
        let places = Arc::new(Semaphore::new(servers_max));
        Self(Arc::new(Inner { options, idle: Mutex::default(), places }))
    }

    /// One server for this caller alone, as if new: empty, and with the machine's time. Waits while all are held.
    ///
    /// # Errors
    /// What starting it ran into.
    pub async fn lease(&self) -> Result<Lease<S>> {
        let place = Arc::clone(&self.0.places).acquire_owned().await.when("the pool is closed")?;
        let idle = self.0.idle().pop();
        let server = match idle {
            // One that does not renew was broken by its last holder: it ends here.
            Some(server) if server.renew().await.is_ok() => server,
            _ => Arc::new(S::start(self.0.options.clone()).await?),
        };
        Ok(Lease { server, pool: Arc::clone(&self.0), _place: place })
    }
}

impl<S: Server> Inner<S> {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Arc<S>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Server> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.0.idle().len()).finish_non_exhaustive()
    }
}

/// One server of a [`Pool`], given back by its drop.
pub struct Lease<S: Server> {
    server: Arc<S>,
    pool: Arc<Inner<S>>,
    /// Dropped after the server was given back: the next holder finds it.
    _place: OwnedSemaphorePermit,
}

impl<S: Server> Deref for Lease<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.server
    }
}

impl<S: Server> Drop for Lease<S> {
    fn drop(&mut self) {
        self.pool.idle().push(Arc::clone(&self.server));
    }
}

impl<S: Server + fmt::Debug> fmt::Debug for Lease<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.server).finish()
    }
}
