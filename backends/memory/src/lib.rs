#![doc = include_str!("../README.md")]

mod batch;
mod block;
mod call_time;
mod capabilities;
mod capacity;
mod config;
mod counter;
mod expiry_queue;
mod key_index;
mod list;
mod reclaim;
mod shard;
mod shards;
mod store;

pub use capabilities::CAPABILITIES;
pub use config::MemoryConfig;
pub use store::MemoryStore;

#[cfg(test)]
mod tests;
