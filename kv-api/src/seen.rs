//! Which keys came before, for lists without an order (LIST-2).

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::page::ListItem;

/// Keys that came before, 16 bytes each. They are hashed with a random key, so that no caller can choose keys that
/// collide.
pub(crate) struct Seen {
    hashes: HashSet<u128>,
    key: (u64, u64),
}

impl Seen {
    pub(crate) fn new() -> Self {
        let random = || RandomState::new().hash_one(0);
        Self { hashes: HashSet::new(), key: (random(), random()) }
    }

    /// Only the items whose key did not come before, here or in an earlier call.
    pub(crate) fn new_among(&mut self, mut items: Vec<ListItem>) -> Vec<ListItem> {
        items.retain(|item| self.is_new(&item.key));
        items
    }

    fn is_new(&mut self, key: &str) -> bool {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(key.as_bytes());
        self.hashes.insert(hasher.finish128().as_u128())
    }
}
