//! A call: its requests, their repeats, and the one deadline over all of them (ERR-3 to ERR-6).

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, poll_immediate, select};
use futures_util::stream::{self, BoxStream, StreamExt};
use kv_api::{Clock, DeleteOutcome, Error, ErrorKind, KeyLocks, KeyTurn, Result, Retry, SetOutcome, SetStatus};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::idempotency::Idempotency;
use crate::settings::RemoteSettings;

/// The answer to a request, and whether it is the whole story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// What the system answered to the last attempt.
    pub answer: T,
    /// An earlier attempt may have been applied too, so what this answer says it found may be that attempt's own doing.
    pub repeated: bool,
}

impl Reply<SetStatus> {
    /// The outcome of a set: after a repeat it is unknown whether there was an entry before the first attempt (ERR-5).
    #[must_use]
    pub const fn set_outcome(self) -> SetOutcome {
        SetOutcome::new(match self.answer {
            SetStatus::Created | SetStatus::Updated if self.repeated => SetStatus::Stored,
            status => status,
        })
    }
}

impl Reply<DeleteOutcome> {
    /// The outcome of a delete: after a repeat it is unknown whether there was an entry before the first attempt
    /// (ERR-5).
    #[must_use]
    pub const fn delete_outcome(self) -> DeleteOutcome {
        match self.answer {
            DeleteOutcome::Deleted | DeleteOutcome::NotFound if self.repeated => DeleteOutcome::Accepted,
            outcome => outcome,
        }
    }
}

/// The error of a write whose own request was never sent: only a look before it, or a write of something else, has
/// failed (ERR-3).
#[must_use]
pub fn as_not_applied(error: Error) -> Error {
    if error.retry() == Retry::OutcomeUnknown { error.with_retry(Retry::Safe) } else { error }
}

/// What one store of a remote system shares among its calls: the settings, the window of requests under way, and the
/// turns of those that are at work on one key.
#[derive(Debug)]
pub struct Remote {
    settings: RemoteSettings,
    window: Semaphore,
    /// Bytes for the bodies of all requests under way.
    bodies: Semaphore,
    keys: KeyLocks,
}

impl Remote {
    /// With these settings, and nothing under way.
    #[must_use]
    pub fn new(settings: RemoteSettings) -> Self {
        let window = Semaphore::new(settings.requests_max.get().min(Semaphore::MAX_PERMITS));
        let bodies = Semaphore::new(settings.body_bytes_max());
        Self { settings, window, bodies, keys: KeyLocks::default() }
    }

    /// The clock that the handle shares (EXP-10).
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.settings.clock
    }

    /// How many requests are under way at once, for [`send_bulk`](crate::send_bulk).
    #[must_use]
    pub const fn requests_max(&self) -> usize {
        self.settings.requests_max.get()
    }

    /// Begins a call: its deadline counts from now, by the timer's monotonic time (EXP-10).
    #[must_use]
    pub fn call(&self) -> Call<'_> {
        Call { remote: self, began_at: self.settings.timer.monotonic_now() }
    }

    /// Runs calls side by side, as many as the window holds, and gives their results in order. Each is taken from
    /// `calls` when its turn comes, so that a batch of a million holds no more of them than one of a hundred. The
    /// stream is boxed: of one over a lazy iterator of futures that borrow their requests the compiler cannot prove
    /// that it is `Send`.
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
    /// By the timer. What is left of the deadline is asked for before each wait.
    began_at: Duration,
}

