//! Bugs that show only where several callers meet, or where an answer was lost: each call by itself is right.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kv_api::{Delete, DeleteOutcome, Entry, Increment, Result, SetOutcome, SetStatus, WriteParts};
use tokio::task::yield_now;

use super::bug::Bug;
use super::system::{Data, Record, Reference};

/// What they keep between calls.
#[derive(Debug, Default)]
pub(super) struct Races {
    /// What was read, until it is written.
    kept: Mutex<HashMap<String, Option<Record>>>,
    /// Increments without an answer: key and step.
    unanswered: Mutex<Vec<(String, i64)>>,
    /// What was there before a write without an answer.
    before: Mutex<Option<(String, Option<Record>)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So that others come between.
async fn a_moment() {
    for _ in 0..4 {
        yield_now().await;
    }
}

impl Races {
    pub(super) fn forget_all(&self) {
        lock(&self.kept).clear();
    }
}

impl Reference {
    /// A read that keeps what it has found.
    pub(super) async fn read_what_is_kept(&self, key: &str) -> Result<Option<Entry>> {
        self.exchange(|data| {
            let mut kept = lock(&self.system.races.kept);
            let record = kept.entry(self.kept_as(key)).or_insert_with(|| self.live(data, key).cloned());
            self.found(record.as_ref().filter(|record| self.is_live(record)))
        })
        .await
    }

    /// A read after which a write without an answer is undone.
    pub(super) async fn read_for_the_last_time(&self, key: &str) -> Result<Option<Entry>> {
        self.request(|data| {
            let found = self.found(self.live(data, key));
            match lock(&self.system.races.before).take_if(|(written, _)| written == key) {
                Some((key, Some(record))) => drop(data.insert(self.key(&key), record)),
                Some((key, None)) => drop(data.remove(&self.key(&key))),
                None => {}
            }
            found
        })
        .await
    }

    fn kept_as(&self, key: &str) -> String {
        format!("{}/{key}", self.scope)
    }

    /// Whether there is an entry, without a request of its own.
    fn peek(&self, key: &str) -> bool {
        self.lock().get(&self.place).is_some_and(|data| self.live(data, key).is_some())
    }

    /// A set with one of the bugs.
    pub(super) async fn set_among_others(&self, parts: WriteParts<'_>) -> Result<SetOutcome> {
        let key = parts.key.clone().into_owned();
        match self.bug {
            // Forgets what is kept of the key before it writes, and not after.
            Some(Bug::KeepsWhatIsBeingWritten) => {
                lock(&self.system.races.kept).remove(&self.kept_as(&key));
                a_moment().await;
                self.exchange(|data| Ok(self.put(data, parts))).await
            }
            // Says of what it has written over what it saw before.
            Some(Bug::SetLooksForItsOutcome) => {
                let was_there = self.peek(&key);
                a_moment().await;
                let outcome = self.request(|data| Ok(self.put(data, parts))).await?;
                let status = if was_there { SetStatus::Updated } else { SetStatus::Created };
                Ok(match (outcome.is_written(), outcome.version().cloned()) {
                    (true, Some(version)) => SetOutcome::new(status).with_version(version),
                    _ => outcome,
                })
            }
            // A write without an answer is seen, and then undone, as by a leader that is replaced.
            _ => {
                lock(&self.system.races.before).take();
                let mut before = None;
                let result = self
                    .request(|data| {
                        before = Some((key.clone(), data.get(&self.key(&key)).cloned()));
                        Ok(self.put(data, parts))
                    })
                    .await;
                if matches!(&result, Err(error) if error.is_outcome_unknown()) {
                    *lock(&self.system.races.before) = before;
                }
                result
            }
        }
    }

    /// Says of what it has deleted what it saw before.
    pub(super) async fn delete_that_looks_for_its_outcome(&self, delete: &Delete<'_>) -> Result<DeleteOutcome> {
        let was_there = self.peek(delete.key());
        a_moment().await;
        self.request(|data| Ok(self.remove(data, delete))).await?;
        Ok(if was_there { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound })
    }

    /// Sends with its own step what was left without an answer before.
    pub(super) async fn increment_with_what_was_unanswered(&self, increment: &Increment<'_>) -> Result<i64> {
        let again = std::mem::take(&mut *lock(&self.system.races.unanswered));
        let send = |data: &mut Data| {
            for (key, by) in &again {
                if let Some(record) = data.get_mut(key)
                    && let Some(count) = record.value.as_i64()
                {
                    record.value = (count + by).into();
                }
            }
            self.count(data, increment)
        };
        let result = self.request(send).await;
        if matches!(&result, Err(error) if error.is_outcome_unknown()) {
            lock(&self.system.races.unanswered).push((self.key(increment.key()), increment.by()));
        }
        result
    }
}
