//! `increment`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::owned::into_owned;
use super::{Phase, Start};
use crate::error::Result;
use crate::handle::Handle;

/// Increments a counter; see [`Store::increment`](crate::Store::increment).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Increment<'a> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    by: i64,
    best_effort: bool,
    phase: Phase<'a, i64>,
}

impl<'a> Increment<'a> {
    pub(crate) const fn new(handle: &'a Handle, key: Cow<'a, str>, by: i64) -> Self {
        Self { handle, key, by, best_effort: false, phase: Phase::Fresh }
    }

    /// Accepts a race window for this request, where the store can do no better (SET-6).
    pub fn allow_best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }
}

impl Future for Increment<'_> {
    type Output = Result<i64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref key, by, best_effort, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let increment = handle.resolver().increment(key.clone(), by, best_effort)?;
            let call = handle.enter()?;
            Ok(Start::Waiting(handle.backend().increment(increment), call))
        }));
        Poll::Ready(answer.map_err(|error| handle.explain_key(error, "increment", key)))
    }
}

into_owned!(Increment { by, best_effort } -> i64, "increment");
