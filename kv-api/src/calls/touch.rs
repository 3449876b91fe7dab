//! `touch`: a read that gives the entry a new ttl (EXP-12).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Phase;
use super::owned::into_owned;
use crate::entry::{Entry, Fields};
use crate::error::Result;
use crate::expiry::MinTtl;
use crate::handle::Handle;
use crate::resolver::TouchOptions;
use crate::value::Value;

/// Reads an entry and gives it a new ttl in one step; see [`Get::touch`](crate::calls::Get::touch).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Touch<'a, T = Value> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    fields: Fields,
    shown: fn(&Handle, Entry) -> T,
    options: TouchOptions,
    phase: Phase<'a, Option<Entry>>,
}

impl<'a> Touch<'a> {
    pub(crate) fn value(handle: &'a Handle, key: Cow<'a, str>, ttl: Duration) -> Self {
        let shown = |_: &Handle, entry: Entry| entry.into_value();
        Self { handle, key, fields: Fields::Value, shown, options: TouchOptions::new(ttl), phase: Phase::Fresh }
    }
}

impl<'a> Touch<'a, Entry> {
    pub(crate) fn entry(handle: &'a Handle, key: Cow<'a, str>, ttl: Duration) -> Self {
        let (fields, shown) = (Fields::All, Handle::shown_entry);
        Self { handle, key, fields, shown, options: TouchOptions::new(ttl), phase: Phase::Fresh }
    }
}

impl<T> Touch<'_, T> {
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

impl<T> Future for Touch<'_, T> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref key, fields, shown, options, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let touch = handle.resolver().touch(key.clone(), fields, options, handle.backend().clock())?;
            let call = handle.enter()?;
            Ok((handle.backend().touch(touch), call))
        }));
        Poll::Ready(match answer {
            Ok(entry) => Ok(entry.map(|entry| shown(handle, entry))),
            Err(error) => Err(handle.explain_key(error, "touch", key)),
        })
    }
}

into_owned!([T] Touch { fields, shown, options } -> Option<T>, "touch");