impl Call<'_> {
    /// Sends one request, and sends it again as the policy allows. `attempt` makes one attempt; its errors say by their
    /// retry class what is known about it. For a request with a body see [`send_body`](Self::send_body).
    ///
    /// # Errors
    /// The last attempt's, at once when it asks for a longer wait than the policy or the deadline allows. If any
    /// attempt of a write may have been applied, the error says `OutcomeUnknown`, whatever became of the last one; a
    /// read has nothing that could have been applied, so its error says `Safe` instead. `Unavailable` when an attempt
    /// takes too long or the deadline passes; with `Safe` when it passed before the request was sent.
    pub async fn send<T, F>(&self, idempotency: Idempotency, mut attempt: impl FnMut() -> F + Send) -> Result<Reply<T>>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.send_body(idempotency, || (0, attempt())).await
    }

    /// As [`send`](Self::send), for a request with a body. `attempt` gives its length in bytes, and what makes the
    /// attempt. That is polled only when the bodies under way leave room for this one; a body that is longer than all
    /// of them may be waits until it is alone. The time of an attempt begins then. After such a wait `attempt` is
    /// called once more, and what it gave before is dropped.
    ///
    /// # Errors
    /// As [`send`](Self::send). The deadline that passes before there is room is `Unavailable` with `Safe`.
    pub async fn send_body<T, F>(
        &self,
        idempotency: Idempotency,
        mut attempt: impl FnMut() -> (usize, F) + Send,
    ) -> Result<Reply<T>>
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
            let asked = error.retry_after().unwrap_or_default();
            let may_repeat = policy.allows(idempotency, &error) && asked <= policy.retry_after_max;
            let wait = may_repeat.then(|| delays.next()).flatten().map(|wait| wait.max(asked));
            let Some(wait) = wait.filter(|wait| *wait < self.time_left()) else {
                return Err(match (idempotency, error.retry()) {
                    (Idempotency::Read, Retry::OutcomeUnknown) => error.with_retry(Retry::Safe),
                    _ if maybe_applied => error.with_retry(Retry::OutcomeUnknown),
                    _ => error,
                });
            };
            tracing::debug!(kind = %error.kind(), code = error.native_code(), ?wait, "a request is sent again");
            if !wait.is_zero() {
                self.remote.settings.timer.sleep(wait).await;
            }
        }
    }

    /// Whether the policy lets a request be sent again that asks for this and failed so: for an adapter that sends it
    /// in another form, such as a batch in parts (ERR-4).
    #[must_use]
    pub fn allows(&self, idempotency: Idempotency, error: &Error) -> bool {
        self.remote.settings.retry.allows(idempotency, error)
    }

    /// Waits for what is no request, such as a turn among the calls of a store.
    ///
    /// # Errors
    /// `Unavailable` with `Safe` when the deadline passes first, or has passed.
    pub async fn wait_for<T>(&self, turn: impl Future<Output = T> + Send) -> Result<T> {
        self.wait(turn).await.map(|(turn, _)| turn)
    }

    /// The same, and how much time is left then, which is more than none.
    async fn wait<T>(&self, turn: impl Future<Output = T> + Send) -> Result<(T, Duration)> {
        let mut turn = pin!(turn);
        // Usually it has come, and no timer is needed.
        let turn = match poll_immediate(&mut turn).await {
            Some(turn) => turn,
            None => match select(turn, self.remote.settings.timer.sleep(self.time_left())).await {
                Either::Left((turn, _)) => turn,
                Either::Right(_) => return Err(never_sent()),
            },
        };
        // When the deadline has passed, a turn is no reason to send what is left of a batch.
        let time_left = self.time_left();
        if time_left.is_zero() { Err(never_sent()) } else { Ok((turn, time_left)) }
    }

    /// Waits until this call has the key for itself: until no other call of the store holds it, alone or
    /// [together](Self::share_keys). First come, first served. For what is decided by a look and applied by a later
    /// request (SET-6).
    ///
    /// A call that holds one key must not wait for another. Two calls of one task, of which only one is polled, may
    /// wait for each other until a deadline.
    ///
    /// # Errors
    /// `Unavailable` with `Safe` when the deadline passes first.
    pub async fn lock_key(&self, key: &str) -> Result<KeyTurn<'_>> {
        self.lock_keys([key]).await
    }

    /// Waits until this call has all of these keys [for itself](Self::lock_key): for a batch that looks and then
    /// writes.
    ///
    /// # Errors
    /// `Unavailable` with `Safe` when the deadline passes first.
    pub async fn lock_keys<'k>(&self, keys: impl IntoIterator<Item = &'k str> + Send) -> Result<KeyTurn<'_>> {
        let keys = self.remote.keys.exclusive(keys);
        self.wait_for(keys).await
    }

    /// Waits until no other call of the store has one of these keys [for itself](Self::lock_key), and keeps it from
    /// that. For writes that no look decides: they need not wait for each other.
    ///
    /// # Errors
    /// `Unavailable` with `Safe` when the deadline passes first.
    pub async fn share_keys<'k>(&self, keys: impl IntoIterator<Item = &'k str> + Send) -> Result<KeyTurn<'_>> {
        let keys = self.remote.keys.shared(keys);
        self.wait_for(keys).await
    }

    async fn attempt<T, F>(&self, attempt: &mut (impl FnMut() -> (usize, F) + Send)) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let settings = &self.remote.settings;
        let (turn, time_left) = self.turn().await?;
        let (body_bytes, sending) = attempt();
        let body_permits = self.body_permits(body_bytes);
        let (turn, time_left, room, sending) = match self.remote.bodies.try_acquire_many(body_permits) {
            Ok(room) => (turn, time_left, room, sending),
            Err(_) => {
                // Others use the place in the window meanwhile. Then the request is made anew, as it may depend on the
                // time.
                drop((turn, sending));
                let room = self.room(body_permits).await?;
                let (turn, time_left) = self.turn().await?;
                (turn, time_left, room, attempt().1)
            }
        };
        let too_long = settings.timer.sleep(settings.request_timeout.min(time_left));
        let result = match select(pin!(sending), too_long).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Error::new(ErrorKind::Unavailable, "no answer in time")),
        };
        drop((room, turn));
        result
    }

    /// A place in the window of requests, and how much time is left then. Reading the time is no small part of what a
    /// call costs.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, Duration)> {
        // Mostly there is one. What is free goes to those who wait first, so nobody is overtaken here.
        if let Ok(turn) = self.remote.window.try_acquire() {
            let time_left = self.time_left();
            return if time_left.is_zero() { Err(never_sent()) } else { Ok((turn, time_left)) };
        }
        let (turn, time_left) = self.wait(self.remote.window.acquire()).await?;
        let turn = turn.map_err(|_| {
            // It is never closed.
            Error::new(ErrorKind::Internal, "the window of requests is closed")
        })?;
        Ok((turn, time_left))
    }

    /// Of how many bytes a body of so many needs permits: of all there are, where it is longer.
    fn body_permits(&self, body_bytes: usize) -> u32 {
        u32::try_from(body_bytes.min(self.remote.settings.body_bytes_max())).unwrap_or(u32::MAX)
    }

    /// Room for a body.
    async fn room(&self, body_permits: u32) -> Result<SemaphorePermit<'_>> {
        self.wait_for(self.remote.bodies.acquire_many(body_permits)).await?.map_err(|_| {
            // It is never closed.
            Error::new(ErrorKind::Internal, "the room for bodies is closed")
        })
    }

    fn time_left(&self) -> Duration {
        let settings = &self.remote.settings;
        settings.retry.deadline.saturating_sub(settings.timer.monotonic_now().saturating_sub(self.began_at))
    }
}

fn never_sent() -> Error {
    Error::new(ErrorKind::Unavailable, "the deadline passed before the request was sent").with_retry(Retry::Safe)
}
