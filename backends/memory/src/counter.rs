//! Counters.

use kv_api::{Error, ErrorKind, Increment, Reason, Result, ValueKind};

use crate::block::Block;
use crate::call_time::CallTime;
use crate::capacity::Size;
use crate::store::MemoryStore;

impl MemoryStore {
    /// Adds to a counter and returns its new value: atomic, from 0 for a missing or expired key, keeping the expiry
    /// (CNT-1).
    ///
    /// # Errors
    /// [`WrongType`](ErrorKind::WrongType) with [`Reason::NotACounter`] for anything but a JSON integer within 64 bits
    /// without metadata (CNT-2); `InvalidArgument` with [`Reason::CounterRange`] when the result is out of range; as for
    /// [`write_sync`](Self::write_sync) when the store is full. Nothing is changed then.
    pub fn increment_sync(&self, increment: &Increment<'_>) -> Result<i64> {
        let inner = &*self.inner;
        let key = increment.key();
        let hash = inner.shards.hash(key);
        let mut nothing_due = false;
        loop {
            let mut shard = inner.shards.write(hash);
            let time = CallTime::new(&*inner.clock);
            let slot = shard.find(hash, key.as_bytes());
            let (count, expires_at) = match shard.live_at(slot, &time) {
                None => (0, None),
                Some(block) => (count(block, increment)?, block.expires_at()),
            };
            let count = count
                .checked_add(increment.by())
                .filter(|count| (increment.min()..=increment.max()).contains(count))
                .ok_or_else(|| out_of_range(increment))?;
            let block = Block::new(key, ValueKind::Json, count.to_string().as_bytes(), None)?;
            let old_size = slot.and_then(|slot| shard.at(slot)).map_or_else(Size::default, Block::size);
            if let Err(full) = inner.capacity.replace(old_size, block.size()) {
                drop(shard);
                if nothing_due {
                    return Err(full);
                }
                // As in `write_sync`.
                nothing_due = !self.make_room();
                continue;
            }
            let mut index = inner.index.writer();
            let (_, old) = shard.put(slot, hash, block, expires_at, &mut index);
            self.finish_write(shard, index, &time, 1);
            drop(old);
            return Ok(count);
        }
    }
}

/// The count that an entry holds, if it is a counter.
fn count(block: &Block, increment: &Increment<'_>) -> Result<i64> {
    let not_a_counter =
        |message: &'static str| Err(Error::new(ErrorKind::WrongType, message).with_reason(Reason::NotACounter));
    if block.has_metadata() {
        return not_a_counter("the entry has metadata, which a counter must not have");
    }
    if block.expires_at().is_some() && !increment.expiring_allowed() {
        return not_a_counter("the entry expires, which a counter of this store must not do");
    }
    // Asked before the value is handed out, which could be long.
    if block.kind() != ValueKind::Json {
        return not_a_counter("the stored value is no JSON integer");
    }
    match block.value().as_i64() {
        Some(count) => Ok(count),
        None => not_a_counter("the stored value is no JSON integer within 64 signed bits"),
    }
}

fn out_of_range(increment: &Increment<'_>) -> Error {
    let (min, max) = (increment.min(), increment.max());
    Error::invalid(Reason::CounterRange { min, max }, format!("the result would be outside {min} to {max}"))
}
