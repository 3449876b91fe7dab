#![doc = include_str!("../README.md")]

mod arguments;
mod capabilities;
mod config;
mod connection;
mod error;
mod get;
mod lane;
mod leftovers;
mod page;
mod pool;
mod put;
mod queries;
mod reclaim;
mod schema;
mod step;
mod store;

pub use capabilities::CAPABILITIES;
pub use config::{PostgresConfig, SslMode};
pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
pub use store::PostgresStore;
