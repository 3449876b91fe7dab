#![doc = include_str!("../README.md")]

mod batch;
mod block;
mod call_time;
mod capacity;
mod config;
mod counter;
mod expiry_queue;
mod key_index;
mod list;
mod profile;
mod reclaim;
mod shard;
mod shards;
mod store;

pub use config::MemoryConfig;
pub use profile::PROFILE;
pub use store::MemoryStore;

#[cfg(test)]
mod tests;
