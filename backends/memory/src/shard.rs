//! One of the parts a store is cut into, so that calls on different keys seldom meet: a hash table of blocks, and the
//! queue of those that expire. Every method is called under the shard's lock.

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::block::Block;
use crate::call_time::CallTime;
use crate::capacity::Size;
use crate::expiry_queue::ExpiryQueue;
use crate::key_index::KeyIndexWriter;
use crate::shards::hash_of;

pub(crate) struct Shard {
    table: HashTable<Block>,
    /// When which slot of the table is to be looked at.
    expiries: ExpiryQueue,
    /// How many entries carry an expiry.
    expiring: usize,
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

#[cfg(test)]
impl Slot {
    pub(crate) fn is(self, slot: usize) -> bool {
        self.0 == slot
    }
}

/// Below this many buckets a table is not worth making smaller.
const BUCKETS_KEPT: usize = 256;
/// A table with fewer entries than one in this many buckets is made smaller.
const SPARSE: usize = 16;

impl Shard {
    pub(crate) fn new(first_number: u64, number_step: u64, hasher: RandomState) -> Self {
        Self {
            table: HashTable::new(),
            expiries: ExpiryQueue::default(),
            expiring: 0,
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
        key: &str,
        block: Block,
        expires_at: Option<i64>,
        index: &mut KeyIndexWriter<'_>,
    ) -> (u64, Option<Block>) {
        let number = self.next_number;
        self.next_number += self.number_step;
        block.set_number(number);
        block.set_expires_at(expires_at);
        let flags = block.flags();
        let Some((slot, own)) = slot.and_then(|slot| Some((slot, self.table.get_bucket_mut(slot.0)?))) else {
            index.set(key, flags);
            let slot = self.insert(hash, block);
            self.requeue(slot, None, expires_at);
            return (number, None);
        };
        let old = std::mem::replace(own, block);
        if old.flags() != flags {
            index.set(key, flags);
        }
        self.requeue(slot, old.expires_at(), expires_at);
        (number, Some(old))
    }

    fn insert(&mut self, hash: u64, block: Block) -> Slot {
        if self.table.len() == self.table.capacity() {
            // Here, so that the insertion itself moves nothing.
            self.table.reserve(1, |block| hash_of(&self.hasher, block.key_bytes()));
            self.rebuild_queue();
        }
        let inserted = self.table.insert_unique(hash, block, |block| hash_of(&self.hasher, block.key_bytes()));
        Slot(inserted.bucket_index())
    }

    /// Takes out what is at `slot`.
    pub(crate) fn remove(&mut self, slot: Slot, key: &str, index: &mut KeyIndexWriter<'_>) -> Option<Block> {
        let (block, _) = self.table.get_bucket_entry(slot.0).ok()?.remove();
        self.requeue(slot, block.expires_at(), None);
        index.remove(key);
        self.shrink_if_sparse();
        Some(block)
    }

    /// Changes only the expiry of what is at `slot`; the version stays (VER-1).
    pub(crate) fn set_expiry(
        &mut self,
        slot: Slot,
        key: &str,
        expires_at: Option<i64>,
        index: &mut KeyIndexWriter<'_>,
    ) {
        let Some(block) = self.table.get_bucket(slot.0) else { return };
        let (old_expires_at, old_flags) = (block.expires_at(), block.flags());
        block.set_expires_at(expires_at);
        if block.flags() != old_flags {
            index.set(key, block.flags());
        }
        self.requeue(slot, old_expires_at, expires_at);
    }

    /// Looks at `max` entries at most whose time has come, those first that have been due longest. Takes out what has
    /// expired, into `removed`. Answers how many it looked at: when that is `max`, there may be more.
    pub(crate) fn reclaim(
        &mut self,
        time: &CallTime<'_>,
        max: usize,
        index: &mut KeyIndexWriter<'_>,
        removed: &mut Vec<Block>,
    ) -> usize {
        if self.expiries.first_at().is_none_or(|at| !time.is_past(at)) {
            return 0;
        }
        let now = time.millis();
        let mut looks = 0;
        while looks < max
            && let Some(slot) = self.expiries.pop_due(now)
        {
            looks += 1;
            match self.table.get_bucket(slot).and_then(Block::expires_at) {
                // Of an entry that is gone, or never ends any more.
                None => {}
                Some(at) if at > now => self.expiries.push(at, slot),
                Some(_) => {
                    if let Ok(entry) = self.table.get_bucket_entry(slot) {
                        let (block, _) = entry.remove();
                        self.expiring -= 1;
                        index.remove(block.key());
                        removed.push(block);
                    }
                }
            }
        }
        self.tidy_queue();
        self.shrink_if_sparse();
        looks
    }

    /// Whether an entry here carries an expiry at all.
    pub(crate) fn has_expiring(&self) -> bool {
        self.expiring > 0
    }

    /// Counts a write, and says from time to time which other shard is to be visited, each in its turn.
    pub(crate) fn next_visit(&mut self, every: u64) -> Option<u64> {
        self.writes = self.writes.wrapping_add(1);
        self.writes.is_multiple_of(every).then_some(self.writes / every)
    }

    /// Sees to it that the entry at `slot` has a place in the queue when it expires. It has one at its old expiry or
    /// before, and a later one is made of that when its time has come.
    fn requeue(&mut self, slot: Slot, old: Option<i64>, new: Option<i64>) {
        self.expiring = self.expiring + usize::from(new.is_some()) - usize::from(old.is_some());
        match (old, new) {
            (Some(old), Some(new)) if old <= new => return,
            (_, Some(new)) => self.expiries.push(new, slot.0),
            (None, None) => return,
            (Some(_), None) => {}
        }
        self.tidy_queue();
    }

    fn tidy_queue(&mut self) {
        if self.expiring == 0 {
            self.expiries.clear();
        } else if self.expiries.is_outgrown(self.expiring) {
            self.expiries.tidy(|slot| self.table.get_bucket(slot)?.expires_at());
        }
    }

    /// After the table has moved its entries.
    fn rebuild_queue(&mut self) {
        let expiring = if self.expiring > 0 { Some(self.table.iter_buckets()) } else { None };
        let entries = expiring.into_iter().flatten().filter_map(|slot| Some((self.table.get_bucket(slot)?, slot)));
        let entries = entries.filter_map(|(block, slot)| Some((block.expires_at()?, slot)));
        self.expiries.rebuild(self.table.num_buckets(), entries);
    }

    /// Gives memory back after most of the entries have gone. The few that are left are moved, so this costs no more a
    /// removed entry than growing did an added one.
    fn shrink_if_sparse(&mut self) {
        let buckets = self.table.num_buckets();
        if buckets > BUCKETS_KEPT && self.table.len() < buckets / SPARSE {
            self.table.shrink_to(self.table.len() * 2, |block| hash_of(&self.hasher, block.key_bytes()));
            self.rebuild_queue();
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
    pub(crate) fn expiring(&self) -> usize {
        self.expiring
    }

    #[cfg(test)]
    pub(crate) fn buckets(&self) -> usize {
        self.table.num_buckets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_index::KeyIndex;
    use kv_api::{ManualClock, Timestamp, ValueKind};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[derive(Clone, Debug)]
    enum Step {
        Put {
            key: usize,
            ttl: Option<i64>,
        },
        Remove {
            key: usize,
        },
        Expire {
            key: usize,
            ttl: Option<i64>,
        },
        /// Makes the table grow, and move.
        PutMany {
            keys: usize,
            ttl: Option<i64>,
        },
        /// Makes it shrink, and move.
        RemoveMany {
            keys: usize,
        },
        Advance {
            millis: u64,
        },
        Reclaim {
            max: usize,
        },
    }

    const KEYS: usize = 24;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let ttl = || proptest::option::weighted(0.8, 1..30_i64);
        let step = prop_oneof![
            12 => (0..KEYS, ttl()).prop_map(|(key, ttl)| Step::Put { key, ttl }),
            4 => (0..KEYS).prop_map(|key| Step::Remove { key }),
            4 => (0..KEYS, ttl()).prop_map(|(key, ttl)| Step::Expire { key, ttl }),
            1 => (0..600_usize, ttl()).prop_map(|(keys, ttl)| Step::PutMany { keys, ttl }),
            1 => (0..600_usize).prop_map(|keys| Step::RemoveMany { keys }),
            3 => (0..10_u64).prop_map(|millis| Step::Advance { millis }),
            3 => (1..6_usize).prop_map(|max| Step::Reclaim { max }),
        ];
        proptest::collection::vec(step, 1..100)
    }

    /// A shard, and when each of its entries ends.
    struct Model {
        shard: Shard,
        index: KeyIndex,
        clock: ManualClock,
        entries: BTreeMap<String, Option<i64>>,
    }

    impl Model {
        fn new() -> Self {
            let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
            let shard = Shard::new(1, 1, RandomState::default());
            Self { shard, index: KeyIndex::default(), clock, entries: BTreeMap::new() }
        }

        fn now(&self) -> i64 {
            CallTime::new(&self.clock).millis()
        }

        fn find(&self, key: &str) -> (u64, Option<Slot>) {
            let hash = hash_of(&self.shard.hasher, key.as_bytes());
            (hash, self.shard.find(hash, key.as_bytes()))
        }

        fn put(&mut self, key: usize, ttl: Option<i64>) {
            let key = key.to_string();
            let expires_at = ttl.map(|ttl| self.now() + ttl);
            let (hash, slot) = self.find(&key);
            let block = Block::new(&key, ValueKind::Text, b"", None).unwrap();
            self.shard.put(slot, hash, &key, block, expires_at, &mut self.index.writer());
            self.entries.insert(key, expires_at);
        }

        fn remove(&mut self, key: usize) {
            let key = key.to_string();
            let removed = self.find(&key).1.and_then(|slot| self.shard.remove(slot, &key, &mut self.index.writer()));
            assert_eq!(removed.is_some(), self.entries.remove(&key).is_some());
        }

        fn expire(&mut self, key: usize, ttl: Option<i64>) {
            let (key, expires_at) = (key.to_string(), ttl.map(|ttl| self.now() + ttl));
            if let Some(entry) = self.entries.get_mut(&key) {
                *entry = expires_at;
                let slot = self.find(&key).1.unwrap();
                self.shard.set_expiry(slot, &key, expires_at, &mut self.index.writer());
            }
        }

        fn reclaim(&mut self, max: usize) -> usize {
            let (mut removed, now) = (Vec::new(), self.now());
            let time = CallTime::new(&self.clock);
            let looks = self.shard.reclaim(&time, max, &mut self.index.writer(), &mut removed);
            assert!(removed.len() <= looks && looks <= max);
            for block in removed {
                let expires_at = self.entries.remove(block.key()).unwrap();
                assert!(expires_at.is_some_and(|at| at <= now), "{block:?} lives");
            }
            looks
        }

        fn run(&mut self, step: Step) {
            match step {
                Step::Put { key, ttl } => self.put(key, ttl),
                Step::Remove { key } => self.remove(key),
                Step::Expire { key, ttl } => self.expire(key, ttl),
                Step::PutMany { keys, ttl } => (0..keys).for_each(|key| self.put(key, ttl)),
                Step::RemoveMany { keys } => (0..keys).for_each(|key| self.remove(key)),
                Step::Advance { millis } => self.clock.advance(Duration::from_millis(millis)),
                Step::Reclaim { max } => drop(self.reclaim(max)),
            }
            assert_eq!(self.shard.table.len(), self.entries.len());
            assert_eq!(self.shard.expiring, self.entries.values().flatten().count());
            assert!(self.shard.expiries.len() <= 2 * self.shard.expiring + 64, "{} places", self.shard.expiries.len());
        }

        /// What expired is found by the queue alone, a little at a time.
        fn finish(mut self, millis: u64) {
            self.clock.advance(Duration::from_millis(millis));
            let mut looks = 0;
            while self.reclaim(3) > 0 {
                looks += 1;
                assert!(looks < 10_000, "it never ends");
            }
            let now = self.now();
            assert!(self.entries.values().flatten().all(|at| *at > now), "something expired was not found");
            for (key, expires_at) in &self.entries {
                let slot = self.find(key).1.unwrap();
                assert_eq!(self.shard.at(slot).unwrap().expires_at(), *expires_at, "{key}");
            }
            assert_eq!(self.index.snapshot().len(), self.entries.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn exp_7_a_shard_finds_all_that_expired_and_takes_out_nothing_else(steps in steps(), millis in 0..40_u64) {
            let mut model = Model::new();
            for step in steps {
                model.run(step);
            }
            model.finish(millis);
        }
    }

    #[test]
    fn an_overwrite_with_a_later_expiry_leaves_the_queue_alone() {
        let mut model = Model::new();
        model.put(1, Some(10));
        for ttl in 11..200 {
            model.put(1, Some(ttl));
            model.expire(1, Some(ttl));
        }
        assert_eq!(model.shard.expiries.len(), 1);
        // One that is earlier counts.
        model.put(1, Some(5));
        model.clock.advance(Duration::from_millis(5));
        assert_eq!((model.reclaim(1), model.entries.len()), (1, 0));
    }
}
