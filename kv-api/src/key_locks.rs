//! Turns among the calls of one store on one key, so that a store does not race with itself (SET-6).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// One lock for each key that a call is at work on: for an adapter or a layer that looks and then writes (SET-6). A key
/// is known by a keyed hash of 64 bits: two keys with one hash would wait for each other, and nothing worse.
///
/// The locks are fair: who came first is first. A waiter or holder that is dropped makes way at once. They need no
/// runtime.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use futures_util::FutureExt;
/// let locks = kv_api::KeyLocks::default();
/// let turn = locks.exclusive(["k"]).await;
/// assert!(locks.shared(["a", "k"]).now_or_never().is_none()); // it would wait
/// drop(turn);
/// assert!(locks.shared(["a", "k"]).now_or_never().is_some());
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct KeyLocks {
    hasher: RandomState,
    /// Only of keys that a call holds or waits for.
    locks: Mutex<HashMap<u64, Arc<RwLock<()>>>>,
}

/// A key, or some, that no other call changes meanwhile ([`KeyLocks`]). Ends when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct KeyTurn<'a> {
    _held: Vec<Held<'a>>,
}

#[derive(Debug)]
struct Held<'a> {
    // Dropped in this order: the entry goes with the last who has it.
    _guard: Guard,
    _entry: Entry<'a>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "held, not read")]
enum Guard {
    Exclusive(OwnedRwLockWriteGuard<()>),
    Shared(OwnedRwLockReadGuard<()>),
}

/// A share in the lock of a key, held or waited for.
#[derive(Debug)]
struct Entry<'a> {
    locks: &'a KeyLocks,
    hash: u64,
    lock: Arc<RwLock<()>>,
}

