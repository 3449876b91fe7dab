//! Closing: calls in flight are counted, so that `close` can wait for them and later ones are refused (LIFE-2).

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The calls in flight, and above them the bit that says "closed": one word, so that no call slips in between the
    /// check and the count.
    state: AtomicUsize,
    closing: Mutex<Closing>,
}

/// Who waits to close. The bit in `state` changes only under this lock.
#[derive(Debug, Default)]
struct Closing {
    /// One for each `close` that waits; `None` until it was polled.
    waiting: Vec<(u64, Option<Waker>)>,
    next_id: u64,
    /// No call is in flight any more, and none will be.
    finished: bool,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

/// A call in flight; it ends when this is dropped, finished or not.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Gate);

/// A `close` that waits for the calls in flight.
struct Waiting<'a> {
    gate: &'a Gate,
    id: u64,
}

impl Gate {
    pub(crate) fn enter(&self) -> Result<InFlight<'_>> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let call = InFlight(self);
        if before & CLOSED == 0 { Ok(call) } else { Err(closed()) }
    }

    /// For reads that are answered at once: not counted, since the readers of all cores would pass the counter among
    /// them. One may overlap the end of `close`, as `Backend::read_now` says.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.state.load(Ordering::Acquire) & CLOSED == 0 { Ok(()) } else { Err(closed()) }
    }

    /// Refuses calls from now on, and waits until none is in flight. Dropped before that, it was never there.
    pub(crate) async fn close(&self) {
        let waiting = self.begin_closing();
        poll_fn(|cx| {
            let mut closing = self.closing();
            // The last call sees the waker, or this sees that it has ended: both hold the lock.
            if self.state.load(Ordering::Acquire) == CLOSED {
                closing.finished = true;
                return Poll::Ready(());
            }
            if let Some((_, waker)) = closing.waiting.iter_mut().find(|(id, _)| *id == waiting.id) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn begin_closing(&self) -> Waiting<'_> {
        let mut closing = self.closing();
        let id = closing.next_id;
        closing.next_id += 1;
        closing.waiting.push((id, None));
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        Waiting { gate: self, id }
    }

    fn closing(&self) -> MutexGuard<'_, Closing> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut closing = self.gate.closing();
        closing.waiting.retain(|(id, _)| *id != self.id);
        if closing.waiting.is_empty() && !closing.finished {
            self.gate.state.fetch_and(!CLOSED, Ordering::AcqRel);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            let mut closing = self.0.closing();
            let wakers: Vec<Waker> = closing.waiting.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
            drop(closing);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store was closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn life_2_close_waits_for_calls_in_flight_and_refuses_later_ones() {
        let gate = Gate::default();
        let call = gate.enter().unwrap();
        let mut close = Box::pin(gate.close());
        assert!((&mut close).now_or_never().is_none());
        assert_eq!(gate.enter().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(gate.check_open().unwrap_err().kind(), ErrorKind::Closed);
        assert!((&mut close).now_or_never().is_none(), "a refused call must not end the wait");
        assert_eq!(gate.closing().waiting.len(), 1, "one waker, however often it is polled");
        drop(call);
        close.await;
        gate.close().await;
    }

    #[tokio::test]
    async fn life_2_the_last_dropped_close_opens_the_gate_again() {
        let gate = Gate::default();
        let call = gate.enter().unwrap();
        let (mut one, mut other) = (Box::pin(gate.close()), Box::pin(gate.close()));
        assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        drop(one);
        assert!(gate.check_open().is_err(), "another close still waits");
        drop(other);
        assert!(gate.check_open().is_ok() && gate.enter().is_ok());
        assert!(gate.closing().waiting.is_empty(), "a dropped close leaves no waker");
        drop(call);
        gate.close().await;
        assert!(gate.enter().is_err());
        drop(gate.close());
        assert!((gate.close().now_or_never(), gate.check_open().is_err()) == (Some(()), true));
    }
}
