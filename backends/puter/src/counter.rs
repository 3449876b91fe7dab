//! Counters, and what there is to put right around them (CNT-1, CNT-2).
//!
//! The system adds before it looks. It refuses what is no number; it does not refuse a fraction, nor a result beyond
//! ±(2^53 - 1), which it writes and cannot read again: it answers 500 then, and so it does to every later read of the
//! entry. So the entry is read before each step. And the system counts on in an expired number that it has not swept,
//! which is why this store keeps none as a plain number.

use kv_api::{Error, ErrorKind, Increment, JsonText, Result, Retry, Value};
use kv_remote::{Call, Idempotency};

use crate::capabilities::COUNTER_MAX;
use crate::client::Client;
use crate::wire::{Found, INTERNAL_ERROR, Reply, Sum, has_code};

/// How often a step that was refused is tried anew because the entry has changed since it was read.
const ROUNDS_MAX: usize = 4;

const SOMETHING_ELSE: &str = "it holds something else";

/// What became of a step.
enum Step {
    Done(Sum),
    /// Certainly not made: the entry is no number.
    Refused,
    /// The system failed: the step was not made, or it was, or it led where nothing can be read.
    Failed(Error),
}

/// One increment of a counter.
pub(crate) struct Counter<'a> {
    pub(crate) client: &'a Client,
    pub(crate) call: &'a Call<'a>,
    pub(crate) increment: &'a Increment<'a>,
}

