//! Counters (CNT-1, CNT-2). Hive knows no range and counts in fractions, so an entry is read before each step in it.

use kv_api::{Error, ErrorKind, Increment, Reason, Result, Retry, Value};
use kv_remote::{Call, Idempotency};

use crate::capabilities::COUNTER_MAX;
use crate::client::Client;
use crate::wire::{Expiration, Reply, Request, Step, body_of_key};

const SOMETHING_ELSE: &str = "it holds something else";

/// One increment of a counter.
pub(crate) struct Counter<'a> {
    pub(crate) client: &'a Client,
    pub(crate) call: &'a Call<'a>,
    pub(crate) increment: &'a Increment<'a>,
}

impl Counter<'_> {
    /// Where there is room for more steps than can be under way at once, they need not wait for each other.
    pub(crate) async fn count(&self) -> Result<i64> {
        let key = self.increment.key();
        {
            let _turn = self.call.share_keys([key]).await?;
            let old = self.look().await?;
            self.increment.apply(old)?;
            if self.increment.has_room(old) {
                return self.step_and_settle().await;
            }
        }
        let _turn = self.call.lock_key(key).await?;
        self.increment.apply(self.look().await?)?;
        self.step_and_settle().await
    }

    /// The step, taken back where another client has led it astray since the look.
    async fn step_and_settle(&self) -> Result<i64> {
        let made = match self.step(self.increment.by()).await {
            // Its reason has no documented code: the entry says why, if it has changed since it was read.
            Err(refusal) if refusal.kind() == ErrorKind::InvalidArgument => {
                return Err(self.look().await.err().filter(is_about_the_entry).unwrap_or(refusal));
            }
            made => made?,
        };
        let (min, max) = (self.increment.min(), self.increment.max());
        let error = match made {
            Step::To(new) if (min..=max).contains(&new) => return Ok(new),
            Step::To(_) | Step::Beyond => Error::counter_range(min, max),
            Step::Fraction => Error::not_a_counter(SOMETHING_ELSE),
        };
        match self.step(-self.increment.by()).await {
            Ok(_) => Err(error),
            Err(failed) => Err(failed.with_retry(Retry::OutcomeUnknown)),
        }
    }

    /// The integer that is counted in: 0 where there is no entry.
    async fn look(&self) -> Result<i64> {
        let key = self.increment.key();
        if !self.increment.expiring_allowed() {
            let expiration = self.client.ask(self.call, Request::expiration(key), Reply::expiration).await?;
            if matches!(expiration, Expiration::Seconds(_)) {
                return Err(Error::not_a_counter("it expires"));
            }
        }
        let keys = [key.to_owned()];
        let request = Request::get(body_of_key(key));
        let mut found = self.client.ask(self.call, request, move |reply: Reply| reply.values(&keys)).await?;
        match found.pop().flatten() {
            None => Ok(0),
            Some((_, Some(_))) => Err(Error::not_a_counter("it has metadata")),
            Some((value, None)) if is_integer_out_of_range(&value) => {
                Err(Error::counter_range(self.increment.min(), self.increment.max()))
            }
            Some((value, None)) => value.as_i64().ok_or_else(|| Error::not_a_counter(SOMETHING_ELSE)),
        }
    }

    /// It is never repeated when it may have been made (ERR-4).
    async fn step(&self, by: i64) -> Result<Step> {
        let request = Request::increment(self.increment.key(), by);
        let sent = self.client.send(self.call, Idempotency::NonIdempotent, request, Reply::step);
        Ok(sent.await?.answer)
    }
}

/// Whether an error says what an entry holds, and not that it could not be read.
fn is_about_the_entry(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WrongType) || matches!(error.reason(), Some(Reason::CounterRange { .. }))
}

fn is_integer_out_of_range(value: &Value) -> bool {
    let Ok(Some(json)) = value.as_json() else { return false };
    json.as_i64().map_or(json.as_u64().is_some(), |integer| !(-COUNTER_MAX..=COUNTER_MAX).contains(&integer))
}
