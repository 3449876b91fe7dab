//! A hook before and after each call.

use std::fmt;
use std::sync::Arc;

use kv_api::{Backend, Entry, Layer, Read, Result, SetOutcome, Write};

use crate::call::{Answer, Operation, Outcome, Pending, Request, watch_calls};

/// What is asked of the backend: the operation and the whole keys, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// The whole keys, in the order of the items; none for `list`, `ping` and `close`.
    pub keys: Vec<String>,
    /// The whole prefix of a list.
    pub prefix: Option<String>,
}

impl Call {
    fn of(request: &impl Request, operation: Operation) -> Self {
        let mut keys = Vec::with_capacity(request.batch_size().unwrap_or(1));
        request.each_key(&mut |key| keys.push(key.to_owned()));
        Self { operation, keys, prefix: request.prefix().map(str::to_owned) }
    }
}

/// Sees each call before it is made and after it has ended. It cannot change a request or an answer; it can refuse a
/// call. Both methods are called on the task of the caller, so they must not block.
///
/// Each method does nothing by default.
pub trait Intercept: Send + Sync + 'static {
    /// Before the call is made. With an error it is not made: the caller gets the error, of a batch once for each item.
    /// A `close` cannot be refused.
    ///
    /// # Errors
    /// What the caller is to get. [`after`](Self::after) is then called with it, too.
    fn before(&self, call: &Call) -> Result<()> {
        let _ = call;
        Ok(())
    }

    /// After the call has ended, has been refused, or its future has been dropped. Called once for each
    /// [`before`](Self::before).
    fn after(&self, call: &Call, outcome: &Outcome<'_>) {
        let _ = (call, outcome);
    }
}

impl<I: Intercept + ?Sized> Intercept for Arc<I> {
    fn before(&self, call: &Call) -> Result<()> {
        (**self).before(call)
    }

    fn after(&self, call: &Call, outcome: &Outcome<'_>) {
        (**self).after(call, outcome);
    }
}

/// A layer that calls a hook before and after each call: for tests and audits.
///
/// It hands through capabilities, clock, scope, versions and list positions. It sees what reaches its place in the
/// stack: outside of a cache each call, inside only what the cache does not answer. While it is there, a store in
/// memory answers through a future also what it could answer at once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, Error, ErrorKind, Result};
/// use kv_layers::{Call, Intercept, Intercepted, Operation, Outcome};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Default)]
/// struct Audit(Mutex<Vec<String>>);
///
/// impl Intercept for Audit {
///     fn before(&self, call: &Call) -> Result<()> {
///         match call.keys.iter().find(|key| key.starts_with("locked/")) {
///             Some(key) if call.operation != Operation::Get => {
///                 Err(Error::new(ErrorKind::Unauthorized, "this key is locked").with_key(key))
///             }
///             _ => Ok(()),
///         }
///     }
///
///     fn after(&self, call: &Call, outcome: &Outcome<'_>) {
///         let line = format!("{} {:?}: {}", call.operation, call.keys, outcome.status());
///         self.0.lock().expect("no panic holds it").push(line);
///     }
/// }
///
/// let audit = Arc::new(Audit::default());
/// let store = kv_memory::MemoryStore::default().layer(&Intercepted::new(Arc::clone(&audit))).into_store();
/// store.set("a", 1).await?;
/// assert_eq!(store.delete("locked/b").await.unwrap_err().kind(), ErrorKind::Unauthorized);
/// let lines = audit.0.lock().expect("no panic holds it");
/// assert_eq!(*lines, [r#"set ["a"]: created"#, r#"delete ["locked/b"]: failed"#]);
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Intercepted {
    hook: Arc<dyn Intercept>,
}

impl Intercepted {
    /// A layer with this hook, which all backends that it is put before share. To look at the hook later, put it into an
    /// `Arc` and keep a clone.
    #[must_use]
    pub fn new(hook: impl Intercept) -> Self {
        Self { hook: Arc::new(hook) }
    }
}

impl Layer for Intercepted {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(InterceptedBackend { inner, hook: Arc::clone(&self.hook) })
    }
}

impl fmt::Debug for Intercepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intercepted").finish_non_exhaustive()
    }
}

impl fmt::Display for Intercepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("intercepted")
    }
}

struct InterceptedBackend {
    inner: Arc<dyn Backend>,
    hook: Arc<dyn Intercept>,
}

impl InterceptedBackend {
    fn watch<'f, Q, A>(
        &'f self,
        request: Q,
        call: impl FnOnce(&'f dyn Backend, Q) -> Pending<'f, A> + Send + 'f,
    ) -> Pending<'f, A>
    where
        Q: Request + 'f,
        A: Answer + 'f,
    {
        Box::pin(async move {
            let mut watched = Watched { hook: &*self.hook, call: Call::of(&request, Q::OPERATION), has_ended: false };
            let answer = match self.hook.before(&watched.call) {
                // What is inside is let go of whatever the hook says (LAYER-5).
                Err(error) if Q::OPERATION != Operation::Close => A::refused(error, watched.call.keys.len()),
                _ => call(&*self.inner, request).await,
            };
            watched.end(&answer.outcome());
            answer
        })
    }
}

impl fmt::Debug for InterceptedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Intercepted").field(&self.inner).finish()
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for InterceptedBackend {
    watch_calls!();

    /// Every call goes through the hook, in one place.
    fn read_now(&self, _: &Read<'_>) -> Option<Result<Option<Entry>>> {
        None
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }
}

/// A call between `before` and `after`.
struct Watched<'a> {
    hook: &'a dyn Intercept,
    call: Call,
    has_ended: bool,
}

impl Watched<'_> {
    fn end(&mut self, outcome: &Outcome<'_>) {
        self.has_ended = true;
        self.hook.after(&self.call, outcome);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(&Outcome::cancelled());
        }
    }
}
