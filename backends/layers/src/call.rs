//! A call on a backend as an observer sees it: what is asked, and how it ended. Never a value.

use std::fmt;

use kv_api::{
    BatchOutcome, Delete, DeleteMany, DeleteOutcome, Entry, Error, Expire, GetAndDelete, Increment, ListPage, RawPage,
    Read, ReadMany, Result, SetOutcome, SetStatus, Touch, Write, WriteMany,
};

macro_rules! operations {
    ($($(#[$doc:meta])* $operation:ident is $name:literal,)*) => {
        /// What a call does, by the name of the store's method for it.
        ///
        /// ```
        /// use kv_layers::Operation;
        /// assert_eq!(Operation::SetMany.to_string(), "set_many");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $($(#[$doc])* $operation,)*
        }

        impl Operation {
            /// In the order of their numbers.
            #[cfg(feature = "metrics")]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$operation,)*];

            /// The name, in snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name,)*
                }
            }
        }
    };
}

operations! {
    /// A read of one entry, or of a part of it: `get`, `get_entry`, `exists`.
    Get is "get",
    /// A read of many entries.
    GetMany is "get_many",
    /// A set.
    Set is "set",
    /// Sets of many entries.
    SetMany is "set_many",
    /// Sets of many entries, all or nothing.
    SetManyAllOrNothing is "set_many_all_or_nothing",
    /// A delete.
    Delete is "delete",
    /// Deletes of many entries.
    DeleteMany is "delete_many",
    /// A page of a list.
    List is "list",
    /// An increment.
    Increment is "increment",
    /// A change of only the expiry.
    Expire is "expire",
    /// A read that changes the expiry.
    Touch is "touch",
    /// A read that deletes the entry.
    GetAndDelete is "get_and_delete",
    /// The check that the system answers.
    Ping is "ping",
    /// The end of the store.
    Close is "close",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    status: &'static str,
    error: Option<&'a Error>,
    failed: usize,
    returned: Option<usize>,
}

impl<'a> Outcome<'a> {
    const fn of(status: &'static str) -> Self {
        Self { status, error: None, failed: 0, returned: None }
    }

    const fn failed_with(error: &'a Error) -> Self {
        Self { status: "failed", error: Some(error), failed: 0, returned: None }
    }

    /// Of a call whose future was dropped before it ended.
    pub(crate) const fn cancelled() -> Self {
        Self::of("cancelled")
    }

    const fn with_returned(mut self, entries: usize) -> Self {
        self.returned = Some(entries);
        self
    }

    #[cfg(feature = "traced")]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.status == Self::cancelled().status
    }

    /// One word: `found`, `missing` of a read; `created`, `updated`, `stored`, `not_met` of a set; `deleted`,
    /// `not_found`, `accepted`, `not_met` of a delete; `changed`, `missing` of `expire`; `written`, `not_met` of a
    /// batch that is all or nothing; `partly_failed` of another batch in which items failed; `done` of everything else
    /// that succeeded. `failed` of a call that failed; `cancelled` of one whose future was dropped before it ended.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        self.status
    }

    /// The error, if the call failed. Of a batch in which items failed, the error of the first of them.
    #[must_use]
    pub const fn error(&self) -> Option<&'a Error> {
        self.error
    }

    /// How many items of a batch failed; 0 for everything else.
    #[must_use]
    pub const fn failed_items(&self) -> usize {
        self.failed
    }

    /// How many entries, or keys of a list, a read gave; `None` for what is no read, and for a read that failed.
    #[must_use]
    pub const fn returned(&self) -> Option<usize> {
        self.returned
    }
}

/// What is asked: a resolved request, or one of the calls without.
pub(crate) trait Request: Send {
    const OPERATION: Operation;

    /// Hands over each key in its order.
    fn each_key<'s>(&'s self, see: &mut dyn FnMut(&'s str)) {
        let _ = see;
    }

    /// The prefix of a list.
    fn prefix(&self) -> Option<&str> {
        None
    }

    /// How many items a batch has; `None` for what is no batch.
    fn batch_size(&self) -> Option<usize> {
        None
    }
}

