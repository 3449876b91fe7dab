//! `delete`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Phase;
use super::owned::into_owned;
use crate::error::{Error, Reason, Result};
use crate::handle::Handle;
use crate::outcome::DeleteOutcome;
use crate::version::{ExpectedVersion, Version};

/// Deletes an entry; see [`Store::delete`](crate::Store::delete).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Delete<'a> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    if_version: Option<Version>,
    conflicting: bool,
    version_missing: bool,
    best_effort: bool,
    phase: Phase<'a, DeleteOutcome>,
}

impl<'a> Delete<'a> {
    pub(crate) const fn new(handle: &'a Handle, key: Cow<'a, str>) -> Self {
        Self {
            handle,
            key,
            if_version: None,
            conflicting: false,
            version_missing: false,
            best_effort: false,
            phase: Phase::Fresh,
        }
    }

    /// Only a live entry of this version, so that a lock is released by its holder alone (DEL-2); otherwise the outcome
    /// is [`DeleteOutcome::NotMet`]. A second, different one is `InvalidArgument` when the request is carried out
    /// (SET-2), and so is `None`: without a version nothing is deleted.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::DeleteOutcome;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let mine = store.set("lock", "me").if_not_exists().await?.version().cloned().expect("memory has versions");
    /// store.set("lock", "another client").await?;
    /// assert_eq!(store.delete("lock").if_version(mine).await?, DeleteOutcome::NotMet);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn if_version(mut self, version: impl Into<ExpectedVersion>) -> Self {
        match version.into().0 {
            None => self.version_missing = true,
            Some(version) => {
                self.conflicting |= self.if_version.as_ref().is_some_and(|given| *given != version);
                self.if_version = Some(version);
            }
        }
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
        let Self { handle, ref key, ref if_version, conflicting, version_missing, best_effort, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            if conflicting {
                return Err(Error::invalid(Reason::ConflictingConditions, "two different versions were given"));
            }
            if version_missing {
                return Err(Error::invalid(Reason::NoVersionGiven, "there is no version that the entry must have"));
            }
            let delete = handle.resolver().delete(key.clone(), if_version.clone(), best_effort)?;
            let call = handle.enter()?;
            Ok((handle.backend().delete(delete), call))
        }));
        Poll::Ready(match answer {
            Ok(outcome) if if_version.is_some() => Ok(outcome),
            Ok(outcome) => Ok(handle.shown_delete(outcome)),
            Err(error) => Err(handle.explain_key(error, "delete", key)),
        })
    }
}

into_owned!(Delete { if_version, conflicting, version_missing, best_effort } -> DeleteOutcome, "delete");
