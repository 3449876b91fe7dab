//! One of the parts a store is cut into, so that calls on different keys seldom meet: a hash table of blocks, and the
//! queue of those that expire. Every method is called under the shard's lock.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::block::Block;
use crate::call_time::CallTime;
use crate::capacity::Size;
use crate::expiry_queue::{Expiring, ExpiryQueue};
use crate::key_index::KeyIndexWriter;

pub(crate) struct Shard {
    table: HashTable<Block>,
    expiries: ExpiryQueue,
    hasher: RandomState,
    /// The number of the next version.
    next_number: u64,
    /// From one version to the next. Shards start at different numbers and take the same steps, so that each version
    /// occurs once in the store without a counter that all of them share.
    number_step: u64,
    /// Counts writes, to take turns in visiting other shards.
    writes: u64,
}

/// Where a block is in the table, until the table changes.
#[derive(Clone, Copy)]
pub(crate) struct Slot(usize);

/// Below this many buckets a table is not worth making smaller.
const BUCKETS_KEPT: usize = 256;
/// A table with fewer entries than one in this many buckets is made smaller.
const SPARSE: usize = 16;

impl Shard {
    pub(crate) fn new(first_number: u64, number_step: u64, hasher: RandomState) -> Self {
        Self {
            table: HashTable::new(),
            expiries: ExpiryQueue::default(),
            hasher,
            next_number: first_number,
            number_step,
            writes: 0,
        }
    }

    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&Block> {
        self.table.find(hash, |block| block.key_bytes() == key)
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Slot> {
        self.table.find_bucket_index(hash, |block| block.key_bytes() == key).map(Slot)
    }

    pub(crate) fn at(&self, slot: Slot) -> Option<&Block> {
        self.table.get_bucket(slot.0)
    }

    /// The block at `slot` if its expiry has not come (SET-4).
    pub(crate) fn live_at(&self, slot: Option<Slot>, time: &CallTime<'_>) -> Option<&Block> {
        slot.and_then(|slot| self.at(slot)).filter(|block| !block.is_expired(time))
    }

    /// What is at `slot` counts against the bounds of the store, live or not.
    pub(crate) fn size_at(&self, slot: Option<Slot>) -> Size {
        slot.and_then(|slot| self.at(slot)).map_or_else(Size::default, Block::size)
    }

    /// Puts a block where `slot` says its key is, or in if it says nowhere. Gives it its number, which it returns, and
    /// its expiry; returns the block it replaced too.
    pub(crate) fn put(
        &mut self,
        slot: Option<Slot>,
        hash: u64,
        block: Block,
        expires_at: Option<i64>,
        index: &mut KeyIndexWriter<'_>,
    ) -> (u64, Option<Block>) {
        let number = self.next_number;
        self.next_number += self.number_step;
        block.set_number(number);
        block.set_expires_at(expires_at);
        if let Some(at) = expires_at {
            self.expiries.insert(Expiring { at, number, hash });
        }
        let flags = block.flags();
        let old = match slot.and_then(|slot| self.table.get_bucket_mut(slot.0)) {
            Some(own) => {
                if own.flags() != flags {
                    index.set(block.key(), flags);
                }
                Some(std::mem::replace(own, block))
            }
            None => {
                index.set(block.key(), flags);
                let hasher = &self.hasher;
                self.table.insert_unique(hash, block, |block| hasher.hash_one(block.key_bytes()));
                None
            }
        };
        if let Some(old) = &old {
            self.unqueue(old, hash);
        }
        (number, old)
    }

    /// Takes out what is at `slot`.
    pub(crate) fn remove(&mut self, slot: Slot, hash: u64, index: &mut KeyIndexWriter<'_>) -> Option<Block> {
        let (block, _) = self.table.get_bucket_entry(slot.0).ok()?.remove();
        self.unqueue(&block, hash);
        index.remove(block.key());
        self.shrink_if_sparse();
        Some(block)
    }

    /// Changes only the expiry of what is at `slot`; the version stays (VER-1).
    pub(crate) fn set_expiry(
        &mut self,
        slot: Slot,
        hash: u64,
        expires_at: Option<i64>,
        index: &mut KeyIndexWriter<'_>,
    ) {
        let Some(block) = self.table.get_bucket(slot.0) else { return };
        let (number, old_at, old_flags) = (block.number(), block.expires_at(), block.flags());
        block.set_expires_at(expires_at);
        if block.flags() != old_flags {
            index.set(block.key(), block.flags());
        }
        if let Some(at) = old_at {
            self.expiries.remove(Expiring { at, number, hash });
        }
        if let Some(at) = expires_at {
            self.expiries.insert(Expiring { at, number, hash });
        }
    }

    /// Takes out at most `max` entries whose expiry has come, those that have been due longest first, into `removed`.
    /// Reads the clock only when an entry here expires at all.
    pub(crate) fn reclaim(
        &mut self,
        time: &CallTime<'_>,
        max: usize,
        index: &mut KeyIndexWriter<'_>,
        removed: &mut Vec<Block>,
    ) {
        if !self.has_expiring() {
            return;
        }
        let now = time.millis();
        for _ in 0..max {
            let Some(due) = self.expiries.pop_due(now) else { break };
            if let Ok(entry) = self.table.find_entry(due.hash, |block| block.number() == due.number) {
                let (block, _) = entry.remove();
                index.remove(block.key());
                removed.push(block);
            }
        }
        self.shrink_if_sparse();
    }

    /// Whether an entry here carries an expiry at all.
    pub(crate) fn has_expiring(&self) -> bool {
        !self.expiries.is_empty()
    }

    /// Counts a write, and says from time to time which other shard is to be visited, each in its turn.
    pub(crate) fn next_visit(&mut self, every: u64) -> Option<u64> {
        self.writes = self.writes.wrapping_add(1);
        self.writes.is_multiple_of(every).then_some(self.writes / every)
    }

    fn unqueue(&mut self, block: &Block, hash: u64) {
        if let Some(at) = block.expires_at() {
            self.expiries.remove(Expiring { at, number: block.number(), hash });
        }
    }

    /// Gives memory back after most of the entries have gone. The few that are left are moved, so this costs no more a
    /// removed entry than growing did an added one.
    fn shrink_if_sparse(&mut self) {
        let buckets = self.table.num_buckets();
        if buckets > BUCKETS_KEPT && self.table.len() < buckets / SPARSE {
            let hasher = &self.hasher;
            self.table.shrink_to(self.table.len() * 2, |block| hasher.hash_one(block.key_bytes()));
        }
    }

    #[cfg(test)]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.table.iter()
    }

    #[cfg(test)]
    pub(crate) fn expiries(&self) -> &ExpiryQueue {
        &self.expiries
    }

    #[cfg(test)]
    pub(crate) fn buckets(&self) -> usize {
        self.table.num_buckets()
    }
}
