//! What is under way on each key: writes, and loads of what is to be kept. A load that a write has met keeps nothing,
//! so that no older value comes back after a newer one was acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use kv_api::{Entry, Fields, Result};
use moka::sync::Cache;

use super::kept::Kept;

/// What a load finds.
type Loading = BoxFuture<'static, Result<Option<Entry>>>;

/// A load that all who want its answer carry on together: when one of them is dropped, the others go on, and when all
/// are, it ends.
pub(crate) type Load = Shared<Loading>;

/// What is kept, and the calls under way that change it.
pub(crate) struct Turns {
    kept: Cache<String, Arc<Kept>>,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    /// Only of keys with a call under way.
    keys: HashMap<String, Turn>,
    last_number: u64,
}

/// What is under way on one key.
#[derive(Default)]
struct Turn {
    writes: usize,
    /// Two writes have been under way at once: which was the last is not known.
    writes_overlap: bool,
    /// Goes up whenever a write begins.
    epoch: u64,
    loads: usize,
    /// The load that a read can join: no write was acknowledged since it began (SET-7).
    joinable: Option<Joinable>,
}

struct Joinable {
    fields: Fields,
    load: WeakShared<Loading>,
    number: u64,
}

impl Turns {
    pub(crate) fn new(kept: Cache<String, Arc<Kept>>) -> Self {
        Self { kept, under_way: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn kept(&self, key: &str) -> Option<Arc<Kept>> {
        self.kept.get(key)
    }

    pub(crate) fn forget_all(&self) {
        self.kept.invalidate_all();
        self.keep_bound();
    }

    /// Makes room. The cache would do so by itself, but only after dozens of values, however large they are.
    fn keep_bound(&self) {
        self.kept.run_pending_tasks();
    }

    /// Whether a load is under way that a read can join.
    pub(crate) fn is_loading(&self, key: &str) -> bool {
        self.lock().keys.get(key).is_some_and(|turn| turn.joinable.is_some())
    }

    /// The load of this key that is under way, if it asks for enough, or else a new one, which `load` makes.
    pub(crate) fn join(self: &Arc<Self>, key: &str, fields: Fields, load: impl FnOnce(Loads) -> Loading) -> Load {
        let mut under_way = self.lock();
        under_way.last_number += 1;
        let number = under_way.last_number;
        let turn = under_way.keys.entry(key.to_owned()).or_default();
        let enough = turn.joinable.as_ref().filter(|joinable| rank(joinable.fields) >= rank(fields));
        if let Some(load) = enough.and_then(|joinable| joinable.load.upgrade()) {
            return load;
        }
        let keys = vec![(key.to_owned(), turn.begin_load())];
        let load = load(Loads { turns: Arc::clone(self), keys, number }).shared();
        turn.joinable = load.downgrade().map(|load| Joinable { fields, load, number });
        load
    }

    /// Begins to load these keys, which no read joins.
    pub(crate) fn begin_loads<'k>(self: &Arc<Self>, keys: impl IntoIterator<Item = &'k str>) -> Loads {
        let mut under_way = self.lock();
        let begin = |key: &str| (key.to_owned(), under_way.keys.entry(key.to_owned()).or_default().begin_load());
        Loads { turns: Arc::clone(self), keys: keys.into_iter().map(begin).collect(), number: 0 }
    }

    /// Begins to write these keys, all different. What is kept of them is dropped, and a load that is under way keeps
    /// nothing.
    pub(crate) fn begin_writes<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Writes<'_> {
        let mut under_way = self.lock();
        let begin = |key: &str| {
            let turn = under_way.keys.entry(key.to_owned()).or_default();
            turn.writes += 1;
            turn.epoch += 1;
            turn.writes_overlap |= turn.writes > 1;
            self.kept.invalidate(key);
            key.to_owned()
        };
        Writes { turns: self, keys: keys.into_iter().map(begin).collect() }
    }

    /// How many keys have a call under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.lock().keys.len()
    }
}

impl Turn {
    /// Begins a load. `None` when a write is under way, which its answer can be older than.
    fn begin_load(&mut self) -> Option<u64> {
        self.loads += 1;
        (self.writes == 0).then_some(self.epoch)
    }

    const fn is_idle(&self) -> bool {
        self.writes == 0 && self.loads == 0
    }
}

/// Keys that are being loaded. Ends when it is dropped.
pub(crate) struct Loads {
    turns: Arc<Turns>,
    /// With the epoch in which each began.
    keys: Vec<(String, Option<u64>)>,
    number: u64,
}

impl Loads {
    /// Keeps what was found for the key at this place, unless a write has begun since the load has.
    pub(crate) fn keep(&self, at: usize, kept: Kept) {
        let Some((key, epoch)) = self.keys.get(at) else { return };
        // Under the lock, so that a write that begins meanwhile drops it again.
        let under_way = self.turns.lock();
        let is_current = under_way.keys.get(key).is_some_and(|turn| Some(turn.epoch) == *epoch);
        if is_current {
            self.turns.kept.insert(key.clone(), Arc::new(kept));
        }
        drop(under_way);
        if is_current {
            self.turns.keep_bound();
        }
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        let mut under_way = self.turns.lock();
        for (key, _) in &self.keys {
            let Some(turn) = under_way.keys.get_mut(key) else { continue };
            turn.loads -= 1;
            turn.joinable = turn.joinable.take().filter(|joinable| joinable.number != self.number);
            if turn.is_idle() {
                under_way.keys.remove(key);
            }
        }
    }
}

