//! A bound on the bytes of all replies that a store has read and not yet handed to its callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes for the values in the replies to all calls under way.
#[derive(Clone, Debug)]
pub(crate) struct ReplyBudget {
    bytes_max: usize,
    held: Arc<AtomicUsize>,
}

/// The bytes of one value. They are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    held: Arc<AtomicUsize>,
}

impl ReplyBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Arc::default() }
    }

    /// Room for so many bytes; `None` when there is too little now. To wait for it would be to wait for oneself: what
    /// would make room comes over the same connection.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        let longer = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.bytes_max);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, longer).ok()?;
        Some(Held { bytes, held: Arc::clone(&self.held) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_makes_room() {
        let budget = ReplyBudget::new(10);
        let (first, second) = (budget.hold(6).unwrap(), budget.hold(4).unwrap());
        assert!(budget.hold(1).is_none() && budget.hold(usize::MAX).is_none());
        drop(first);
        assert!(budget.hold(7).is_none());
        drop((budget.hold(6).unwrap(), second));
        budget.hold(10).unwrap();
    }
}
