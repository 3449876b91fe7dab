//! One load of a key at a time: who comes while it is under way waits, and takes its result (GET-3).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::lock::{Mutex as Turns, OwnedMutexGuard};

use crate::value::Value;

/// The loads under way, by whole key.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// Only of keys that a call loads or waits for.
    under_way: Mutex<HashMap<String, Arc<Flight>>>,
    landed: AtomicU64,
}

/// Held by the call that loads; holds what it loaded.
type Flight = Turns<Option<Value>>;

/// What became of the wait.
pub(crate) enum Joined<'a> {
    /// Another call has loaded it meanwhile.
    Landed(Value),
    /// It is this call's turn to load.
    Turn(Turn<'a>),
}

/// The right to load a key. Dropped without [`land`](Self::land) it passes to the next that waits.
pub(crate) struct Turn<'a> {
    // Dropped in this order: the flight goes with the last who has a share in it.
    result: OwnedMutexGuard<Option<Value>>,
    share: Share<'a>,
}

/// A share in a flight: under way or waited for.
struct Share<'a> {
    flights: &'a Flights,
    key: &'a str,
    flight: Arc<Flight>,
}

impl Flights {
    /// How many loads have landed. A call that finds another number after it has looked for the key looks again.
    pub(crate) fn landed(&self) -> u64 {
        self.landed.load(Ordering::Acquire)
    }

    /// Waits for the load of `key` that is under way, if there is one. Dropped while it waits, it holds up no other.
    pub(crate) async fn join<'a>(&'a self, key: &'a str) -> Joined<'a> {
        let share = self.share(key);
        let result = Arc::clone(&share.flight).lock_owned().await;
        match &*result {
            Some(value) => Joined::Landed(value.clone()),
            None => Joined::Turn(Turn { result, share }),
        }
    }

    fn share<'a>(&'a self, key: &'a str) -> Share<'a> {
        let mut under_way = self.under_way();
        let flight = match under_way.get(key) {
            Some(flight) => Arc::clone(flight),
            None => Arc::clone(under_way.entry(key.to_owned()).or_default()),
        };
        Share { flights: self, key, flight }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Gives the result to all that wait. Who comes later looks for the key itself.
    pub(crate) fn land(mut self, value: Value) {
        *self.result = Some(value);
        // Before the flight ends: who begins a new one sees that there was this one.
        self.share.flights.landed.fetch_add(1, Ordering::AcqRel);
        self.share.end();
    }
}

impl Share<'_> {
    /// Ends the flight for those that come later.
    fn end(&self) {
        let mut under_way = self.flights.under_way();
        if under_way.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            under_way.remove(self.key);
        }
    }

    /// Whether nobody else has a share: only the map does.
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.flight) == 2
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way();
        if under_way.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) && self.is_last() {
            under_way.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    fn turn<'a>(joined: Option<Joined<'a>>) -> Turn<'a> {
        match joined {
            Some(Joined::Turn(turn)) => turn,
            Some(Joined::Landed(_)) => panic!("nothing was loaded"),
            None => panic!("it waits"),
        }
    }

    #[test]
    fn get_3_those_that_wait_take_the_result_and_those_that_come_later_do_not() {
        let flights = Flights::default();
        let first = turn(flights.join("k").now_or_never());
        let mut waiters = [Box::pin(flights.join("k")), Box::pin(flights.join("k"))];
        assert!(waiters.iter_mut().all(|waiter| waiter.now_or_never().is_none()));
        drop(turn(flights.join("other").now_or_never()));
        first.land(Value::from("loaded"));
        assert_eq!(flights.landed(), 1);
        drop(turn(flights.join("k").now_or_never()));
        for waiter in waiters {
            let Some(Joined::Landed(value)) = waiter.now_or_never() else { panic!("it was loaded") };
            assert_eq!(value, Value::from("loaded"));
        }
        assert!(flights.under_way().is_empty(), "only keys under way are held");
    }

    #[test]
    fn get_3_a_load_that_is_dropped_makes_way_and_so_does_a_waiter() {
        let flights = Flights::default();
        let first = turn(flights.join("k").now_or_never());
        let mut dropped = Box::pin(flights.join("k"));
        let mut last = pin!(flights.join("k"));
        assert!(dropped.as_mut().now_or_never().is_none() && last.as_mut().now_or_never().is_none());
        drop(first);
        drop(dropped); // it was its turn, and it never looked
        let turn = turn(last.as_mut().now_or_never());
        drop(turn);
        assert_eq!((flights.landed(), flights.under_way().len()), (0, 0));
    }
}
