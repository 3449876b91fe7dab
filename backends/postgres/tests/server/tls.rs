//! Encrypted connections: which certificates count.

use std::io::Write;
use std::path::PathBuf;

use kv_api::{ErrorKind, Result, Store};
use kv_postgres::SslMode;
use kv_servers::{Postgres, PostgresOptions};

use crate::harness::{config, open};

/// A certificate for `localhost`, its key, and who signed it. They are good for nothing but this.
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key.pem");
const AUTHORITY: &str = include_str!("tls/ca.pem");

pub(crate) async fn a_certificate_counts_as_sslmode_says() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let port = server.address().port();
    let folder = tempfile::tempdir().unwrap();
    let authority: PathBuf = folder.path().join("ca.pem");
    std::fs::File::create(&authority).unwrap().write_all(AUTHORITY.as_bytes()).unwrap();
    let opened = async |host: &str, mode: SslMode, trusted: bool| -> Result<Store> {
        let config = config(server.address()).with_host(host, port).with_ssl_mode(mode);
        open(if trusted { config.with_ssl_root_cert(&authority) } else { config }).await
    };

    let error = opened("localhost", SslMode::Require, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("no TLS"), "{error}");
    opened("localhost", SslMode::Prefer, true).await.unwrap();

    // Its own program writes the files, so that they are its own. It reads its input, since the server reports a pipe
    // that nobody has read.
    for (name, text) in [("server.crt", CERTIFICATE), ("server.key", KEY)] {
        let lines: Vec<&str> = text.lines().collect();
        let program = format!("umask 077; cat > /dev/null; printf \"%s\\n\" \"{}\" > {name}", lines.join("\" \""));
        server.sql(&format!("copy (select) to program '{program}'")).await.unwrap();
    }
    server.sql("alter system set ssl = on").await.unwrap();
    server.restart().await.unwrap();

    let encrypted = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) \
                     where ssl and application_name = ''";
    for (host, mode, trusted, is_accepted) in [
        ("localhost", SslMode::VerifyFull, true, true),
        ("127.0.0.1", SslMode::VerifyFull, true, false),
        ("127.0.0.1", SslMode::VerifyCa, true, true),
        ("localhost", SslMode::VerifyFull, false, false),
        ("localhost", SslMode::VerifyCa, false, false),
        ("localhost", SslMode::Require, false, true),
        ("localhost", SslMode::Prefer, false, true),
    ] {
        match opened(host, mode, trusted).await {
            Ok(store) => {
                assert!(is_accepted, "{host} {mode:?} {trusted}");
                store.set("k", "v").await.unwrap();
                assert_eq!(server.sql(encrypted).await.unwrap(), "1", "{mode:?}");
                store.close().await.unwrap();
            }
            Err(error) => {
                assert!(!is_accepted, "{host} {mode:?} {trusted}: {error}");
                assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
                assert!(error.message().contains("certificate"), "{error}");
            }
        }
        // The server has noticed that it is closed.
        while server.sql(encrypted).await.unwrap() != "0" {}
    }
}
