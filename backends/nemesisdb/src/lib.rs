#![doc = include_str!("../README.md")]

mod client;
mod config;
mod connection;
mod driver;
mod matcher;
mod message;
mod pack;
mod profile;
mod reply;
mod store;

pub use config::NemesisdbConfig;
pub use kv_remote::{RemoteSettings, RetryPolicy};
pub use profile::{PROFILE, PROFILE_WITH_EXPIRY};
pub use store::NemesisdbStore;
