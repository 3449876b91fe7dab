//! One connection: messages out, replies in, both at once. It is closed only when no reply is outstanding (closing
//! earlier has been seen to end real servers), after waiting for them in vain, or when the server floods it.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use kv_api::{Error, Result, Timer};
use kv_remote::connect_tcp;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::budget::ReplyBudget;
use crate::matcher::Matcher;
use crate::paced::{Paced, READ_BYTES, come_back};
use crate::request::Request;
use crate::wire::error::{closed, ended, not_opened, violation};
use crate::wire::message::{Command, SERVER_INFO};
use crate::wire::reply;

/// The longest reply that is read, where `buffer_bytes_max` is not less. The server limits none; a value of a message
/// of 8 MB, the greatest that it documents, comes back up to five times as long, since it spells numbers out.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many messages may wait for replies. Callers are bounded by the window; this bounds those that they gave up on.
const MESSAGES_MAX: usize = 1024;

/// How many messages are read, and how many sent, before others have their turn.
const MESSAGES_PER_TURN: usize = 64;

/// How many messages that answer nothing may come in one period, between two that do. A server needs one, a ping.
const UNASKED_MAX: usize = 1024;

/// What frames and their headers may take beside the longest reply.
const FRAMES_BYTES: u64 = 64 * 1024;

/// A place to connect to, and how much may come from there.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Both of them together.
    pub(crate) authority: String,
    /// The longest message that is sent.
    pub(crate) message_bytes_max: usize,
    pub(crate) buffer_bytes_max: usize,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<Paced<TcpStream>>,
    matcher: Matcher,
    reply_bytes_max: usize,
    /// What comes is only counted, because something came that fits no request.
    desynced: Option<Desynced>,
    /// Something was handed to the socket and may still be in its buffer.
    is_unflushed: bool,
    /// How often [`turn_period`](Self::turn_period) was called.
    period: u64,
    /// Something came in this period.
    has_heard: bool,
    /// A ping was sent in the period before, and nothing has come since.
    has_pinged: bool,
    /// How many messages that answer nothing have come in this period, since the last that does.
    unasked: usize,
    /// How many bytes had been read when the last whole message was there.
    received_before: u64,
}

/// Replies cannot be assigned any more. The server answers `SERVER_INFO` after all that was sent before it; so
/// when one that is sent from now on is answered, nothing is outstanding. How many other messages come until then says
/// nothing: one of them fitted no request.
#[derive(Debug)]
struct Desynced {
    /// The replies to `SERVER_INFO` that are outstanding, with the one that is asked for last.
    infos: usize,
    /// That one has not been asked for.
    is_to_ask: bool,
    /// How many replies may still come that are no flood.
    replies: usize,
}

/// Why a connection takes no more messages.
#[derive(Debug)]
pub(crate) enum End {
    /// It is gone.
    Lost,
    /// It is there, and what comes is no longer to be relied on.
    Desynced,
    /// The store was dropped.
    Unused,
}

impl Connection {
    /// Opens one, within about this time.
    ///
    /// # Errors
    /// `Misconfigured` when the host is unknown or what answers there speaks no WebSocket; `Unavailable` and `Safe`
    /// when nothing answers.
    pub(crate) async fn open(
        address: &Address,
        timer: &dyn Timer,
        time: Duration,
        budget: ReplyBudget,
    ) -> Result<Self> {
        let Address { host, port, authority, message_bytes_max, buffer_bytes_max } = address;
        let stream = connect_tcp(host, *port, authority, timer, time).await?;
        let reply_bytes_max = REPLY_BYTES_MAX.min(*buffer_bytes_max);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(READ_BYTES)
            // What is buffered, a message, and its frame.
            .max_write_buffer_size(2 * READ_BYTES + message_bytes_max)
            .max_frame_size(Some(reply_bytes_max))
            .max_message_size(Some(reply_bytes_max));
        let opening = client_async_with_config(format!("ws://{authority}/"), Paced::new(stream), Some(config));
        let (socket, _) = opening.await.map_err(|error| not_opened(authority, error))?;
        Ok(Self {
            socket,
            matcher: Matcher::new(budget),
            reply_bytes_max,
            desynced: None,
            is_unflushed: false,
            period: 0,
            has_heard: true,
            has_pinged: false,
            unasked: 0,
            received_before: 0,
        })
    }

    /// The task has its turn: it may read again.
    pub(crate) fn begin_turn(&mut self) {
        self.socket.get_mut().begin_turn();
    }

