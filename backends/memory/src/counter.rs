//! Counters.

use kv_api::{Error, Increment, Result, ValueKind};

use crate::block::Block;
use crate::call_time::CallTime;
use crate::store::MemoryStore;

impl MemoryStore {
    /// Adds to a counter and returns its new value: atomic, from 0 for a missing or expired key, keeping the expiry
    /// (CNT-1), or with that of a new counter (CNT-3).
    ///
    /// # Errors
    /// [`WrongType`](kv_api::ErrorKind::WrongType) with [`Reason::NotACounter`](kv_api::Reason::NotACounter) for
    /// anything but a JSON integer within 64 bits without metadata (CNT-2); `InvalidArgument` with
    /// [`Reason::CounterRange`](kv_api::Reason::CounterRange) when the result is out of range; as for
    /// [`write_sync`](Self::write_sync) when the store is full. Nothing is changed then.
    pub fn increment_sync(&self, increment: &Increment<'_>) -> Result<i64> {
        let inner = &*self.inner;
        let key = increment.key();
        let hash = inner.shards.hash(key);
        self.making_room(|| {
            let mut shard = inner.shards.write(hash);
            let time = CallTime::new(&*inner.clock);
            let slot = shard.find(hash, key.as_bytes());
            let (count, expires_at) = match shard.live_at(slot, &time) {
                None => (0, self.deadline(&time, increment.created_expiry())),
                Some(block) => (count(block, increment)?, block.expires_at()),
            };
            let count = increment.apply(count)?;
            let block = Block::new(key, ValueKind::Json, count.to_string().as_bytes(), None)?;
            inner.capacity.replace(shard.size_at(slot), block.size())?;
            let mut index = inner.index.writer();
            let (_, old) = shard.put(slot, hash, key, block, expires_at, &mut index);
            self.finish_write(shard, index, &time, 1);
            drop(old);
            Ok(count)
        })
    }
}

/// The count that an entry holds, if it is a counter.
fn count(block: &Block, increment: &Increment<'_>) -> Result<i64> {
    if block.has_metadata() {
        return Err(Error::not_a_counter("the entry has metadata"));
    }
    if block.expires_at().is_some() && !increment.expiring_allowed() {
        return Err(Error::not_a_counter("the entry has an expiry"));
    }
    // Asked before the value is handed out, which could be long.
    if block.kind() != ValueKind::Json {
        return Err(Error::not_a_counter("the value is no JSON integer"));
    }
    block.value().as_i64().ok_or_else(|| Error::not_a_counter("the value is no JSON integer within 64 bits"))
}
