//! The way to the task that owns the connection: a bounded queue there, and the replies to each message back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kv_api::{Error, ErrorKind, Result, Retry};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::unconstrained;

use crate::driver::{Driver, Server};
use crate::request::{Replies, Request, Withdrawal};
use crate::wire::message::Command;

/// How many messages wait to be sent; then callers wait for room.
const QUEUE_MAX: usize = 64;

/// The one connection of a store, as its callers see it.
#[derive(Debug)]
pub(crate) struct Client {
    requests: mpsc::Sender<Request>,
    /// Bytes for all requests whose replies have not come.
    room: Arc<Semaphore>,
    bytes_max: u32,
    closing: Arc<Notify>,
    ended: watch::Receiver<()>,
}

/// The bytes of one message, reserved.
#[derive(Debug)]
pub(crate) struct Room(OwnedSemaphorePermit);

impl Client {
    /// Connects, and starts the task that owns the connection.
    ///
    /// # Errors
    /// As [`Connection::open`](crate::connection::Connection::open) has them.
    pub(crate) async fn open(server: Server) -> Result<Self> {
        let bytes_max = server.address.buffer_bytes_max.min(Semaphore::MAX_PERMITS);
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        let connection = server.connect().await?;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let closing = Arc::new(Notify::new());
        let (ends, ended) = watch::channel(());
        let driver = Driver::new(server, connection, queue, Arc::clone(&closing), ends);
        tokio::spawn(unconstrained(driver.run()));
        let room = Arc::new(Semaphore::new(usize::try_from(bytes_max).unwrap_or(usize::MAX)));
        Ok(Self { requests, room, bytes_max, closing, ended })
    }

    /// Waits until the requests under way leave room for a message of so many bytes. One that is longer than all may
    /// hold together waits until it is alone.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Room> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        // It is never closed.
        room.map(Room).map_err(|_| Error::new(ErrorKind::Internal, "the room for requests is closed"))
    }

    /// Sends a message and waits for its replies. A caller that goes away before it is sent takes it along; after that
    /// its replies are awaited without it (ERR-6), and `sent` is set: before, a request may wait for a connection or
    /// for the socket.
    ///
    /// # Errors
    /// When nothing is known of any of its keys.
    pub(crate) async fn send(
        &self,
        command: Command,
        keys: Vec<String>,
        text: String,
        room: Room,
        sent: &AtomicBool,
    ) -> Result<Replies> {
        let (caller, replies) = oneshot::channel();
        let request = Request::new(command, keys, text, caller, room.0);
        let _withdrawal = Withdrawal { handover: request.handover.clone(), sent };
        let closed = |_| Error::new(ErrorKind::Closed, "the store was closed");
        self.requests.send(request).await.map_err(closed)?;
        let ended = |_| {
            let message = "the connection was given up, or ended with the runtime it ran on";
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
