//! What an adapter implements.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use crate::capabilities::Capabilities;
use crate::clock::Clock;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::forward_backend;
use crate::methods::Methods;
use crate::outcome::{BatchOutcome, DeleteOutcome, SetOutcome};
use crate::page::RawPage;
use crate::request::{
    Delete, DeleteMany, Expire, GetAndDelete, Increment, ListPage, Read, ReadMany, Touch, Write, WriteMany,
};

/// A backend: the few things an adapter must do, and the many it may. It receives resolved requests only (CHK-1) and
/// answers with plain data; it adds native code and retry class to its errors, the handle adds store, operation and
/// key.
///
/// Required is what no default could get right for a wrapper of another backend. The `*_many` defaults call the single
/// forms within a bounded window. What else has a default is optional: [`methods`](Self::methods) says what of it is
/// implemented, and what is not is refused to callers, whatever the capabilities say. So a method that is added later
/// breaks no adapter and leads no call around a wrapper (LAYER-1).
///
/// A future that is dropped leaves each entry whole and blocks no other call (ERR-6).
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// What this instance supports; the same for its whole life.
    fn capabilities(&self) -> &Capabilities;

    /// The optional methods that this backend implements; none by default. A capability without its method counts as
    /// not supported, and without a method for many items each is a request of its own.
    fn methods(&self) -> Methods {
        Methods::NONE
    }

    /// Names the data this instance shows, the same in every process: a cursor made for another is refused (LIST-3). An
    /// identity that lies with the data, or else the address and the names that lead to it; never a credential (NS-3).
    /// Empty for a system with a single store.
    fn scope(&self) -> &str;

    /// The clock that the adapter and the handle share (EXP-10); [`SystemClock`](crate::SystemClock) unless it was
    /// given another.
    fn clock(&self) -> &dyn Clock;

    /// Reads at once, for a store that need not wait: then no future is made. `None`, the default, asks for
    /// [`read`](Self::read), and nothing must have been done. Never blocks on I/O or on a lock that is held for long.
    ///
    /// Such reads are not counted as in flight, which would cost more than many of them: one that began before
    /// [`close`](Self::close) may still run during and just after it, and must then be answered or refused (LIFE-2).
    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        let _ = read;
        None
    }

    /// Writes at once, for a store that need not wait: then no future is made. `None`, the default, asks for
    /// [`write`](Self::write), and nothing must have been done. As [`read_now`](Self::read_now) it never blocks.
    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        let _ = write;
        None
    }

    /// Reads one entry; `None` when there is no live one (GET-1).
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>>;

    /// Writes one entry, deciding its condition atomically where that is supported (SET-6).
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome>;

    /// Deletes one entry (DEL-1, DEL-2).
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome>;

    /// Reads many: one slot per key, in order; fails as a whole (GET-2). What is no value leaves its slot empty
    /// (VAL-7).
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let found = in_window(reads.into_reads().map(|read| self.read(read)));
        let is_no_value = |error: &Error| error.kind() == ErrorKind::WrongType;
        found.map(|found| if found.as_ref().is_err_and(is_no_value) { Ok(None) } else { found }).try_collect().await
    }

    /// Writes many: one result per item, in order (BATCH-2).
    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        in_window(writes.0.into_iter().map(|write| self.write(write))).collect().await
    }

    /// Deletes many: one result per item, in order (DEL-1).
    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        in_window(deletes.into_deletes().map(|delete| self.delete(delete))).collect().await
    }

    /// Writes all or nothing; an unmet condition is answered with the position of the first (BATCH-3).
    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        drop(writes);
        Err(Error::not_implemented("write_all_or_nothing"))
    }

    /// Lists one page (LIST-1 to LIST-3).
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        drop(page);
        Err(Error::not_implemented("list"))
    }

    /// Increments a counter and answers its new value (CNT-1 to CNT-3).
    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        drop(increment);
        Err(Error::not_implemented("increment"))
    }

    /// Changes only the expiry of a live entry; `false` without one (EXP-9, EXP-11).
    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        drop(expire);
        Err(Error::not_implemented("expire"))
    }

    /// Reads a live entry and gives it a new expiry in one step; `None` without one (EXP-12).
    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        drop(touch);
        Err(Error::not_implemented("touch"))
    }

    /// Reads a live entry and deletes it in one step; `None` without one (GET-4).
    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        drop(get_and_delete);
        Err(Error::not_implemented("get_and_delete"))
    }

    /// One cheap read that proves address, credentials and namespace (LIFE-1).
    async fn ping(&self) -> Result<()>;

    /// Lets go of connections and files. The handle calls it after the last call in flight has ended (LIFE-2), and
    /// again when a caller closes again: then it finishes what a dropped call of it left, and else has nothing to do.
    async fn close(&self) -> Result<()>;
}

/// Runs the calls in order, [`WINDOW`] of them under way at once; each is made when its turn comes. The stream is
/// boxed: of one over a lazy iterator of futures that borrow their requests the compiler cannot prove that it is
/// `Send`.
fn in_window<'a, T: Send + 'a>(calls: impl Iterator<Item = BoxFuture<'a, T>> + Send + 'a) -> BoxStream<'a, T> {
    stream::iter(calls).buffered(WINDOW).boxed()
}

/// How many single calls the `*_many` defaults have under way at once.
const WINDOW: usize = 16;

/// A pointer is the backend it points to.
macro_rules! pointer {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
        impl<B: Backend + ?Sized> Backend for $pointer<B> {
            forward_backend!(@forward self, **self, capabilities);
            forward_backend!(self => **self;
                forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
                    write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
                implement: []);
        }
    };
}
pointer!(Arc);
pointer!(Box);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn batch_1_a_call_is_made_when_its_turn_comes() {
        let made = AtomicUsize::new(0);
        let calls = (0..1000).map(|_| {
            made.fetch_add(1, Ordering::Relaxed);
            pending::<()>().boxed()
        });
        assert_eq!(in_window(calls).collect::<Vec<_>>().now_or_never(), None);
        assert_eq!(made.into_inner(), WINDOW);
    }
}
