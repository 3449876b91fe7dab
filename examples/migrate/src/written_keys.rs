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

/// Whether a key was written before.
#[derive(Debug, PartialEq)]
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

    pub(crate) fn add(&mut self, key: &str) -> Seen {
        let hash = self.seed.hash_one(key);
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
        let seen = ["a", "a", "b", "c", "c", "b"].map(|key| keys.add(key));
        assert_eq!(seen, [Seen::New, Seen::Before, Seen::New, Seen::NotKept, Seen::NotKept, Seen::Before]);
        assert_eq!(keys.hashes.len(), 2);
    }
}
