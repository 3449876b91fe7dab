//! `list`: a page as a future, everything as a stream (LIST-1 to LIST-5).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Phase;
use crate::cursor::Cursor;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::listing::{self, Asked};
use crate::page::{ListItem, Page, RawPage};
use crate::walk;

/// Lists keys; see [`Store::list`](crate::Store::list). Awaited it is one [`Page`]; [`stream`](Self::stream),
/// [`pages`](Self::pages) and [`entries`](Self::entries) walk all pages.
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
    handle: &'a Arc<Handle>,
    prefix: Cow<'a, str>,
    limit: Option<usize>,
    cursor: Option<Cursor>,
    repeats_allowed: bool,
    phase: Phase<'a, RawPage>,
}

const OPERATION: &str = "list";

impl<'a> List<'a> {
    /// The most keys of a page unless [`limit`](Self::limit) says otherwise.
    pub const LIMIT_DEFAULT: usize = walk::KEYS_DEFAULT;

    pub(crate) const fn new(handle: &'a Arc<Handle>) -> Self {
        Self {
            handle,
            prefix: Cow::Borrowed(""),
            limit: None,
            cursor: None,
            repeats_allowed: false,
            phase: Phase::Fresh,
        }
    }

    /// Only keys that begin with this, literally: `*`, `?`, `[`, `%`, `_` and spaces mean themselves (LIST-1). Empty,
    /// which is the default, means all.
    pub fn prefix(mut self, prefix: impl Into<Cow<'a, str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The most keys on a page, at least 1; 1000 unless given. A page may be shorter, and longer where the list has no
    /// order: there it is a hint (LIST-1).
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

    /// All keys, page by page as they are asked for. It ends after the first error, and with `Protocol` where the
    /// system lists without end (LIST-5). It keeps the store by itself, so a function can return it.
    ///
    /// ```
    /// use futures_core::Stream;
    /// fn users(store: &kv_api::Store, group: &str) -> impl Stream<Item = kv_api::Result<kv_api::ListItem>> + use<> {
    ///     store.list().prefix(format!("{group}/")).stream()
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use futures_util::TryStreamExt;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("a/1", "").await?;
    /// let stream = users(&store, "a");
    /// drop(store);
    /// assert_eq!(stream.try_collect::<Vec<_>>().await?[0].key, "a/1");
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(self) -> impl Stream<Item = Result<ListItem>> + Send + Unpin + use<> {
        let (handle, options) = self.walked();
        walk::items(handle, options)
    }

    /// All pages, one after the other as they are asked for, each with the cursor of the page after it; the last page
    /// has none. Limit, repeats, checks and end are those of [`stream`](Self::stream), and like it this keeps the store
    /// by itself (LIST-2, LIST-5).
    ///
    /// It is for work that must not begin again: a program that stores the cursor when it is done with a page goes on
    /// there with [`cursor`](Self::cursor), after an error or in another process (LIST-3). That is a new walk, which
    /// does not know the keys of the one before: where the list has no order it can give some of them again.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use futures_util::TryStreamExt;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// for key in ["a", "b", "c"] {
    ///     store.set(key, "").await?;
    /// }
    /// let mut pages = store.list().limit(2).pages();
    /// let first = pages.try_next().await?.expect("there are keys");
    /// assert_eq!(first.items.len(), 2);
    /// let stored = first.cursor.expect("a key is left").to_string();
    ///
    /// // Later, in another process:
    /// let rest: Vec<_> = store.list().cursor(stored.parse()?).pages().try_collect().await?;
    /// assert_eq!(rest[0].items[0].key, "c");
    /// assert_eq!(rest[0].cursor, None); // the end
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pages(self) -> impl Stream<Item = Result<Page>> + Send + Unpin + use<> {
        let (handle, options) = self.walked();
        walk::pages(handle, options)
    }

    /// All entries with their keys, page by page; what vanished in between is left out (LIST-4). A page is 100 entries
    /// unless [`limit`](Self::limit) says otherwise: that many values are in memory at once. It ends as
    /// [`stream`](Self::stream) does, and like it keeps the store by itself.
    pub fn entries(self) -> impl Stream<Item = Result<(String, Entry)>> + Send + Unpin + use<> {
        let (handle, options) = self.walked();
        walk::entries(handle, options)
    }

    fn walked(self) -> (Arc<Handle>, walk::Options) {
        let Self { handle, prefix, limit, cursor, repeats_allowed, .. } = self;
        let prefix = prefix.into_owned();
        (Arc::clone(handle), walk::Options { prefix, limit, cursor, repeats_allowed, operation: OPERATION })
    }
}

impl Future for List<'_> {
    type Output = Result<Page>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, ref prefix, limit, ref cursor, ref mut phase, .. } = *self;
        let limit = limit.unwrap_or(Self::LIMIT_DEFAULT);
        let answer = ready!(phase.poll(cx, || {
            let prefix = handle.resolver().prefixed(prefix.clone());
            let scope = listing::cursor_scope(handle, &prefix);
            let position = cursor.as_ref().map(|cursor| scope.open(cursor)).transpose()?;
            let page = handle.resolver().list_full(prefix, limit, position)?;
            let call = handle.enter()?;
            Ok((handle.backend().list(page), call))
        }));
        let page = answer.map_err(Error::without_index).and_then(|raw| {
            let full_prefix = &handle.resolver().prefixed(Cow::Borrowed(prefix));
            let page = listing::shown_page(handle, Asked { full_prefix, limit, after: None }, raw)?;
            // One place always has one cursor.
            if page.cursor.is_some() && page.cursor == *cursor { Err(listing::stuck()) } else { Ok(page) }
        });
        Poll::Ready(page.map_err(|error| handle.explain_read(error, OPERATION)))
    }
}
