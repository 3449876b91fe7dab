//! HTTPS, with certificates that other tests have.

use std::path::{Path, PathBuf};

use kv_gateway::{Access, Ended, Gateway, Limits, Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{BASE, in_time, namespace, open};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/link/tests/tls").join(name)
}

#[tokio::test]
async fn a_gateway_is_reached_over_tls_and_not_without() {
    let tls = Tls::from_files(&file("server.pem"), &file("server.key.pem")).unwrap();
    let gateway = Gateway::builder([namespace("n", open("memory:").await)], Access::Open { loopback: true });
    let server = Server::new(gateway.build().unwrap()).with_tls(tls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener, std::future::pending()));

    // Who speaks no TLS holds nobody up.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let authority = reqwest::Certificate::from_pem(&std::fs::read(file("ca.pem")).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
    let url = format!("https://localhost:{}{BASE}/n/values/k", address.port());
    assert_eq!(client.put(&url).body("v").send().await.unwrap().status(), 200);
    assert_eq!(client.get(&url).send().await.unwrap().bytes().await.unwrap(), "v");
}

/// LIFE-2: nothing is asked yet in a handshake, so a stop does not wait for its end.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_handshake() {
    let tls = Tls::from_files(&file("server.pem"), &file("server.key.pem")).unwrap();
    let mut limits = Limits::default();
    limits.stop_time = limits.header_time / 2;
    let gateway = Gateway::builder([namespace("n", open("memory:").await)], Access::Open { loopback: true });
    let server = Server::new(gateway.with_limits(limits).build().unwrap()).with_tls(tls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, async {
        let _ = stopped.await;
    }));
    let mut silent = TcpStream::connect(address).await.unwrap();
    // One that is let in later has been heard of, and so has the silent one before it.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = in_time(plain.read_to_end(&mut Vec::new())).await;
    drop(stop);
    assert_eq!(in_time(serving).await.unwrap(), Ended::InOrder);
    let _ = in_time(silent.read_to_end(&mut Vec::new())).await;
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    for (certificate, key) in [("ca.pem", "server.key.pem"), ("none.pem", "server.key.pem"), ("server.pem", "ca.pem")] {
        let error = Tls::from_files(&file(certificate), &file(key)).unwrap_err();
        assert!(!error.to_string().contains("BEGIN"), "{error}");
    }
}
