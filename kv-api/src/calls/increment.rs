//! `increment`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Phase;
use super::owned::into_owned;
use crate::error::Result;
use crate::expiry::MinTtl;
use crate::handle::Handle;
use crate::resolver::IncrementOptions;

/// Increments a counter; see [`Store::increment`](crate::Store::increment).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Increment<'a> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    by: i64,
    options: IncrementOptions,
    phase: Phase<'a, i64>,
}

impl<'a> Increment<'a> {
    pub(crate) fn new(handle: &'a Handle, key: Cow<'a, str>, by: i64) -> Self {
        Self { handle, key, by, options: IncrementOptions::default(), phase: Phase::Fresh }
    }

    /// When this increment creates the counter, over a missing or expired key, the same step gives it this ttl, rounded
    /// up to the store's resolution (EXP-4). A counter that exists keeps its expiry. So a counter of a window ends with
    /// its window, also when another caller deletes it or it ends meanwhile (CNT-3).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use std::time::Duration;
    /// use kv_api::EntryExpiry;
    /// const WINDOW: Duration = Duration::from_secs(60);
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// assert_eq!(store.increment("requests/ada", 1).ttl_if_created(WINDOW).await?, 1);
    /// let end = store.get_entry("requests/ada").await?.map(|entry| entry.expiry());
    /// assert!(matches!(end, Some(EntryExpiry::At(_))));
    /// assert_eq!(store.increment("requests/ada", 1).ttl_if_created(WINDOW * 9).await?, 2);
    /// assert_eq!(store.get_entry("requests/ada").await?.map(|entry| entry.expiry()), end);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl_if_created(mut self, ttl: Duration) -> Self {
        self.options.ttl_if_created = Some(ttl);
        self
    }

    /// What happens to a ttl below the store's minimum; the handle's choice unless set here (EXP-6).
    pub fn min_ttl(mut self, min_ttl: MinTtl) -> Self {
        self.options.min_ttl = Some(min_ttl);
        self
    }

    /// Accepts a race window for this request, where the store can do no better (SET-6).
    pub fn allow_best_effort(mut self) -> Self {
        self.options.best_effort = true;
        self
    }
}

impl Future for Increment<'_> {
    type Output = Result<i64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref key, by, options, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let increment = handle.resolver().increment(key.clone(), by, options, handle.backend().clock())?;
            let call = handle.enter()?;
            Ok((handle.backend().increment(increment), call))
        }));
        Poll::Ready(answer.map_err(|error| handle.explain_key(error, "increment", key)))
    }
}

into_owned!(Increment { by, options } -> i64, "increment");
