//! One connection: messages out, replies in, both at once. It is closed only when no reply is due (closing earlier has been
//! seen to end real servers), or after waiting for them in vain.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, select};
use futures_util::{SinkExt, StreamExt};
use kv_api::{Error, ErrorKind, Result, Retry};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::Request;
use crate::matcher::Matcher;
use crate::wire::message::{Command, SERVER_INFO};
use crate::wire::reply;

/// The longest reply that is read. The server limits none; a value of a message of 8 MB, the greatest that it documents, comes
/// back up to five times as long, since it spells numbers out.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many messages may wait for replies. Callers are bounded by the window; this bounds those that they gave up on.
const MESSAGES_MAX: usize = 1024;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    matcher: Matcher,
    /// What comes is only counted, because something came that was nobody's reply.
    desynced: Option<Desynced>,
    /// Something was handed to the socket and may still be in its buffer.
    is_unflushed: bool,
    /// How often [`turn_period`](Self::turn_period) was called.
    period: u64,
    /// Something came in this period.
    has_heard: bool,
    /// A ping was sent in the period before, and nothing has come since.
    has_pinged: bool,
}

/// When all replies are there that were due when the replies went out of step. The server answers `SERVER_INFO` after all that was sent
/// before it; so after one more of those has been asked for and answered, nothing is due.
#[derive(Debug)]
struct Desynced {
    /// The replies to `SERVER_INFO` that are due, with the one that is asked for last.
    infos: usize,
}

/// Why a connection takes no more messages.
#[derive(Debug)]
pub(crate) enum End {
    /// It is gone.
    Lost,
    /// It is there, and what comes is no longer to be relied on.
    Desynced,
    /// Nobody holds the store any more.
    Unused,
}

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// `Unavailable` and `Safe` when nobody answers, `Misconfigured` when who answers speaks no WebSocket.
    pub(crate) async fn open(host: &str, port: u16, authority: &str) -> Result<Self> {
        let unreachable = |error| {
            let message = "the server cannot be reached";
            Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe).with_source(error)
        };
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        // A request is one small write, and must not wait for the reply to the one before.
        stream.set_nodelay(true).map_err(unreachable)?;
        let config =
            WebSocketConfig::default().max_frame_size(Some(REPLY_BYTES_MAX)).max_message_size(Some(REPLY_BYTES_MAX));
        let opening = client_async_with_config(format!("ws://{authority}/"), stream, Some(config));
        let (socket, _) = opening.await.map_err(|error| refused(&error))?;
        Ok(Self {
            socket,
            matcher: Matcher::default(),
            desynced: None,
            is_unflushed: false,
            period: 0,
            has_heard: true,
            has_pinged: false,
        })
    }

    /// Takes what has come, and gives each caller its own. Ends when the connection does, or its trustworthiness. The socket
    /// answers pings by itself while it is read.
    pub(crate) fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let message = match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(self.lose(&gone(Some(&error)))),
                None => return Poll::Ready(self.lose(&gone(None))),
            };
            (self.has_heard, self.has_pinged) = (true, false);
            let error = match (message, &mut self.desynced) {
                (Message::Text(text), None) => match reply::parse(&text) {
                    Ok(reply) => match self.matcher.on_reply(reply) {
                        Ok(()) => continue,
                        Err(_) => nobodys("a reply that nobody waits for"),
                    },
                    Err(error) => error,
                },
                (Message::Binary(_), None) => nobodys("a binary message"),
                (Message::Text(text), Some(desynced)) => {
                    self.matcher.came_unmatched();
                    if reply::parse(&text).is_ok_and(|reply| reply.command == Command::ServerInfo) {
                        desynced.infos = desynced.infos.saturating_sub(1);
                        if desynced.infos == 0 {
                            self.matcher.nothing_is_outstanding();
                        }
                    }
                    continue;
                }
                (Message::Close(frame), _) => {
                    let code = frame.map(|frame| frame.code);
                    return Poll::Ready(self.lose(&closed(code)));
                }
                (Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Binary(_), _) => continue,
            };
            tracing::debug!(code = error.native_code(), "a message of the server is nobody's reply");
            self.matcher.came_unmatched();
            self.desynced = Some(Desynced { infos: self.matcher.give_up(&error) + 1 });
            return Poll::Ready(End::Desynced);
        }
    }

    /// Sends requests as they come, as long as there is room.
    pub(crate) fn poll_requests(&mut self, cx: &mut Context<'_>, requests: &mut mpsc::Receiver<Request>) -> Poll<End> {
        while self.matcher.messages() < MESSAGES_MAX {
            if let Err(error) = ready!(self.socket.poll_ready_unpin(cx)) {
                return Poll::Ready(self.lose(&gone(Some(&error))));
            }
            match requests.poll_recv(cx) {
                Poll::Ready(Some(request)) => {
                    if let Some(end) = self.send(request) {
                        return Poll::Ready(end);
                    }
                }
                Poll::Ready(None) => return Poll::Ready(End::Unused),
                Poll::Pending => break,
            }
        }
        if self.is_unflushed {
            let flushed = ready!(self.socket.poll_flush_unpin(cx));
            self.is_unflushed = false;
            if let Err(error) = flushed {
                return Poll::Ready(self.lose(&gone(Some(&error))));
            }
        }
        Poll::Pending
    }

    /// Hands a request to the socket, unless its caller is gone.
    pub(crate) fn send(&mut self, request: Request) -> Option<End> {
        let Request { command, keys, text, caller } = request;
        if caller.is_closed() {
            return None;
        }
        self.matcher.register(command, keys, caller, self.period);
        self.is_unflushed = true;
        let sent = self.socket.start_send_unpin(Message::text(text));
        sent.err().map(|error| self.lose(&gone(Some(&error))))
    }

    /// A period has passed. Pings where it was quiet; `true` when the connection is to be replaced: a reply has been due for a
    /// whole period, or a ping has got no answer for one.
    ///
    /// The server pings after 150 seconds of silence and hangs up after 300. Somebody who only waited for that would send
    /// calls into a dead connection for minutes.
    pub(crate) fn turn_period(&mut self, cx: &mut Context<'_>) -> bool {
        self.period += 1;
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

    /// Sends no more; reads what is due, closes, and lets go. After `patience` it lets go anyway.
    pub(crate) async fn drain(mut self, patience: BoxFuture<'static, ()>) {
        let ending = async {
            if self.desynced.is_some() && self.matcher.outstanding() > 0 {
                // Where it cannot be sent, what comes is read until nothing more does.
                let _ = self.socket.send(Message::text(SERVER_INFO)).await;
            }
            while self.matcher.outstanding() > 0 {
                match poll_fn(|cx| self.poll_due(cx)).await {
                    Some(End::Lost) => return,
                    _ => continue,
                }
            }
            if self.socket.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        select(pin!(ending), patience).await;
        self.matcher.give_up(&gone(None));
    }

    /// Ends when nothing is due, or as [`poll_replies`](Self::poll_replies) does.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        if self.is_unflushed && self.socket.poll_flush_unpin(cx).is_ready() {
            self.is_unflushed = false;
        }
        match self.poll_replies(cx) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending if self.matcher.outstanding() == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn lose(&mut self, error: &Error) -> End {
        self.matcher.give_up(error);
        End::Lost
    }
}

