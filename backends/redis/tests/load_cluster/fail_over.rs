//! A replica takes over from its master.

use std::time::Duration;

use kv_api::{Timer, TokioTimer};
use kv_servers::{Load, Promise, Redis, RedisCluster, RedisClusterOptions, RedisOptions, Trouble};

use crate::open;

const SEED: u64 = 4;

/// Each has one replica: the node whose index differs by as many.
const MASTERS: usize = 3;

const PATIENCE: Duration = Duration::from_secs(5);

/// Short, so that a vote may follow the last one soon, and that a killed node is missed soon.
const NODE_TIMEOUT: Duration = Duration::from_millis(500);

/// `CLUSTER FAILOVER`: the master holds writes back until its replica has them all. No replica does so unasked here, not
/// even where the machine keeps a node from answering in time.
pub(crate) async fn a_fail_over_in_order_loses_nothing() -> Result<(), String> {
    let nodes = RedisOptions::new().real_time().setting("cluster-replica-no-failover", "yes");
    let options = RedisClusterOptions::new().nodes(nodes).node_timeout(NODE_TIMEOUT);
    let cluster = RedisCluster::start(options).await.unwrap();
    let mut load = Load::new(open(cluster.addresses(), PATIENCE).await, Promise::Kept, SEED);
    let mut trouble = Trouble::new(SEED);
    for master in (0..MASTERS).cycle().take(Load::rounds(50)) {
        let fail_over = async {
            trouble.pause(10..60).await;
            // In turn, since between two votes about one master two node time-outs have to pass.
            let mut replicas = with_role(&cluster, "slave").await?;
            replicas.retain(|index| index % MASTERS == master);
            fail_over(&cluster.nodes()[replicas[0]]).await?;
            cluster.settle().await
        };
        load.round(fail_over).await?;
    }
    let tally = load.finish().await?;
    tally.report("failed over");
    assert!(tally.acknowledged > 0);
    Ok(())
}

/// Redis Cluster does not promise that what was acknowledged is there then: a replica gets it later. What is there is
/// still what somebody wrote, none of it twice.
pub(crate) async fn a_killed_master_may_lose_and_doubles_nothing() -> Result<(), String> {
    let options = RedisClusterOptions::new().nodes(RedisOptions::new().real_time()).node_timeout(NODE_TIMEOUT);
    let cluster = RedisCluster::start(options).await.unwrap();
    let mut load = Load::new(open(cluster.addresses(), PATIENCE).await, Promise::MayBeLost, SEED);
    let mut trouble = Trouble::new(SEED);
    for _ in 0..Load::rounds(10) {
        let crash = async {
            trouble.pause(10..60).await;
            let masters = with_role(&cluster, "master").await?;
            let killed = &cluster.nodes()[masters[trouble.pick(masters.len())]];
            killed.kill();
            // It comes back as a replica, and without data: not before another node has its place.
            cluster.settle().await?;
            killed.restart().await?;
            cluster.settle().await
        };
        load.round(crash).await?;
    }
    let tally = load.finish().await?;
    tally.report("killed");
    assert!(tally.unknown > 0, "no kill hit a write under way");
    Ok(())
}

/// The nodes that are masters, or replicas.
async fn with_role(cluster: &RedisCluster, role: &str) -> kv_servers::Result<Vec<usize>> {
    let mut found = Vec::new();
    for (index, node) in cluster.nodes().iter().enumerate() {
        if has_role(node, role).await? {
            found.push(index);
        }
    }
    Ok(found)
}

async fn has_role(node: &Redis, role: &str) -> kv_servers::Result<bool> {
    Ok(node.command(&["ROLE"]).await?.to_string().starts_with(role))
}

/// Asks until it is done: the other masters may not vote yet, or take the master for one that has failed.
async fn fail_over(replica: &Redis) -> kv_servers::Result<()> {
    loop {
        // It is refused while the master seems to be down.
        let _ = replica.command(&["CLUSTER", "FAILOVER"]).await;
        for _ in 0..300 {
            if has_role(replica, "master").await? {
                return Ok(());
            }
            TokioTimer.sleep(Duration::from_millis(20)).await;
        }
    }
}
