//! Where a request may go, and what is known when it gets nowhere.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Error, ErrorKind, Reason, Result, Retry};
use kv_remote::http::{Client, HeaderMap, Method, Request, Url};
use kv_remote::{Idempotency, Remote, RemoteSettings, RetryPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn client(settings: &RemoteSettings, base: &str) -> Result<Client> {
    Client::new(settings, &Url::parse(base).unwrap(), HeaderMap::new(), 1000)
}

async fn get(client: &Client, url: &str) -> Result<u16> {
    let answer = client.send(Request::new(Method::GET, Url::parse(url).unwrap())).await?;
    Ok(answer.answer().status.as_u16())
}

#[test]
fn plain_http_goes_to_this_machine_alone_unless_it_is_allowed() {
    let (strict, allowing) = (RemoteSettings::default(), RemoteSettings::default().with_allow_http(true));
    for base in
        ["http://example.com", "http://10.0.0.7:8787/api", "http://[2001:db8::1]/", "http://localhost.example.com"]
    {
        let error = client(&strict, base).unwrap_err();
        assert_eq!(
            (error.kind(), error.reason()),
            (ErrorKind::InvalidArgument, Some(&Reason::UnknownOption)),
            "{base}"
        );
        assert!(error.to_string().contains("allow_http=true"), "{error}");
        client(&allowing, base).unwrap();
    }
    for base in
        ["https://example.com", "http://127.0.0.1:8787", "http://[::1]/", "http://localhost:1", "http://a.localhost"]
    {
        client(&strict, base).unwrap();
    }
    // It is the address that is connected to that counts.
    let connecting = |base: &str, address| {
        Client::connecting_to(&strict, &Url::parse(base).unwrap(), address, HeaderMap::new(), 1000)
    };
    connecting("http://example.com", HERE).unwrap();
    assert!(connecting("http://a.localhost", Ipv4Addr::new(10, 0, 0, 7).into()).is_err());
}

/// Takes one connection, and gives back the first line of what came over it.
async fn once(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") && stream.read_buf(&mut read).await.unwrap() > 0 {}
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(read).unwrap().lines().next().unwrap_or_default().to_owned()
    });
    (address, serving)
}

const CHILD: &str = "KV_REMOTE_TEST_CHILD";

/// The environment is the process's, so it is another process that has one with a proxy: this test again, alone.
#[tokio::test]
async fn the_proxy_of_the_environment_gets_what_leaves_this_machine_and_nothing_else() {
    const ANSWER: &str = "HTTP/1.1 204 x\r\n\r\n";
    let Some(proxied) = std::env::var_os(CHILD) else {
        let (proxy, proxying) = once(ANSWER).await;
        let (closed_proxy, asking) = once("HTTP/1.1 407 x\r\nproxy-authenticate: Basic\r\n\r\n").await;
        let name = "the_proxy_of_the_environment_gets_what_leaves_this_machine_and_nothing_else";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name]).env(CHILD, "1");
        for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            child.env(variable, format!("http://{proxy}"));
        }
        for variable in ["HTTPS_PROXY", "https_proxy"] {
            child.env(variable, format!("http://{closed_proxy}"));
        }
        for variable in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
            child.env_remove(variable);
        }
        let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(proxying.await.unwrap(), "GET http://kv.invalid/a HTTP/1.1");
        assert_eq!(asking.await.unwrap(), "CONNECT kv.invalid:443 HTTP/1.1");
        return;
    };
    assert_eq!(proxied, "1");
    let (server, serving) = once(ANSWER).await;
    let base = format!("http://{server}");
    let settings = RemoteSettings::default().with_allow_http(true);
    assert_eq!(get(&client(&settings, &base).unwrap(), &base).await.unwrap(), 204);
    assert_eq!(serving.await.unwrap(), "GET / HTTP/1.1", "this machine, without the proxy");
    let far = "http://kv.invalid/a";
    assert!(
        get(&client(&settings.clone().with_proxies(false), far).unwrap(), far).await.is_err(),
        "no host has the name"
    );
    assert_eq!(get(&client(&settings, far).unwrap(), far).await.unwrap(), 204);
    // Over `https` it is a tunnel that the proxy refuses.
    let far = "https://kv.invalid/hunter2";
    let error = get(&client(&settings, far).unwrap(), far).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never), "{error:?}");
    assert!(error.message().contains("the proxy on the way to kv.invalid:443"), "{error}");
    assert_nothing_else_is_shown(&error);
}

fn assert_nothing_else_is_shown(error: &Error) {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2"), "ERR-2: {shown}");
}

#[tokio::test]
async fn err_1_a_certificate_that_nobody_trusts_is_a_wrong_setting() {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/untrusted.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/untrusted.key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_err()
    });
    let base = format!("https://{address}/hunter2");
    let error = get(&client(&RemoteSettings::default(), &base).unwrap(), &base).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never), "{error}");
    assert!(error.message().starts_with(&format!("the certificate of {address} is not accepted: ")), "{error}");
    assert_nothing_else_is_shown(&error);
    assert!(serving.await.unwrap(), "the client has broken it off");
}

#[tokio::test]
async fn err_3_a_connection_that_is_not_made_in_half_the_time_of_an_attempt_has_sent_nothing() {
    // It takes connections, and never says a word of TLS.
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let base = format!("https://{}/", listener.local_addr().unwrap());
    let settings =
        RemoteSettings::default().with_request_timeout(Duration::from_millis(500)).with_retry(RetryPolicy::none());
    let (client, remote) = (client(&settings, &base).unwrap(), Remote::new(settings));
    let error = remote.call().send(Idempotency::NonIdempotent, || get(&client, &base)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error:?}");
}

#[tokio::test]
async fn err_1_no_connection_names_the_host_and_nothing_else() {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let base = format!("http://{}/hunter2", listener.local_addr().unwrap());
    let shown = format!("no connection to {}", listener.local_addr().unwrap());
    drop(listener);
    let error = get(&client(&RemoteSettings::default(), &base).unwrap(), &base).await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), error.message()), (ErrorKind::Unavailable, Retry::Safe, &*shown));
    assert_nothing_else_is_shown(&error);
    // No resolver knows a name that ends so; one that cannot be reached says so.
    let base = "https://kv.invalid/hunter2";
    let error = get(&client(&RemoteSettings::default().with_proxies(false), base).unwrap(), base).await.unwrap_err();
    let known = [(ErrorKind::Misconfigured, Retry::Never), (ErrorKind::Unavailable, Retry::Safe)];
    assert!(known.contains(&(error.kind(), error.retry())), "{error:?}");
    assert!(error.message().contains("kv.invalid:443") && error.message().contains("name"), "{error}");
    assert_nothing_else_is_shown(&error);
}
