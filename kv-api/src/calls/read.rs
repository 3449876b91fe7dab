//! `get`, `get_entry` and `exists`: one read with more or fewer fields wanted (GET-1, GET-2).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Phase, Start, owned};
use crate::entry::{Entry, Fields};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::value::Value;

#[derive(Debug)]
struct ReadCall<'a> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    phase: Phase<'a, Option<Entry>>,
}

impl<'a> ReadCall<'a> {
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>, fields: Fields, operation: &'static str) -> Poll<Result<Option<Entry>>> {
        let answered = if matches!(self.phase, Phase::Fresh) { at_once(self.handle, &self.key, fields) } else { None };
        if let Some(answer) = answered {
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
        let Self { handle, ref key, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let read = handle.resolver().read(key.clone(), fields)?;
            let call = handle.enter()?;
            Ok(Start::Waiting(handle.backend().read(read), call))
        }));
        Poll::Ready(answer.map_err(|error| self.explain(error, operation)))
    }

    #[cold]
    fn explain(&self, error: Error, operation: &'static str) -> Error {
        self.handle.explain_key(error.of_read(), operation, &self.key)
    }
}

/// The answer of a store that need not wait. This is the whole of such a call, kept short: then the processor fetches
/// what the next call needs while this one waits for memory.
#[inline]
fn at_once(handle: &Handle, key: &str, fields: Fields) -> Option<Result<Option<Entry>>> {
    let read = handle.resolver().read(key, fields).ok()?;
    handle.check_open().ok()?;
    handle.backend().read_now(&read)
}

macro_rules! read_call {
    ($(#[$doc:meta])* $name:ident, $fields:expr, $operation:literal, $output:ty, $finish:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a request does nothing until it is awaited"]
        pub struct $name<'a>(ReadCall<'a>);

        impl<'a> $name<'a> {
            pub(crate) const fn new(handle: &'a Handle, key: Cow<'a, str>) -> Self {
                Self(ReadCall { handle, key, phase: Phase::Fresh })
            }
        }

        impl $name<'_> {
            /// The same request as a future that borrows nothing: it keeps the store by itself, so it can be spawned or
            /// returned. It does nothing until it is polled.
            ///
            /// # Errors
            /// As the request; `InvalidArgument` when it was polled before.
            pub fn into_owned(self) -> impl Future<Output = Result<$output>> + Send + use<> {
                let ReadCall { handle, key, phase } = self.0;
                let kept = owned::keep(handle, key, phase, $operation);
                async move {
                    let (handle, key) = kept?;
                    $name::new(&handle, key).await
                }
            }
        }

        impl Future for $name<'_> {
            type Output = Result<$output>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let answer = ready!(self.0.poll(cx, $fields, $operation));
                let finish: fn(&Handle, Option<Entry>) -> $output = $finish;
                Poll::Ready(answer.map(|entry| finish(self.0.handle, entry)))
            }
        }
    };
}

impl Get<'_> {
    /// Adds to an error of what was read which request it was.
    pub(crate) fn explain(&self, error: Error, operation: &'static str) -> Error {
        self.0.explain(error, operation)
    }
}

read_call! {
    /// Reads a value; see [`Store::get`](crate::Store::get).
    Get, Fields::Value, "get", Option<Value>, |_, entry| entry.map(Entry::into_value)
}
read_call! {
    /// Reads a whole entry; see [`Store::get_entry`](crate::Store::get_entry).
    GetEntry, Fields::All, "get_entry", Option<Entry>, |handle, entry| entry.map(|entry| handle.shown_entry(entry))
}
read_call! {
    /// Asks whether there is a live entry; see [`Store::exists`](crate::Store::exists).
    Exists, Fields::Existence, "exists", bool, |_, entry| entry.is_some()
}
