//! Closing: calls in flight are counted, so that `close` can wait for them and later ones are refused (LIFE-2).

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The calls in flight, and above them the bit that says "closed": one word, so that no call slips in between the
    /// check and the count.
    state: AtomicUsize,
    waiting_to_close: Mutex<Vec<Waker>>,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

/// A call in flight; it ends when this is dropped, finished or not.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Gate);

impl Gate {
    pub(crate) fn enter(&self) -> Result<InFlight<'_>> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let call = InFlight(self);
        if before & CLOSED == 0 { Ok(call) } else { Err(closed()) }
    }

    /// For reads that are answered at once: not counted, since the readers of all cores would pass the counter among them.
    /// One may overlap the end of `close`, as `Backend::read_now` says.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.state.load(Ordering::Acquire) & CLOSED == 0 { Ok(()) } else { Err(closed()) }
    }

    /// Refuses calls from now on, and waits until none is in flight.
    pub(crate) async fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        poll_fn(|cx| {
            if self.state.load(Ordering::Acquire) == CLOSED {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting_to_close.lock().unwrap_or_else(PoisonError::into_inner);
            // Once each, however often it is polled meanwhile.
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            drop(waiting);
            // The last call may have ended before the waker was there.
            if self.state.load(Ordering::Acquire) == CLOSED { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            let waiting = std::mem::take(&mut *self.0.waiting_to_close.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
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
        assert_eq!(gate.waiting_to_close.lock().unwrap().len(), 1, "one waker, however often it is polled");
        drop(call);
        close.await;
        gate.close().await;
    }
}
