#![doc = include_str!("../README.md")]

mod bulk;
mod capabilities;
mod client;
mod config;
#[cfg(costs)]
#[doc(hidden)]
pub mod costs;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod reading;
mod store;
mod wire;

pub use capabilities::CAPABILITIES;
pub use config::{CloudflareConfig, Credentials};
pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
pub use store::CloudflareStore;
