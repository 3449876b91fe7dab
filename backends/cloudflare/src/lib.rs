#![doc = include_str!("../README.md")]

mod bulk;
mod client;
mod config;
mod profile;
mod reading;
mod store;
mod wire;

pub use config::{CloudflareConfig, Credentials};
pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
pub use profile::PROFILE;
pub use store::CloudflareStore;
