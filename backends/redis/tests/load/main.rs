//! 64 writers while the server is killed, and while the way to it breaks: what was acknowledged is there, nothing is
//! there twice, and no call hangs.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

mod cut;
mod kill;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use kv_api::{Retry, Store};
use kv_redis::{RedisConfig, RedisStore, RemoteSettings, RetryPolicy};
use kv_servers::{System, tests};

/// Two stores, each with a connection of its own. Their calls are repeated a few times, after short waits.
async fn open(address: SocketAddr, request_timeout: Duration) -> [Store; 2] {
    let retry = RetryPolicy::default().with_delays(Duration::from_millis(5), Duration::from_millis(50));
    let remote = RemoteSettings::default().with_retry(retry).with_request_timeout(request_timeout);
    let config = RedisConfig::new(address.ip().to_string(), address.port()).unwrap().with_remote(remote);
    let config = config.with_namespace("load").unwrap();
    let store = async || loop {
        match RedisStore::open(config.clone()).await {
            // The machine may be too slow for the time limit.
            Err(error) if error.retry() == Retry::Safe => {}
            opened => return Store::new(opened.unwrap()),
        }
    };
    [store().await, store().await]
}

fn main() -> ExitCode {
    kv_servers::run(
        System::Redis,
        tests![kill::what_was_acknowledged_survives_a_killed_server, cut::a_link_that_breaks_loses_and_doubles_nothing],
    )
}
