//! The entries of a shard that expire, in the order in which they do.

use std::collections::BTreeSet;

/// Exactly the entries that carry an expiry, each once: what is overwritten, deleted or given another expiry leaves at
/// once, so that nothing stale piles up however a caller churns.
#[derive(Default)]
pub(crate) struct ExpiryQueue(BTreeSet<Expiring>);

/// Ordered by time first. The number identifies the entry, the hash finds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expiring {
    /// Milliseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) number: u64,
    pub(crate) hash: u64,
}

impl ExpiryQueue {
    pub(crate) fn insert(&mut self, entry: Expiring) {
        self.0.insert(entry);
    }

    pub(crate) fn remove(&mut self, entry: Expiring) {
        self.0.remove(&entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the entry that has been due longest, if any is at `now`.
    pub(crate) fn pop_due(&mut self, now: i64) -> Option<Expiring> {
        if self.0.first()?.at <= now { self.0.pop_first() } else { None }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, entry: Expiring) -> bool {
        self.0.contains(&entry)
    }
}