macro_rules! request_with_a_key {
    ($($request:ident is $operation:ident;)*) => {$(
        impl Request for $request<'_> {
            const OPERATION: Operation = Operation::$operation;

            fn each_key<'s>(&'s self, see: &mut dyn FnMut(&'s str)) {
                see(self.key());
            }
        }
    )*};
}
request_with_a_key! {
    Read is Get;
    Write is Set;
    Delete is Delete;
    Increment is Increment;
    Expire is Expire;
    Touch is Touch;
    GetAndDelete is GetAndDelete;
}

macro_rules! request_with_keys {
    ($($request:ident is $operation:ident;)*) => {$(
        impl Request for $request<'_> {
            const OPERATION: Operation = Operation::$operation;

            fn each_key<'s>(&'s self, see: &mut dyn FnMut(&'s str)) {
                self.keys().iter().for_each(|key| see(key));
            }

            fn batch_size(&self) -> Option<usize> {
                Some(self.keys().len())
            }
        }
    )*};
}
request_with_keys! {
    ReadMany is GetMany;
    DeleteMany is DeleteMany;
}

impl Request for WriteMany<'_> {
    const OPERATION: Operation = Operation::SetMany;

    fn each_key<'s>(&'s self, see: &mut dyn FnMut(&'s str)) {
        self.writes().iter().for_each(|write| see(write.key()));
    }

    fn batch_size(&self) -> Option<usize> {
        Some(self.writes().len())
    }
}

/// A [`WriteMany`] that is all or nothing.
pub(crate) struct AllOrNothing<'a>(pub(crate) WriteMany<'a>);

impl Request for AllOrNothing<'_> {
    const OPERATION: Operation = Operation::SetManyAllOrNothing;

    fn each_key<'s>(&'s self, see: &mut dyn FnMut(&'s str)) {
        self.0.each_key(see);
    }

    fn batch_size(&self) -> Option<usize> {
        self.0.batch_size()
    }
}

impl Request for ListPage<'_> {
    const OPERATION: Operation = Operation::List;

    fn prefix(&self) -> Option<&str> {
        Some(Self::prefix(self))
    }
}

pub(crate) struct Ping;

impl Request for Ping {
    const OPERATION: Operation = Operation::Ping;
}

pub(crate) struct Close;

impl Request for Close {
    const OPERATION: Operation = Operation::Close;
}

/// What is answered.
pub(crate) trait Answer: Send {
    fn outcome(&self) -> Outcome<'_>;

    /// The answer to a request of so many items that is refused.
    fn refused(error: Error, items: usize) -> Self;
}

impl<T: Success + Send> Answer for Result<T> {
    fn outcome(&self) -> Outcome<'_> {
        match self {
            Ok(success) => success.outcome(),
            Err(error) => Outcome::failed_with(error),
        }
    }

    fn refused(error: Error, _: usize) -> Self {
        Err(error)
    }
}

/// One result for each item.
impl<T: Send> Answer for Vec<Result<T>> {
    fn outcome(&self) -> Outcome<'_> {
        let mut errors = self.iter().filter_map(|result| result.as_ref().err());
        match errors.next() {
            None => Outcome::of("done"),
            Some(first) => {
                let failed = errors.count() + 1;
                let status = if failed == self.len() { "failed" } else { "partly_failed" };
                Outcome { failed, ..Outcome { status, ..Outcome::failed_with(first) } }
            }
        }
    }

    fn refused(error: Error, items: usize) -> Self {
        (0..items).map(|_| Err(error.clone())).collect()
    }
}

pub(crate) trait Success {
    fn outcome(&self) -> Outcome<'static>;
}

impl Success for () {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of("done")
    }
}

impl Success for i64 {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of("done")
    }
}

/// What `expire` answers.
impl Success for bool {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of(if *self { "changed" } else { "missing" })
    }
}

impl Success for Option<Entry> {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of(if self.is_some() { "found" } else { "missing" }).with_returned(usize::from(self.is_some()))
    }
}

