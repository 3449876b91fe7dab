//! A walk over a list, one item after the other.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use kv_api::Result;

use super::runtime::Runtime;

/// What a list gives, one after the other: an iterator that waits where its next page is not there yet. It ends after
/// the first error.
#[must_use = "an iterator does nothing until it is asked"]
pub struct Walk<T> {
    // Dropped in this order: the store before the runtime in which it was opened.
    stream: Pin<Box<dyn Stream<Item = Result<T>> + Send>>,
    runtime: Arc<Runtime>,
}

impl<T> Walk<T> {
    pub(super) fn new(runtime: &Arc<Runtime>, stream: impl Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self { stream: Box::pin(stream), runtime: Arc::clone(runtime) }
    }
}

impl<T> Iterator for Walk<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { stream, runtime } = self;
        runtime.wait(poll_fn(|cx| stream.as_mut().poll_next(cx)))
    }
}

impl<T> fmt::Debug for Walk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").finish_non_exhaustive()
    }
}
