//! What a case leaves behind: how many requests it took, and what has to be undone.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kv_api::Result;

use crate::harness::{Fixture, Teardown};

/// What all fixtures of one case leave behind.
#[derive(Default)]
pub(crate) struct Trail {
    requests: AtomicU64,
    /// Whether any fixture counted.
    is_counted: AtomicBool,
    teardowns: Mutex<Vec<Undo>>,
}

struct Undo {
    teardown: Teardown,
    /// What the fixture lived in: it has to be there until the end.
    guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Trail {
    /// Takes the teardown out of the fixture.
    pub(crate) fn keep_teardown(&self, fixture: &mut Fixture) {
        if let Some(teardown) = fixture.teardown.take() {
            let undo = Undo { teardown, guard: fixture.guard.take() };
            self.teardowns.lock().unwrap_or_else(PoisonError::into_inner).push(undo);
        }
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
        let undos = std::mem::take(&mut *self.teardowns.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outcome = Ok(());
        for undo in undos.into_iter().rev() {
            let ended = (undo.teardown)().await;
            drop(undo.guard);
            outcome = outcome.and(ended);
        }
        outcome
    }
}
