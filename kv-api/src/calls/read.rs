//! `get`, `get_entry` and `exists`: one read with more or fewer fields wanted (GET-1, GET-2).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Phase, Start};
use crate::entry::{Entry, Fields};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::value::Value;

#[derive(Debug)]
struct ReadCall<'a> {
    store: &'a Store,
    key: &'a str,
    phase: Phase<'a, Option<Entry>>,
}

impl<'a> ReadCall<'a> {
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>, fields: Fields, operation: &'static str) -> Poll<Result<Option<Entry>>> {
        if matches!(self.phase, Phase::Fresh)
            && let Some(answer) = at_once(self.store, self.key, fields)
        {
            self.phase = Phase::Done;
            return Poll::Ready(answer.map_err(|error| self.explain(error, operation)));
        }
        self.poll_in_full(cx, fields, operation)
    }

    /// What is not answered at once, and every refusal.
    #[inline(never)]
    fn poll_in_full(
        &mut self,
        cx: &mut Context<'_>,
        fields: Fields,
        operation: &'static str,
    ) -> Poll<Result<Option<Entry>>> {
        let Self { store, key, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let read = store.resolver().read(key, fields)?;
            let call = store.enter()?;
            Ok(Start::Waiting(store.backend().read(read), call))
        }));
        Poll::Ready(answer.map_err(|error| self.explain(error, operation)))
    }

    #[cold]
    fn explain(&self, error: Error, operation: &'static str) -> Error {
        self.store.explain(error, operation).with_key(&self.store.full(self.key))
    }
}

/// The answer of a store that need not wait. This is the whole of such a call, kept short: then the processor fetches what
/// the next call needs while this one waits for memory.
#[inline]
fn at_once(store: &Store, key: &str, fields: Fields) -> Option<Result<Option<Entry>>> {
    let read = store.resolver().read(key, fields).ok()?;
    store.check_open().ok()?;
    store.backend().read_now(&read)
}

macro_rules! read_call {
    ($(#[$doc:meta])* $name:ident, $fields:expr, $operation:literal, $output:ty, $finish:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a request does nothing until it is awaited"]
        pub struct $name<'a>(ReadCall<'a>);

        impl<'a> $name<'a> {
            pub(crate) const fn new(store: &'a Store, key: &'a str) -> Self {
                Self(ReadCall { store, key, phase: Phase::Fresh })
            }
        }

        impl Future for $name<'_> {
            type Output = Result<$output>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let answer = ready!(self.0.poll(cx, $fields, $operation));
                let finish: fn(&Store, Option<Entry>) -> $output = $finish;
                Poll::Ready(answer.map(|entry| finish(self.0.store, entry)))
            }
        }
    };
}

read_call! {
    /// Reads a value; see [`Store::get`].
    Get, Fields::Value, "get", Option<Value>, |_, entry| entry.map(Entry::into_value)
}
read_call! {
    /// Reads a whole entry; see [`Store::get_entry`].
    GetEntry, Fields::All, "get_entry", Option<Entry>, |store, entry| entry.map(|entry| store.shown_entry(entry))
}
read_call! {
    /// Idempotency whether there is a live entry; see [`Store::exists`].
    Exists, Fields::Existence, "exists", bool, |_, entry| entry.is_some()
}
