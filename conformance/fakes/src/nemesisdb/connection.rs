//! One connection: messages in, answers out, pings after silence, and the many ways in which it can end.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use kv_api::{Clock, SystemClock, Timer, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::handshake;
use super::outbox::{Last, Outbox, Outgoing};
use super::server::Shared;

type Socket = WebSocketStream<TcpStream>;

/// How many answers may wait for a client that does not read; while there are more, no message is read.
const ANSWERS_DUE_MAX: usize = 1_000_000;

/// How long a connection that ends waits for the client to take note. A client that has all it was sent closes at once.
const LINGER: Duration = Duration::from_secs(1);

/// How a connection ends.
enum End {
    /// The client is gone.
    Lost,
    /// The client said goodbye, and is answered so.
    ClosedByClient,
    /// With a close frame of ours.
    Refused(CloseCode),
    /// As was decided about a message, or, without a close frame, because the client was silent for too long.
    Decided(Last),
}

/// Serves one connection until it ends.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for one another; where that cannot be set they do, which is no harm.
    let _ = stream.set_nodelay(true);
    let accepted = handshake::accept(stream, shared.settings.max_message_bytes, || shared.connected()).await;
    let Ok(Some((socket, (connection, outbox)))) = accepted else { return };
    let line = Line {
        shared,
        connection,
        outbox: Mutex::new(outbox),
        changed: Notify::new(),
        drained: Notify::new(),
        heard: Notify::new(),
        answered_last: AtomicBool::new(false),
    };
    let (mut sink, mut stream) = socket.split();
    let end = {
        let (reading, writing, watching) = (line.read(&mut stream), line.write(&mut sink), line.watch());
        let (mut reading, mut writing, mut watching) = (pin!(reading), pin!(writing), pin!(watching));
        // What the client says comes first: a close is seen before the answers that it did not wait for are sent.
        tokio::select! {
            biased;
            end = &mut reading => end,
            end = &mut writing => end,
            end = &mut watching => end,
        }
    };
    if let Ok(socket) = stream.reunite(sink) {
        finish(socket, end).await;
    }
}

/// One end of a connection.
struct Line {
    shared: Arc<Shared>,
    connection: u64,
    outbox: Mutex<Outbox>,
    /// There is something new in the outbox.
    changed: Notify,
    /// Something has left the outbox.
    drained: Notify,
    /// The client has sent something.
    heard: Notify,
    /// Whether what was sent last is an answer: what a client leaves unread is the end of what it was sent.
    answered_last: AtomicBool,
}

