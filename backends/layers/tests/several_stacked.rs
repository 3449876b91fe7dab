//! The suite over layers on top of each other.

mod common;

use std::sync::Arc;

use kv_api::{Backend, Layer, ManualClock, Stack};
use kv_layers::{Fallback, Like, Mirrored, Mounted};
use kv_memory::MemoryStore;

/// Every layer of several backends before one: each of them with the data of the backend inside.
fn all(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    let own = Like::new(inner.capabilities().clone());
    let mounted = Mounted::new(Arc::clone(&inner), [("k", Arc::clone(&inner))]).map(Arc::new);
    let mounted: Arc<dyn Backend> = match mounted {
        Ok(mounted) => mounted,
        Err(error) => panic!("{error}"),
    };
    let stack =
        Stack::new().with(own).with(Fallback::to(inner)).with(Mirrored::to(MemoryStore::default()).with_compared(0.1));
    stack.layer(mounted)
}
common::suite!(all, lost: &["set_7_a_read_after_a_write_sees_it", "set_7_histories_of_sets_and_reads_are_linearizable"]);
