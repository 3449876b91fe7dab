//! What a case leaves behind: how many requests it took, and what has to be undone.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kv_api::{Error, ErrorKind, Result};
use tokio::task::JoinHandle;

use crate::harness::{Fixture, Teardown};

/// What all fixtures of one case leave behind.
#[derive(Default)]
pub(crate) struct Trail {
    requests: AtomicU64,
    /// Whether any fixture counted.
    is_counted: AtomicBool,
    undos: Mutex<Vec<Undo>>,
    /// Those that have begun: an end in the middle of the case must not end them.
    undoing: Mutex<Vec<JoinHandle<Result<()>>>>,
}

struct Undo {
    teardown: Teardown,
    /// What the fixture lived in: it has to be there until the end.
    guard: Option<Box<dyn Any + Send + Sync>>,
    /// Whether the case has done with the fixture.
    is_done: Arc<AtomicBool>,
}

impl Undo {
    fn begin(self) -> JoinHandle<Result<()>> {
        tokio::spawn(async move {
            let ended = (self.teardown)().await;
            drop(self.guard);
            ended
        })
    }
}

impl Trail {
    /// Takes the teardown out of the fixture. Gives what says that the case has done with it.
    pub(crate) fn keep_teardown(&self, fixture: &mut Fixture) -> Arc<AtomicBool> {
        let is_done = Arc::new(AtomicBool::new(false));
        if let Some(teardown) = fixture.teardown.take() {
            let undo = Undo { teardown, guard: fixture.guard.take(), is_done: Arc::clone(&is_done) };
            lock(&self.undos).push(undo);
        }
        is_done
    }

    /// Begins to undo what the case has done with: a case that opens many stores must not keep them all.
    pub(crate) fn begin_to_tear_down(&self) {
        let mut undos = lock(&self.undos);
        let (done, in_use) =
            std::mem::take(&mut *undos).into_iter().partition(|undo| undo.is_done.load(Ordering::Acquire));
        *undos = in_use;
        drop(undos);
        let done: Vec<Undo> = done;
        lock(&self.undoing).extend(done.into_iter().map(Undo::begin));
    }

    pub(crate) fn add_requests(&self, requests: u64) {
        self.is_counted.store(true, Ordering::Relaxed);
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// How many requests were sent, if they were counted.
    pub(crate) fn requests(&self) -> Option<u64> {
        self.is_counted.load(Ordering::Relaxed).then(|| self.requests.load(Ordering::Relaxed))
    }

    /// Undoes all, the newest first, each however the others end; answers the first error.
    pub(crate) async fn tear_down(&self) -> Result<()> {
        let undos = std::mem::take(&mut *lock(&self.undos));
        let mut outcome = Ok(());
        for undo in undos.into_iter().rev() {
            outcome = outcome.and(ended(undo.begin()).await);
        }
        let undoing = std::mem::take(&mut *lock(&self.undoing));
        for undoing in undoing {
            outcome = outcome.and(ended(undoing).await);
        }
        outcome
    }
}

async fn ended(undoing: JoinHandle<Result<()>>) -> Result<()> {
    undoing
        .await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, format!("a teardown did not end: {error}"))))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can panic half-way.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
