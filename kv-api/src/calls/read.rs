//! `get`, `get_entry` and `exists`: one read with more or fewer fields wanted (GET-1, GET-2).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Phase, Touch, owned};
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
    /// The answer of a store that need not wait, if it has not begun.
    #[inline]
    fn at_once(&mut self, fields: Fields) -> Option<Result<Option<Entry>>> {
        if !matches!(self.phase, Phase::Fresh) {
            return None;
        }
        let answer = at_once(self.handle, &self.key, fields)?;
        self.phase = Phase::Done;
        Some(answer)
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
            Ok((handle.backend().read(read), call))
        }));
        Poll::Ready(answer.map_err(|error| self.explain(error, operation)))
    }

    #[cold]
    fn explain(&self, error: Error, operation: &'static str) -> Error {
        self.handle.explain_key(error.not_applied(), operation, &self.key)
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
                let this = &mut self.0;
                let answer = match this.at_once($fields) {
                    Some(Ok(entry)) => Ok(entry),
                    Some(Err(error)) => Err(this.explain(error, $operation)),
                    None => ready!(this.poll_in_full(cx, $fields, $operation)),
                };
                let finish: fn(&Handle, Option<Entry>) -> $output = $finish;
                Poll::Ready(answer.map(|entry| finish(this.handle, entry)))
            }
        }
    };
}

impl<'a> Get<'a> {
    /// Gives the entry this ttl in the same step, rounded up to the store's resolution (EXP-4), whatever expiry it has.
    /// A missing entry is `None`, and nothing is created (EXP-12). As `expire` does, it asks for a step: its outcome can
    /// be unknown (ERR-4).
    ///
    /// # Errors
    /// `Unsupported` where the store does not support it; as [`Store::get`](crate::Store::get), and `InvalidArgument`
    /// for a ttl that is not acceptable (EXP-5, EXP-6).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use std::time::Duration;
    /// use kv_api::{EntryExpiry, Value};
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("session", "Ada").await?;
    /// assert_eq!(store.get("session").touch(Duration::from_secs(1800)).await?, Some(Value::from("Ada")));
    /// let entry = store.get_entry("session").await?.expect("it was just read");
    /// assert!(matches!(entry.expiry(), EntryExpiry::At(_)));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn touch(self, ttl: Duration) -> Touch<'a> {
        Touch::value(self.0.handle, self.0.key, ttl)
    }

    /// Adds to an error of what was read which request it was.
    pub(crate) fn explain(&self, error: Error, operation: &'static str) -> Error {
        self.0.explain(error, operation)
    }
}

impl<'a> GetEntry<'a> {
    /// Gives the entry this ttl in the same step, as [`Get::touch`] does; the expiry that is answered is the new one.
    pub fn touch(self, ttl: Duration) -> Touch<'a, Entry> {
        Touch::entry(self.0.handle, self.0.key, ttl)
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
