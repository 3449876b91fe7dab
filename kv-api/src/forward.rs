//! How a wrapper hands calls through.

/// Forwards methods of [`Backend`](crate::Backend) to the backend inside, in the `impl` of a wrapper.
///
/// Two lists name every method but `capabilities` and `methods`: those that are forwarded, and those that the wrapper
/// implements by itself. A forwarded call makes no future of its own. From the lists comes
/// [`methods`](crate::Backend::methods): an optional method is there if the wrapper implements it, or forwards it to a
/// backend that has it. A method that is in neither list is refused to callers, so a later version of this crate
/// cannot lead a call around the wrapper (LAYER-1).
///
/// Keep `#[deny(clippy::missing_trait_methods)]` on the `impl`: it finds what is in neither list.
///
/// ```
/// use kv_api::{Backend, Capabilities, DeleteMany, Delete, DeleteOutcome, Entry, Error, ErrorKind, Expire, Increment};
/// use kv_api::{BackendExt, BatchOutcome, Result, SetOutcome, Write, WriteMany, async_trait, forward_backend};
/// use std::sync::Arc;
///
/// /// Refuses deletes.
/// #[derive(Debug)]
/// struct NoDeletes(Arc<dyn Backend>);
///
/// #[async_trait]
/// #[deny(clippy::missing_trait_methods)]
/// impl Backend for NoDeletes {
///     forward_backend!(self => self.0;
///         forward: [scope, clock, read_now, write_now, read, write, read_many, write_many, write_all_or_nothing,
///             list, increment, expire, touch, get_and_delete, ping, close],
///         implement: [delete, delete_many]);
///
///     fn capabilities(&self) -> &Capabilities {
///         self.0.capabilities()
///     }
///
///     async fn delete(&self, _: Delete<'_>) -> Result<DeleteOutcome> {
///         Err(Error::new(ErrorKind::Unauthorized, "deletes are not allowed here"))
///     }
///
///     async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
///         let refused = || Err(Error::new(ErrorKind::Unauthorized, "deletes are not allowed here"));
///         deletes.keys().iter().map(|_| refused()).collect()
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = NoDeletes(Arc::new(kv_memory::MemoryStore::default())).into_store();
/// store.set("k", "v").await?;
/// assert_eq!(store.delete("k").await.unwrap_err().kind(), ErrorKind::Unauthorized);
/// assert!(store.exists("k").await?);
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! forward_backend {
    ($this:ident => $inner:expr; forward: [$($forwarded:ident),* $(,)?], implement: [$($own:ident),* $(,)?] $(,)?) => {
        $($crate::forward_backend!(@forward $this, $inner, $forwarded);)*
        fn methods(&$this) -> $crate::Methods {
            const FORWARDED: $crate::Methods =
                $crate::Methods::NONE$(.union($crate::forward_backend!(@method $forwarded)))*;
            const OWN: $crate::Methods = $crate::Methods::NONE$(.union($crate::forward_backend!(@method $own)))*;
            $crate::Backend::methods(&$inner).intersection(FORWARDED).union(OWN)
        }
    };

    (@forward $this:ident, $inner:expr, capabilities) => {
        fn capabilities(&$this) -> &$crate::Capabilities {
            $crate::Backend::capabilities(&$inner)
        }
    };
    (@forward $this:ident, $inner:expr, methods) => {
        fn methods(&$this) -> $crate::Methods {
            $crate::Backend::methods(&$inner)
        }
    };
    (@forward $this:ident, $inner:expr, scope) => {
        fn scope(&$this) -> &str {
            $crate::Backend::scope(&$inner)
        }
    };
    (@forward $this:ident, $inner:expr, clock) => {
        fn clock(&$this) -> &dyn $crate::Clock {
            $crate::Backend::clock(&$inner)
        }
    };
    (@forward $this:ident, $inner:expr, read_now) => {
        fn read_now(&$this, read: &$crate::Read<'_>) -> Option<$crate::Result<Option<$crate::Entry>>> {
            $crate::Backend::read_now(&$inner, read)
        }
    };
    (@forward $this:ident, $inner:expr, write_now) => {
        fn write_now(&$this, write: &$crate::Write<'_>) -> Option<$crate::Result<$crate::SetOutcome>> {
            $crate::Backend::write_now(&$inner, write)
        }
    };
    (@forward $this:ident, $inner:expr, read) => {
        $crate::forward_backend!(@call $this, $inner, read(Read) -> $crate::Result<Option<$crate::Entry>>);
    };
    (@forward $this:ident, $inner:expr, write) => {
        $crate::forward_backend!(@call $this, $inner, write(Write) -> $crate::Result<$crate::SetOutcome>);
    };
    (@forward $this:ident, $inner:expr, delete) => {
        $crate::forward_backend!(@call $this, $inner, delete(Delete) -> $crate::Result<$crate::DeleteOutcome>);
    };
    (@forward $this:ident, $inner:expr, read_many) => {
        $crate::forward_backend!(
            @call $this, $inner, read_many(ReadMany) -> $crate::Result<Vec<Option<$crate::Entry>>>
        );
    };
    (@forward $this:ident, $inner:expr, write_many) => {
        $crate::forward_backend!(
            @call $this, $inner, write_many(WriteMany) -> Vec<$crate::Result<$crate::SetOutcome>>
        );
    };
    (@forward $this:ident, $inner:expr, delete_many) => {
        $crate::forward_backend!(
            @call $this, $inner, delete_many(DeleteMany) -> Vec<$crate::Result<$crate::DeleteOutcome>>
        );
    };
    (@forward $this:ident, $inner:expr, write_all_or_nothing) => {
        $crate::forward_backend!(
            @call $this, $inner, write_all_or_nothing(WriteMany) -> $crate::Result<$crate::BatchOutcome>
        );
    };
    (@forward $this:ident, $inner:expr, list) => {
        $crate::forward_backend!(@call $this, $inner, list(ListPage) -> $crate::Result<$crate::RawPage>);
    };
    (@forward $this:ident, $inner:expr, increment) => {
        $crate::forward_backend!(@call $this, $inner, increment(Increment) -> $crate::Result<i64>);
    };
    (@forward $this:ident, $inner:expr, expire) => {
        $crate::forward_backend!(@call $this, $inner, expire(Expire) -> $crate::Result<bool>);
    };
    (@forward $this:ident, $inner:expr, touch) => {
        $crate::forward_backend!(@call $this, $inner, touch(Touch) -> $crate::Result<Option<$crate::Entry>>);
    };
    (@forward $this:ident, $inner:expr, get_and_delete) => {
        $crate::forward_backend!(
            @call $this, $inner, get_and_delete(GetAndDelete) -> $crate::Result<Option<$crate::Entry>>
        );
    };
    (@forward $this:ident, $inner:expr, ping) => {
        $crate::forward_backend!(@call $this, $inner, ping() -> $crate::Result<()>);
    };
    (@forward $this:ident, $inner:expr, close) => {
        $crate::forward_backend!(@call $this, $inner, close() -> $crate::Result<()>);
    };

    // Written as `async_trait` would write it, without a future around that of the backend inside.
    (@call $this:ident, $inner:expr, $method:ident() -> $answer:ty) => {
        fn $method<'life0, 'async_trait>(
            &'life0 $this,
        ) -> ::std::pin::Pin<Box<dyn ::std::future::Future<Output = $answer> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            $crate::Backend::$method(&$inner)
        }
    };
    (@call $this:ident, $inner:expr, $method:ident($request:ident) -> $answer:ty) => {
        fn $method<'life0, 'life1, 'async_trait>(
            &'life0 $this,
            request: $crate::$request<'life1>,
        ) -> ::std::pin::Pin<Box<dyn ::std::future::Future<Output = $answer> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            Self: 'async_trait,
        {
            $crate::Backend::$method(&$inner, request)
        }
    };

    (@method read_many) => { $crate::Methods::NONE.with($crate::Method::ReadMany) };
    (@method write_many) => { $crate::Methods::NONE.with($crate::Method::WriteMany) };
    (@method write_all_or_nothing) => { $crate::Methods::NONE.with($crate::Method::WriteAllOrNothing) };
    (@method list) => { $crate::Methods::NONE.with($crate::Method::List) };
    (@method increment) => { $crate::Methods::NONE.with($crate::Method::Increment) };
    (@method expire) => { $crate::Methods::NONE.with($crate::Method::Expire) };
    (@method touch) => { $crate::Methods::NONE.with($crate::Method::Touch) };
    (@method get_and_delete) => { $crate::Methods::NONE.with($crate::Method::GetAndDelete) };
    // What every backend has, or what falls back to the wrapper's own calls.
    (@method scope) => { $crate::Methods::NONE };
    (@method clock) => { $crate::Methods::NONE };
    (@method read_now) => { $crate::Methods::NONE };
    (@method write_now) => { $crate::Methods::NONE };
    (@method read) => { $crate::Methods::NONE };
    (@method write) => { $crate::Methods::NONE };
    (@method delete) => { $crate::Methods::NONE };
    (@method delete_many) => { $crate::Methods::NONE };
    (@method ping) => { $crate::Methods::NONE };
    (@method close) => { $crate::Methods::NONE };
}
