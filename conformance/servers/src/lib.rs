#![doc = include_str!("../README.md")]

mod cluster;
mod error;
mod home;
mod load;
mod pgbouncer;
mod pool;
mod ports;
mod postgres;
mod process;
mod redis;
mod resp;
mod runner;
mod system;
mod time;
mod user;

pub use cluster::{RedisCluster, RedisClusterOptions};
pub use error::{Error, Result};
pub use kv_link::{ClusterLink, Link, Protocol};
pub use load::{Load, Promise, Tally, Trouble};
pub use pgbouncer::PgBouncer;
pub use pool::{Lease, Pool, Server};
pub use postgres::{Postgres, PostgresOptions};
pub use redis::{Redis, RedisOptions};
pub use resp::Reply;
pub use runner::{Ending, Test, run, suite};
pub use system::System;
pub use time::{BothClocks, ServerTime};
