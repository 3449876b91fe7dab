//! A span for each call, and its figures as metrics.

#[cfg(feature = "metrics")]
mod figures;
mod key_shown;
mod span;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Backend, Entry, ErrorKind, Layer, Read, Result, SetOutcome, Store, Timer, TokioTimer, Write};
use tracing::{Instrument, Span};

use crate::call::{Answer, Operation, Outcome, Pending, Request, watch_calls};
#[cfg(feature = "metrics")]
use figures::{CallFigures, Figures};

/// A layer that makes a `tracing` span of each call and, with the feature `metrics`, counts and times it for the
/// recorder of the crate `metrics`. The names are those of OpenTelemetry's conventions for databases, and begin with
/// `kv.` where these have none. Never a value; a key only on request.
///
/// It hands through capabilities, clock, scope, versions and list positions. Without a subscriber that wants the span
/// and without a recorder it does nothing but look whether there is one.
///
/// The span is named `kv_call`, of level `DEBUG` and target `kv_layers::traced`. Its fields:
///
/// | field | what it holds |
/// | --- | --- |
/// | `otel.name`, `otel.kind` | the operation; `client` |
/// | `db.system.name` | the system, by its name in OpenTelemetry's list where that has it |
/// | `db.namespace` | the name given to [`with_namespace`](Self::with_namespace), else the [scope fingerprint](Store::scope_fingerprint) of the whole store |
/// | `db.operation.name` | the operation, such as `get_many` |
/// | `db.operation.batch.size` | the number of items of a batch, unless it is 1 |
/// | `kv.key`, `kv.prefix` | the whole key of a call with one, the whole prefix of a list; with [`with_plain_keys`](Self::with_plain_keys) only |
/// | `kv.key_hash`, `kv.prefix_hash` | else a hash of it, with a key that every process draws anew |
/// | `kv.outcome` | how it ended, as [`Outcome::status`] says |
/// | `kv.failed_items` | how many items of a batch failed, if any |
/// | `db.response.returned_rows` | how many entries or keys a read gave |
/// | `error.type` | the kind of error in snake case, such as `rate_limited`; `cancelled` when the future was dropped |
/// | `db.response.status_code` | the system's own code, where the error has one |
/// | `otel.status_code` | `ERROR` with `error.type` |
/// | `kv.duration_us` | how long the call took, in microseconds |
///
/// The metrics, each with the labels `db.system.name`, `db.namespace` and `db.operation.name`:
///
/// | metric | what it holds |
/// | --- | --- |
/// | `db.client.operation.duration` | histogram, seconds; with `error.type` where the call, or an item of its batch, failed |
/// | `db.client.response.returned_rows` | histogram: how many entries or keys `get_many` and `list` gave |
/// | `kv.client.batch.items` | counter: items of batches |
/// | `kv.client.batch.failed_items` | counter: those of them that failed |
///
/// They are described to the recorder when the layer is put before a backend: install the recorder earlier.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::BackendExt;
/// use kv_layers::Traced;
/// let traced = Traced::new().with_namespace("sessions");
/// assert_eq!(traced.to_string(), "traced(namespace sessions)");
/// let store = kv_memory::MemoryStore::default().layer(&traced).into_store();
/// store.set("k", "v").await?;
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Traced {
    namespace: Option<String>,
    plain_keys: bool,
    timer: Arc<dyn Timer>,
}

impl Traced {
    /// The bounds of buckets, in seconds, that OpenTelemetry's conventions advise for `db.client.operation.duration`.
    pub const DURATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

    /// Keys are hashed, and the namespace is the fingerprint of the scope.
    #[must_use]
    pub fn new() -> Self {
        Self { namespace: None, plain_keys: false, timer: Arc::new(TokioTimer) }
    }

    /// The name that spans and metrics give to the store. It is not hashed.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Spans show keys and prefixes as they are. Metrics never have them.
    #[must_use]
    pub const fn with_plain_keys(mut self) -> Self {
        self.plain_keys = true;
        self
    }

    /// What durations are measured by; [`TokioTimer`] by default.
    #[must_use]
    pub fn with_timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }
}

impl Default for Traced {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for Traced {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let system = otel_name(inner.capabilities().system);
        let fingerprint = || Store::from_arc(Arc::clone(&inner)).scope_fingerprint();
        let namespace = self.namespace.clone().unwrap_or_else(fingerprint);
        Arc::new(TracedBackend {
            #[cfg(feature = "metrics")]
            figures: Figures::new(system, &namespace),
            inner,
            system,
            namespace,
            plain_keys: self.plain_keys,
            timer: Arc::clone(&self.timer),
        })
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, self.plain_keys) {
            (None, false) => f.write_str("traced"),
            (None, true) => f.write_str("traced(plain keys)"),
            (Some(namespace), false) => write!(f, "traced(namespace {namespace})"),
            (Some(namespace), true) => write!(f, "traced(namespace {namespace}, plain keys)"),
        }
    }
}

