//! `get`, `get_entry` and `exists`: one read with more or fewer fields wanted (GET-1, GET-2).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Phase, Start};
use crate::entry::{Entry, Fields};
use crate::error::Result;
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
        let Self { store, key, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || start(store, key, fields)));
        Poll::Ready(answer.map_err(|error| store.explain(error, operation).with_key(&store.full(key))))
    }
}

#[inline]
fn start<'a>(store: &'a Store, key: &'a str, fields: Fields) -> Result<Start<'a, Option<Entry>>> {
    let read = store.resolver().read(key, fields)?;
    store.check_open()?;
    match store.backend().read_now(&read) {
        Some(answer) => Ok(Start::Answered(answer)),
        None => {
            let call = store.enter()?;
            Ok(Start::Waiting(store.backend().read(read), call))
        }
    }
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
    /// Asks whether there is a live entry; see [`Store::exists`].
    Exists, Fields::Existence, "exists", bool, |_, entry| entry.is_some()
}
