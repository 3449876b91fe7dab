//! A private Redis Cluster: its time, its nodes, its fail-over.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

use std::process::ExitCode;
use std::time::Duration;

use kv_servers::{Pool, Redis, RedisCluster, RedisClusterOptions, RedisOptions, Result, System, tests};

fn main() -> ExitCode {
    kv_servers::run(
        System::RedisCluster,
        tests![
            time_jumps_and_stands_without_a_fail_over,
            a_replica_takes_over_when_it_is_asked_to,
            a_replica_takes_over_when_its_master_is_killed,
            a_lease_begins_as_new,
        ],
    )
}

/// The digest of `return 1`.
const RETURN_1: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

/// A key of each master.
const KEYS: [&str; 3] = ["b", "c", "a"];

async fn on_master(cluster: &RedisCluster, key: &str) -> Result<usize> {
    let node = cluster.node_of(key).await?;
    cluster.nodes()[node].command(&["SET", key, "1"]).await?;
    Ok(node)
}

async fn time_jumps_and_stands_without_a_fail_over() -> Result<()> {
    let cluster = RedisCluster::start(RedisClusterOptions::new()).await?;
    cluster.time().freeze();
    for step in [0, 86_400, 86_400 * 365 * 100] {
        cluster.time().advance(Duration::from_secs(step));
        for (expected, key) in KEYS.iter().enumerate() {
            assert_eq!(on_master(&cluster, key).await?, expected);
        }
        cluster.settle().await?;
    }
    let first = &cluster.nodes()[0];
    first.command(&["SET", KEYS[0], "1", "PX", "5000"]).await?;
    cluster.time().advance(Duration::from_millis(5_001));
    assert_eq!(first.command(&["EXISTS", KEYS[0]]).await?.as_integer(), Some(0));
    Ok(())
}

async fn a_replica_takes_over_when_it_is_asked_to() -> Result<()> {
    let cluster = RedisCluster::start(RedisClusterOptions::new().nodes(RedisOptions::new().password("hush"))).await?;
    on_master(&cluster, KEYS[1]).await?;
    // While the time stands too.
    for (round, (master, replica)) in [(1, 4), (4, 1), (1, 4), (4, 1)].into_iter().enumerate() {
        if round == 2 {
            cluster.time().freeze();
        }
        assert_eq!(cluster.fail_over(master).await?, replica);
        assert_eq!(cluster.node_of(KEYS[1]).await?, replica);
        assert_eq!(cluster.nodes()[replica].command(&["GET", KEYS[1]]).await?.to_string(), "1");
    }
    assert!(cluster.fail_over(4).await.is_err());
    // Nothing is left paused.
    assert_eq!(on_master(&cluster, KEYS[1]).await?, 1);
    Ok(())
}

async fn a_replica_takes_over_when_its_master_is_killed() -> Result<()> {
    let timeout = Duration::from_millis(500);
    let options = RedisClusterOptions::new().nodes(RedisOptions::new().durable()).node_timeout(timeout);
    let cluster = RedisCluster::start(options).await?;
    let addresses = cluster.addresses();
    let master = &cluster.nodes()[2];
    on_master(&cluster, KEYS[2]).await?;
    master.command(&["WAIT", "1", "10000"]).await?;
    for (killed, expected) in [(2, 5), (5, 2)] {
        cluster.nodes()[killed].kill();
        cluster.settle().await?;
        assert_eq!(cluster.node_of(KEYS[2]).await?, expected);
        assert_eq!(cluster.nodes()[expected].command(&["GET", KEYS[2]]).await?.to_string(), "1");
        // It comes back as the replica.
        cluster.nodes()[killed].restart().await?;
        cluster.settle().await?;
        assert_eq!(cluster.node_of(KEYS[2]).await?, expected);
    }
    assert_eq!(cluster.addresses(), addresses);
    Ok(())
}

async fn a_lease_begins_as_new() -> Result<()> {
    let pool = Pool::<RedisCluster>::new(1, RedisClusterOptions::new());
    let mut first = None;
    for end in 0..6 {
        let cluster = pool.lease().await?;
        assert_eq!(cluster.addresses(), *first.get_or_insert_with(|| cluster.addresses()));
        assert!(!cluster.time().is_frozen() && cluster.nodes().iter().all(Redis::is_running));
        for node in cluster.nodes() {
            assert_eq!(node.command(&["DBSIZE"]).await?.as_integer(), Some(0));
            assert_eq!(node.command(&["CONFIG", "GET", "maxmemory"]).await?.to_string(), "maxmemory\n0");
            assert_eq!(node.command(&["SCRIPT", "EXISTS", RETURN_1]).await?.to_string(), "0");
        }
        for (master, key) in KEYS.iter().enumerate() {
            assert_eq!(on_master(&cluster, key).await?, master);
        }
        let node = &cluster.nodes()[1];
        node.command(&["SCRIPT", "LOAD", "return 1"]).await?;
        cluster.time().freeze();
        cluster.time().advance(Duration::from_secs(86_400 * 365 * 100));
        match end {
            0 => drop(cluster.fail_over(0).await?),
            1 => cluster.nodes()[4].kill(),
            2 => drop(node.command(&["CONFIG", "SET", "maxmemory", "1"]).await?),
            3 => drop(node.command(&["CLIENT", "PAUSE", "1000000"]).await?),
            _ => {}
        }
    }
    Ok(())
}
