//! The way to the server breaks.

use std::slice;
use std::time::Duration;

use kv_servers::{Link, Load, Promise, Protocol, Redis, RedisOptions};

use crate::open;

const SEED: u64 = 2;

/// The longest silence of the link, in milliseconds; a request gives up after half of it.
const SILENCE: u64 = 600;

pub(crate) async fn a_link_that_breaks_loses_and_doubles_nothing() -> Result<(), String> {
    let redis = Redis::start(RedisOptions::new().real_time()).await.unwrap();
    let link = Link::open(redis.address(), Protocol::Resp).unwrap();
    let stores = open(link.address(), Duration::from_millis(SILENCE / 2)).await;
    let mut load = Load::new(stores, Promise::Kept, SEED);
    load.break_links(slice::from_ref(&link), SILENCE, Load::rounds(50)).await?;
    let tally = load.finish().await?;
    tally.report("cut");
    assert!(tally.unknown > 0, "nothing hit a write under way");
    Ok(())
}
