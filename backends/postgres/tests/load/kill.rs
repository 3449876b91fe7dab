//! The server is killed and started again.

use std::time::Duration;

use kv_servers::{Load, Postgres, PostgresOptions, Promise, Trouble};

use crate::open;

const SEED: u64 = 1;

/// What is committed is on the disk before it is acknowledged (`fsync`).
pub(crate) async fn what_was_acknowledged_survives_a_killed_server() -> Result<(), String> {
    let postgres = Postgres::start(PostgresOptions::new().durable().real_time()).await.unwrap();
    let mut load = Load::new(open(postgres.address(), Duration::from_secs(5)).await, Promise::Kept, SEED);
    let mut trouble = Trouble::new(SEED);
    for _ in 0..Load::rounds(50) {
        let crash = async {
            trouble.pause(10..120).await;
            postgres.kill();
            trouble.pause(0..40).await;
            postgres.restart().await
        };
        load.round(crash).await?;
    }
    let tally = load.finish().await?;
    tally.report("killed");
    assert!(tally.unknown > 0, "no kill hit a write under way");
    Ok(())
}
