#![doc = include_str!("../README.md")]

mod budget;
mod capabilities;
mod client;
mod config;
mod connection;
#[cfg(costs)]
#[doc(hidden)]
pub mod costs;
mod driver;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod matcher;
mod paced;
mod request;

mod store;
mod wire;

pub use capabilities::{CAPABILITIES, CAPABILITIES_WITH_EXPIRY};
pub use config::NemesisdbConfig;
pub use kv_remote::{RemoteSettings, RetryPolicy};
pub use store::NemesisdbStore;
