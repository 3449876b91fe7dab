//! The shards of a store, and which of them a key belongs to.

use std::array;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::shard::Shard;

/// How many shards a store has. A power of two.
pub(crate) const SHARDS: usize = 64;

const SHARD_MASK: u8 = 63;

/// The hash of a key's bytes. Nothing follows them, so their end needs no mark.
pub(crate) fn hash_of(hasher: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Alone on its cache lines, so that writers in neighbouring shards do not slow each other down (some processors fetch
/// lines of 64 bytes in pairs).
#[repr(align(128))]
struct Padded<T>(T);

pub(crate) struct Shards {
    shards: [Padded<RwLock<Shard>>; SHARDS],
    hasher: RandomState,
}

impl Shards {
    /// Empty shards. Their hasher has a random seed, so that a caller cannot choose keys that all fall into one place.
    pub(crate) fn new() -> Self {
        let hasher = RandomState::default();
        let shard = |at| Shard::new((SHARDS + at) as u64, SHARDS as u64, hasher.clone());
        Self { shards: array::from_fn(|at| Padded(RwLock::new(shard(at)))), hasher }
    }

    /// The one hash of a key: it chooses the shard, and the place in its table.
    pub(crate) fn hash(&self, key: &str) -> u64 {
        hash_of(&self.hasher, key.as_bytes())
    }

    /// The shard of a hash, by bits that its table does not look at: that takes the lowest and the seven highest.
    pub(crate) fn position(hash: u64) -> usize {
        let [.., bits, _] = hash.to_le_bytes();
        usize::from(bits & SHARD_MASK)
    }

    pub(crate) fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard> {
        self.shards[Self::position(hash)].0.read()
    }

    pub(crate) fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard> {
        self.shards[Self::position(hash)].0.write()
    }

    /// The same, unless another call holds the lock now.
    pub(crate) fn try_write(&self, hash: u64) -> Option<RwLockWriteGuard<'_, Shard>> {
        self.shards[Self::position(hash)].0.try_write()
    }

    /// All of them in the order in which several are locked: by position.
    pub(crate) fn all(&self) -> impl Iterator<Item = &RwLock<Shard>> {
        self.shards.iter().map(|shard| &shard.0)
    }

    /// The one whose turn it is.
    pub(crate) fn in_turn(&self, turn: u64) -> &RwLock<Shard> {
        let [lowest, ..] = turn.to_le_bytes();
        &self.shards[usize::from(lowest & SHARD_MASK)].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_over_all_shards() {
        let shards = Shards::new();
        let mut keys = [0_usize; SHARDS];
        for number in 0..64_000 {
            keys[Shards::position(shards.hash(&format!("key/{number}")))] += 1;
        }
        assert!(keys.iter().all(|keys| (800..1200).contains(keys)), "{keys:?}");
        assert_eq!(usize::from(SHARD_MASK) + 1, SHARDS);
    }
}
