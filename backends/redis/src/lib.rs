#![doc = include_str!("../README.md")]

mod capabilities;
mod client;
mod cluster;
mod config;
mod connection;
#[cfg(costs)]
#[doc(hidden)]
pub mod costs;
mod driver;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod list;
mod metered;
mod progress;
mod servers;
mod store;
mod tls;
mod wire;

pub use capabilities::CAPABILITIES;
pub use config::RedisConfig;
pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
pub use store::RedisStore;
