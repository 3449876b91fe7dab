//! A client that sends what it is told and shows what comes back.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kv_api::{Timer, TokioTimer};
use kv_fakes::ServerOptions;
use kv_fakes::nemesisdb::{Fake, Server};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long a client waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// A close frame with this code.
    Code(u16),
    /// Nothing: the TCP connection was dropped.
    Dropped,
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

pub(crate) fn address(server: &Server) -> String {
    server.url().trim_start_matches("ws://").trim_end_matches('/').to_owned()
}

pub(crate) async fn serve(fake: Fake) -> Server {
    fake.serve(ServerOptions::new()).await.unwrap()
}

impl Client {
    pub(crate) async fn of(server: &Server) -> Self {
        Self::try_of(server).await.unwrap()
    }

    pub(crate) async fn try_of(server: &Server) -> Result<Self, Error> {
        let stream = TcpStream::connect(address(server)).await?;
        let (socket, _) = tokio_tungstenite::client_async(server.url(), stream).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next text, or what ended the connection.
    pub(crate) async fn next(&mut self) -> Result<String, Closed> {
        loop {
            let next = tokio::select! {
                next = self.socket.next() => next,
                () = TokioTimer.sleep(PATIENCE) => panic!("nothing came"),
            };
            match next {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return Err(Closed::Code(code(frame))),
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => return Err(Closed::Dropped),
            }
        }
    }

    /// As many answers as wanted.
    pub(crate) async fn answers(&mut self, text: &str, count: usize) -> Vec<String> {
        self.send(text).await;
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.next().await.unwrap());
        }
        answers
    }

    /// The one answer.
    pub(crate) async fn answer(&mut self, text: &str) -> String {
        self.answers(text, 1).await.remove(0)
    }

    /// Nothing has come that was not asked for.
    pub(crate) async fn is_quiet(&mut self) {
        let answer = self.answer(r#"{"SERVER_INFO":{}}"#).await;
        assert!(answer.starts_with(r#"{"SERVER_INFO_RSP":"#), "{answer}");
    }
}

fn code(frame: Option<CloseFrame>) -> u16 {
    frame.map_or(1005, |frame| frame.code.into())
}
