//! What reads see for a while after a change: a bounded number of keys, each with what was there before.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kv_api::{Entry, EntryExpiry, Timestamp};

/// Old entries, until they have been read a number of times.
#[derive(Debug)]
pub(super) struct Stale {
    reads: u32,
    keys_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    old: HashMap<String, Old>,
    /// The keys in the order of their writes.
    order: BTreeMap<u64, String>,
    writes: u64,
}

#[derive(Debug)]
struct Old {
    entry: Option<Entry>,
    reads_left: u32,
    write: u64,
}

impl Stale {
    pub(super) fn new(reads: u32, keys_max: usize) -> Self {
        Self { reads, keys_max, kept: Mutex::default() }
    }

    /// After a change: for some reads the key holds what it held before.
    pub(super) fn changed(&self, key: &str, before: Option<Entry>) {
        let mut kept = self.lock();
        kept.writes += 1;
        let write = kept.writes;
        let old = Old { entry: before, reads_left: self.reads, write };
        if let Some(earlier) = kept.old.insert(key.to_owned(), old) {
            kept.order.remove(&earlier.write);
        }
        kept.order.insert(write, key.to_owned());
        if kept.order.len() > self.keys_max
            && let Some((_, first)) = kept.order.pop_first()
        {
            kept.old.remove(&first);
        }
    }

    /// What a read sees instead of what is there, if it is not to see that yet. An entry that has ended is not seen.
    pub(super) fn read(&self, key: &str, now: Timestamp) -> Option<Option<Entry>> {
        let mut kept = self.lock();
        let old = kept.old.get_mut(key)?;
        old.reads_left = old.reads_left.saturating_sub(1);
        let has_ended = |entry: &Entry| matches!(entry.expiry(), EntryExpiry::At(at) if at <= now);
        let seen = old.entry.clone().filter(|entry| !has_ended(entry));
        if old.reads_left == 0 {
            let write = old.write;
            kept.old.remove(key);
            kept.order.remove(&write);
        }
        Some(seen)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::Value;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn entry(value: &str) -> Option<Entry> {
        Some(Entry::new(Value::from(value)))
    }

    #[test]
    fn so_many_reads_see_what_was_there_before_the_last_change() {
        let stale = Stale::new(2, 10);
        assert_eq!(stale.read("k", NOW), None);
        stale.changed("k", None);
        assert_eq!(stale.read("k", NOW), Some(None));
        stale.changed("k", entry("one"));
        assert_eq!(stale.read("other", NOW), None);
        assert_eq!([stale.read("k", NOW), stale.read("k", NOW)], [Some(entry("one")), Some(entry("one"))]);
        assert_eq!(stale.read("k", NOW), None);
    }

    #[test]
    fn what_has_ended_is_not_seen() {
        let stale = Stale::new(2, 10);
        let ends = NOW.checked_add(std::time::Duration::from_secs(1)).unwrap();
        stale.changed("k", Some(Entry::with_details("v".into(), None, EntryExpiry::At(ends), None)));
        assert!(stale.read("k", NOW).unwrap().is_some());
        assert_eq!(stale.read("k", ends), Some(None));
    }

    #[test]
    fn no_more_keys_are_remembered_than_said() {
        let stale = Stale::new(1, 3);
        for key in ["a", "b", "a", "c", "d"] {
            stale.changed(key, entry(key));
        }
        assert_eq!(stale.read("b", NOW), None, "it was written first");
        for key in ["a", "c", "d"] {
            assert_eq!(stale.read(key, NOW), Some(entry(key)));
        }
        let kept = stale.lock();
        assert_eq!((kept.order.len(), kept.old.len()), (0, 0));
    }
}
