//! Batches that are written whole or not at all.

use kv_api::{BatchOutcome, Condition, Expiry, Result, SetOutcome, SetStatus, Version, Write, WriteMany};
use parking_lot::RwLockWriteGuard;

use crate::block::Block;
use crate::call_time::CallTime;
use crate::capacity::Size;
use crate::shard::Shard;
use crate::shards::Shards;
use crate::store::{MemoryStore, holds};

/// An item, with all done that needs no lock.
struct Prepared {
    index: usize,
    hash: u64,
    block: Block,
    expiry: Expiry,
    condition: Condition,
}

/// A locked shard and the items that belong into it.
type Part<'a> = (RwLockWriteGuard<'a, Shard>, &'a [Prepared]);

/// What a batch would do, were it carried out now.
enum Plan {
    NotMet { index: usize },
    Write { statuses: Vec<SetStatus>, old: Size, new: Size },
}

impl MemoryStore {
    /// Writes all items at one moment, or none (BATCH-3): all conditions are decided first, at one time and with every
    /// shard concerned locked. No reader sees a part of it.
    ///
    /// # Errors
    /// As for [`write_sync`](Self::write_sync), for the batch as a whole; nothing is written then.
    pub fn write_all_or_nothing_sync(&self, writes: &WriteMany<'_>) -> Result<BatchOutcome> {
        let inner = &*self.inner;
        let mut items = self.prepare(writes)?;
        // Several shards are always locked in the order of their positions, so that no two calls wait for each other.
        items.sort_by_key(|item| Shards::position(item.hash));
        self.making_room(|| {
            let mut parts: Vec<Part<'_>> = items
                .chunk_by(|left, right| Shards::position(left.hash) == Shards::position(right.hash))
                .map(|items| (inner.shards.write(items[0].hash), items))
                .collect();
            let time = CallTime::new(&*inner.clock);
            let (statuses, old, new) = match self.plan(&parts, &time)? {
                Plan::NotMet { index } => return Ok(BatchOutcome::NotMet { index }),
                Plan::Write { statuses, old, new } => (statuses, old, new),
            };
            inner.capacity.replace(old, new)?;
            let (outcomes, replaced) = self.carry_out(&mut parts, statuses, &time);
            for (shard, items) in parts {
                self.finish_write(shard, inner.index.writer(), &time, items.len());
            }
            drop(replaced);
            Ok(BatchOutcome::Written(outcomes))
        })
    }

    fn prepare(&self, writes: &WriteMany<'_>) -> Result<Vec<Prepared>> {
        let prepare = |(index, write): (usize, &Write<'_>)| {
            let key = write.key();
            let block = Block::of(write).map_err(|error| error.with_index(index).with_key(key))?;
            let (expiry, condition) = (write.expiry(), write.condition().clone());
            Ok(Prepared { index, hash: self.inner.shards.hash(key), block, expiry, condition })
        };
        writes.writes().iter().enumerate().map(prepare).collect()
    }

    /// Decides every condition, and what the batch takes and gives back.
    fn plan(&self, parts: &[Part<'_>], time: &CallTime<'_>) -> Result<Plan> {
        let mut statuses = Vec::new();
        let (mut old, mut new) = (Size::default(), Size::default());
        let mut first_unmet: Option<usize> = None;
        for (shard, items) in parts {
            for item in *items {
                let slot = shard.find(item.hash, item.block.key_bytes());
                let live = shard.live_at(slot, time);
                if !holds(&item.condition, live, self.inner.origin)? {
                    first_unmet = Some(first_unmet.map_or(item.index, |first| first.min(item.index)));
                }
                statuses.push(if live.is_some() { SetStatus::Updated } else { SetStatus::Created });
                old = old.plus(shard.size_at(slot));
                new = new.plus(item.block.size());
            }
        }
        Ok(match first_unmet {
            Some(index) => Plan::NotMet { index },
            None => Plan::Write { statuses, old, new },
        })
    }

    /// Writes every item; nothing in here can fail. Answers in input order, with the blocks that were replaced.
    fn carry_out(
        &self,
        parts: &mut [Part<'_>],
        statuses: Vec<SetStatus>,
        time: &CallTime<'_>,
    ) -> (Vec<SetOutcome>, Vec<Block>) {
        let mut statuses = statuses.into_iter();
        let mut outcomes = Vec::with_capacity(statuses.len());
        let mut replaced = Vec::new();
        // Kept to the end, so that a list sees all new keys or none.
        let mut index = self.inner.index.writer();
        for (shard, items) in parts {
            for (item, status) in items.iter().zip(&mut statuses) {
                // Looked up again: the item before it may have moved everything in the table.
                let slot = shard.find(item.hash, item.block.key_bytes());
                let expires_at = self.deadline(time, item.expiry);
                let (key, block) = (item.block.key(), item.block.clone());
                let (number, old) = shard.put(slot, item.hash, key, block, expires_at, &mut index);
                replaced.extend(old);
                let version = Version::numbered(self.inner.origin, number);
                outcomes.push((item.index, SetOutcome::new(status).with_version(version)));
            }
        }
        outcomes.sort_unstable_by_key(|(index, _)| *index);
        (outcomes.into_iter().map(|(_, outcome)| outcome).collect(), replaced)
    }
}