/// The name of a system in OpenTelemetry's list, where it has another there.
fn otel_name(system: &'static str) -> &'static str {
    match system {
        "postgres" => "postgresql",
        system => system,
    }
}

/// The value of `error.type`.
fn error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "invalid_argument",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::WrongType => "wrong_type",
        ErrorKind::Unauthorized => "unauthorized",
        ErrorKind::Misconfigured => "misconfigured",
        ErrorKind::Exhausted => "exhausted",
        ErrorKind::RateLimited => "rate_limited",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Protocol => "protocol",
        ErrorKind::Closed => "closed",
        ErrorKind::Internal => "internal",
        // What the conventions name for a kind that has no name yet.
        _ => "_OTHER",
    }
}

struct TracedBackend {
    inner: Arc<dyn Backend>,
    system: &'static str,
    namespace: String,
    plain_keys: bool,
    timer: Arc<dyn Timer>,
    #[cfg(feature = "metrics")]
    figures: Figures,
}

impl fmt::Debug for TracedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traced").field(&self.inner).finish()
    }
}

impl TracedBackend {
    fn watch<'f, Q, A>(
        &'f self,
        request: Q,
        call: impl FnOnce(&'f dyn Backend, Q) -> Pending<'f, A> + Send + 'f,
    ) -> Pending<'f, A>
    where
        Q: Request + 'f,
        A: Answer + 'f,
    {
        // Looked at before each call, so nothing is allocated for one that nobody watches.
        #[cfg(feature = "metrics")]
        let figures = self.figures.begin(Q::OPERATION, request.batch_size());
        #[cfg(feature = "metrics")]
        let is_counted = figures.is_some();
        #[cfg(not(feature = "metrics"))]
        let is_counted = false;
        if !is_counted && !span::is_wanted() {
            return call(&*self.inner, request);
        }
        Box::pin(async move {
            let mut watched = Watched {
                span: span::begin(self, &request),
                #[cfg(feature = "metrics")]
                figures,
                timer: &*self.timer,
                started: self.timer.monotonic_now(),
                has_ended: false,
            };
            let answer = call(&*self.inner, request).instrument(watched.span.clone()).await;
            watched.end(&answer.outcome());
            answer
        })
    }

    /// A call that is answered at once, or else not at all. One with a span takes the other way, so that it has one
    /// span also where it has to wait.
    fn watch_now<A: Answer>(&self, operation: Operation, call: impl FnOnce(&dyn Backend) -> Option<A>) -> Option<A> {
        if span::is_wanted() {
            return None;
        }
        #[cfg(feature = "metrics")]
        if let Some(figures) = self.figures.begin(operation, None) {
            let started = self.timer.monotonic_now();
            let answer = call(&*self.inner)?;
            let (outcome, took) = (answer.outcome(), self.timer.monotonic_now().saturating_sub(started));
            figures.end(&outcome, outcome.error().map(|error| error_type(error.kind())), took);
            return Some(answer);
        }
        let _ = operation;
        call(&*self.inner)
    }
}

#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for TracedBackend {
    watch_calls!();

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        self.watch_now(Operation::Get, |inner| inner.read_now(read))
    }

    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        self.watch_now(Operation::Set, |inner| inner.write_now(write))
    }
}

/// A call that is under way.
struct Watched<'a> {
    span: Span,
    #[cfg(feature = "metrics")]
    figures: Option<CallFigures<'a>>,
    timer: &'a dyn Timer,
    started: Duration,
    has_ended: bool,
}

impl Watched<'_> {
    fn end(&mut self, outcome: &Outcome<'_>) {
        self.has_ended = true;
        let took = self.timer.monotonic_now().saturating_sub(self.started);
        let error_type = match outcome.error() {
            Some(error) => Some(error_type(error.kind())),
            None if outcome.is_cancelled() => Some(outcome.status()),
            None => None,
        };
        span::end(&self.span, outcome, error_type, took);
        #[cfg(feature = "metrics")]
        if let Some(figures) = &self.figures {
            figures.end(outcome, error_type, took);
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(&Outcome::cancelled());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_type_is_the_kind_in_snake_case() {
        for kind in [ErrorKind::InvalidArgument, ErrorKind::Unsupported, ErrorKind::WrongType, ErrorKind::RateLimited] {
            assert_eq!(error_type(kind), kind.to_string().replace(' ', "_"));
        }
    }
}
