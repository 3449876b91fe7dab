//! A link before a server that speaks WebSocket: what it counts, and how it breaks.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kv_conformance::{Fault, Faults};
use kv_fakes::ServerOptions;
use kv_fakes::nemesisdb::{Fake, Server};
use kv_link::{Link, Protocol, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

const SET: &str = r#"{"SET":{"user_key_1":1}}"#;
const GET: &str = r#"{"GET":["user_key_1"]}"#;

async fn in_time<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), step).await.expect("an answer or an end")
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(link: &Link) -> Self {
        let stream = TcpStream::connect(link.address()).await.unwrap();
        Self(in_time(client_async(format!("ws://{}/", link.address()), stream)).await.unwrap().0)
    }

    /// The next message that answers; `None` at the end.
    async fn answer(&mut self) -> Option<String> {
        in_time(self.0.next()).await?.ok()?.into_text().ok().map(|text| text.to_string())
    }

    async fn ask(&mut self, message: &str) -> Option<String> {
        self.0.send(message.into()).await.ok()?;
        self.answer().await
    }
}

async fn bench() -> (Server, Link) {
    let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
    let target = Target::of_url(&server.url(), Protocol::WebSocket).await.unwrap();
    let is_write = |message: &kv_link::Request<'_>| message.body.starts_with(b"{\"SET\"");
    (server, Link::open_to(target.with_writes(is_write)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_counted_and_all_else_is_not() {
    let (server, link) = bench().await;
    let mut client = Client::connect(&link).await;
    assert_eq!(link.requests(), 0);
    assert!(client.ask(SET).await.unwrap().contains("SET_RSP"));
    client.0.send(Message::Ping("a".into())).await.unwrap();
    assert!(matches!(in_time(client.0.next()).await, Some(Ok(Message::Pong(text))) if &text[..] == b"a"));
    // One message in three frames, with a ping in between.
    let part = |text: &str, code, is_last| {
        Message::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(code), is_last))
    };
    client.0.send(part(&GET[..5], Data::Text, false)).await.unwrap();
    client.0.send(part(&GET[5..9], Data::Continue, false)).await.unwrap();
    client.0.send(Message::Ping("b".into())).await.unwrap();
    client.0.send(part(&GET[9..], Data::Continue, true)).await.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        answers.push(in_time(client.0.next()).await.unwrap().unwrap());
    }
    assert!(answers.iter().any(|answer| answer.to_string().contains("GET_RSP")), "{answers:?}");
    assert_eq!((link.requests(), server.requests(), link.connections()), (2, 2, 1));
    client.0.close(None).await.unwrap();
    while in_time(client.0.next()).await.is_some_and(|answer| answer.is_ok()) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_met_once_and_seen_for_what_it_is() {
    let mut met = 0;
    for fault in Fault::ALL.iter().copied() {
        let (server, link) = bench().await;
        if !link.offers(fault) {
            continue;
        }
        met += 1;
        let mut client = Client::connect(&link).await;
        assert!(client.ask(GET).await.unwrap().contains("GET_RSP"));
        link.inject_into_writes(fault, 1);
        if fault == Fault::Refused {
            // What is idle has ended, and nothing new begins.
            assert_eq!(client.answer().await, None);
            let refused = TcpStream::connect(link.address()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        } else {
            assert!(client.ask(GET).await.unwrap().contains("GET_RSP"), "{fault:?}");
            let answer = client.ask(SET).await;
            let expected = (fault == Fault::AnswerGarbled).then(|| "?".to_owned());
            assert_eq!((answer, link.faults_left()), (expected, 0), "{fault:?}");
        }
        let is_carried_out = !matches!(fault, Fault::Refused | Fault::RequestLost);
        assert_eq!(server.keys().len(), usize::from(is_carried_out), "{fault:?}");
        link.inject(fault, 0);
        assert!(Client::connect(&link).await.ask(SET).await.unwrap().contains("SET_RSP"), "{fault:?}");
        // It is never hung up on with something to say.
        assert_eq!(server.closes_with_answers_due(), 0, "{fault:?}");
    }
    assert_eq!(met, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_goes_on_after_what_does_not_end_it() {
    let (server, link) = bench().await;
    let mut client = Client::connect(&link).await;
    link.inject(Fault::AnswerGarbled, 2);
    assert_eq!((client.ask(SET).await.as_deref(), client.ask(GET).await.as_deref()), (Some("?"), Some("?")));
    link.answer_with(r#"{"SET_RSP":{"st":9}}"#, 1);
    assert_eq!(client.ask(SET).await.as_deref(), Some(r#"{"SET_RSP":{"st":9}}"#));
    assert!(client.ask(GET).await.unwrap().contains("GET_RSP"));
    assert_eq!((link.requests(), server.requests(), link.connections()), (4, 3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_pieces_breaks_off_or_is_lost_as_a_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::open(listener.local_addr().unwrap(), Protocol::WebSocket).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = accept_async(stream).await.unwrap();
            tokio::spawn(async move {
                while let Some(Ok(message)) = server.next().await {
                    if !message.is_text() {
                        continue;
                    }
                    let part = |text: Vec<u8>, code, is_last| {
                        Message::Frame(Frame::message(text, OpCode::Data(code), is_last))
                    };
                    let answer = [
                        part(vec![b'a'; 100_000], Data::Text, false),
                        Message::Ping("between".into()),
                        part(vec![b'b'; 10], Data::Continue, true),
                    ];
                    for frame in answer {
                        if server.send(frame).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    let mut client = Client::connect(&link).await;
    // Asked once: what is still on its way when an order is given would meet it.
    let mut answers = [client.ask("x").await.unwrap(), client.answer().await.unwrap()];
    answers.sort_by_key(String::len);
    assert_eq!(answers.each_ref().map(String::len), ["between".len(), 100_010]);
    link.inject(Fault::AnswerGarbled, 1);
    let mut client = Client::connect(&link).await;
    let mut answers = [client.ask("x").await.unwrap(), client.answer().await.unwrap()];
    answers.sort();
    assert_eq!(answers, ["?", "between"]);
    for fault in [Fault::AnswerLost, Fault::AnswerTruncated] {
        link.inject(fault, 1);
        let mut client = Client::connect(&link).await;
        client.0.send("x".into()).await.unwrap();
        let mut raw = Vec::new();
        in_time(client.0.get_mut().read_to_end(&mut raw)).await.unwrap();
        let payload = raw.iter().filter(|byte| **byte == b'a').count();
        match fault {
            Fault::AnswerLost => assert_eq!(payload, 0),
            _ => assert!((10_000..100_000).contains(&payload), "{payload}"),
        }
        assert!(!raw.contains(&b'b') || fault == Fault::AnswerLost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_opens_no_websocket_passes_uncounted() {
    let (_server, link) = bench().await;
    link.inject(Fault::RequestLost, 1);
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!((link.requests(), link.faults_left()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_frame_ends_the_connection() {
    let (server, link) = bench().await;
    let mut client = Client::connect(&link).await;
    assert!(client.ask(GET).await.is_some());
    // Not masked, as no client may send it.
    client.0.get_mut().write_all(&[0x81, 0x01, b'x']).await.unwrap();
    assert_eq!(client.answer().await, None);
    assert_eq!((link.requests(), server.requests()), (1, 1));
}
