//! Who may go, and when.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Error, ErrorKind, RequestRate, Result, Retry, Timer};

use super::keys::KeyRests;
use super::requests::RequestTurns;

/// Lets calls go by the rate of requests and the rest of keys, each within the longest wait.
pub(super) struct Admission {
    requests: Option<RequestTurns>,
    keys: Option<KeyRests>,
    max_wait: Duration,
    timer: Arc<dyn Timer>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("max_wait", &self.max_wait).finish_non_exhaustive()
    }
}

/// What becomes of the other keys of a call when one must rest for too long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Go,
    Stay,
}

impl Admission {
    pub(super) fn new(
        rate: Option<RequestRate>,
        burst: Option<NonZeroU32>,
        key_write_interval: Option<Duration>,
        max_wait: Duration,
        timer: &Arc<dyn Timer>,
    ) -> Self {
        Self {
            requests: rate.map(|rate| RequestTurns::new(rate, burst, timer)),
            keys: key_write_interval.map(|interval| KeyRests::new(interval, timer)),
            max_wait,
            timer: Arc::clone(timer),
        }
    }

    /// The most requests that can go at once.
    pub(super) fn burst(&self) -> u32 {
        self.requests.as_ref().map_or(u32::MAX, |requests| requests.burst().get())
    }

    /// Refuses a call of so many requests that cannot end within the longest wait even if nobody else is there. To
    /// repeat it is of no use.
    pub(super) fn check_possible(&self, requests: u32) -> Result<()> {
        match &self.requests {
            Some(turns) if turns.least_time(requests) > self.max_wait => {
                let message = format!(
                    "by its own rate the call of {requests} requests takes {:?} at least, and may wait {:?}",
                    turns.least_time(requests),
                    self.max_wait
                );
                Err(Error::new(ErrorKind::RateLimited, message).with_retry(Retry::Never))
            }
            _ => Ok(()),
        }
    }

    /// Waits until a call that writes nothing may go.
    pub(super) async fn of_read(&self, requests: u32, deadline: Duration) -> Result<()> {
        self.take(requests, deadline).await
    }

    /// Waits until a call that writes these distinct keys may go, all of them or none.
    pub(super) async fn of_write(&self, keys: &[&str], requests: u32, deadline: Duration) -> Result<()> {
        self.admit(keys, Others::Stay, |_| requests, deadline).await.into_iter().collect()
    }

    /// Waits until writes of these distinct keys may go together: one result per key. One whose key must rest for too
    /// long stays; `requests` says what those at the given positions take.
    pub(super) async fn of_each(
        &self,
        keys: &[&str],
        requests: impl Fn(&[usize]) -> u32 + Send,
        deadline: Duration,
    ) -> Vec<Result<()>> {
        self.admit(keys, Others::Go, requests, deadline).await
    }

    async fn admit(
        &self,
        keys: &[&str],
        others: Others,
        requests: impl Fn(&[usize]) -> u32 + Send,
        deadline: Duration,
    ) -> Vec<Result<()>> {
        let all = |result: Result<()>| keys.iter().map(|_| result.clone()).collect();
        let mut going: Vec<usize> = (0..keys.len()).collect();
        let Some(rests) = &self.keys else { return all(self.take(requests(&going), deadline).await) };
        // Until this call goes, nobody else writes these keys.
        let _turn = match rests.turn(keys, self.left(deadline)).await {
            Ok(turn) => turn,
            Err(wait) => return all(Err(self.refused("writes to a key", wait))),
        };
        let (left, of_each) = (self.left(deadline), rests.left_of(keys));
        going.retain(|at| of_each[*at] <= left);
        if others == Others::Stay && going.len() < keys.len() {
            going.clear();
        }
        let taken = match going.iter().map(|at| of_each[*at]).max() {
            None => Ok(()),
            Some(rest) => {
                if !rest.is_zero() {
                    self.timer.sleep(rest).await;
                }
                self.take(requests(&going), deadline).await
            }
        };
        if taken.is_ok() {
            rests.written(going.iter().map(|at| keys[*at]));
        }
        let result = |(key, rest): (&&str, Duration)| match &taken {
            _ if rest > left => Err(self.refused("writes to a key", rest).with_key(key)),
            taken => taken.clone(),
        };
        keys.iter().zip(of_each).map(result).collect()
    }

    async fn take(&self, requests: u32, deadline: Duration) -> Result<()> {
        match (&self.requests, NonZeroU32::new(requests)) {
            (Some(turns), Some(requests)) => {
                self.check_possible(requests.get())?;
                turns.take(requests, deadline).await.map_err(|wait| self.refused("requests", wait))
            }
            _ => Ok(()),
        }
    }

    /// `RateLimited`, and certainly not sent.
    fn refused(&self, rate_of: &str, wait: Duration) -> Error {
        let message = format!("by its own rate of {rate_of} the call would wait longer than {:?}", self.max_wait);
        Error::new(ErrorKind::RateLimited, message).with_retry_after(wait)
    }

    /// When a call that begins now must go at the latest, with all its parts.
    pub(super) fn deadline(&self) -> Duration {
        self.timer.monotonic_now().saturating_add(self.max_wait)
    }

    fn left(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.timer.monotonic_now())
    }
}
