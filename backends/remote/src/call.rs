//! A call: its requests, their repeats, and the one deadline over all of them (ERR-3 to ERR-6).

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{self, BoxStream, StreamExt};
use kv_api::{Clock, DeleteOutcome, Error, ErrorKind, Result, Retry, SetOutcome, SetStatus, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::settings::RemoteSettings;

/// Whether a request may be repeated when its outcome is unknown (ERR-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// A read or a list: it changes nothing.
    Read,
    /// Sending it twice leaves the same state as sending it once: an unconditional set or delete.
    Idempotent,
    /// A step from one state to the next: a condition, an increment, `expire`, an all-or-nothing batch. Never repeated
    /// unless it was certainly not applied.
    NonIdempotent,
}

/// The answer to a request, and whether it is the whole story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// What the system answered to the last attempt.
    pub answer: T,
    /// An earlier attempt may have been applied too, so what this answer says it found may be that attempt's own doing.
    pub repeated: bool,
}

impl Reply<SetStatus> {
    /// The outcome of a set: after a repeat nobody knows whether there was an entry before the first attempt (ERR-5).
    #[must_use]
    pub const fn set_outcome(self) -> SetOutcome {
        SetOutcome::new(match self.answer {
            SetStatus::Created | SetStatus::Updated if self.repeated => SetStatus::Stored,
            status => status,
        })
    }
}

impl Reply<DeleteOutcome> {
    /// The outcome of a delete: after a repeat nobody knows whether there was an entry before the first attempt (ERR-5).
    #[must_use]
    pub const fn delete_outcome(self) -> DeleteOutcome {
        match self.answer {
            DeleteOutcome::Deleted | DeleteOutcome::NotFound if self.repeated => DeleteOutcome::Accepted,
            outcome => outcome,
        }
    }
}

/// The error of a write whose own request was never sent: only a look before it, or a write of something else, has failed
/// (ERR-3).
#[must_use]
pub fn as_not_applied(error: Error) -> Error {
    if error.retry() == Retry::OutcomeUnknown { error.with_retry(Retry::Safe) } else { error }
}

/// The error of each item of a bulk request that was refused whole by a system that does not say which item it dislikes: this
/// one may be innocent (BATCH-3). It keeps the refusal's code and retry class.
#[must_use]
pub fn rejected_batch_item(refusal: Error) -> Error {
    let message = "refused together with other items of its request, of which at least one is not acceptable";
    let code = refusal.native_code().map(ToOwned::to_owned);
    let together = Error::new(ErrorKind::InvalidArgument, message).with_retry(refusal.retry()).with_source(refusal);
    match code {
        Some(code) => together.with_native_code(code),
        None => together,
    }
}

/// What one store of a remote system shares among its calls: the settings, and the window of requests under way.
#[derive(Debug)]
pub struct Remote {
    settings: RemoteSettings,
    window: Semaphore,
}

impl Remote {
    /// With these settings, and nothing under way.
    #[must_use]
    pub fn new(settings: RemoteSettings) -> Self {
        let permits = settings.requests_max.get().min(Semaphore::MAX_PERMITS);
        Self { settings, window: Semaphore::new(permits) }
    }

    /// The clock that the handle shares (EXP-10).
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.settings.clock
    }

    /// Begins a call: its deadline counts from now.
    #[must_use]
    pub fn call(&self) -> Call<'_> {
        Call { remote: self, ends_at: self.clock().now().checked_add(self.settings.retry.deadline) }
    }

    /// Runs calls side by side, as many as the window holds, and gives their results in order. Each is taken from `calls` when
    /// its turn comes, so that a batch of a million holds no more of them than one of a hundred. The stream is boxed: of one
    /// over a lazy iterator of futures that borrow their requests the compiler cannot prove that it is `Send`.
    pub fn in_window<'a, T: Send + 'a>(
        &self,
        calls: impl IntoIterator<Item = BoxFuture<'a, T>, IntoIter: Send + 'a>,
    ) -> BoxStream<'a, T> {
        stream::iter(calls).buffered(self.settings.requests_max.get()).boxed()
    }
}

