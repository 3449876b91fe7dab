//! 64 writers on a cluster while the ways to its nodes break, and while replicas take over from their masters.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

mod cut;
mod fail_over;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use kv_api::{Retry, Store};
use kv_redis::{RedisConfig, RedisStore, RemoteSettings, RetryPolicy};
use kv_servers::{System, tests};

/// Two stores, each with connections of its own. Their calls are repeated a few times, after short waits.
async fn open(addresses: Vec<SocketAddr>, request_timeout: Duration) -> [Store; 2] {
    let retry = RetryPolicy::default().with_delays(Duration::from_millis(5), Duration::from_millis(100));
    let remote = RemoteSettings::default().with_retry(retry).with_request_timeout(request_timeout);
    let nodes = addresses.iter().map(|address| (address.ip().to_string(), address.port()));
    let config = RedisConfig::cluster(nodes).unwrap().with_namespace("load").unwrap().with_remote(remote);
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
        System::RedisCluster,
        tests![
            cut::links_that_break_lose_and_double_nothing,
            fail_over::a_fail_over_in_order_loses_nothing,
            fail_over::a_killed_master_may_lose_and_doubles_nothing,
        ],
    )
}