impl KeyLocks {
    /// Keys for one call alone. As all do, it takes several in one order, so that no two calls wait for each other.
    pub async fn exclusive<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> KeyTurn<'_> {
        let hashes = self.in_order(keys);
        let mut held = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let entry = self.entry(hash);
            let guard = Guard::Exclusive(Arc::clone(&entry.lock).write_owned().await);
            held.push(Held { _guard: guard, _entry: entry });
        }
        KeyTurn { _held: held }
    }

    /// Keys together with other calls that share them.
    pub async fn shared<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> KeyTurn<'_> {
        let hashes = self.in_order(keys);
        let mut held = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let entry = self.entry(hash);
            let guard = match Arc::clone(&entry.lock).try_read_owned() {
                Ok(guard) => guard,
                Err(_) => Arc::clone(&entry.lock).read_owned().await,
            };
            held.push(Held { _guard: Guard::Shared(guard), _entry: entry });
        }
        KeyTurn { _held: held }
    }

    fn in_order<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Vec<u64> {
        let mut hashes: Vec<u64> = keys.into_iter().map(|key| self.hasher.hash_one(key)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    fn entry(&self, hash: u64) -> Entry<'_> {
        let lock = Arc::clone(self.lock().entry(hash).or_default());
        Entry { locks: self, hash, lock }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<RwLock<()>>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        // The map's and this one. A call that comes later makes a new one, under the same lock.
        if Arc::strong_count(&self.lock) == 2 {
            locks.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::pin::pin;

    #[test]
    fn set_6_an_exclusive_turn_waits_for_every_other_of_its_key_and_for_no_other_key() {
        let locks = KeyLocks::default();
        let shared = locks.shared(["a", "b"]).now_or_never().unwrap();
        let also = locks.shared(["a", "c"]).now_or_never().unwrap();
        let mut alone = pin!(locks.exclusive(["a"]));
        assert!(alone.as_mut().now_or_never().is_none());
        drop(locks.exclusive(["d"]).now_or_never().unwrap());
        drop(shared);
        assert!(alone.as_mut().now_or_never().is_none());
        drop(also);
        let turn = alone.now_or_never().unwrap();
        assert!(locks.shared(["z", "a"]).now_or_never().is_none() && locks.exclusive(["a"]).now_or_never().is_none());
        drop(turn);
        assert_eq!(locks.len(), 0, "only keys under way are held");
    }

    #[test]
    fn set_6_turns_come_in_the_order_in_which_they_were_asked_for() {
        let locks = KeyLocks::default();
        let first = locks.exclusive(["k"]).now_or_never().unwrap();
        let (mut second, mut third) = (pin!(locks.shared(["k"])), pin!(locks.exclusive(["k"])));
        let mut fourth = pin!(locks.shared(["k"]));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(first);
        assert!(fourth.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        let second = second.now_or_never().unwrap();
        assert!(fourth.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(third.now_or_never().unwrap());
        drop(fourth.now_or_never().unwrap());
        assert_eq!(locks.len(), 0);
    }

    #[test]
    fn err_6_a_waiter_or_holder_that_is_dropped_blocks_nobody() {
        let locks = KeyLocks::default();
        let holder = locks.exclusive(["k"]).now_or_never().unwrap();
        let mut waiter = Box::pin(locks.exclusive(["k"]));
        let mut last = Box::pin(locks.shared(["a", "k", "z"]));
        assert!(waiter.as_mut().now_or_never().is_none() && last.as_mut().now_or_never().is_none());
        drop(holder);
        // It was its turn, and it never looked.
        drop(waiter);
        drop(last.now_or_never().unwrap());
        // Half-way through several keys.
        let holder = locks.exclusive(["k"]).now_or_never().unwrap();
        let mut half = Box::pin(locks.shared(["a", "k", "z"]));
        assert!(half.as_mut().now_or_never().is_none());
        drop(half);
        for key in ["a", "z"] {
            drop(locks.exclusive([key]).now_or_never().unwrap());
        }
        drop(holder);
        assert_eq!(locks.len(), 0);
    }

    #[tokio::test]
    async fn err_6_calls_that_share_keys_in_every_order_never_wait_for_each_other() {
        let locks = Arc::new(KeyLocks::default());
        let mut calls = tokio::task::JoinSet::new();
        for caller in 0..32_usize {
            let locks = Arc::clone(&locks);
            calls.spawn(async move {
                let keys: Vec<String> = (0..8).map(|key| format!("k{}", (caller * 3 + key * 5) % 8)).collect();
                for round in 0..200 {
                    let all = keys.iter().map(String::as_str);
                    match (caller + round) % 4 {
                        0 => drop(locks.exclusive([&*keys[round % 8]]).await),
                        1 => drop(locks.exclusive(all.take(3)).await),
                        _ => drop(locks.shared(all).await),
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap();
        }
        assert_eq!(locks.len(), 0);
    }

    /// What a call does with keys of `0..6`.
    #[derive(Clone, Debug)]
    enum Step {
        Ask {
            keys: Vec<u8>,
            alone: bool,
        },
        /// Polls a call that waits.
        Poll(Index),
        /// Ends a call, waiting or holding.
        Drop(Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        let keys = prop::collection::vec(0..6_u8, 1..5);
        prop_oneof![
            3 => (keys, any::<bool>()).prop_map(|(keys, alone)| Step::Ask { keys, alone }),
            3 => any::<Index>().prop_map(Step::Poll),
            2 => any::<Index>().prop_map(Step::Drop),
        ]
    }

    struct Caller<'a> {
        keys: Vec<u8>,
        alone: bool,
        waiting: Option<BoxFuture<'a, KeyTurn<'a>>>,
        turn: Option<KeyTurn<'a>>,
    }

    impl Caller<'_> {
        fn poll(&mut self) {
            if let Some(turn) = self.waiting.as_mut().and_then(|waiting| waiting.now_or_never()) {
                (self.waiting, self.turn) = (None, Some(turn));
            }
        }

        fn excludes(&self, other: &Caller<'_>) -> bool {
            (self.alone || other.alone) && self.keys.iter().any(|key| other.keys.contains(key))
        }
    }

    fn caller(locks: &KeyLocks, keys: Vec<u8>, alone: bool) -> Caller<'_> {
        let names: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
        let waiting = async move {
            let names = names.iter().map(String::as_str);
            if alone { locks.exclusive(names).await } else { locks.shared(names).await }
        };
        let mut caller = Caller { keys, alone, waiting: Some(waiting.boxed()), turn: None };
        caller.poll();
        caller
    }

    proptest! {
        #[test]
        fn set_6_whatever_is_asked_for_and_dropped_every_caller_has_its_turn(
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let locks = KeyLocks::default();
            let mut callers: Vec<Caller<'_>> = Vec::new();
            for step in steps {
                match step {
                    Step::Ask { keys, alone } => callers.push(caller(&locks, keys, alone)),
                    Step::Poll(at) if !callers.is_empty() => at.get_mut(&mut callers).poll(),
                    Step::Drop(at) if !callers.is_empty() => drop(callers.remove(at.index(callers.len()))),
                    Step::Poll(_) | Step::Drop(_) => {}
                }
                let holders: Vec<_> = callers.iter().filter(|caller| caller.turn.is_some()).collect();
                for (at, holder) in holders.iter().enumerate() {
                    prop_assert!(!holders[..at].iter().any(|other| other.excludes(holder)), "two have one key");
                }
            }
            // No deadlock: as long as holders end, the others go on.
            while !callers.is_empty() {
                callers.iter_mut().for_each(Caller::poll);
                let before = callers.len();
                callers.retain(|caller| caller.turn.is_none());
                prop_assert!(callers.len() < before, "all that are left wait for each other");
            }
            prop_assert_eq!(locks.len(), 0);
        }

        #[test]
        fn set_6_a_flood_of_writes_keeps_no_condition_waiting(
            holders in prop::collection::vec(prop::collection::vec(0..6_u8, 1..5), 1..12),
            wanted in prop::collection::vec(0..6_u8, 1..5),
            flood in prop::collection::vec(0..6_u8, 1..5),
        ) {
            let locks = KeyLocks::default();
            let holders: Vec<_> = holders.into_iter().map(|keys| caller(&locks, keys, false)).collect();
            let mut alone = caller(&locks, wanted, true);
            let mut later = Vec::new();
            for holder in holders {
                // More come than go, and those that have a turn keep it.
                later.extend((0..3).map(|_| caller(&locks, flood.clone(), false)));
                drop(holder);
                alone.poll();
            }
            let mut rounds = 0..50;
            while alone.turn.is_none() {
                prop_assert!(rounds.next().is_some(), "the flood comes first");
                // It has one key after the other, and on each waits for those alone that came before it there.
                let before = later.len();
                later.retain(|caller| caller.turn.is_none());
                prop_assert!(later.len() < before, "those that hold it up have no turn themselves");
                later.iter_mut().for_each(Caller::poll);
                later.extend((0..3).map(|_| caller(&locks, flood.clone(), false)));
                alone.poll();
            }
        }
    }
}