/// Something came that cannot be told whose it is.
fn nobodys(what: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the server sent {what}")).with_retry(Retry::OutcomeUnknown)
}

/// The connection has ended with requests on it, of which nobody knows what became.
fn gone(error: Option<&tungstenite::Error>) -> Error {
    let gone = Error::new(ErrorKind::Unavailable, "the connection was lost").with_retry(Retry::OutcomeUnknown);
    match error {
        // Others can hold a message, and so a value.
        Some(tungstenite::Error::Io(error)) => gone.with_native_code(error.kind()),
        _ => gone,
    }
}

/// The server has closed the connection.
fn closed(code: Option<CloseCode>) -> Error {
    let error = match code {
        Some(CloseCode::Size) => {
            Error::new(ErrorKind::Misconfigured, "the server takes no message as long as max_message_bytes says")
        }
        Some(CloseCode::Protocol | CloseCode::Invalid | CloseCode::Unsupported | CloseCode::Policy) => {
            Error::new(ErrorKind::Protocol, "the server closed the connection over a message")
        }
        _ => Error::new(ErrorKind::Unavailable, "the server closed the connection"),
    };
    let error = error.with_retry(Retry::OutcomeUnknown);
    match code {
        Some(code) => error.with_native_code(format_args!("close {}", u16::from(code))),
        None => error,
    }
}

/// The WebSocket was not opened; nothing was sent on it.
fn refused(error: &tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(answer) => {
            let code = format!("HTTP {}", answer.status().as_u16());
            let error = if answer.status().is_server_error() {
                Error::new(ErrorKind::Unavailable, "the server opens no WebSocket now").with_retry(Retry::Safe)
            } else {
                Error::new(ErrorKind::Misconfigured, "what answers there opens no WebSocket")
            };
            error.with_native_code(code)
        }
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete)
        | tungstenite::Error::Io(_)
        | tungstenite::Error::ConnectionClosed => {
            Error::new(ErrorKind::Unavailable, "the server hung up before the WebSocket was open")
                .with_retry(Retry::Safe)
        }
        _ => Error::new(ErrorKind::Misconfigured, "what answers there speaks no WebSocket"),
    }
}
