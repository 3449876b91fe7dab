//! One connection: to a socket, through TLS where it is asked for, logged in, and to a server that this backend
//! understands. Requests and replies are matched by the driver's multiplexed connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, join_all, select};
use kv_api::{Error, ErrorKind, Reason, Result, Retry, Timer};
use kv_remote::{ExposeSecret, as_not_applied, connect_tcp, no_connection};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::{Login, Node};
use crate::metered::{Meter, Metered};
use crate::wire::error::{connection_lost, lost, not_in_time};
use crate::wire::hello::{Hello, no_redis, run_id};
use crate::wire::reply::accepted;

/// How many pipelines may wait inside the connection to be written.
const PIPELINES_MAX: usize = 128;

/// A server, and how to be let in.
pub(crate) struct Address {
    pub(crate) node: Node,
    pub(crate) door: Door,
}

/// What all servers of a store have in common.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) mode: Mode,
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) login: Login,
    /// A replica carries out reads, rather than send them to its master.
    pub(crate) read_from_replicas: bool,
    pub(crate) answer_bytes_max: usize,
    pub(crate) timer: Arc<dyn Timer>,
    /// How long one attempt of a request may take.
    pub(crate) patience: Duration,
}

/// How a server is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By itself.
    Standalone,
    /// As a node of a cluster.
    Cluster,
}

/// An open connection.
pub(crate) struct Connection {
    pub(crate) requests: MultiplexedConnection,
    /// Reads and writes while it is polled; ready when the connection has ended.
    pub(crate) driver: BoxFuture<'static, ()>,
    pub(crate) meter: Arc<Meter>,
    /// The run of the server: another one has other places in its lists. An error where the user may not ask.
    pub(crate) run: Result<Arc<str>>,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Address {
    /// Opens a connection, in half the time that an attempt has, so that callers that wait for it learn that nothing
    /// was sent.
    ///
    /// # Errors
    /// `Unavailable` and `Safe` when nothing answers; `Misconfigured` when the host is unknown, or what answers is no
    /// server that this backend understands; `Unauthorized` when it does not accept user and password.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let time = self.door.patience / 2;
        match select(pin!(self.open(time)), self.door.timer.sleep(time)).await {
            // Nothing that was asked for was sent before the connection was there.
            Either::Left((opened, _)) => opened.map_err(as_not_applied),
            Either::Right(_) => Err(not_in_time(&self.node.authority())),
        }
    }

    async fn open(&self, time: Duration) -> Result<Connection> {
        let authority = self.node.authority();
        let Node { host, port } = &self.node;
        let stream = connect_tcp(host, *port, &authority, &*self.door.timer, time).await?;
        let socket: Box<dyn Socket> = match &self.door.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.clone()).map_err(|error| {
                    Error::new(ErrorKind::Misconfigured, "no certificate can have this host name").with_source(error)
                })?;
                let connected = tls.connect(name, stream).await;
                Box::new(connected.map_err(|error| no_connection(error, &authority.escape_debug().to_string()))?)
            }
        };
        let meter = Arc::new(Meter::new(self.door.answer_bytes_max));
        let socket = Metered { socket, meter: Arc::clone(&meter) };
        // The login is sent below, so that its refusals are read by the one table of errors.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINES_MAX);
        let opened = MultiplexedConnection::new_with_config(&info, socket, settings).await;
        let (requests, driver) = opened.map_err(|error| lost(&error))?;
        let greeting = pin!(greet(requests.clone(), &self.door));
        let (replies, driver) = match select(greeting, driver.boxed()).await {
            Either::Left((replies, driver)) => (replies, Some(driver)),
            // What it has not answered by then ends with it.
            Either::Right((_, greeting)) => (greeting.await, None),
        };
        // A server that turns a connection away says why, and closes it.
        let run = self.check(replies)?;
        let driver = driver.ok_or_else(connection_lost)?;
        meter.answered();
        Ok(Connection { requests, driver, meter, run })
    }

    /// Refuses what is no server for this store (LIFE-1).
    fn check(&self, replies: Vec<Result<Value>>) -> Result<Result<Arc<str>>> {
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or_else(|| Err(connection_lost()));
        if self.door.login.password.is_some() {
            accepted(next()?)?;
        }
        if self.door.login.database != 0 {
            accepted(next()?)?;
        }
        let hello = Hello::read(next()?)?;
        let authority = self.node.authority();
        let misconfigured =
            |message: &str| Error::new(ErrorKind::Misconfigured, format!("{} {message}", authority.escape_debug()));
        if !hello.is_new_enough() {
            return Err(misconfigured("is older than Redis 7.0"));
        }
        match (self.door.mode, hello.mode.as_str()) {
            (Mode::Standalone, "standalone") | (Mode::Cluster, "cluster") => {}
            (Mode::Standalone, "cluster") => return Err(misconfigured("is a node of a cluster: use redis-cluster://")),
            (Mode::Cluster, "standalone") => return Err(misconfigured("is no node of a cluster: use redis://")),
            _ => return Err(misconfigured("is a sentinel, which holds no data")),
        }
        // In a cluster it says itself where the master is.
        if hello.is_replica && self.door.mode == Mode::Standalone {
            let replica = misconfigured("is a replica, which only reads").with_reason(Reason::ReadOnly);
            // After a fail-over the address may lead to another server.
            return Err(replica.with_retry(Retry::Safe));
        }
        let run = run_id(next()?);
        if self.door.read_from_replicas {
            accepted(next()?)?;
        }
        Ok(run)
    }
}

/// What is sent first, all at once: who asks, for which database, and what the server is. Not as a pipeline, since only
/// of single commands the driver says that their reply was none.
async fn greet(requests: MultiplexedConnection, door: &Door) -> Vec<Result<Value>> {
    let (login, mut commands) = (&door.login, Vec::new());
    if let Some(password) = &login.password {
        let mut auth = redis::cmd("AUTH");
        if let Some(username) = &login.username {
            auth.arg(username.expose_secret());
        }
        auth.arg(password.expose_secret());
        commands.push(auth);
    }
    if login.database != 0 {
        commands.push(redis::cmd("SELECT").arg(login.database).take());
    }
    commands.push(redis::cmd("HELLO"));
    commands.push(redis::cmd("INFO").arg("server").take());
    if door.read_from_replicas {
        commands.push(redis::cmd("READONLY"));
    }
    let send = |command: Cmd| {
        let mut requests = requests.clone();
        async move { requests.send_packed_command(&command).await }
    };
    let replies = join_all(commands.into_iter().map(send)).await.into_iter();
    let is_no_reply = |error: &redis::RedisError| error.kind() == redis::ErrorKind::Parse;
    replies.map(|reply| reply.map_err(|error| if is_no_reply(&error) { no_redis() } else { lost(&error) })).collect()
}
