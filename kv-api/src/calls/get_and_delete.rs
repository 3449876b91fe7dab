//! `get_and_delete`, of the value or of the whole entry (GET-4).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Phase;
use super::owned::into_owned;
use crate::entry::{Entry, Fields};
use crate::error::Result;
use crate::handle::Handle;
use crate::value::Value;

/// Reads and deletes an entry in one step; see [`Store::get_and_delete`](crate::Store::get_and_delete).
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct GetAndDelete<'a, T = Value> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    fields: Fields,
    shown: fn(&Handle, Entry) -> T,
    best_effort: bool,
    phase: Phase<'a, Option<Entry>>,
}

impl<'a> GetAndDelete<'a> {
    pub(crate) fn new(handle: &'a Handle, key: Cow<'a, str>) -> Self {
        let shown = |_: &Handle, entry: Entry| entry.into_value();
        Self { handle, key, fields: Fields::Value, shown, best_effort: false, phase: Phase::Fresh }
    }

    /// Answers the whole entry: also its metadata, expiry and version, as they were before the delete.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use serde_json::json;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("job", "resize").metadata(json!({"tries": 2})).await?;
    /// let job = store.get_and_delete("job").entry().await?.expect("it was just set");
    /// assert_eq!(job.metadata().map(|metadata| metadata.as_json_text()), Some(r#"{"tries":2}"#));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entry(self) -> GetAndDelete<'a, Entry> {
        let Self { handle, key, best_effort, .. } = self;
        GetAndDelete { handle, key, fields: Fields::All, shown: Handle::shown_entry, best_effort, phase: Phase::Fresh }
    }
}

impl<T> GetAndDelete<'_, T> {
    /// Accepts a race window for this request, where the store can do no better (SET-6).
    pub fn allow_best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }
}

impl<T> Future for GetAndDelete<'_, T> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref key, fields, shown, best_effort, ref mut phase } = *self;
        let answer = ready!(phase.poll(cx, || {
            let get_and_delete = handle.resolver().get_and_delete(key.clone(), fields, best_effort)?;
            let call = handle.enter()?;
            Ok((handle.backend().get_and_delete(get_and_delete), call))
        }));
        Poll::Ready(match answer {
            Ok(entry) => Ok(entry.map(|entry| shown(handle, entry))),
            Err(error) => Err(handle.explain_key(error, "get_and_delete", key)),
        })
    }
}

into_owned!([T] GetAndDelete { fields, shown, best_effort } -> Option<T>, "get_and_delete");
