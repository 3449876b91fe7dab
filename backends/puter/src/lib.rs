#![doc = include_str!("../README.md")]

mod bulk;
mod client;
mod config;
mod counter;
mod profile;
mod store;
mod wire;

pub use config::PuterConfig;
pub use profile::PROFILE;
pub use store::PuterStore;

pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
