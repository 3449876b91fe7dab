#![doc = include_str!("../README.md")]

mod bulk;
mod capabilities;
mod chunks;
mod config;
mod connection;
mod direct_reader;
mod error;
mod files;
mod found;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod list;
mod operation;
mod pack;
mod packed_text;
mod queries;
mod reader;
mod row;
mod schema;
mod single;
mod statement;
mod store;
mod task_host;
mod transaction;
mod writer;

pub use capabilities::CAPABILITIES;
pub use config::{Durability, SqliteConfig};
pub use store::SqliteStore;
