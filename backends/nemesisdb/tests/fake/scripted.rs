//! A server that says what a test wants, where the fake is too well-behaved.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use kv_nemesisdb::NemesisdbConfig;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// What the server does about a message, in this order.
#[derive(Default)]
pub(crate) struct Says {
    pub(crate) texts: Vec<String>,
    pub(crate) binary: bool,
    pub(crate) close: Option<u16>,
}

impl Says {
    pub(crate) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self { texts: texts.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// Serves connections one after the other or side by side; `says` is given the number of the connection, from 1 on, and
/// the message.
pub(crate) async fn serve(says: impl Fn(usize, &str) -> Says + Send + Sync + 'static) -> NemesisdbConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let says = Arc::new(says);
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let says = Arc::clone(&says);
            tokio::spawn(async move {
                let mut socket = accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    let Says { texts, binary, close } = says(number, &text);
                    let binary = binary.then(|| Message::binary("binary"));
                    let close = close.map(|code| {
                        Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: "".into() }))
                    });
                    for message in texts.into_iter().map(Message::text).chain(binary).chain(close) {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    NemesisdbConfig::new("127.0.0.1", port).unwrap()
}
