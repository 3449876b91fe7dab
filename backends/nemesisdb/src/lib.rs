#![doc = include_str!("../README.md")]

mod capabilities;
mod client;
mod config;
mod connection;
mod driver;
mod matcher;
mod message;
mod pack;
mod reply;
mod store;

pub use capabilities::{CAPABILITIES, CAPABILITIES_WITH_EXPIRY};
pub use config::NemesisdbConfig;
pub use kv_remote::{RemoteSettings, RetryPolicy};
pub use store::NemesisdbStore;
