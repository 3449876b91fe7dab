#![doc = include_str!("../README.md")]

mod bulk;
mod capabilities;
mod client;
mod config;
mod reading;
mod store;
mod wire;

pub use capabilities::CAPABILITIES;
pub use config::{CloudflareConfig, Credentials};
pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
pub use store::CloudflareStore;
