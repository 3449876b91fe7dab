//! `set`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Phase;
use super::owned::into_owned;
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
    ttl: Option<Duration>,
    options: Option<Box<SetOptions>>,
    unconditional: bool,
    phase: Phase<'a, SetOutcome>,
}

impl<'a> Set<'a> {
    pub(crate) const fn new(handle: &'a Handle, key: Cow<'a, str>, value: Result<Value>) -> Self {
        Self { handle, key, value: Some(value), ttl: None, options: None, unconditional: true, phase: Phase::Fresh }
    }

    /// The ttl of a typed view: for a request that gives no expiry (NS-4).
    pub(crate) fn default_ttl(mut self, ttl: Option<Duration>) -> Self {
        if ttl.is_some() {
            self.options().default_ttl = ttl;
        }
        self
    }

    set_options!();

    /// The answer of a store that need not wait; of another one `None`, and then it is waited for.
    #[inline]
    fn start(&mut self) -> Result<Option<SetOutcome>> {
        let handle = self.handle;
        let Some(value) = self.value.take() else { unreachable!("a request starts once") };
        let item = SetItem { key: self.key.clone(), value: value?, ttl: self.ttl, options: self.options.take() };
        let write = handle.resolver().write(item, handle.backend().clock())?;
        self.unconditional = write.is_unconditional();
        // Counted also when it is answered at once: nothing is written any more when `close` has ended (LIFE-2).
        let call = handle.enter()?;
        if let Some(answer) = handle.backend().write_now(&write) {
            return answer.map(Some);
        }
        self.phase.wait_for((handle.backend().write(write), call));
        Ok(None)
    }
}

impl Future for Set<'_> {
    type Output = Result<SetOutcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let started = if matches!(this.phase, Phase::Fresh) {
            this.phase = Phase::Done;
            this.start().transpose()
        } else {
            None
        };
        let answer = match started {
            Some(answer) => answer,
            None => ready!(this.phase.poll_started(cx)),
        };
        Poll::Ready(match answer {
            Ok(outcome) => Ok(this.handle.shown_outcome(outcome, this.unconditional)),
            Err(error) => Err(this.handle.explain_key(error, "set", &this.key)),
        })
    }
}

into_owned!(Set { value, ttl, options, unconditional } -> SetOutcome, "set");
