//! Giving back the room of expired entries, a little with every write and never all at once.
//!
//! - Each write takes out a few due entries of its own shard, whose lock it holds anyway.
//! - Some writes then visit one more shard, each in its turn, so that a store in which only one key is written any more
//!   still gets rid of all that expires.
//! - A read that meets an expired entry takes it out.
//! - A write that finds a bounded store full takes out what is due, anywhere, before it is refused.

use std::sync::atomic::Ordering;

use kv_api::{Reason, Result};
use parking_lot::RwLockWriteGuard;

use crate::block::Block;
use crate::call_time::CallTime;
use crate::capacity::{Capacity, Size};
use crate::key_index::KeyIndexWriter;
use crate::shard::Shard;
use crate::store::MemoryStore;

/// How many due entries a write looks at in its own shard, beside two for each entry it puts in.
const PER_WRITE: usize = 2;
/// How many due entries a visit looks at in another shard, and a write that needs room in each.
const PER_VISIT: usize = 32;
/// One write in this many visits another shard.
const WRITES_PER_VISIT: u64 = 16;

impl MemoryStore {
    /// Ends a write of `written` entries into a shard: takes out some due entries, lets go of the locks, and only then
    /// frees what was taken out or replaced.
    #[inline]
    pub(crate) fn finish_write(
        &self,
        mut shard: RwLockWriteGuard<'_, Shard>,
        mut index: KeyIndexWriter<'_>,
        time: &CallTime<'_>,
        written: usize,
    ) {
        let mut removed = Vec::new();
        if shard.has_expiring() {
            reclaim(&mut shard, time, PER_WRITE + 2 * written, &mut index, &self.inner.capacity, &mut removed);
        }
        let turn = shard.next_visit(WRITES_PER_VISIT);
        drop(index);
        drop(shard);
        drop(removed);
        if let Some(turn) = turn
            && self.inner.expiring.load(Ordering::Relaxed)
        {
            self.visit(turn, time);
        }
    }

    fn visit(&self, turn: u64, time: &CallTime<'_>) {
        // A call that holds the lock for writing reclaims there itself.
        if let Some(mut shard) = self.inner.shards.in_turn(turn).try_write() {
            let mut index = self.inner.index.writer();
            let mut removed = Vec::new();
            reclaim(&mut shard, time, PER_VISIT, &mut index, &self.inner.capacity, &mut removed);
            drop(index);
            drop(shard);
            drop(removed);
        }
    }

    /// Takes out an entry that a read found expired, if it still is there and still is. Does not wait for the lock.
    pub(crate) fn remove_expired(&self, hash: u64, key: &str) {
        let Some(mut shard) = self.inner.shards.try_write(hash) else { return };
        let time = CallTime::new(&*self.inner.clock);
        let mut index = self.inner.index.writer();
        let removed = shard
            .find(hash, key.as_bytes())
            .filter(|slot| shard.at(*slot).is_some_and(|block| block.is_expired(&time)))
            .and_then(|slot| shard.remove(slot, key, &mut index));
        if let Some(block) = &removed {
            self.inner.capacity.release(block.size());
        }
        drop(index);
        drop(shard);
        drop(removed);
    }

    /// Tries a write until it fits, or the store is full of entries that live. `attempt` takes its locks anew each
    /// time, and lets go of them when it fails.
    #[inline]
    pub(crate) fn making_room<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut nothing_due = false;
        loop {
            match attempt() {
                // Once more even when nothing was due: another call may have been the one that made room.
                Err(full) if full.reason() == Some(&Reason::StoreFull) && !nothing_due => {
                    nothing_due = !self.make_room()
                }
                result => return result,
            }
        }
    }

    /// Makes room in a full store: looks at some due entries of the first shard that has any. `false` when none has.
    fn make_room(&self) -> bool {
        self.inner.expiring.load(Ordering::Relaxed)
            && self.inner.shards.all().any(|shard| {
                let mut shard = shard.write();
                let time = CallTime::new(&*self.inner.clock);
                let mut index = self.inner.index.writer();
                let mut removed = Vec::new();
                let looks = reclaim(&mut shard, &time, PER_VISIT, &mut index, &self.inner.capacity, &mut removed);
                drop(index);
                drop(shard);
                drop(removed);
                looks > 0
            })
    }
}

/// Looks at most at `max` due entries, takes out those that have expired, and gives back their room, under the locks;
/// the caller frees them without. Answers how many it looked at.
fn reclaim(
    shard: &mut Shard,
    time: &CallTime<'_>,
    max: usize,
    index: &mut KeyIndexWriter<'_>,
    capacity: &Capacity,
    removed: &mut Vec<Block>,
) -> usize {
    let looks = shard.reclaim(time, max, index, removed);
    if !removed.is_empty() {
        capacity.release(removed.iter().map(Block::size).fold(Size::default(), Size::plus));
    }
    looks
}