/// Keys that are being written. One that is dropped, as with the future of a call, leaves nothing kept.
pub(crate) struct Writes<'t> {
    turns: &'t Turns,
    keys: Vec<String>,
}

impl Writes<'_> {
    /// The writes have ended, and this is what they have left under each key, where that is known. It is kept unless
    /// another write was under way meanwhile.
    pub(crate) fn end(mut self, left: impl IntoIterator<Item = Option<Kept>>) {
        let mut left = left.into_iter();
        self.finish(|| left.next().flatten());
    }

    fn finish(&mut self, mut left: impl FnMut() -> Option<Kept>) {
        let keys = std::mem::take(&mut self.keys);
        let mut is_kept = false;
        let mut under_way = self.turns.lock();
        for key in keys {
            let left = left();
            let Some(turn) = under_way.keys.get_mut(&key) else { continue };
            turn.writes -= 1;
            // It may have been asked before the write that is acknowledged now.
            turn.joinable = None;
            if turn.writes == 0 {
                let overlap = std::mem::take(&mut turn.writes_overlap);
                if turn.is_idle() {
                    under_way.keys.remove(&key);
                }
                if let Some(left) = left.filter(|_| !overlap) {
                    self.turns.kept.insert(key, Arc::new(left));
                    is_kept = true;
                }
            }
        }
        drop(under_way);
        if is_kept {
            self.turns.keep_bound();
        }
    }
}

impl Drop for Writes<'_> {
    fn drop(&mut self) {
        self.finish(|| None);
    }
}

/// What a load asks for, so that one that asks for more answers one that asks for less.
const fn rank(fields: Fields) -> u8 {
    match fields {
        Fields::Existence => 0,
        Fields::Value => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cached::kept::{Answer, End, Found, Lifetimes};
    use kv_api::{Timestamp, Value};
    use std::future::pending;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);

    fn kept(text: &str) -> Kept {
        let second = Duration::from_secs(1);
        let lifetimes = Lifetimes { ttl: second, negative_ttl: second, stale: Duration::ZERO, jitter_percent: 0 };
        let found = Found::Entry { entry: Entry::new(Value::from(text)), is_complete: false };
        lifetimes.keep(found, End::Never, NOW).unwrap()
    }

    fn turns() -> Arc<Turns> {
        Arc::new(Turns::new(Cache::new(100)))
    }

    fn expect(turns: &Turns, expected: Option<&str>) {
        let found = turns.kept("k").and_then(|kept| kept.answer(Fields::Value, NOW));
        let expected = expected.map(|text| Answer::Fresh(Some(Entry::new(Value::from(text)))));
        assert_eq!(found, expected);
    }

    #[test]
    fn set_7_a_load_that_a_write_has_met_keeps_nothing() {
        let turns = turns();
        // Before it, through it, and within it.
        let before = turns.begin_loads(["k"]);
        let through = turns.begin_loads(["k"]);
        let write = turns.begin_writes(["k"]);
        let within = turns.begin_loads(["k"]);
        before.keep(0, kept("old"));
        expect(&turns, None);
        write.end([Some(kept("new"))]);
        for load in [through, within] {
            load.keep(0, kept("old"));
            expect(&turns, Some("new"));
        }
        let after = turns.begin_loads(["k"]);
        after.keep(0, kept("newer"));
        expect(&turns, Some("newer"));
        drop(before);
        drop(after);
        assert_eq!(turns.under_way(), 0);
    }

    #[test]
    fn of_writes_that_overlap_none_is_kept() {
        let turns = turns();
        let (first, second) = (turns.begin_writes(["k"]), turns.begin_writes(["k"]));
        second.end([Some(kept("second"))]);
        expect(&turns, None);
        first.end([Some(kept("first"))]);
        expect(&turns, None);
        turns.begin_writes(["k"]).end([Some(kept("third"))]);
        expect(&turns, Some("third"));
        drop(turns.begin_writes(["k"]));
        expect(&turns, None);
        assert_eq!(turns.under_way(), 0);
    }

    #[test]
    fn set_7_no_read_joins_a_load_that_is_older_than_a_write() {
        let turns = turns();
        let load = |turns: &Arc<Turns>| {
            turns.join("k", Fields::Value, |loads| {
                async move {
                    let _loads = loads;
                    pending().await
                }
                .boxed()
            })
        };
        let first = load(&turns);
        assert!(turns.is_loading("k") && load(&turns).ptr_eq(&first));
        let write = turns.begin_writes(["k"]);
        assert!(load(&turns).ptr_eq(&first), "nothing was acknowledged yet");
        write.end([None]);
        assert!(!turns.is_loading("k"));
        let second = load(&turns);
        assert!(!second.ptr_eq(&first));
        drop(first);
        assert!(turns.is_loading("k"), "the end of the first is not that of the second");
        drop(second);
        assert_eq!((turns.is_loading("k"), turns.under_way()), (false, 0));
    }
}