/// One call of a caller: a single request, or all those of a batch.
#[derive(Debug)]
pub struct Call<'a> {
    remote: &'a Remote,
    /// The deadline by the clock, which is asked before each wait: what is left then is what the wait may take. `None` is
    /// never.
    ends_at: Option<Timestamp>,
}

impl Call<'_> {
    /// Sends one request, and sends it again as the policy allows. `attempt` makes one attempt; its errors say by their
    /// retry class what is known about it.
    ///
    /// # Errors
    /// The last attempt's. If any attempt of a write may have been applied, the error says `OutcomeUnknown`, whatever
    /// became of the last one. `Unavailable` when an attempt takes too long or the deadline passes; with `Safe` when it
    /// passed before the request was sent.
    pub async fn send<T, F>(&self, idempotency: Idempotency, mut attempt: impl FnMut() -> F + Send) -> Result<Reply<T>>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let policy = &self.remote.settings.retry;
        // Most requests need none.
        let mut delays = None;
        let mut maybe_applied = false;
        loop {
            let error = match self.attempt(&mut attempt).await {
                Ok(answer) => return Ok(Reply { answer, repeated: maybe_applied }),
                Err(error) => error,
            };
            maybe_applied |= idempotency != Idempotency::Read && error.retry() == Retry::OutcomeUnknown;
            let delays = delays.get_or_insert_with(|| policy.delays());
            let wait = policy.allows(idempotency, &error).then(|| delays.next()).flatten();
            let wait = wait.map(|wait| wait.max(error.retry_after().unwrap_or_default()));
            let Some(wait) = wait.filter(|wait| *wait < self.time_left()) else {
                return Err(if maybe_applied { error.with_retry(Retry::OutcomeUnknown) } else { error });
            };
            tracing::debug!(kind = %error.kind(), code = error.native_code(), ?wait, "a request is sent again");
            if !wait.is_zero() {
                self.remote.settings.timer.sleep(wait).await;
            }
        }
    }

    /// Whether the policy lets a request be sent again that asks for this and failed so: for an adapter that sends it in another
    /// form, such as a batch in parts (ERR-4).
    #[must_use]
    pub fn allows(&self, idempotency: Idempotency, error: &Error) -> bool {
        self.remote.settings.retry.allows(idempotency, error)
    }

    /// Waits for what is no request, such as a turn among the calls of a store.
    ///
    /// # Errors
    /// `Unavailable` with `Safe` when the deadline passes first.
    pub async fn wait_for<T>(&self, turn: impl Future<Output = T> + Send) -> Result<T> {
        let deadline = self.remote.settings.timer.sleep(self.time_left());
        match select(pin!(turn), deadline).await {
            Either::Left((turn, _)) => Ok(turn),
            Either::Right(_) => Err(never_sent()),
        }
    }

    async fn attempt<T, F>(&self, attempt: &mut (impl FnMut() -> F + Send)) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let settings = &self.remote.settings;
        let turn = self.turn().await?;
        // When the deadline has passed, room in the window is no reason to send what is left of a batch.
        if self.time_left().is_zero() {
            return Err(never_sent());
        }
        let too_long = settings.timer.sleep(settings.request_timeout.min(self.time_left()));
        let result = match select(pin!(attempt()), too_long).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Error::new(ErrorKind::Unavailable, "no answer in time")),
        };
        drop(turn);
        result
    }

    /// A place in the window.
    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        // Usually there is one, and no timer is needed.
        if let Ok(turn) = self.remote.window.try_acquire() {
            return Ok(turn);
        }
        self.wait_for(self.remote.window.acquire()).await?.map_err(|_| {
            // It is never closed.
            Error::new(ErrorKind::Internal, "the window of requests is closed")
        })
    }

    fn time_left(&self) -> Duration {
        self.ends_at.map_or(Duration::MAX, |end| end.saturating_since(self.remote.clock().now()))
    }
}

fn never_sent() -> Error {
    Error::new(ErrorKind::Unavailable, "the deadline passed before the request was sent").with_retry(Retry::Safe)
}
