//! Encrypted connections: which certificates count.

use std::path::{Path, PathBuf};

use kv_api::{ErrorKind, Result, Retry, Store};
use kv_redis::{RedisConfig, RedisStore};
use kv_servers::{Redis, RedisOptions};

/// A certificate for `localhost`, its key, and who signed it. They are good for nothing but this.
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key.pem");
const AUTHORITY: &str = include_str!("tls/ca.pem");

/// Files that are gone with it.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kv-redis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// One that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn encrypted(files: &Files) -> (Redis, u16) {
    let port = free_port();
    let path = |path: PathBuf| path.display().to_string();
    let options = RedisOptions::new()
        .setting("tls-port", port.to_string())
        .setting("tls-cert-file", path(files.write("server.pem", CERTIFICATE)))
        .setting("tls-key-file", path(files.write("server.key.pem", KEY)))
        .setting("tls-ca-cert-file", path(files.write("ca.pem", AUTHORITY)))
        .setting("tls-auth-clients", "no");
    (Redis::start(options).await.unwrap(), port)
}

async fn opened(host: &str, port: u16, authority: Option<&Path>) -> Result<Store> {
    let config = RedisConfig::new(host, port)?.with_tls();
    let config = match authority {
        Some(path) => config.with_tls_ca(path)?,
        None => config,
    };
    Ok(Store::new(RedisStore::open(config).await?))
}

pub(crate) async fn life_1_only_a_certificate_that_is_trusted_and_names_the_host_is_accepted() {
    let files = Files::new("trusted");
    let (_redis, port) = encrypted(&files).await;
    let authority = files.write("ca.pem", AUTHORITY);

    let store = opened("localhost", port, Some(&authority)).await.unwrap();
    let long = "x".repeat(1_000_000);
    store.set("long", long.as_str()).await.unwrap();
    assert_eq!(store.get("long").await.unwrap(), Some(long.as_str().into()));
    store.close().await.unwrap();

    for (what, host, authority) in
        [("another name", "127.0.0.1", Some(&*authority)), ("an unknown authority", "localhost", None)]
    {
        let error = opened(host, port, authority).await.map(drop).unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never), "{what}: {error}");
        assert!(error.message().contains("certificate"), "{what}: {error}");
    }
}
