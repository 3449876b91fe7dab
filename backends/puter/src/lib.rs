#![doc = include_str!("../README.md")]

mod capabilities;
mod client;
mod config;
#[cfg(costs)]
#[doc(hidden)]
pub mod costs;
mod counter;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod store;
mod wire;

pub use capabilities::CAPABILITIES;
pub use config::PuterConfig;
pub use store::PuterStore;

pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
