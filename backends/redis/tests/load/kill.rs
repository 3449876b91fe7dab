//! The server is killed and started again.

use std::time::Duration;

use kv_servers::{Load, Promise, Redis, RedisOptions, Trouble};

use crate::open;

const SEED: u64 = 1;

/// With `appendonly yes` and `appendfsync always` what is acknowledged is on the disk.
pub(crate) async fn what_was_acknowledged_survives_a_killed_server() -> Result<(), String> {
    let redis = Redis::start(RedisOptions::new().durable().real_time()).await.unwrap();
    let mut load = Load::new(open(redis.address(), Duration::from_secs(5)).await, Promise::Kept, SEED);
    let mut trouble = Trouble::new(SEED);
    for _ in 0..Load::rounds(50) {
        let crash = async {
            trouble.pause(10..120).await;
            redis.kill();
            trouble.pause(0..40).await;
            redis.restart().await
        };
        load.round(crash).await?;
    }
    let tally = load.finish().await?;
    tally.report("killed");
    assert!(tally.unknown > 0, "no kill hit a write under way");
    Ok(())
}
