//! `list`: a page as a future, everything as a stream (LIST-1 to LIST-4).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::{Phase, Start};
use crate::cursor::Cursor;
use crate::entry::Entry;
use crate::error::Result;
use crate::page::{ListItem, Page, RawPage};
use crate::store::Store;
use crate::walk;

/// Lists keys; see [`Store::list`]. Awaited it is one [`Page`]; [`stream`](Self::stream) and
/// [`entries`](Self::entries) walk all pages.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
/// for key in ["user/1", "user/2", "user/3", "users"] {
///     store.set(key, "").await?;
/// }
/// let page = store.list().prefix("user/").limit(2).await?;
/// assert_eq!(page.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["user/1", "user/2"]);
/// let rest = store.list().prefix("user/").cursor(page.cursor.expect("one is left")).await?;
/// assert_eq!(rest.items[0].key, "user/3");
/// assert_eq!(rest.cursor, None); // the end
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct List<'a> {
    pub(crate) store: &'a Store,
    pub(crate) prefix: Cow<'a, str>,
    pub(crate) limit: Option<usize>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) repeats_allowed: bool,
    /// What an error names as the operation: whatever walks the list.
    pub(crate) operation: &'static str,
    phase: Phase<'a, RawPage>,
}

impl<'a> List<'a> {
    /// The most keys of a page unless [`limit`](Self::limit) says otherwise.
    pub const LIMIT_DEFAULT: usize = 1000;

    pub(crate) const fn new(store: &'a Store, operation: &'static str) -> Self {
        Self {
            store,
            prefix: Cow::Borrowed(""),
            limit: None,
            cursor: None,
            repeats_allowed: false,
            operation,
            phase: Phase::Fresh,
        }
    }

    /// Only keys that begin with this, literally: `*`, `?`, `[`, `%`, `_` and spaces mean themselves (LIST-1). Empty,
    /// which is the default, means all.
    pub fn prefix(mut self, prefix: impl Into<Cow<'a, str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The most keys on a page, at least 1; 1000 unless given. A page may be shorter, and longer where the list has no order:
    /// there it is a hint (LIST-1).
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Goes on where the page that gave this cursor ended, in this process or another (LIST-3). The prefix must be the
    /// same.
    pub fn cursor(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// Lets the streams repeat a key across pages where the store cannot exclude it (LIST-2), and so remember nothing.
    /// Without it, 16 bytes are remembered for each key of an unordered store.
    pub const fn allow_repeats(mut self) -> Self {
        self.repeats_allowed = true;
        self
    }

    /// All keys, page by page as they are asked for. It ends after the first error.
    pub fn stream(self) -> impl Stream<Item = Result<ListItem>> + Send + Unpin + 'a {
        walk::items(self)
    }

    /// All entries with their keys, page by page; what vanished in between is left out (LIST-4). A page is 100 entries
    /// unless [`limit`](Self::limit) says otherwise: that many values are in memory at once. It ends after the first
    /// error.
    pub fn entries(self) -> impl Stream<Item = Result<(String, Entry)>> + Send + Unpin + 'a {
        walk::entries(self)
    }
}

impl Future for List<'_> {
    type Output = Result<Page>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { store, ref prefix, limit, ref cursor, operation, ref mut phase, .. } = *self;
        let limit = limit.unwrap_or(Self::LIMIT_DEFAULT);
        let answer = ready!(phase.poll(cx, || {
            let prefix = store.resolver().prefixed(prefix.clone());
            let position = cursor.as_ref().map(|cursor| walk::cursor_scope(store, &prefix).open(cursor)).transpose()?;
            let page = store.resolver().list_full(prefix, limit, position)?;
            let call = store.enter()?;
            Ok(Start::Waiting(store.backend().list(page), call))
        }));
        let page =
            answer.and_then(|raw| walk::shown_page(store, &store.resolver().prefixed(Cow::Borrowed(prefix)), raw));
        Poll::Ready(page.map_err(|error| store.explain(error, operation)))
    }
}
