//! Conditions for a system that knows none: look, then write (SET-6).

use kv_api::{Condition, Error, Result, SetOutcome, SetStatus};

use crate::call::Call;
use crate::idempotency::Idempotency;

/// A set on a system that knows no conditions. Unconditional, it is `write` alone. With `IfNotExists` or `IfExists` it
/// is `look`, which says whether there is an entry, and then `write` if that fits. `write` gets the class that its
/// request has (ERR-4).
///
/// Another process may write between the two. Another call of this store may not: on one key, calls with a condition
/// come one after the other, and while one is at work, the store's other writes of that key wait, as they do with
/// [`Call::share_keys`](Call::share_keys).
///
/// # Errors
/// Those of `look` and `write`; `Unavailable` with `Safe` when the deadline passes before the turn comes; `Internal`
/// for a condition on a version.
pub async fn look_then_write<L, W>(
    call: &Call<'_>,
    key: &str,
    condition: &Condition,
    look: impl FnOnce() -> L + Send,
    write: impl FnOnce(Idempotency) -> W + Send,
) -> Result<SetOutcome>
where
    L: Future<Output = Result<bool>> + Send,
    W: Future<Output = Result<()>> + Send,
{
    let (wanted, met) = match condition {
        Condition::Always => {
            let _turn = call.share_keys([key]).await?;
            write(Idempotency::Idempotent).await?;
            return Ok(SetOutcome::new(SetStatus::Stored));
        }
        Condition::IfNotExists => (false, SetStatus::Created),
        Condition::IfExists => (true, SetStatus::Updated),
        _ => return Err(Error::not_implemented("a condition")),
    };
    let _turn = call.lock_key(key).await?;
    if look().await? != wanted {
        return Ok(SetOutcome::new(SetStatus::NotMet));
    }
    // Not repeated unless certainly not applied: the first attempt may have been the one that was carried out (SET-8).
    write(Idempotency::NonIdempotent).await?;
    Ok(SetOutcome::new(met))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Remote;
    use crate::settings::RemoteSettings;
    use futures_util::{FutureExt, StreamExt, future, stream};
    use kv_api::{ErrorKind, ManualClock, Retry, Timestamp};
    use std::future::ready;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    /// A system with one key, whose every request takes a few turns of the executor.
    #[derive(Default)]
    struct System {
        exists: AtomicBool,
        requests: AtomicUsize,
    }

    impl System {
        async fn round_trip(&self) {
            for _ in 0..self.requests.fetch_add(1, Ordering::Relaxed) % 4 {
                tokio::task::yield_now().await;
            }
        }

        async fn look(&self) -> Result<bool> {
            self.round_trip().await;
            let exists = self.exists.load(Ordering::Relaxed);
            self.round_trip().await;
            Ok(exists)
        }

        async fn write(&self) -> Result<()> {
            self.round_trip().await;
            self.exists.store(true, Ordering::Relaxed);
            self.round_trip().await;
            Ok(())
        }

        async fn set(&self, remote: &Remote, condition: Condition) -> Result<SetStatus> {
            let call = remote.call();
            let outcome = look_then_write(&call, "k", &condition, || self.look(), |_| self.write()).await?;
            Ok(outcome.status())
        }
    }

    #[tokio::test]
    async fn set_6_one_store_does_not_race_with_itself() {
        let (remote, system) = (Remote::new(RemoteSettings::default()), System::default());
        let sets = (0..1000).map(|_| system.set(&remote, Condition::IfNotExists));
        let statuses: Vec<_> = stream::iter(sets).buffer_unordered(1000).collect().await;
        let created = statuses.iter().filter(|status| matches!(status, Ok(SetStatus::Created))).count();
        let not_met = statuses.iter().filter(|status| matches!(status, Ok(SetStatus::NotMet))).count();
        assert_eq!((created, not_met), (1, 999));
    }

    #[tokio::test]
    async fn set_6_an_unconditional_set_does_not_come_between_look_and_write() {
        for first in [Condition::Always, Condition::IfNotExists] {
            let (remote, system) = (Remote::new(RemoteSettings::default()), System::default());
            let second = if first == Condition::Always { Condition::IfNotExists } else { Condition::Always };
            let (first, second) = future::join(system.set(&remote, first), system.set(&remote, second)).await;
            let expected = match first.unwrap() {
                SetStatus::Stored => SetStatus::NotMet,
                // Then the other one comes after it, and not in between.
                _ => SetStatus::Stored,
            };
            assert_eq!(second.unwrap(), expected);
        }
    }

    #[test]
    fn err_4_a_turn_that_does_not_come_in_time_was_never_sent() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let remote = Remote::new(RemoteSettings::default().with_timer(Arc::new(clock.clone())));
        let holder = remote.call();
        let turn = holder.lock_key("k").now_or_never().unwrap().unwrap();
        for condition in [Condition::IfNotExists, Condition::Always] {
            let call = remote.call();
            let sent = || Error::new(ErrorKind::Internal, "sent");
            let (look, write) = (|| ready(Err(sent())), |_| ready(Err(sent())));
            let mut set = pin!(look_then_write(&call, "k", &condition, look, write));
            assert!(set.as_mut().now_or_never().is_none());
            clock.advance(Duration::from_secs(3600));
            let error = set.now_or_never().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
        }
        drop(turn);
    }
}
