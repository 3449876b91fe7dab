//! The ways to the nodes break, one or two at a time.

use std::time::Duration;

use kv_servers::{ClusterLink, Load, Promise, RedisCluster, RedisClusterOptions, RedisOptions};

use crate::open;

const SEED: u64 = 3;

/// The longest silence of a link, in milliseconds; a request gives up after half of it.
const SILENCE: u64 = 600;

pub(crate) async fn links_that_break_lose_and_double_nothing() -> Result<(), String> {
    let nodes = RedisOptions::new().real_time();
    let cluster = RedisCluster::start(RedisClusterOptions::new().nodes(nodes)).await.unwrap();
    let links = ClusterLink::open(&cluster.addresses()).unwrap();
    let stores = open(links.addresses(), Duration::from_millis(SILENCE / 2)).await;
    let mut load = Load::new(stores, Promise::Kept, SEED);
    load.break_links(links.nodes(), SILENCE, Load::rounds(50)).await?;
    let tally = load.finish().await?;
    tally.report("cut");
    assert!(tally.unknown > 0, "nothing hit a write under way");
    Ok(())
}
