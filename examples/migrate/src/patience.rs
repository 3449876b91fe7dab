//! Waiting while a store asks for it, or cannot be reached: visible, and not for ever.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kv_api::{ErrorKind, Retry, Timer};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::progress::{Event, Side, Wait};

/// Whoever is told how the work goes on, from several batches at once.
pub(crate) struct Observer<'o>(Mutex<&'o mut (dyn FnMut(Event<'_>) + Send)>);

impl<'o> Observer<'o> {
    pub(crate) fn new(observe: &'o mut (dyn FnMut(Event<'_>) + Send)) -> Self {
        Self(Mutex::new(observe))
    }

    pub(crate) fn report(&self, event: Event<'_>) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(event);
    }
}

/// How long one piece of work waits for stores, in all since it last made progress.
pub(crate) struct Patience<'a> {
    timer: &'a dyn Timer,
    max_wait: Duration,
    observer: &'a Observer<'a>,
    /// When something was last read or written, by the timer.
    progressed_at: Mutex<Duration>,
}

impl<'a> Patience<'a> {
    /// The first wait that no store has asked for; the next ones are twice as long as the one before.
    const DELAY_MIN: Duration = Duration::from_secs(1);

    /// The longest wait that no store has asked for.
    const DELAY_MAX: Duration = Duration::from_secs(60);

    pub(crate) fn new(options: &'a Options, observer: &'a Observer<'a>) -> Self {
        let timer = &*options.timer;
        let progressed_at = Mutex::new(timer.monotonic_now());
        Self { timer, max_wait: options.max_wait, observer, progressed_at }
    }

    /// Says that something was read or written.
    pub(crate) fn progressed(&self) {
        *self.progressed_at.lock().unwrap_or_else(PoisonError::into_inner) = self.timer.monotonic_now();
    }

    fn without_progress(&self) -> Duration {
        let progressed_at = *self.progressed_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.timer.monotonic_now().saturating_sub(progressed_at)
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
            match question().await {
                Ok(answer) => {
                    self.progressed();
                    return Ok(answer);
                }
                Err(error) if passes(&error) => self.wait(side, &error, &mut waits).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits after a failure that passes: as long as the store asks for, or longer with each failure in a row.
    ///
    /// # Errors
    /// [`Error::GaveUp`] when patience is at its end, or would be before the time that the store asks for.
    pub(crate) async fn wait(&self, side: Side, error: &kv_api::Error, waits: &mut Waits) -> Result<()> {
        let without_progress = self.without_progress();
        let left = self.max_wait.saturating_sub(without_progress);
        let own = waits.next().min(left);
        let delay = error.retry_after().map_or(own, |asked| asked.max(own));
        if left.is_zero() || delay > left {
            return Err(Error::GaveUp { side, error: error.clone(), waited: without_progress });
        }
        self.observer.report(Event::Waiting(Wait { delay, side, error, without_progress }));
        self.timer.sleep(delay).await;
        Ok(())
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
