//! `set`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::owned::into_owned;
use super::{Phase, Start};
use crate::error::Result;
use crate::handle::Handle;
use crate::outcome::SetOutcome;
use crate::set_item::{SetItem, SetOptions, set_options};
use crate::value::Value;

/// Sets a value; see [`Store::set`](crate::Store::set).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Set<'a> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    /// Taken when the request starts.
    value: Option<Result<Value>>,
    options: Option<Box<SetOptions>>,
    unconditional: bool,
    phase: Phase<'a, SetOutcome>,
}

impl<'a> Set<'a> {
    pub(crate) const fn new(handle: &'a Handle, key: Cow<'a, str>, value: Result<Value>) -> Self {
        Self { handle, key, value: Some(value), options: None, unconditional: true, phase: Phase::Fresh }
    }

    /// The ttl of a typed view: for a request that gives no expiry (NS-4).
    pub(crate) fn default_ttl(mut self, ttl: Option<Duration>) -> Self {
        if ttl.is_some() {
            self.options().default_ttl = ttl;
        }
        self
    }

    set_options!();
}

impl Future for Set<'_> {
    type Output = Result<SetOutcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref key, ref mut value, ref mut options, ref mut unconditional, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let Some(value) = value.take() else { unreachable!("a request starts once") };
            let item = SetItem { key: key.clone(), value: value?, options: options.take() };
            let write = handle.resolver().write(item, handle.backend().clock())?;
            *unconditional = write.is_unconditional();
            // Counted also when it is answered at once: nothing is written any more when `close` has ended (LIFE-2).
            let call = handle.enter()?;
            match handle.backend().write_now(&write) {
                Some(answer) => Ok(Start::Answered(answer)),
                None => Ok(Start::Waiting(handle.backend().write(write), call)),
            }
        }));
        Poll::Ready(match answer {
            Ok(outcome) => Ok(handle.shown_outcome(outcome, *unconditional)),
            Err(error) => Err(handle.explain_key(error, "set", key)),
        })
    }
}

into_owned!(Set { value, options, unconditional } -> SetOutcome, "set");
