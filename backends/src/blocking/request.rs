//! A call that a thread can wait for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kv_api::calls::{Delete, Expire, Get, GetAndDelete, GetEntry, GetOrSet, Increment, List, Set, Touch, Update};
use kv_api::{
    Condition, Cursor, Entry, ExpectedVersion, ExpiryPrecedence, IntoMetadata, ListItem, MinTtl, Page, Timestamp,
};

use super::runtime::Runtime;
use super::walk::Walk;

/// A call of a [`BlockingStore`](super::BlockingStore). It has the options of the call in kv-api that it stands for,
/// does nothing before [`wait`](Self::wait), and is given up when it is dropped.
#[derive(Debug)]
#[must_use = "a request does nothing until it is waited for"]
pub struct Request<'a, C> {
    runtime: &'a Arc<Runtime>,
    call: C,
}

impl<'a, C> Request<'a, C> {
    pub(super) const fn new(runtime: &'a Arc<Runtime>, call: C) -> Self {
        Self { runtime, call }
    }

    fn map(self, change: impl FnOnce(C) -> C) -> Self {
        Self { runtime: self.runtime, call: change(self.call) }
    }
}

impl<C: Future> Request<'_, C> {
    /// Carries it out, and blocks this thread until it has ended.
    ///
    /// # Errors
    /// Those of the call.
    #[allow(clippy::missing_errors_doc, reason = "the output is that of the call")]
    pub fn wait(self) -> C::Output {
        self.runtime.wait(self.call)
    }
}

/// Hands the options of a call through, each with the name that it has there.
macro_rules! options {
    ([$($generics:tt)*] $call:ty, $name:literal: $($option:ident($($argument:ident: $type:ty)?);)+) => {
        impl<'a, $($generics)*> Request<'a, $call> {
            $(
                #[doc = concat!("As [`", $name, "::", stringify!($option), "`](kv_api::calls::", $name, "::",
                    stringify!($option), ").")]
                pub fn $option(self $(, $argument: $type)?) -> Self {
                    self.map(|call| call.$option($($argument)?))
                }
            )+
        }
    };
}

options! { [] Set<'a>, "Set":
    ttl(ttl: Duration);
    expire_at(at: impl Into<Timestamp>);
    expiry_precedence(precedence: ExpiryPrecedence);
    min_ttl(min_ttl: MinTtl);
    metadata(metadata: impl IntoMetadata);
    if_not_exists();
    if_exists();
    if_version(version: impl Into<ExpectedVersion>);
    condition(condition: Condition);
    allow_best_effort();
}

options! { [] Delete<'a>, "Delete":
    if_version(version: impl Into<ExpectedVersion>);
    allow_best_effort();
}

options! { [] Expire<'a>, "Expire":
    ttl(ttl: Duration);
    expire_at(at: impl Into<Timestamp>);
    never();
    expiry_precedence(precedence: ExpiryPrecedence);
    min_ttl(min_ttl: MinTtl);
    if_version(version: impl Into<ExpectedVersion>);
    allow_best_effort();
}

options! { [T] Touch<'a, T>, "Touch":
    min_ttl(min_ttl: MinTtl);
    allow_best_effort();
}

options! { [T] GetAndDelete<'a, T>, "GetAndDelete":
    allow_best_effort();
}

options! { [] Increment<'a>, "Increment":
    ttl_if_created(ttl: Duration);
    min_ttl(min_ttl: MinTtl);
    allow_best_effort();
}

options! { [E] Update<'a, E>, "Update":
    attempts(attempts: u32);
    never();
    ttl_if_created(ttl: Duration);
    ttl(ttl: Duration);
    expire_at(at: impl Into<Timestamp>);
    expiry_precedence(precedence: ExpiryPrecedence);
    min_ttl(min_ttl: MinTtl);
    metadata(metadata: impl IntoMetadata);
    allow_best_effort();
}

options! { [T, E] GetOrSet<'a, T, E>, "GetOrSet":
    ttl(ttl: Duration);
    expire_at(at: impl Into<Timestamp>);
    expiry_precedence(precedence: ExpiryPrecedence);
    min_ttl(min_ttl: MinTtl);
    metadata(metadata: impl IntoMetadata);
    allow_best_effort();
}

options! { [] List<'a>, "List":
    prefix(prefix: impl Into<std::borrow::Cow<'a, str>>);
    limit(limit: usize);
    cursor(cursor: Cursor);
    allow_repeats();
}

impl<'a> Request<'a, Get<'a>> {
    /// As [`Get::touch`].
    pub fn touch(self, ttl: Duration) -> Request<'a, Touch<'a>> {
        Request { runtime: self.runtime, call: self.call.touch(ttl) }
    }
}

impl<'a> Request<'a, GetEntry<'a>> {
    /// As [`GetEntry::touch`].
    pub fn touch(self, ttl: Duration) -> Request<'a, Touch<'a, Entry>> {
        Request { runtime: self.runtime, call: self.call.touch(ttl) }
    }
}

impl<'a> Request<'a, GetAndDelete<'a>> {
    /// As [`GetAndDelete::entry`].
    pub fn entry(self) -> Request<'a, GetAndDelete<'a, Entry>> {
        Request { runtime: self.runtime, call: self.call.entry() }
    }
}

impl Request<'_, List<'_>> {
    /// All keys, as [`List::stream`](kv_api::calls::List::stream) gives them. It keeps the store by itself.
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// let store = kv_backends::blocking::BlockingStore::open("memory:")?;
    /// for key in ["user/1", "user/2", "users"] {
    ///     store.set(key, "").wait()?;
    /// }
    /// let keys: Vec<String> =
    ///     store.list().prefix("user/").iter().map(|item| Ok(item?.key)).collect::<kv_backends::Result<_>>()?;
    /// assert_eq!(keys, ["user/1", "user/2"]);
    /// # }
    /// # Ok::<(), kv_backends::Error>(())
    /// ```
    pub fn iter(self) -> Walk<ListItem> {
        Walk::new(self.runtime, self.call.stream())
    }

    /// All pages, as [`List::pages`](kv_api::calls::List::pages) gives them. It keeps the store by itself.
    pub fn pages(self) -> Walk<Page> {
        Walk::new(self.runtime, self.call.pages())
    }

    /// All entries with their keys, as [`List::entries`](kv_api::calls::List::entries) gives them. It keeps the store
    /// by itself.
    pub fn entries(self) -> Walk<(String, Entry)> {
        Walk::new(self.runtime, self.call.entries())
    }
}
