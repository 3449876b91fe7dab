//! The rest that a key has between two writes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{KeyLocks, KeyTurn, Timer};
use parking_lot::Mutex;

/// How many keys are remembered at most.
const KEYS_MAX: usize = 1 << 20;

/// Below so many keys nobody looks which of them have rested.
const KEYS_KEPT: usize = 1 << 10;

/// Keeps writes to one key apart. A key is known by a keyed hash: two keys with one hash would wait for each other, and
/// nothing worse.
#[derive(Debug)]
pub(super) struct KeyRests {
    interval: Duration,
    locks: KeyLocks,
    hasher: RandomState,
    rests: Mutex<Rests>,
    timer: Arc<dyn Timer>,
}

#[derive(Debug)]
struct Rests {
    /// The end of the rest of each key that was written in the last interval, and of some that have rested.
    until: HashMap<u64, Duration>,
    /// With how many keys those that have rested are dropped.
    full_at: usize,
}

impl KeyRests {
    pub(super) fn new(interval: Duration, timer: &Arc<dyn Timer>) -> Self {
        let rests = Rests { until: HashMap::new(), full_at: KEYS_KEPT };
        Self {
            interval,
            locks: KeyLocks::default(),
            hasher: RandomState::new(),
            rests: Mutex::new(rests),
            timer: Arc::clone(timer),
        }
    }

    /// Waits until nobody else is about to write the keys.
    ///
    /// # Errors
    /// How long it will take at least, when the time is over.
    pub(super) async fn turn(&self, keys: &[&str], left: Duration) -> Result<KeyTurn<'_>, Duration> {
        match select(pin!(self.locks.exclusive(keys.iter().copied())), self.timer.sleep(left)).await {
            Either::Left((turn, _)) => Ok(turn),
            Either::Right(_) => Err(self.interval),
        }
    }

    /// How long each of the keys must rest from now on.
    pub(super) fn left_of(&self, keys: &[&str]) -> Vec<Duration> {
        let now = self.timer.monotonic_now();
        let mut rests = self.rests.lock();
        let has_room = rests.make_room(keys.len(), now);
        let left_of = |key: &&str| match rests.until.get(&self.hasher.hash_one(key)) {
            Some(until) => until.saturating_sub(now),
            None if has_room => Duration::ZERO,
            None => self.interval,
        };
        keys.iter().map(left_of).collect()
    }

    /// The keys are written now. Only with their [`turn`](Self::turn), after their rest.
    pub(super) fn written<'k>(&self, keys: impl IntoIterator<Item = &'k str>) {
        let until = self.timer.monotonic_now().saturating_add(self.interval);
        let mut rests = self.rests.lock();
        rests.until.extend(keys.into_iter().map(|key| (self.hasher.hash_one(key), until)));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rests.lock().until.len()
    }
}

impl Rests {
    /// Whether there is room for so many more keys.
    fn make_room(&mut self, keys: usize, now: Duration) -> bool {
        if self.until.len().saturating_add(keys) > self.full_at {
            self.until.retain(|_, until| *until > now);
            // Twice what is left, so that looking costs each write the same.
            self.full_at = self.until.len().saturating_add(keys).saturating_mul(2).clamp(KEYS_KEPT, KEYS_MAX);
        }
        self.until.len().saturating_add(keys) <= KEYS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use kv_api::{ManualClock, Timestamp};

    const SECOND: Duration = Duration::from_secs(1);

    fn rests() -> (KeyRests, ManualClock) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let timer: Arc<dyn Timer> = Arc::new(clock.clone());
        (KeyRests::new(SECOND, &timer), clock)
    }

    #[test]
    fn keys_that_have_rested_are_dropped() {
        let (rests, clock) = rests();
        for n in 0..50 * KEYS_KEPT {
            let key = n.to_string();
            assert_eq!(rests.left_of(&[&key]), [Duration::ZERO]);
            rests.written([&*key]);
            // Ten keys in a second.
            clock.advance(SECOND / 10);
            assert!(rests.len() <= KEYS_KEPT, "{} keys after {n}", rests.len());
        }
    }

    #[test]
    fn no_more_keys_are_remembered_than_the_greatest_number() {
        let (rests, clock) = rests();
        let keys: Vec<String> = (0..KEYS_MAX).map(|n| n.to_string()).collect();
        rests.written(keys.iter().map(String::as_str));
        assert_eq!(rests.left_of(&["new", "0"]), [SECOND, SECOND], "an unknown key waits like a known one");
        clock.advance(SECOND);
        assert_eq!(rests.left_of(&["new", "0"]), [Duration::ZERO; 2]);
        assert_eq!(rests.len(), 0);
    }

    #[test]
    fn a_turn_that_is_dropped_or_comes_too_late_leaves_nothing() {
        let (rests, clock) = rests();
        let turn = rests.turn(&["k"], SECOND).now_or_never().unwrap().unwrap();
        let mut late = Box::pin(rests.turn(&["k"], SECOND));
        assert!((&mut late).now_or_never().is_none());
        clock.advance(SECOND);
        assert_eq!(late.now_or_never().unwrap().unwrap_err(), SECOND);
        drop(turn);
        assert!(rests.turn(&["k"], Duration::ZERO).now_or_never().unwrap().is_ok(), "also without time to wait");
        assert_eq!((clock.sleepers(), rests.len()), (0, 0));
    }
}
