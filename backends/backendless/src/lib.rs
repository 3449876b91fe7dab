#![doc = include_str!("../README.md")]

mod client;
mod config;
mod profile;
mod store;
mod wire;

pub use config::BackendlessConfig;
pub use profile::PROFILE;
pub use store::BackendlessStore;

pub use kv_remote::{RemoteSettings, RetryPolicy, SecretString};