    /// Takes what has come, and gives each caller its own. Ends when the connection does, or its trustworthiness. The
    /// socket answers pings by itself while it is read.
    ///
    /// What one turn reads is bounded. After that, or when nothing has come, it is pending.
    pub(crate) fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..MESSAGES_PER_TURN {
            let message = match self.socket.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.lose(&ended(Some(error)))),
                Poll::Ready(None) => return Poll::Ready(self.lose(&ended(None))),
                Poll::Pending if self.is_endless() => {
                    return Poll::Ready(self.lose(&violation("more frames than one message takes")));
                }
                Poll::Pending => return Poll::Pending,
            };
            self.received_before = self.socket.get_ref().received();
            (self.has_heard, self.has_pinged) = (true, false);
            if let Some(end) = self.on_message(message) {
                return Poll::Ready(end);
            }
        }
        come_back(cx);
        Poll::Pending
    }

    fn on_message(&mut self, message: Message) -> Option<End> {
        let error = match (message, &mut self.desynced) {
            (Message::Text(text), None) => match reply::parse(&text) {
                Ok(reply) if self.matcher.on_reply(&reply).is_ok() => {
                    self.unasked = 0;
                    return None;
                }
                Ok(_) => violation("a reply that fits no request"),
                Err(error) => error,
            },
            (Message::Binary(_), None) => violation("a binary message"),
            (Message::Text(text), Some(desynced)) if desynced.replies > 0 => {
                desynced.replies -= 1;
                if reply::parse(&text).is_ok_and(|reply| reply.command == Command::ServerInfo) {
                    desynced.infos = desynced.infos.saturating_sub(1);
                    if desynced.infos == 0 {
                        self.matcher.nothing_is_outstanding();
                    }
                }
                return None;
            }
            (Message::Close(frame), _) => return Some(self.lose(&closed(frame.map(|frame| frame.code)))),
            _ => {
                self.unasked += 1;
                return (self.unasked > UNASKED_MAX).then(|| self.lose(&violation("nothing but messages of no use")));
            }
        };
        tracing::debug!(code = error.native_code(), "a message of the server fits no request");
        let replies = self.matcher.outstanding() + UNASKED_MAX;
        let infos = self.matcher.give_up(&error) + 1;
        self.desynced = Some(Desynced { infos, is_to_ask: true, replies });
        Some(End::Desynced)
    }

    /// Whether more has been read since the last message than any message can take.
    fn is_endless(&self) -> bool {
        self.socket.get_ref().received() - self.received_before > self.reply_bytes_max as u64 + FRAMES_BYTES
    }

    /// Sends requests as they come, as long as there is room.
    pub(crate) fn poll_requests(&mut self, cx: &mut Context<'_>, requests: &mut mpsc::Receiver<Request>) -> Poll<End> {
        let mut sent = 0;
        while self.matcher.messages() < MESSAGES_MAX {
            if sent == MESSAGES_PER_TURN {
                come_back(cx);
                break;
            }
            if let Err(error) = ready!(self.socket.poll_ready_unpin(cx)) {
                return Poll::Ready(self.lose(&ended(Some(error))));
            }
            match requests.poll_recv(cx) {
                Poll::Ready(Some(request)) => {
                    sent += 1;
                    if let Some(end) = self.send(request) {
                        return Poll::Ready(end);
                    }
                }
                Poll::Ready(None) => return Poll::Ready(End::Unused),
                Poll::Pending => break,
            }
        }
        match ready!(self.poll_flush(cx)) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(self.lose(&ended(Some(error)))),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        if self.is_unflushed {
            ready!(self.socket.poll_flush_unpin(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Hands a request to the socket, unless its caller is gone.
    pub(crate) fn send(&mut self, mut request: Request) -> Option<End> {
        if request.is_abandoned() || !request.handover.send() {
            return None;
        }
        let text = std::mem::take(&mut request.text);
        self.matcher.register(request, self.period);
        self.is_unflushed = true;
        let sent = self.socket.start_send_unpin(Message::text(text));
        sent.err().map(|error| self.lose(&ended(Some(error))))
    }

    /// A period has passed. Pings where it was quiet; `true` when the connection is to be replaced: a reply has been
    /// outstanding for a whole period, or a ping has got no answer for one.
    ///
    /// The server pings after 150 seconds of silence and hangs up after 300. A client that only waited for that would
    /// send calls into a dead connection for minutes.
    pub(crate) fn turn_period(&mut self, cx: &mut Context<'_>) -> bool {
        self.period += 1;
        self.unasked = 0;
        let is_overdue = self.matcher.oldest_period().is_some_and(|period| period + 2 <= self.period);
        if is_overdue || self.has_pinged {
            return true;
        }
        if !self.has_heard {
            self.has_pinged = true;
            // A socket that takes nothing is as good as one that brings nothing back.
            if let Poll::Ready(Ok(())) = self.socket.poll_ready_unpin(cx) {
                self.is_unflushed = true;
                let _ = self.socket.start_send_unpin(Message::Ping(tungstenite::Bytes::new()));
            }
        }
        self.has_heard = false;
        false
    }

    /// Sends no more requests; reads what is outstanding, closes, and lets go. After `patience` it lets go anyway.
    pub(crate) async fn drain(mut self, mut patience: BoxFuture<'static, ()>) {
        poll_fn(|cx| {
            // First, so that nothing that comes can keep it from ending.
            if patience.poll_unpin(cx).is_ready() {
                return Poll::Ready(());
            }
            self.begin_turn();
            self.poll_drained(cx)
        })
        .await;
        self.matcher.give_up(&ended(None));
    }

    /// Ready when the connection is closed, or lost. Reads beside all that it sends: the server may take nothing until
    /// what it has sent is read. Where nothing can be sent any more, it reads until nothing comes.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.ask_for_info(cx);
            let is_done = self.matcher.outstanding() == 0;
            if is_done {
                let _ = self.socket.poll_close_unpin(cx);
            } else {
                let _ = self.poll_flush(cx);
            }
            match self.poll_replies(cx) {
                Poll::Ready(End::Lost) => return Poll::Ready(()),
                Poll::Ready(End::Desynced | End::Unused) => {}
                Poll::Pending if !is_done && self.matcher.outstanding() == 0 => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Asks for the reply that comes after all others, where that marks their end, and as soon as there is room
    /// for it.
    fn ask_for_info(&mut self, cx: &mut Context<'_>) {
        let Some(desynced) = &mut self.desynced else { return };
        if desynced.is_to_ask && self.socket.poll_ready_unpin(cx).is_ready() {
            desynced.is_to_ask = false;
            self.is_unflushed = true;
            let _ = self.socket.start_send_unpin(Message::text(SERVER_INFO));
        }
    }

    fn lose(&mut self, error: &Error) -> End {
        self.matcher.give_up(error);
        End::Lost
    }
}
