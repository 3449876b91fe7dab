//! One request over a real socket: what is known after each way it can end.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::net::SocketAddr;
use std::time::Duration;

use kv_api::{ErrorKind, ManualClock, Retry, Timestamp};
use kv_remote::http::{Answer, Client, FormPart, HeaderMap, Method, Request, Url, header, secret_header};
use kv_remote::{RemoteSettings, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that takes one connection, reads until it has seen `end`, answers with these bytes and closes. It gives
/// back what it read.
async fn server(end: &'static str, answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).ends_with(end) {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            read.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(read).unwrap()
    });
    (address, serving)
}

fn client() -> Client {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, secret_header("Bearer ", &SecretString::from("hunter2")).unwrap());
    Client::new(&RemoteSettings::default(), &Url::parse("http://127.0.0.1").unwrap(), headers, 100).unwrap()
}

fn get(address: SocketAddr, path: &str) -> Request {
    Request::new(Method::GET, Url::parse(&format!("http://{address}{path}")).unwrap())
}

#[tokio::test]
async fn an_answer_comes_whole_and_the_headers_of_the_client_go_along() {
    let (address, serving) = server("\r\n\r\n", "HTTP/1.1 418 x\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello").await;
    let received = client().send(get(address, "/p?q=1")).await.unwrap();
    let answer = received.answer();
    assert_eq!((answer.status.as_u16(), &*answer.body), (418, &b"hello"[..]));
    assert_eq!(answer.headers["x-a"], "b");
    let read = serving.await.unwrap();
    assert!(read.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{read}");
    assert!(read.contains("authorization: Bearer hunter2\r\n"), "{read}");
    assert!(!format!("{answer:?} {:?} {:?}", client(), get(address, "/hunter2")).contains("hunter2"));
}

#[tokio::test]
async fn a_form_has_its_parts_with_their_names_and_lengths() {
    let (address, serving) = server("--\r\n", "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    let part = FormPart {
        name: "value",
        file_name: Some("value"),
        content_type: "application/octet-stream",
        bytes: "\u{0}v".into(),
    };
    client().send(get(address, "/").with_form(vec![part])).await.unwrap();
    let read = serving.await.unwrap();
    assert!(read.contains("name=\"value\"; filename=\"value\"\r\n"), "{read}");
    assert!(read.contains("Content-Type: application/octet-stream\r\n\r\n\u{0}v\r\n"), "{read}");
    assert!(read.contains("content-length: "), "a length, so that no server needs to know chunks: {read}");
}

#[tokio::test]
async fn err_3_without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client().send(get(address, "/hunter2")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
    assert!(!format!("{error} {error:?}").contains("hunter2"), "ERR-2: {error:?}");
}

#[tokio::test]
async fn err_3_an_answer_that_is_cut_off_says_nothing() {
    for answer in ["", "HTTP/1.1 200 x\r\ncont", "HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhello", "garbage\r\n\r\n"]
    {
        let (address, _serving) = server("\r\n\r\n", answer).await;
        let error = client().send(get(address, "/hunter2")).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown), "{answer:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "ERR-2: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_has_a_greatest_length() {
    let long = "HTTP/1.1 200 x\r\ncontent-length: 101\r\n\r\n\
        01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890";
    let (address, _serving) = server("\r\n\r\n", long).await;
    let error = client().send(get(address, "/")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (address, _serving) =
        server("\r\n\r\n", "HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let answer = client().send(get(address, "/")).await.unwrap();
    assert_eq!(answer.answer().status.as_u16(), 302);
}

#[tokio::test]
async fn what_has_come_to_its_length_leaves_its_connection_to_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in [
            "HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 204 x\r\n\r\n",
            "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            // To HEAD, the length is that of what GET would answer.
            "HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\n",
            // What follows its length is no part of it, and the connection is not used again.
            "HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nhello, world",
        ] {
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the connection is still in use");
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let client = client();
    for (method, body) in [
        (Method::GET, "hello"),
        (Method::DELETE, ""),
        (Method::GET, ""),
        (Method::GET, "hello"),
        (Method::HEAD, ""),
        (Method::GET, "hello"),
    ] {
        let received = client.send(Request { method, ..get(address, "/") }).await.unwrap();
        assert_eq!(received.answer().body, body);
    }
    serving.await.unwrap();
}

fn answer(status: u16, retry_after: Option<&str>) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(retry_after) = retry_after {
        headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
    }
    Answer { status: status.try_into().unwrap(), headers, body: Default::default() }
}

#[test]
fn err_3_the_wait_a_server_asks_for_comes_in_seconds_or_as_a_date() {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(1_795_176_000));
    for (text, wait) in [
        ("7", Some(7)),
        (" 0 ", Some(0)),
        ("Fri, 20 Nov 2026 12:01:00 GMT", Some(60)),
        ("Fri, 20 Nov 2026 11:00:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
    ] {
        let wait = wait.map(Duration::from_secs);
        assert_eq!(answer(429, Some(text)).retry_after(&clock), wait, "{text:?}");
        assert_eq!(answer(429, Some(text)).error(&clock, "").retry_after(), wait, "{text:?}");
    }
    assert_eq!(answer(429, None).retry_after(&clock), None);
}

#[test]
fn err_1_a_status_alone_tells_kind_and_retry_class() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    for (status, kind, retry) in [
        (400, ErrorKind::InvalidArgument, Retry::Never),
        (401, ErrorKind::Unauthorized, Retry::Never),
        (403, ErrorKind::Unauthorized, Retry::Never),
        (404, ErrorKind::Misconfigured, Retry::Never),
        (407, ErrorKind::Misconfigured, Retry::Never),
        (302, ErrorKind::Misconfigured, Retry::Never),
        (402, ErrorKind::Exhausted, Retry::Never),
        (408, ErrorKind::Unavailable, Retry::OutcomeUnknown),
        (429, ErrorKind::RateLimited, Retry::Safe),
        (500, ErrorKind::Unavailable, Retry::OutcomeUnknown),
        (507, ErrorKind::Exhausted, Retry::Never),
        (524, ErrorKind::Unavailable, Retry::OutcomeUnknown),
        (204, ErrorKind::Protocol, Retry::OutcomeUnknown),
    ] {
        let error = answer(status, None).error(&clock, "refused");
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
        assert_eq!(error.native_code(), Some(&*format!("HTTP {status}")));
    }
}

#[test]
fn a_secret_that_no_header_can_carry_is_unauthorized() {
    let error = secret_header("", &SecretString::from("hunter2\nb")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(!format!("{error:?}").contains("hunter2"), "ERR-2");
}
