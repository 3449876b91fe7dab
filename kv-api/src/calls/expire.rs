//! `expire`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Phase;
use super::owned::into_owned;
use crate::clock::Timestamp;
use crate::error::{Error, Reason, Result};
use crate::expiry::{ExpiryPrecedence, MinTtl};
use crate::handle::Handle;
use crate::resolver::ExpireOptions;
use crate::version::ExpectedVersion;

/// Changes only the expiry of an entry; see [`Store::expire`](crate::Store::expire). One of [`ttl`](Self::ttl),
/// [`expire_at`](Self::expire_at) and [`never`](Self::never) must be given.
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Expire<'a> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    options: ExpireOptions,
    conflicting: bool,
    version_missing: bool,
    phase: Phase<'a, bool>,
}

impl<'a> Expire<'a> {
    pub(crate) fn new(handle: &'a Handle, key: Cow<'a, str>) -> Self {
        let options = ExpireOptions::default();
        Self { handle, key, options, conflicting: false, version_missing: false, phase: Phase::Fresh }
    }

    /// The entry ends this long after the backend carries this out; rounded up to its resolution (EXP-4).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// The entry ends at this time; rounded up to the backend's resolution (EXP-4). Wins over a ttl unless
    /// [`expiry_precedence`](Self::expiry_precedence) says otherwise (EXP-2).
    pub fn expire_at(mut self, at: impl Into<Timestamp>) -> Self {
        self.options.expire_at = Some(at.into());
        self
    }

    /// The entry never ends.
    pub fn never(mut self) -> Self {
        self.options.never = true;
        self
    }

    /// Which form counts when both are given; the handle's choice unless set here (EXP-2).
    pub fn expiry_precedence(mut self, precedence: ExpiryPrecedence) -> Self {
        self.options.precedence = Some(precedence);
        self
    }

    /// What happens to an expiry below the store's minimum; the handle's choice unless set here (EXP-6).
    pub fn min_ttl(mut self, min_ttl: MinTtl) -> Self {
        self.options.min_ttl = Some(min_ttl);
        self
    }

    /// Only a live entry of this version, so that a lease is renewed by its holder alone (EXP-11); otherwise the answer
    /// is `false`. A second, different one is `InvalidArgument` when the request is carried out, and so is `None`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use std::time::Duration;
    /// const LEASE: Duration = Duration::from_secs(30);
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let taken = store.set("lease", "me").ttl(LEASE).if_not_exists().await?;
    /// let mine = taken.version().cloned().expect("memory has versions");
    /// assert!(store.expire("lease").ttl(LEASE).if_version(mine.clone()).await?);
    /// store.set("lease", "another client").ttl(LEASE).await?;
    /// assert!(!store.expire("lease").ttl(LEASE).if_version(mine).await?);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn if_version(mut self, version: impl Into<ExpectedVersion>) -> Self {
        match version.into().0 {
            None => self.version_missing = true,
            Some(version) => {
                self.conflicting |= self.options.if_version.as_ref().is_some_and(|given| *given != version);
                self.options.if_version = Some(version);
            }
        }
        self
    }

    /// Accepts a race window for this request, where the store can do no better (SET-6).
    pub fn allow_best_effort(mut self) -> Self {
        self.options.best_effort = true;
        self
    }
}

impl Future for Expire<'_> {
    type Output = Result<bool>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref key, ref options, conflicting, version_missing, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            if conflicting {
                return Err(Error::invalid(Reason::ConflictingConditions, "two different versions were given"));
            }
            if version_missing {
                return Err(Error::invalid(Reason::NoVersionGiven, "there is no version that the entry must have"));
            }
            let expire = handle.resolver().expire(key.clone(), options.clone(), handle.backend().clock())?;
            let call = handle.enter()?;
            Ok((handle.backend().expire(expire), call))
        }));
        Poll::Ready(answer.map_err(|error| handle.explain_key(error, "expire", key)))
    }
}

into_owned!(Expire { options, conflicting, version_missing } -> bool, "expire");
