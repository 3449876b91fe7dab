//! The task that owns the connection: opens it when a request needs it, sends, reads, watches, and replaces it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, FutureExt, select};
use kv_api::{Error, ErrorKind, Result, Timer};
use tokio::sync::{Notify, mpsc, watch};

use crate::budget::ReplyBudget;
use crate::connection::{Address, Connection, End};
use crate::request::Request;
use crate::wire::error::not_in_time;

/// How many connections may be drained at a time. Before there are more, the oldest is given up: only a server that
/// sends replies that fit no request on one connection after the other makes so many of them.
const DRAINED_MAX: usize = 4;

/// Where the server is, how much may come from it, and how long things may take.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) budget: ReplyBudget,
    pub(crate) timer: Arc<dyn Timer>,
    /// How long one attempt of a request may take. The watch over the connection is measured by it: a reply that is
    /// outstanding for longer has no caller waiting for it.
    pub(crate) patience: Duration,
}

impl Server {
    /// Opens a connection, in half the time that an attempt has, so that callers that wait for it learn that nothing
    /// was sent.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let time = self.patience / 2;
        let too_long = self.timer.sleep(time);
        let opening = pin!(Connection::open(&self.address, &*self.timer, time, self.budget.clone()));
        // The time first: a server that sends without end cannot keep it from passing.
        match select(too_long, opening).await {
            Either::Left(_) => Err(not_in_time(&self.address.authority)),
            Either::Right((opened, _)) => opened,
        }
    }

    fn sleep(&self) -> BoxFuture<'static, ()> {
        let (timer, patience) = (Arc::clone(&self.timer), self.patience);
        async move { timer.sleep(patience).await }.boxed()
    }
}

/// The task's state.
pub(crate) struct Driver {
    server: Server,
    link: Link,
    requests: mpsc::Receiver<Request>,
    closing: BoxFuture<'static, ()>,
    /// Connections that take no more requests, the oldest first.
    drained: Vec<BoxFuture<'static, ()>>,
    /// Dropped with the task, which is how others learn of its end.
    _ended: watch::Sender<()>,
}

enum Link {
    /// None; the next request opens one.
    Down,
    /// Being opened for the first of the requests that wait.
    Opening { opening: BoxFuture<'static, Result<Connection>>, first: Request },
    /// Open.
    Up { connection: Box<Connection>, period: BoxFuture<'static, ()> },
}

impl Driver {
    pub(crate) fn new(
        server: Server,
        connection: Connection,
        requests: mpsc::Receiver<Request>,
        closing: Arc<Notify>,
        ended: watch::Sender<()>,
    ) -> Self {
        let link = Link::Up { connection: Box::new(connection), period: server.sleep() };
        let closing = async move { closing.notified().await }.boxed();
        Self { server, link, requests, closing, drained: Vec::new(), _ended: ended }
    }

    /// Runs until the store is closed or dropped, and then until all replies are there.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.requests.close();
        let closed = Error::new(ErrorKind::Closed, "the store was closed");
        match std::mem::replace(&mut self.link, Link::Down) {
            Link::Down => {}
            Link::Opening { first, .. } => first.refuse(&closed),
            Link::Up { connection, .. } => self.drain(connection),
        }
        while let Ok(request) = self.requests.try_recv() {
            request.refuse(&closed);
        }
        poll_fn(|cx| self.poll_drained(cx)).await;
    }

    /// Ready when there is nothing more to do but to end. What one turn reads and sends is bounded, and timers come
    /// before sockets; so the task needs none of tokio's budget, which reads would take from the timers beside them.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.poll_unpin(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Link::Up { connection, .. } = &mut self.link {
            connection.begin_turn();
        }
        loop {
            // In the loop, because its steps add some.
            let _ = self.poll_drained(cx);
            match &mut self.link {
                Link::Down => match self.requests.poll_recv(cx) {
                    Poll::Ready(Some(first)) => self.open_for(first),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                },
                Link::Opening { opening, .. } => match opening.poll_unpin(cx) {
                    Poll::Ready(opened) => self.opened(opened),
                    Poll::Pending => return Poll::Pending,
                },
                Link::Up { connection, period } => {
                    if period.poll_unpin(cx).is_ready() {
                        *period = self.server.sleep();
                        if connection.turn_period(cx) {
                            self.replace();
                        }
                        continue;
                    }
                    // Replies before requests: a connection that has ended takes no request.
                    let end = match connection.poll_replies(cx) {
                        Poll::Ready(end) => end,
                        Poll::Pending => match connection.poll_requests(cx, &mut self.requests) {
                            Poll::Ready(end) => end,
                            Poll::Pending => return Poll::Pending,
                        },
                    };
                    match end {
                        End::Lost => self.link = Link::Down,
                        End::Desynced => self.replace(),
                        End::Unused => return Poll::Ready(()),
                    }
                }
            }
        }
    }

    fn open_for(&mut self, first: Request) {
        if first.is_abandoned() {
            return;
        }
        let server = self.server.clone();
        let opening = async move { server.connect().await }.boxed();
        self.link = Link::Opening { opening, first };
    }

    /// Callers that waited for a connection that did not come learn it at once, and come back when the policy says so.
    fn opened(&mut self, opened: Result<Connection>) {
        let Link::Opening { first, .. } = std::mem::replace(&mut self.link, Link::Down) else { return };
        match opened {
            Ok(mut connection) => {
                connection.begin_turn();
                if connection.send(first).is_none() {
                    self.link = Link::Up { connection: Box::new(connection), period: self.server.sleep() };
                }
            }
            Err(error) => {
                // All are taken before the first is refused: one that comes back at once has not waited for this
                // connection.
                let others = std::iter::from_fn(|| self.requests.try_recv().ok());
                let waiting: Vec<Request> = std::iter::once(first).chain(others).collect();
                waiting.into_iter().for_each(|request| request.refuse(&error));
            }
        }
    }

    /// The connection takes no more requests; its replies are still read.
    fn replace(&mut self) {
        if let Link::Up { connection, .. } = std::mem::replace(&mut self.link, Link::Down) {
            self.drain(connection);
        }
    }

    fn drain(&mut self, connection: Box<Connection>) {
        if self.drained.len() >= DRAINED_MAX {
            drop(self.drained.remove(0));
        }
        self.drained.push(connection.drain(self.server.sleep()).boxed());
    }

    /// Ready when no connection is drained any more.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.drained.retain_mut(|connection| connection.poll_unpin(cx).is_pending());
        if self.drained.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
