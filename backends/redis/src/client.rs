//! The way to the task that owns the connection to one server: a bounded queue there, and the replies back.

use std::sync::Arc;

use kv_api::{Error, ErrorKind, Result, Retry};
use redis::{Cmd, Value};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::connection::{Address, Connection};
use crate::driver::{Driver, Request};

/// How many requests wait to be sent; then callers wait for room.
const QUEUE_MAX: usize = 256;

/// The one connection to a server, as its callers see it.
#[derive(Debug)]
pub(crate) struct Client {
    requests: mpsc::Sender<Request>,
    closing: Arc<Notify>,
    ended: watch::Receiver<()>,
}

/// Replies, and the run of the server that they come from.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) replies: Vec<Value>,
    pub(crate) run: Result<Arc<str>>,
}

impl Client {
    /// Connects, and starts the task that owns the connection.
    ///
    /// # Errors
    /// As [`Address::connect`] has them.
    pub(crate) async fn open(address: Address) -> Result<Self> {
        let connection = address.connect().await?;
        Ok(Self::start_with(address, Some(connection)))
    }

    /// Starts the task, which connects when it is first asked.
    pub(crate) fn start(address: Address) -> Self {
        Self::start_with(address, None)
    }

    fn start_with(address: Address, connection: Option<Connection>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let closing = Arc::new(Notify::new());
        let (ends, ended) = watch::channel(());
        let driver = Driver::new(address, connection, queue, Arc::clone(&closing), ends);
        tokio::spawn(driver.run());
        Self { requests, closing, ended }
    }

    /// Sends one command and waits for its reply. A caller that goes away before it is sent takes it along; after that
    /// its reply is awaited without it (ERR-6).
    ///
    /// # Errors
    /// When no reply came. What the server refuses is a reply.
    pub(crate) async fn one(&self, cmd: Cmd) -> Result<Value> {
        let (caller, reply) = oneshot::channel();
        self.requests.send(Request::one(cmd, caller)).await.map_err(closed)?;
        reply.await.map_err(ended)?
    }

    /// The same for several commands, which go out together, and whose replies come together.
    pub(crate) async fn many(&self, cmds: Vec<Cmd>) -> Result<Answers> {
        self.many_in_run(cmds, None).await
    }

    /// The same, only to this run of the server, if one is given.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::CursorInvalid`](kv_api::Reason::CursorInvalid) when it is another run.
    pub(crate) async fn many_in_run(&self, cmds: Vec<Cmd>, run: Option<Arc<str>>) -> Result<Answers> {
        let (caller, replies) = oneshot::channel();
        self.requests.send(Request::many(cmds, run, caller)).await.map_err(closed)?;
        replies.await.map_err(ended)?
    }

    /// Waits until the connection is closed (LIFE-2).
    pub(crate) async fn close(&self) {
        self.closing.notify_one();
        let mut ended = self.ended.clone();
        // Nothing is ever sent; it errs when the task ends.
        let _ = ended.changed().await;
    }
}

fn closed<T>(_: T) -> Error {
    Error::new(ErrorKind::Closed, "the store was closed")
}

fn ended<T>(_: T) -> Error {
    let message = "the connection was given up, or ended with the runtime it ran on";
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::OutcomeUnknown)
}