impl Line {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, stream: &mut SplitStream<Socket>) -> End {
        loop {
            while self.outbox().due() > ANSWERS_DUE_MAX {
                self.drained.notified().await;
            }
            let received = stream.next().await;
            self.heard.notify_one();
            match received {
                Some(Ok(Message::Text(text))) if !text.is_empty() => {
                    let decision = self.shared.decide(self.connection, &text);
                    if decision.last == Some(Last::Cut) && decision.answers.is_empty() {
                        return End::Decided(Last::Cut);
                    }
                    let ends = decision.last.is_some();
                    let delay = self.shared.settings.latency.saturating_add(decision.delay);
                    let now = SystemClock.now();
                    let from = now.checked_add(delay).unwrap_or(now);
                    self.outbox().put(decision.answers, decision.last, from);
                    self.changed.notify_one();
                    if ends {
                        // What was decided comes when it has been sent; nothing else is carried out.
                        std::future::pending::<()>().await;
                    }
                }
                Some(Ok(Message::Text(_))) => self.shared.ignored(self.connection, 0),
                Some(Ok(Message::Binary(bytes))) => self.shared.ignored(self.connection, bytes.len()),
                // The pong goes out by itself.
                Some(Ok(Message::Ping(_))) => self.answered_last.store(false, Ordering::Relaxed),
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    self.closed();
                    return End::ClosedByClient;
                }
                Some(Err(Error::Capacity(_))) => return End::Refused(CloseCode::Size),
                Some(Err(Error::Utf8(_))) => return End::Refused(CloseCode::Invalid),
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                    self.closed();
                    return End::Lost;
                }
                Some(Err(Error::Io(error))) if error.kind() == io::ErrorKind::ConnectionReset => {
                    // The client's system resets a connection that was closed with unread bytes in it.
                    if self.answered_last.load(Ordering::Relaxed) {
                        self.shared.closed_early();
                    }
                    return End::Lost;
                }
                Some(Err(Error::Protocol(_))) => return End::Refused(CloseCode::Protocol),
                Some(Err(_)) => return End::Lost,
            }
        }
    }

    /// The client has closed.
    fn closed(&self) {
        if self.outbox().due() > 0 {
            self.shared.closed_early();
        }
    }

    async fn write(&self, sink: &mut SplitSink<Socket, Message>) -> End {
        loop {
            let now = SystemClock.now();
            let next = self.outbox().take(now);
            let message = match next {
                Some(Outgoing::Text(text)) => Message::text(text),
                Some(Outgoing::Ping) => Message::Ping(Bytes::new()),
                Some(Outgoing::Last(last)) => {
                    // If it fails the client has gone, and the end is the same.
                    let _ = sink.flush().await;
                    return End::Decided(last);
                }
                None => {
                    if sink.flush().await.is_err() {
                        return self.unwritable().await;
                    }
                    let wait = {
                        let mut outbox = self.outbox();
                        outbox.left();
                        outbox.wait(SystemClock.now())
                    };
                    self.drained.notify_one();
                    match wait {
                        None => self.changed.notified().await,
                        Some(wait) => tokio::select! {
                            () = self.changed.notified() => {}
                            () = TokioTimer.sleep(wait) => {}
                        },
                    }
                    continue;
                }
            };
            self.answered_last.store(message.is_text(), Ordering::Relaxed);
            if sink.feed(message).await.is_err() {
                return self.unwritable().await;
            }
        }
    }

    /// The reading side learns why nothing can be written, and decides.
    async fn unwritable(&self) -> End {
        std::future::pending().await
    }

    /// Pings a client that is silent, and gives it up when it stays so.
    async fn watch(&self) -> End {
        let silence = self.shared.settings.ping_after;
        loop {
            if self.heard_within(silence).await {
                continue;
            }
            self.outbox().ping();
            self.changed.notify_one();
            if !self.heard_within(silence).await {
                return End::Decided(Last::Cut);
            }
        }
    }

    async fn heard_within(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.heard.notified() => true,
            () = TokioTimer.sleep(time) => false,
        }
    }
}

async fn finish(mut socket: Socket, end: End) {
    match end {
        End::Lost | End::Decided(Last::Cut) => {}
        End::ClosedByClient => {
            // Sends what is left, the goodbye among it.
            while let Some(Ok(_)) = socket.next().await {}
            linger(socket.into_inner()).await;
        }
        End::Refused(code) => {
            if socket.close(Some(CloseFrame { code, reason: "".into() })).await.is_ok() {
                linger(socket.into_inner()).await;
            }
        }
        End::Decided(Last::Drop) => linger(socket.into_inner()).await,
        End::Decided(Last::Torn(text)) => {
            let mut stream = socket.into_inner();
            if stream.write_all(&half_frame(&text)).await.is_ok() {
                linger(stream).await;
            }
        }
    }
}

/// Ends a connection so that the client can still read what it was sent: a socket that is dropped with something unread
/// in it takes back what has not been delivered.
pub(super) async fn linger(mut stream: TcpStream) {
    let emptied = async {
        if stream.shutdown().await.is_ok() {
            let mut unread = [0; 4096];
            while stream.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
        }
    };
    tokio::select! {
        () = emptied => {}
        () = TokioTimer.sleep(LINGER) => {}
    }
}

/// The frame of a text message, broken off half-way.
fn half_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend(&text.as_bytes()[..text.len() / 2]);
    frame
}
