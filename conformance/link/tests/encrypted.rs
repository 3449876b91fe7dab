//! A link to servers that speak TLS, for clients that do not.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use kv_link::{Link, Protocol, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate for `localhost`, its key, and who signed it. They are good for nothing but this.
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key.pem");
const AUTHORITY: &[u8] = include_bytes!("tls/ca.pem");

async fn in_time<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), step).await.expect("an answer or an end")
}

fn acceptor() -> TlsAcceptor {
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<Vec<_>, _>>().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that sends back what it is sent, each time in the words of `answer`.
async fn serving(asks_first: bool, answer: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if asks_first {
                    let mut asked = [0; 8];
                    stream.read_exact(&mut asked).await.unwrap();
                    assert_eq!(asked, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
                    stream.write_all(b"S").await.unwrap();
                }
                // A client that does not trust the certificate ends here.
                if let Ok(stream) = acceptor.accept(stream).await {
                    answering(stream, answer).await;
                }
            });
        }
    });
    address
}

async fn answering(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: fn(&[u8]) -> Vec<u8>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&answer(&bytes[..count])).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

fn http(request: &[u8]) -> Vec<u8> {
    let body = String::from_utf8_lossy(request);
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_is_encrypted_on_the_server_s_side() {
    let server = serving(false, http).await;
    let url = format!("https://localhost:{}/base", server.port());
    let target = Target::of_url(&url, Protocol::Http).await.unwrap();
    let link = Link::open_to(target.clone().with_tls_ca(AUTHORITY)).unwrap();
    let base_url = link.url(&url);
    assert!(base_url.starts_with("http://127.0.0.1:") && base_url.ends_with("/base"), "{base_url}");
    let client = reqwest::Client::new();
    let get = async || in_time(client.get(format!("{base_url}/a")).send()).await?.text().await;
    let seen = get().await.unwrap();
    assert!(seen.starts_with("GET /base/a HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nHost: localhost:{}\r\n", server.port())), "{seen}");
    for fault in [Fault::AnswerLost, Fault::AnswerTruncated, Fault::RequestLost] {
        link.inject(fault, 1);
        get().await.unwrap_err();
        get().await.unwrap();
    }
    assert_eq!(link.requests(), 7);

    // The machine does not trust who signed it, and it is not for the address.
    for target in [target.clone(), target.with_tls("127.0.0.1").unwrap().with_tls_ca(AUTHORITY)] {
        // A machine that trusts nobody opens no link.
        let Ok(strict) = Link::open_to(target) else { continue };
        let url = strict.url(&url);
        assert!(in_time(client.get(url).send()).await.is_err());
    }
    assert!(
        Link::open_to(Target::new(server, Protocol::Http).with_tls("localhost").unwrap().with_tls_ca(b"")).is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_passes_in_both_directions() {
    const LENGTH: usize = 8 << 20;
    /// Agrees to leave HTTP, and then sends back what comes.
    fn echo(bytes: &[u8]) -> Vec<u8> {
        if bytes.starts_with(b"GET / HTTP/1.1\r\n") {
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec()
        } else {
            bytes.to_vec()
        }
    }
    let server = serving(false, echo).await;
    let target = Target::of_url(&format!("https://localhost:{}", server.port()), Protocol::Http).await.unwrap();
    let link = Link::open_to(target.with_tls_ca(AUTHORITY)).unwrap();
    let mut client = TcpStream::connect(link.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nUpgrade: echo\r\n\r\n").await.unwrap();
    let mut agreed = [0; 36];
    in_time(client.read_exact(&mut agreed)).await.unwrap();
    let (mut from, mut to) = client.into_split();
    let sent: Vec<u8> = (0_u8..=250).cycle().take(LENGTH).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to
    });
    let mut read = vec![0; LENGTH];
    in_time(from.read_exact(&mut read)).await.unwrap();
    assert!(read == expected);
    in_time(writing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_and_postgresql_are_encrypted_too() {
    fn pong(_: &[u8]) -> Vec<u8> {
        b"+PONG\r\n".to_vec()
    }
    fn ready(_: &[u8]) -> Vec<u8> {
        b"Z\0\0\0\x05I".to_vec()
    }
    let url = |server: SocketAddr| format!("rediss://:hush@localhost:{}/2", server.port());
    let server = serving(false, pong).await;
    let target = Target::of_url(&url(server), Protocol::Resp).await.unwrap();
    let link = Link::open_to(target.with_tls_ca(AUTHORITY)).unwrap();
    assert_eq!(link.url(&url(server)), format!("redis://:hush@{}/2", link.address()));
    let ask = async |link: &Link, request: &[u8], length: usize| {
        let mut client = TcpStream::connect(link.address()).await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = vec![0; length];
        in_time(client.read_exact(&mut answer)).await.unwrap();
        answer
    };
    assert_eq!(ask(&link, b"*1\r\n$4\r\nPING\r\n", 7).await, b"+PONG\r\n");

    let server = serving(true, ready).await;
    let target = Target::new(server, Protocol::Postgres).with_tls("localhost").unwrap().with_tls_ca(AUTHORITY);
    let link = Link::open_to(target).unwrap();
    let startup = [0, 0, 0, 9, 0, 3, 0, 0, 0];
    assert_eq!(ask(&link, &startup, 6).await, b"Z\0\0\0\x05I");
}
