//! HTTPS, with certificates that other tests have.

use std::path::{Path, PathBuf};

use kv_gateway::{Access, Gateway, Server, Tls};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{BASE, namespace, open};

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

#[test]
fn a_key_of_another_certificate_is_refused() {
    for (certificate, key) in [("ca.pem", "server.key.pem"), ("none.pem", "server.key.pem"), ("server.pem", "ca.pem")] {
        let error = Tls::from_files(&file(certificate), &file(key)).unwrap_err();
        assert!(!error.to_string().contains("BEGIN"), "{error}");
    }
}