impl Counter<'_> {
    pub(crate) async fn count(&self) -> Result<i64> {
        match self.count_with_others().await? {
            Some(new) => Ok(new),
            None => self.count_alone().await,
        }
    }

    /// Where there is room for more steps than can be under way at once, they need not wait for each other. `None`
    /// where there is not, or something has to go away first; no step was made then.
    async fn count_with_others(&self) -> Result<Option<i64>> {
        let _turn = self.call.share_keys([self.increment.key()]).await?;
        let old = self.look().await?.unwrap_or(0);
        self.check(old)?;
        if !self.increment.has_room(old) {
            return Ok(None);
        }
        match self.step(self.increment.by()).await? {
            Step::Refused => Ok(None),
            Step::Done(sum) => self.settle(sum).await.map(Some),
            Step::Failed(error) => Err(error),
        }
    }

    /// The step of one call of this store at a time.
    async fn count_alone(&self) -> Result<i64> {
        let _turn = self.call.lock_key(self.increment.key()).await?;
        for _ in 0..ROUNDS_MAX {
            let old = self.look().await?;
            self.check(old.unwrap_or(0))?;
            match self.step(self.increment.by()).await? {
                // Nothing is to be seen, and yet something is no number: what has expired and was not swept, or a null.
                Step::Refused if old.is_none() && self.look().await?.is_none() => self.remove().await?,
                Step::Refused => {}
                Step::Done(sum) => return self.settle(sum).await,
                Step::Failed(error) => return Err(self.recover(error).await),
            }
        }
        let message = "the entry was written each time before it could be counted in";
        Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe))
    }

    /// The number that is counted in; `None` where nothing is to be seen.
    async fn look(&self) -> Result<Option<i64>> {
        let request = self.client.requests.get(self.increment.key());
        let found = self.client.ask(self.call, request, Reply::value).await?;
        let Some(found) = found else { return Ok(None) };
        let number = if found.is_plain_number { found.value.as_i64() } else { None };
        number.map(Some).ok_or_else(|| self.why_not(&found))
    }

    /// Before a step: that it stays in the range, and that the system has a number for it.
    fn check(&self, old: i64) -> Result<()> {
        self.increment.apply(old)?;
        let (by, most) = (self.increment.by().unsigned_abs(), COUNTER_MAX.unsigned_abs());
        if by > most { Err(Error::limit("counter_step_max", most, by)) } else { Ok(()) }
    }

    /// Sends one step. It is never repeated when it may have been made (ERR-4).
    async fn step(&self, by: i64) -> Result<Step> {
        let request = self.client.requests.incr(self.increment.key(), by);
        let settles = |error: &Error| error.kind() == ErrorKind::WrongType || has_code(error, INTERNAL_ERROR);
        let (call, idempotency) = (self.call, Idempotency::NonIdempotent);
        let sum = self.client.send_until(call, idempotency, || request.clone(), Reply::sum, settles);
        Ok(match sum.await? {
            Ok(sum) => Step::Done(sum),
            Err(error) if error.kind() == ErrorKind::WrongType => Step::Refused,
            Err(error) => Step::Failed(error),
        })
    }

    /// Removes what is not to be seen. What another client writes in just that moment is removed too: the system has
    /// nothing that could prevent it. Sent without an answer, it may yet come after another step, so that its error
    /// stays as it is.
    async fn remove(&self) -> Result<()> {
        let request = self.client.requests.del(self.increment.key());
        self.client.send(self.call, Idempotency::NonIdempotent, || request.clone(), Reply::done).await
    }

    /// The new value. Where another client has led it astray since the look, the step is taken back.
    async fn settle(&self, sum: Sum) -> Result<i64> {
        let (min, max) = (self.increment.min(), self.increment.max());
        let error = match sum {
            Sum::Integer(new) if (min..=max).contains(&new) => return Ok(new),
            Sum::Integer(_) => Error::counter_range(min, max),
            Sum::Other => Error::not_a_counter(SOMETHING_ELSE),
        };
        match self.step(-self.increment.by()).await {
            Ok(Step::Done(_)) => Err(error),
            Ok(Step::Refused) => Err(error.with_retry(Retry::OutcomeUnknown)),
            Ok(Step::Failed(failed)) | Err(failed) => Err(failed.with_retry(Retry::OutcomeUnknown)),
        }
    }

    /// After a step near the edge that the system failed at: if another client has counted since the look, so that it
    /// led where nothing can be read, it is taken back, and then it was out of range and has changed nothing. Else
    /// `error`, as it is not known.
    async fn recover(&self, error: Error) -> Error {
        let by = self.increment.by();
        if !matches!(self.can_be_read().await, Ok(false)) {
            return error;
        }
        let out_of_range = Error::counter_range(self.increment.min(), self.increment.max());
        match self.step(-by).await {
            Ok(Step::Done(Sum::Integer(before))) => {
                let reached = before.checked_add(by);
                if reached.is_none_or(|reached| !(-COUNTER_MAX..=COUNTER_MAX).contains(&reached)) {
                    return out_of_range;
                }
                // It was to be read all the time: the system failed for another reason, and what was taken back may
                // never have been added.
                match self.step(by).await {
                    Ok(_) => error,
                    Err(failed) => failed.with_retry(Retry::OutcomeUnknown),
                }
            }
            // Others have gone too far as well, and each takes back its own: if it can be read now, all have.
            Ok(Step::Failed(_)) if matches!(self.can_be_read().await, Ok(true)) => out_of_range,
            Ok(_) => {
                let message = "the counter was beyond what the system can read, and the step could not be taken back";
                let stuck = Error::new(ErrorKind::Unavailable, message).with_retry(Retry::OutcomeUnknown);
                stuck.with_source(error)
            }
            Err(failed) => failed.with_retry(Retry::OutcomeUnknown),
        }
    }

    /// Whether the system can read the entry.
    async fn can_be_read(&self) -> Result<bool> {
        let request = self.client.requests.get(self.increment.key());
        let settles = |error: &Error| has_code(error, INTERNAL_ERROR);
        let found = self.client.send_until(self.call, Idempotency::Read, || request.clone(), Reply::value, settles);
        Ok(found.await?.is_ok())
    }

    /// Why an entry cannot be counted in.
    fn why_not(&self, found: &Found) -> Error {
        if found.metadata.is_some() {
            return Error::not_a_counter("it has metadata");
        }
        match integer(&found.value) {
            None => Error::not_a_counter(SOMETHING_ELSE),
            Some(integer) if is_in_range(integer) => Error::not_a_counter("it expires, or did when it was set"),
            Some(_) => Error::counter_range(self.increment.min(), self.increment.max()),
        }
    }
}

fn integer(value: &Value) -> Option<i128> {
    let json: JsonText<'_> = value.as_json().ok()??;
    json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from))
}

fn is_in_range(integer: i128) -> bool {
    (-i128::from(COUNTER_MAX)..=i128::from(COUNTER_MAX)).contains(&integer)
}
