//! `delete`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Phase, Start};
use crate::error::{Error, Reason, Result};
use crate::outcome::DeleteOutcome;
use crate::store::Store;
use crate::version::Version;

/// Deletes an entry; see [`Store::delete`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Delete<'a> {
    store: &'a Store,
    key: &'a str,
    if_version: Option<Version>,
    conflicting: bool,
    best_effort: bool,
    phase: Phase<'a, DeleteOutcome>,
}

impl<'a> Delete<'a> {
    pub(crate) const fn new(store: &'a Store, key: &'a str) -> Self {
        Self { store, key, if_version: None, conflicting: false, best_effort: false, phase: Phase::Fresh }
    }

    /// Only a live entry of this version, so that a lock is released by its holder alone (DEL-2); otherwise the outcome is
    /// [`DeleteOutcome::NotMet`]. A second, different one is `InvalidArgument` when the request is carried out (SET-2).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::DeleteOutcome;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let mine = store.set("lock", "me").if_not_exists().await?.version().cloned().expect("memory has versions");
    /// store.set("lock", "somebody else").await?;
    /// assert_eq!(store.delete("lock").if_version(mine).await?, DeleteOutcome::NotMet);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn if_version(mut self, version: Version) -> Self {
        self.conflicting |= self.if_version.as_ref().is_some_and(|given| *given != version);
        self.if_version = Some(version);
        self
    }

    /// Accepts a race window for this request, where the store can do no better (SET-6).
    pub fn allow_best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }
}

impl Future for Delete<'_> {
    type Output = Result<DeleteOutcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { store, key, ref if_version, conflicting, best_effort, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            if conflicting {
                return Err(Error::invalid(Reason::ConflictingConditions, "two different versions were given"));
            }
            let delete = store.resolver().delete(key, if_version.clone(), best_effort)?;
            let call = store.enter()?;
            Ok(Start::Waiting(store.backend().delete(delete), call))
        }));
        Poll::Ready(match answer {
            Ok(outcome) if if_version.is_some() => Ok(outcome),
            Ok(outcome) => Ok(store.shown_delete(outcome)),
            Err(error) => Err(store.explain(error, "delete").with_key(&store.full(key))),
        })
    }
}