impl Success for Vec<Option<Entry>> {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of("done").with_returned(self.iter().flatten().count())
    }
}

impl Success for RawPage {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of("done").with_returned(self.items.len())
    }
}

impl Success for SetOutcome {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of(match self.status() {
            SetStatus::Created => "created",
            SetStatus::Updated => "updated",
            SetStatus::Stored => "stored",
            SetStatus::NotMet => "not_met",
            _ => "done",
        })
    }
}

impl Success for DeleteOutcome {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of(match self {
            Self::Deleted => "deleted",
            Self::NotFound => "not_found",
            Self::Accepted => "accepted",
            Self::NotMet => "not_met",
            _ => "done",
        })
    }
}

impl Success for BatchOutcome {
    fn outcome(&self) -> Outcome<'static> {
        Outcome::of(if self.is_written() { "written" } else { "not_met" })
    }
}

/// Leads every call of a [`Backend`](kv_api::Backend) through `self.watch(request, call)`, in the `impl` of a wrapper
/// whose field `inner` is the backend inside. `watch` gets the request and how to make the call.
macro_rules! watch_calls {
    () => {
        kv_api::forward_backend!(@forward self, self.inner, capabilities);
        kv_api::forward_backend!(@forward self, self.inner, methods);
        kv_api::forward_backend!(@forward self, self.inner, scope);
        kv_api::forward_backend!(@forward self, self.inner, clock);
        $crate::call::watch_calls! {
            read(request: Read) -> kv_api::Result<Option<kv_api::Entry>>, request, |request| request;
            write(request: Write) -> kv_api::Result<kv_api::SetOutcome>, request, |request| request;
            delete(request: Delete) -> kv_api::Result<kv_api::DeleteOutcome>, request, |request| request;
            read_many(request: ReadMany) -> kv_api::Result<Vec<Option<kv_api::Entry>>>, request, |request| request;
            write_many(request: WriteMany) -> Vec<kv_api::Result<kv_api::SetOutcome>>, request, |request| request;
            delete_many(request: DeleteMany) -> Vec<kv_api::Result<kv_api::DeleteOutcome>>, request, |request| request;
            write_all_or_nothing(request: WriteMany) -> kv_api::Result<kv_api::BatchOutcome>,
                $crate::call::AllOrNothing(request), |request| request.0;
            list(request: ListPage) -> kv_api::Result<kv_api::RawPage>, request, |request| request;
            increment(request: Increment) -> kv_api::Result<i64>, request, |request| request;
            expire(request: Expire) -> kv_api::Result<bool>, request, |request| request;
            touch(request: Touch) -> kv_api::Result<Option<kv_api::Entry>>, request, |request| request;
            get_and_delete(request: GetAndDelete) -> kv_api::Result<Option<kv_api::Entry>>, request, |request| request;
        }
    };
    ($($method:ident($request:ident: $type:ident) -> $answer:ty, $asked:expr, |$taken:ident| $given:expr;)*) => {
        $(
            fn $method<'life0, 'life1, 'async_trait>(
                &'life0 self,
                $request: kv_api::$type<'life1>,
            ) -> std::pin::Pin<Box<dyn Future<Output = $answer> + Send + 'async_trait>>
            where
                'life0: 'async_trait,
                'life1: 'async_trait,
                Self: 'async_trait,
            {
                self.watch($asked, |inner, $taken| inner.$method($given))
            }
        )*
        fn ping<'life0, 'async_trait>(
            &'life0 self,
        ) -> std::pin::Pin<Box<dyn Future<Output = kv_api::Result<()>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            self.watch($crate::call::Ping, |inner, _| inner.ping())
        }

        fn close<'life0, 'async_trait>(
            &'life0 self,
        ) -> std::pin::Pin<Box<dyn Future<Output = kv_api::Result<()>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            self.watch($crate::call::Close, |inner, _| inner.close())
        }
    };
}
pub(crate) use watch_calls;

/// A call that is under way on the backend inside.
pub(crate) type Pending<'f, A> = std::pin::Pin<Box<dyn Future<Output = A> + Send + 'f>>;
