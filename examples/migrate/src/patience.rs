//! Waiting while a store asks for it, or cannot be reached: visible, and not for ever.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{ErrorKind, Retry, Timer};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::progress::{Event, Side, Wait};

/// Takes the reports of how the work goes on, from several batches at once.
pub(crate) struct Observer<'o>(Mutex<&'o mut (dyn FnMut(Event<'_>) + Send)>);

impl<'o> Observer<'o> {
    pub(crate) fn new(observe: &'o mut (dyn FnMut(Event<'_>) + Send)) -> Self {
        Self(Mutex::new(observe))
    }

    pub(crate) fn report(&self, event: Event<'_>) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(event);
    }
}

/// How long one piece of work waits for stores: for each of them in all since it first failed, and nothing was read
/// from it or written to it any more.
pub(crate) struct Patience<'a> {
    timer: &'a dyn Timer,
    max_wait: Duration,
    observer: &'a Observer<'a>,
    sides: Mutex<[State; 2]>,
    /// Closed when the work has ended: nothing waits any more.
    over: Semaphore,
}

/// What is known of one store, by the timer.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Since when it fails. Time in which it is not asked is no outage.
    failing_since: Option<Duration>,
    /// It has asked for fewer requests: until then it gets none.
    held_until: Duration,
}

impl<'a> Patience<'a> {
    /// The first wait that no store has asked for; the next ones are twice as long as the one before.
    const DELAY_MIN: Duration = Duration::from_secs(1);

    /// The longest wait that no store has asked for.
    const DELAY_MAX: Duration = Duration::from_secs(60);

    pub(crate) fn new(options: &'a Options, observer: &'a Observer<'a>) -> Self {
        let sides = Mutex::default();
        Self { timer: &*options.timer, max_wait: options.max_wait, observer, sides, over: Semaphore::new(0) }
    }

    /// Says that something was read from this store, or written to it.
    pub(crate) fn progressed(&self, side: Side) {
        self.with(side, |state| state.failing_since = None);
    }

    fn with<T>(&self, side: Side, work: impl FnOnce(&mut State) -> T) -> T {
        let [source, target] = &mut *self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        work(match side {
            Side::Source => source,
            Side::Target => target,
        })
    }

    /// Asks a store until it answers: what fails for now is asked for again. Only for what may be repeated, such as a
    /// read.
    ///
    /// # Errors
    /// What does not pass by waiting; [`Error::GaveUp`] when patience is at its end.
    pub(crate) async fn ask<T, F>(&self, side: Side, mut question: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = kv_api::Result<T>> + Send,
    {
        let mut waits = Waits::default();
        loop {
            self.turn(side).await;
            match question().await {
                Ok(answer) => {
                    self.progressed(side);
                    return Ok(answer);
                }
                Err(error) if passes(&error) => self.wait(side, &error, &mut waits).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits while a store has asked for fewer requests, whichever of them it has answered so. `false` when the work
    /// has ended.
    pub(crate) async fn turn(&self, side: Side) -> bool {
        loop {
            let held = self.with(side, |state| state.held_until).saturating_sub(self.timer.monotonic_now());
            if held.is_zero() || !self.sleep(held).await {
                return !self.over.is_closed();
            }
        }
    }

    /// Waits after a failure that passes: as long as the store asks for, or longer with each failure in a row.
    ///
    /// # Errors
    /// [`Error::GaveUp`] when patience is at its end, or would be before the time that the store asks for, and when the
    /// work has ended.
    pub(crate) async fn wait(&self, side: Side, error: &kv_api::Error, waits: &mut Waits) -> Result<()> {
        let now = self.timer.monotonic_now();
        let since = self.with(side, |state| *state.failing_since.get_or_insert(now));
        let without_progress = now.saturating_sub(since);
        let left = self.max_wait.saturating_sub(without_progress);
        let own = waits.next().min(left);
        let delay = error.retry_after().map_or(own, |asked| asked.max(own));
        let gave_up = || Error::GaveUp { side, error: error.clone(), waited: without_progress };
        if left.is_zero() || delay > left {
            return Err(gave_up());
        }
        if error.kind() == ErrorKind::RateLimited || error.retry_after().is_some() {
            self.with(side, |state| state.held_until = state.held_until.max(now.saturating_add(delay)));
        }
        self.observer.report(Event::Waiting(Wait { delay, side, error, without_progress }));
        if self.sleep(delay).await { Ok(()) } else { Err(gave_up()) }
    }

    /// Ends all waits, of now and later: what ends the work elsewhere must not wait for an outage to pass.
    pub(crate) fn end_waits(&self) {
        self.over.close();
    }

    /// `false` when the work has ended meanwhile.
    async fn sleep(&self, duration: Duration) -> bool {
        matches!(select(self.timer.sleep(duration), pin!(self.over.acquire())).await, Either::Left(_))
    }
}

/// The waits of one request, each twice as long as the one before.
#[derive(Debug, Default)]
pub(crate) struct Waits(u32);

impl Waits {
    fn next(&mut self) -> Duration {
        let delay = Patience::DELAY_MIN.saturating_mul(1 << self.0.min(16));
        self.0 += 1;
        delay.min(Patience::DELAY_MAX)
    }
}

/// Whether the same request may succeed after a while.
pub(crate) fn passes(error: &kv_api::Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable) && error.retry() != Retry::Never
}

impl fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("max_wait", &self.max_wait).finish_non_exhaustive()
    }
}
