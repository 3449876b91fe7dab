//! Changes that were sent by callers who have gone away.
//!
//! Whether such a change is carried out nobody knows, but when: a call that begins later must not overtake it, or its
//! acknowledged write could be replaced by one that was given up before. So it waits for what was left behind until
//! then, a little: a dropped call is to block no other (ERR-6).

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::Timer;
use tokio::sync::Notify;

/// The longest wait. What takes longer waits for a lock itself, or its connection is broken.
const WAIT_MAX: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    line: Mutex<Line>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Line {
    next_number: u64,
    under_way: BTreeSet<u64>,
}

impl Leftovers {
    /// One more, until the guard is dropped.
    pub(crate) fn add(self: &Arc<Self>) -> Leftover {
        let mut line = self.line();
        let number = line.next_number;
        line.next_number += 1;
        line.under_way.insert(number);
        Leftover { leftovers: Arc::clone(self), number }
    }

    /// Waits for those that there are now.
    pub(crate) async fn settle(&self, timer: &dyn Timer) {
        let later = {
            let line = self.line();
            if line.under_way.is_empty() {
                return;
            }
            line.next_number
        };
        let have_ended = async {
            loop {
                // Made before the look, so that no end is missed.
                let mut ended = pin!(self.ended.notified());
                ended.as_mut().enable();
                if self.line().under_way.first().is_none_or(|first| *first >= later) {
                    return;
                }
                ended.await;
            }
        };
        if let Either::Right(_) = select(pin!(have_ended), timer.sleep(WAIT_MAX)).await {
            // No other call waits for them again.
            let mut line = self.line();
            line.under_way = line.under_way.split_off(&later);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Leftover {
    leftovers: Arc<Leftovers>,
    number: u64,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        self.leftovers.line().under_way.remove(&self.number);
        self.leftovers.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use kv_api::{ManualClock, Timestamp};

    #[test]
    fn err_6_a_call_waits_for_what_was_left_before_it_and_not_for_ever() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let leftovers = Arc::new(Leftovers::default());
        assert!(leftovers.settle(&clock).now_or_never().is_some());
        let (first, second) = (leftovers.add(), leftovers.add());
        let mut call = Box::pin(leftovers.settle(&clock));
        assert!((&mut call).now_or_never().is_none());
        let later = leftovers.add();
        drop(first);
        assert!((&mut call).now_or_never().is_none());
        drop(second);
        assert!(call.now_or_never().is_some(), "what came later is not waited for");
        let mut call = Box::pin(leftovers.settle(&clock));
        assert!((&mut call).now_or_never().is_none());
        clock.advance(WAIT_MAX);
        assert!(call.now_or_never().is_some());
        assert!(leftovers.settle(&clock).now_or_never().is_some(), "one call has waited for it long enough");
        drop(later);
    }
}
