//! The way to the task that owns the connection: a bounded queue there, and one answer back for each message.

use std::sync::Arc;

use kv_api::{Error, ErrorKind, Result, Retry};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::driver::{Driver, Server};
use crate::matcher::Replies;
use crate::wire::message::Command;

/// How many messages wait to be sent; then callers wait for room.
const QUEUE_MAX: usize = 64;

/// A message, the keys that it is about as they are on the server, and who wants the replies.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) keys: Vec<String>,
    pub(crate) text: String,
    pub(crate) caller: oneshot::Sender<Replies>,
}

impl Request {
    /// Whether nobody wants the replies any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    /// Says that it was not sent.
    pub(crate) fn refuse(self, error: &Error) {
        let _ = self.caller.send(Replies::none(self.keys.len(), error.clone()));
    }
}

/// The one connection of a store, as its callers see it.
#[derive(Debug)]
pub(crate) struct Client {
    requests: mpsc::Sender<Request>,
    closing: Arc<Notify>,
    ended: watch::Receiver<()>,
}

impl Client {
    /// Connects, and starts the task that owns the connection.
    ///
    /// # Errors
    /// As [`Connection::open`](crate::connection::Connection::open) has them.
    pub(crate) async fn open(server: Server) -> Result<Self> {
        let connection = server.connect().await?;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let closing = Arc::new(Notify::new());
        let (ends, ended) = watch::channel(());
        tokio::spawn(Driver::new(server, connection, queue, Arc::clone(&closing), ends).run());
        Ok(Self { requests, closing, ended })
    }

    /// Sends a message and waits for its replies. A caller that goes away before it is sent takes it along; after that its
    /// replies are awaited without it (ERR-6).
    ///
    /// # Errors
    /// When nothing can be told of any of its keys.
    pub(crate) async fn send(&self, command: Command, keys: Vec<String>, text: String) -> Result<Replies> {
        let (caller, replies) = oneshot::channel();
        let request = Request { command, keys, text, caller };
        let closed = |_| Error::new(ErrorKind::Closed, "the store was closed");
        self.requests.send(request).await.map_err(closed)?;
        let ended = |_| {
            let message = "the connection ended with the runtime it ran on";
            Error::new(ErrorKind::Unavailable, message).with_retry(Retry::OutcomeUnknown)
        };
        replies.await.map_err(ended)
    }

    /// Waits until all replies have come, or the patience for them is over, and the connection is closed (LIFE-2).
    pub(crate) async fn close(&self) {
        self.closing.notify_one();
        let mut ended = self.ended.clone();
        // Nothing is ever sent; it errs when the task ends.
        let _ = ended.changed().await;
    }
}
