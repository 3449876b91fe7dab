//! Counters, and what there is to put right around them (CNT-1, CNT-2).
//!
//! The system adds before it looks. It refuses what is no number; it does not refuse a fraction, nor a result beyond
//! ±(2^53 - 1), which it writes and cannot read again: it answers 500 then, and so it does to every later read of the entry.
//! And it counts on in an expired number that it has not swept, which is why this store keeps none as a plain number.

use kv_api::{Error, ErrorKind, Increment, Result, Retry, Value};
use kv_remote::{Call, Idempotency, as_not_applied};
use tokio::sync::Mutex;

use crate::capabilities::COUNTER_MAX;
use crate::client::{Carries, Client};
use crate::wire::{Found, INTERNAL_ERROR, Sum, has_code};

/// How often a step that was refused is tried anew because the entry has changed since.
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

/// The counters of one store.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Held by whoever removes what an expired entry has left, so that no other task of this store removes a fresh counter.
    removing: Mutex<()>,
}

impl Counters {
    pub(crate) async fn increment(&self, client: &Client, call: &Call<'_>, increment: &Increment<'_>) -> Result<i64> {
        let counter = Counter { client, call, increment };
        let by = increment.by();
        if !(increment.min()..=increment.max()).contains(&by) {
            counter.check_before().await?;
        }
        for _ in 0..ROUNDS_MAX {
            match counter.step(by).await? {
                Step::Refused => {}
                made => return counter.settle(made).await,
            }
            if let Some(found) = counter.look().await? {
                if found.is_plain_number {
                    continue; // since the step
                }
                return Err(counter.why_not(&found));
            }
            let _alone = call.wait_for(self.removing.lock()).await?;
            match counter.step_over_nothing().await? {
                Step::Refused => {}
                made => return counter.settle(made).await,
            }
        }
        let message = "the entry was written each time before it could be counted in";
        Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe))
    }
}

/// One increment of a counter.
struct Counter<'a> {
    client: &'a Client,
    call: &'a Call<'a>,
    increment: &'a Increment<'a>,
}

impl Counter<'_> {
    /// Sends one step. It is never repeated when it may have been made (ERR-4).
    async fn step(&self, by: i64) -> Result<Step> {
        let request = self.client.requests.incr(self.increment.key(), by);
        let settles = |error: &Error| error.kind() == ErrorKind::WrongType || has_code(error, INTERNAL_ERROR);
        let sum = self.client.send_until(
            self.call,
            Idempotency::NonIdempotent,
            || request.clone(),
            Carries::NoValue,
            |reply| reply.sum(),
            settles,
        );
        Ok(match sum.await? {
            Ok(sum) => Step::Done(sum),
            Err(error) if error.kind() == ErrorKind::WrongType => Step::Refused,
            Err(error) => Step::Failed(error),
        })
    }

    /// What is there. The step has not been made: it is to come, or was refused.
    async fn look(&self) -> Result<Option<Found>> {
        let request = self.client.requests.get(self.increment.key());
        self.client.ask(self.call, request, |reply| reply.value()).await.map_err(as_not_applied)
    }

    /// The step on a key where nothing is to be seen and yet something is no number: what has expired and was not swept, or a
    /// null. It is removed, and the step made on what is then missing. What another client writes in between is removed too:
    /// the system has nothing that could prevent it.
    async fn step_over_nothing(&self) -> Result<Step> {
        let by = self.increment.by();
        // Somebody else may have removed it, and counted.
        match self.step(by).await? {
            Step::Refused => {}
            made => return Ok(made),
        }
        if self.look().await?.is_some() {
            return Ok(Step::Refused);
        }
        let request = self.client.requests.del(self.increment.key());
        let removed = self.client.send(
            self.call,
            Idempotency::NonIdempotent,
            || request.clone(),
            Carries::NoValue,
            |reply| reply.done(),
        );
        // Sent without an answer, it may yet come after another step, so that the error stays as it is.
        removed.await?;
        self.step(by).await
    }

    /// The new value, or the step taken back.
    async fn settle(&self, made: Step) -> Result<i64> {
        let (min, max) = (self.increment.min(), self.increment.max());
        let error = match made {
            Step::Done(Sum::Integer(new)) if (min..=max).contains(&new) => return Ok(new),
            Step::Done(Sum::Integer(_)) => Error::counter_range(min, max),
            Step::Done(Sum::Other) | Step::Refused => Error::not_a_counter(SOMETHING_ELSE),
            Step::Failed(error) => return Err(self.recover(error).await),
        };
        match self.step(-self.increment.by()).await {
            Ok(Step::Done(_)) => Err(error),
            Ok(Step::Refused) => Err(error.with_retry(Retry::OutcomeUnknown)),
            Ok(Step::Failed(failed)) | Err(failed) => Err(failed.with_retry(Retry::OutcomeUnknown)),
        }
    }

    /// After a step that the system failed at: if it led where nothing can be read, it is taken back, and then it was out of
    /// range and has changed nothing. Else `error`, as nobody knows.
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
                // It was to be read all the time: the system failed for another reason, and what was taken back may never
                // have been added.
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
        let read = |reply: crate::wire::Reply<'_>| reply.value();
        let found =
            self.client.send_until(self.call, Idempotency::Read, || request.clone(), Carries::NoValue, read, settles);
        Ok(found.await?.is_ok())
    }

    /// Why an entry that is no plain number is no counter.
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

    /// Before a step that is out of the range when nothing is there: taken back, it would leave a zero. Nor can one be sent that
    /// is greater than any number of the system.
    async fn check_before(&self) -> Result<()> {
        let Some(found) = self.look().await? else {
            return Err(Error::counter_range(self.increment.min(), self.increment.max()));
        };
        if !found.is_plain_number {
            return Err(self.why_not(&found));
        }
        let old = found.value.as_i64().ok_or_else(|| Error::not_a_counter(SOMETHING_ELSE))?;
        self.increment.apply(old)?;
        let (by, most) = (self.increment.by().unsigned_abs(), COUNTER_MAX.unsigned_abs());
        if by > most { Err(Error::limit("counter_step_max", most, by)) } else { Ok(()) }
    }
}

fn integer(value: &Value) -> Option<i128> {
    let json = value.to_json().ok()?;
    let number = json.as_number()?;
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn is_in_range(integer: i128) -> bool {
    (-i128::from(COUNTER_MAX)..=i128::from(COUNTER_MAX)).contains(&integer)
}
