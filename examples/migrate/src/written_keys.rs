//! The keys that a copy has written, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The keys that a copy has written, as hashes of 64 bits with a random seed: among two million of them two keys share
/// one with a chance of one to ten million. Only a count would be wrong then.
#[derive(Debug)]
pub(crate) struct WrittenKeys {
    keys_max: usize,
    seed: RandomState,
    hashes: HashSet<u64>,
}

/// Makes the hashes of keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    pub(crate) fn hash(&self, key: &str) -> u64 {
        self.0.hash_one(key)
    }
}

/// Whether a key was written before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seen {
    New,
    Before,
    /// There are too many to keep it in mind.
    NotKept,
}

impl WrittenKeys {
    pub(crate) fn new(keys_max: usize) -> Self {
        Self { keys_max, seed: RandomState::new(), hashes: HashSet::new() }
    }

    /// What makes the hashes that [`add`](Self::add) takes.
    pub(crate) fn hasher(&self) -> KeyHasher {
        KeyHasher(self.seed.clone())
    }

    pub(crate) fn add_key(&mut self, key: &str) -> Seen {
        self.add(self.seed.hash_one(key))
    }

    pub(crate) fn add(&mut self, hash: u64) -> Seen {
        if self.hashes.len() < self.keys_max {
            if self.hashes.insert(hash) { Seen::New } else { Seen::Before }
        } else if self.hashes.contains(&hash) {
            Seen::Before
        } else {
            Seen::NotKept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_bound_are_said_to_be_not_kept() {
        let mut keys = WrittenKeys::new(2);
        let hasher = keys.hasher();
        let seen = ["a", "a", "b", "c", "c"].map(|key| keys.add_key(key));
        let seen = [&seen[..], &[keys.add(hasher.hash("b"))]].concat();
        assert_eq!(seen, [Seen::New, Seen::Before, Seen::New, Seen::NotKept, Seen::NotKept, Seen::Before]);
        assert_eq!(keys.hashes.len(), 2);
    }
}
