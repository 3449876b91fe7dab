//! The WebSocket itself: how it opens, what goes over it, how it closes.

use std::time::Duration;

use futures_util::StreamExt;
use kv_fakes::nemesisdb::{Fake, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::{Client, Closed, address, serve};

/// All that the server says to a request until it closes.
async fn http(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.to_lowercase()
}

#[tokio::test]
async fn every_path_upgrades_without_subprotocol_or_compression() {
    let server = serve(Fake::new()).await;
    for path in ["", "/", "/kv?a=b", "/%00/../x"] {
        let url = format!("{}{path}", server.url().trim_end_matches('/'));
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "kv, json".parse().unwrap());
        headers.insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
        let key = headers["sec-websocket-key"].to_str().unwrap().to_owned();
        let host = headers["host"].to_str().unwrap().to_owned();
        // By hand, because a client rightly objects when what it offered is passed over.
        let mut stream = TcpStream::connect(address(&server)).await.unwrap();
        let path = if path.starts_with('/') { path } else { "/" };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: kv\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(!answer.contains("sec-websocket-protocol") && !answer.contains("extensions"), "{answer}");
    }
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn what_is_no_websocket_is_told_to_upgrade() {
    let server = serve(Fake::new()).await;
    for request in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"] {
        let answer = http(&server, request).await;
        assert!(answer.starts_with("http/1.1 426 upgrade required\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains("content-length: 0\r\n") && !answer.contains("version"), "{answer}");
    }
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n";
    let answer = http(&server, upgrade).await;
    assert!(answer.starts_with("http/1.1 426 ") && answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
    assert_eq!((server.connections(), server.requests()), (0, 0));
}

#[tokio::test]
async fn fragments_make_one_message() {
    let server = serve(Fake::new().with_max_message_bytes(30)).await;
    let mut client = Client::of(&server).await;
    let part = |text: &str, kind, last| Message::Frame(Frame::message(text.to_owned(), OpCode::Data(kind), last));
    client.send_message(part(r#"{"SET":{"ä"#, Data::Text, false)).await;
    client.send_message(Message::Ping("in between".into())).await;
    client.send_message(part(r#"öü":"#, Data::Continue, false)).await;
    client.send_message(part("1}}", Data::Continue, true)).await;
    assert_eq!(client.next().await.unwrap(), r#"{"SET_RSP":{"k":"äöü","st":1}}"#);
    assert_eq!(server.requests(), 1);
    // The limit is that of the whole.
    client.send_message(part(r#"{"SET":{"user_k"#, Data::Text, false)).await;
    client.send_message(part(r#"ey_1":"1234"}} "#, Data::Continue, true)).await;
    assert_eq!(client.next().await.unwrap(), r#"{"SET_RSP":{"k":"user_key_1","st":1}}"#);
    client.send_message(part(r#"{"SET":{"user_k"#, Data::Text, false)).await;
    client.send_message(part(r#"ey_2":"1234"}}  "#, Data::Continue, true)).await;
    assert_eq!(client.next().await, Err(Closed::Code(1009)));
    assert_eq!(server.keys(), ["user_key_1", "äöü"]);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    let bytes = b"{\"SET\":{\"user_key_1\":\"\xff\"}}".to_vec();
    client.send_message(Message::Frame(Frame::message(bytes, OpCode::Data(Data::Text), true))).await;
    assert_eq!(client.next().await, Err(Closed::Code(1007)));
    assert!(server.keys().is_empty());
}

#[tokio::test]
async fn pings_and_goodbyes_are_answered() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    client.send_message(Message::Ping("payload".into())).await;
    assert_eq!(client.socket.next().await.unwrap().unwrap(), Message::Pong("payload".into()));
    let goodbye = CloseFrame { code: 1000.into(), reason: "".into() };
    client.socket.close(Some(goodbye)).await.unwrap();
    assert_eq!(client.next().await, Err(Closed::Code(1000)));
    assert_eq!((server.requests(), server.closes_with_answers_due()), (0, 0));
}

#[tokio::test]
async fn who_is_silent_is_pinged_and_then_dropped() {
    let server = serve(Fake::new().with_ping_after(Duration::from_millis(300))).await;
    let mut client = Client::of(&server).await;
    // Reading answers pings, and a client that answers stays.
    for _ in 0..2 {
        assert_eq!(client.socket.next().await.unwrap().unwrap(), Message::Ping("".into()));
    }
    client.is_quiet().await;
    // A client that does not is dropped: all that is there to be read without an answer is a ping, and no close frame.
    let mut stream = client.socket.into_inner();
    let mut received = Vec::new();
    let _reset = stream.read_to_end(&mut received).await;
    assert_eq!(received, [0x89, 0]);
}
