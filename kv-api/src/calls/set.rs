//! `set`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Phase, Start};
use crate::condition::Condition;
use crate::error::Result;
use crate::outcome::SetOutcome;
use crate::set_item::{SetItem, SetOptions, set_options};
use crate::store::Store;
use crate::value::Value;

/// Sets a value; see [`Store::set`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Set<'a> {
    store: &'a Store,
    key: &'a str,
    /// Taken when the request starts.
    value: Option<Result<Value>>,
    options: Option<Box<SetOptions>>,
    unconditional: bool,
    phase: Phase<'a, SetOutcome>,
}

impl<'a> Set<'a> {
    pub(crate) const fn new(store: &'a Store, key: &'a str, value: Result<Value>) -> Self {
        Self { store, key, value: Some(value), options: None, unconditional: true, phase: Phase::Fresh }
    }

    set_options!();
}

impl Future for Set<'_> {
    type Output = Result<SetOutcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { store, key, ref mut value, ref mut options, ref mut unconditional, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let Some(value) = value.take() else { unreachable!("a request starts once") };
            let item = SetItem { key: key.into(), value: value?, options: options.take() };
            let write = store.resolver().write(item, store.backend().clock())?;
            *unconditional = *write.condition() == Condition::Always;
            // Counted also when it is answered at once: nothing is written any more when `close` has ended (LIFE-2).
            let call = store.enter()?;
            match store.backend().write_now(&write) {
                Some(answer) => Ok(Start::Answered(answer)),
                None => Ok(Start::Waiting(store.backend().write(write), call)),
            }
        }));
        Poll::Ready(match answer {
            Ok(outcome) => Ok(store.shown_outcome(outcome, *unconditional)),
            Err(error) => Err(store.explain(error, "set").with_key(&store.full(key))),
        })
    }
}
