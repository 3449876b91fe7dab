//! One connection through a link: both directions in one task, and no lock.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::count::Shared;
use crate::dialect::Dialect;
use crate::lane::Lane;
use crate::stream::ServerStream;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client has been sent an end, and what it still sends is dropped until it ends as well.
    Ending,
    Gone,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` once the connection is gone.
    client: Option<TcpStream>,
    /// `None` before the server has been reached and after the end.
    server: Option<ServerStream>,
    /// The same once the client has been sent the end, where the server may have more to say.
    spared: Option<ServerStream>,
    dialect: Box<dyn Dialect>,
    up: Lane,
    down: Lane,
    phase: Phase,
    client_has_ended: bool,
    server_has_ended: bool,
    has_told_the_end: bool,
    server_was_sent_the_end: bool,
    /// The server has hung up. It may have answered before.
    server_takes_nothing: bool,
    ends_when_idle: bool,
    is_stalled: bool,
    waker: Option<Waker>,
}

impl Connection {
    pub(crate) fn new(client: TcpStream, dialect: Box<dyn Dialect>, is_stalled: bool) -> Self {
        Self {
            client: Some(client),
            server: None,
            spared: None,
            dialect,
            up: Lane::new(),
            down: Lane::new(),
            phase: Phase::Open,
            client_has_ended: false,
            server_has_ended: false,
            has_told_the_end: false,
            server_was_sent_the_end: false,
            server_takes_nothing: false,
            ends_when_idle: false,
            is_stalled,
            waker: None,
        }
    }

    /// The server has been reached.
    pub(crate) fn serve_by(&mut self, server: ServerStream) {
        if self.phase == Phase::Open {
            self.server = Some(server);
        }
    }

    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Stops or lets flow what goes through.
    pub(crate) fn stall(&mut self, stall: bool) {
        self.is_stalled = stall;
        self.wake();
    }

    /// Ends the connection as soon as nothing is under way: at once, if nothing is. Whether it was at once.
    pub(crate) fn end_when_idle(&mut self) -> bool {
        self.ends_when_idle = true;
        self.wake();
        if self.phase == Phase::Open && self.is_idle() {
            self.begin_to_end();
            return true;
        }
        false
    }

    /// Ends the connection now, so that the client's next read or write fails.
    pub(crate) fn reset(&mut self) {
        if let Some(client) = self.client.take() {
            // Where it cannot be set the client has gone already.
            let _ = client.set_zero_linger();
        }
        (self.server, self.spared) = (None, None);
        self.phase = Phase::Gone;
        self.wake();
    }

    /// Closes what has been waited for long enough. What the client was sent and has not read it can read still, unless
    /// it was ordered that its next write fails.
    pub(crate) fn give_up(&mut self) {
        if self.ends_when_idle {
            self.reset();
        } else {
            self.client = None;
            self.phase = Phase::Gone;
        }
    }

    /// The server that is still to be listened to.
    pub(crate) const fn take_spared(&mut self) -> Option<ServerStream> {
        self.spared.take()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn is_idle(&self) -> bool {
        self.dialect.is_idle() && self.up.is_empty() && self.down.is_empty()
    }

    /// Sends the client an end and takes nothing more from it.
    fn begin_to_end(&mut self) {
        self.spared = self.server.take().filter(|_| self.dialect.spares_the_server() && !self.server_has_ended);
        self.phase = Phase::Ending;
        if let Some(client) = &mut self.client {
            // A system call that does not wait; a client that has gone needs no end.
            let _ = Pin::new(client).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Passes on what comes, until the connection begins to end or is gone.
    pub(crate) fn poll_flow(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        self.remember(cx);
        while self.phase == Phase::Open {
            if self.is_stalled {
                return Poll::Pending;
            }
            match self.flow(cx, shared) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(_) => self.reset(),
            }
        }
        Poll::Ready(())
    }

    fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    /// One turn in both directions; whether anything moved.
    fn flow(&mut self, cx: &mut Context<'_>, shared: &Shared) -> io::Result<bool> {
        let (Some(client), Some(server)) = (&mut self.client, &mut self.server) else { return Ok(false) };
        let malformed = |malformed: crate::protocol::Malformed| io::Error::other(malformed.to_string());
        let mut moved = false;

        if !self.client_has_ended
            && self.up.has_room()
            && let Poll::Ready(count) = self.up.poll_fill(cx, client)
        {
            self.client_has_ended = count? == 0;
            moved = true;
        }
        self.dialect.take_requests(&mut self.up, shared).map_err(malformed)?;
        while !self.up.is_flushed() && !self.server_takes_nothing {
            let Poll::Ready(count) = self.up.poll_send(cx, server) else { break };
            self.server_takes_nothing = count.is_err();
            moved = true;
        }
        // What is encrypted is written in its own time.
        if !self.server_takes_nothing
            && let Poll::Ready(Err(_)) = Pin::new(&mut *server).poll_flush(cx)
        {
            self.server_takes_nothing = true;
        }
        if self.server_takes_nothing {
            self.up.drop_ready();
        } else if self.client_has_ended
            && self.up.is_flushed()
            // Some of it may wait for an answer to what is before it.
            && self.up.is_seen()
            && !self.server_was_sent_the_end
        {
            self.server_was_sent_the_end = true;
            let _ = Pin::new(&mut *server).poll_shutdown(cx);
        }

        if !self.server_has_ended
            && self.down.has_room()
            && let Poll::Ready(count) = self.down.poll_fill(cx, server)
        {
            self.server_has_ended = count? == 0;
            moved = true;
        }
        self.dialect.take_answers(&mut self.down, shared).map_err(malformed)?;
        if self.server_has_ended && !self.has_told_the_end && self.down.is_seen() {
            self.has_told_the_end = true;
            self.dialect.end_of_answers(&mut self.down);
        }
        while !self.down.is_flushed() {
            let Poll::Ready(count) = self.down.poll_send(cx, client) else { break };
            count?;
            moved = true;
        }

        let has_to_end = self.server_has_ended || self.dialect.has_to_end() || (self.ends_when_idle && self.is_idle());
        if has_to_end && self.down.is_flushed() {
            self.begin_to_end();
            moved = true;
        }
        Ok(moved)
    }

    /// Drops what the client still sends, until it ends as well. What it was sent last can be lost to it otherwise: a
    /// socket that is closed with something unread in it takes back what has not been delivered.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.remember(cx);
        let mut dropped = [0; 4096];
        while self.phase == Phase::Ending {
            let Some(client) = &mut self.client else { break };
            let mut room = ReadBuf::new(&mut dropped);
            match Pin::new(client).poll_read(cx, &mut room) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {}
                Poll::Ready(_) => {
                    self.client = None;
                    self.phase = Phase::Gone;
                }
            }
        }
        Poll::Ready(())
    }
}
