//! Two stores with the same data: the live half of a migration.

mod backend;
mod compared;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_api::{Backend, Error, Layer};

use backend::MirroredBackend;

/// Writes to two stores and reads from the first. It is put before the primary, which decides every call; the secondary
/// is written what the primary has accepted. A sample of the reads is made on both and compared.
///
/// [The README](crate#mirrored) says what happens when one of them fails, and what each call writes to the secondary.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::BackendExt;
/// use kv_layers::Mirrored;
/// use kv_memory::MemoryStore;
/// let next = MemoryStore::default();
/// let mirrored = Mirrored::to(next.clone()).with_compared(1.0);
/// assert_eq!(mirrored.to_string(), "mirrored(1 of reads compared, failures of the secondary ignored)");
/// let store = kv_api::Store::from_arc(MemoryStore::default().layer(&mirrored));
/// store.set("k", "v").await?;
/// let next = next.into_store();
/// assert!(next.exists("k").await?);
///
/// next.set("k", "another client's").await?;
/// store.get("k").await?;
/// let counts = mirrored.counts();
/// assert_eq!((counts.compared, counts.equal, counts.different), (1, 0, 1));
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Mirrored {
    secondary: Arc<dyn Backend>,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    compared: f64,
    on_failure: SecondaryFailure,
    hook: Arc<dyn Fn(&MirrorEvent<'_>) + Send + Sync>,
    counters: Arc<Counters>,
}

/// What becomes of a call that the primary has carried out, when the secondary fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecondaryFailure {
    /// It succeeds. The failure is counted, and the hook is called.
    #[default]
    Ignore,
    /// It fails with the error of the secondary, which says that the outcome may be unknown: the primary has changed.
    /// The failure is counted, and the hook is called.
    Fail,
}

/// What the hook is called with. Never a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MirrorEvent<'a> {
    /// What has happened.
    pub kind: MirrorEventKind,
    /// The whole key; `None` for `ping`.
    pub key: Option<&'a str>,
    /// The error of the secondary, or of a read of the primary to copy an entry; `None` for a difference.
    pub error: Option<&'a Error>,
}

/// What the hook is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MirrorEventKind {
    /// The primary has carried out a call, and the secondary did not take it.
    WriteFailed,
    /// The secondary could not be read for a comparison, or did not answer `ping`.
    ReadFailed,
    /// Both have an entry, and they differ.
    Different,
    /// Only the primary has an entry.
    Missing,
    /// Only the secondary has an entry.
    Unexpected,
}

/// What has been counted since the layer was made. Each key of a batch counts by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorCounts {
    /// Keys that were read from both: the sum of the next four.
    pub compared: u64,
    /// The same on both, or on neither.
    pub equal: u64,
    /// Entries on both that differ.
    pub different: u64,
    /// Entries of the primary alone.
    pub missing: u64,
    /// Entries of the secondary alone.
    pub unexpected: u64,
    /// Keys that the secondary could not be read for.
    pub failed: u64,
    /// Changes that the secondary took.
    pub written: u64,
    /// Changes that it did not take.
    pub write_failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    equal: AtomicU64,
    different: AtomicU64,
    missing: AtomicU64,
    unexpected: AtomicU64,
    failed: AtomicU64,
    written: AtomicU64,
    write_failed: AtomicU64,
}

impl Mirrored {
    /// Changes go to this store too. Nothing is compared unless [`with_compared`](Self::with_compared) says so.
    #[must_use]
    pub fn to(secondary: impl Backend) -> Self {
        let hook: Arc<dyn Fn(&MirrorEvent<'_>) + Send + Sync> = Arc::new(|_| ());
        let on_failure = SecondaryFailure::default();
        Self {
            secondary: Arc::new(secondary),
            settings: Settings { compared: 0.0, on_failure, hook, counters: Arc::default() },
        }
    }

    /// How many of the calls that read are made on both stores and compared, chosen at random: 0 for none, the default,
    /// to 1 for all. What is below counts as 0, what is above as 1. A read that is compared takes as long as both.
    #[must_use]
    pub fn with_compared(mut self, rate: f64) -> Self {
        self.settings.compared = if rate > 0.0 { rate.min(1.0) } else { 0.0 };
        self
    }

    /// What becomes of a call when the secondary fails; [`SecondaryFailure::Ignore`] by default.
    #[must_use]
    pub const fn with_secondary_failure(mut self, on_failure: SecondaryFailure) -> Self {
        self.settings.on_failure = on_failure;
        self
    }

    /// What is called for each difference and each failure of the secondary, inside the call that finds it. It must be
    /// quick and must not wait.
    ///
    /// ```
    /// use kv_layers::{MirrorEventKind, Mirrored};
    /// let mirrored = Mirrored::to(kv_memory::MemoryStore::default()).with_hook(|event| {
    ///     if event.kind == MirrorEventKind::Different {
    ///         eprintln!("{:?} differs", event.key);
    ///     }
    /// });
    /// assert_eq!(mirrored.counts().different, 0);
    /// ```
    #[must_use]
    pub fn with_hook(mut self, hook: impl Fn(&MirrorEvent<'_>) + Send + Sync + 'static) -> Self {
        self.settings.hook = Arc::new(hook);
        self
    }

    /// What has been counted, over all backends that this layer and its clones were put before.
    #[must_use]
    pub fn counts(&self) -> MirrorCounts {
        let counters = &self.settings.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [equal, different] = [read(&counters.equal), read(&counters.different)];
        let [missing, unexpected] = [read(&counters.missing), read(&counters.unexpected)];
        MirrorCounts {
            compared: equal + different + missing + unexpected,
            equal,
            different,
            missing,
            unexpected,
            failed: read(&counters.failed),
            written: read(&counters.written),
            write_failed: read(&counters.write_failed),
        }
    }
}

impl Settings {
    /// Whether this call is one of the sample.
    fn samples(&self) -> bool {
        self.compared >= 1.0 || (self.compared > 0.0 && fastrand::f64() < self.compared)
    }

    fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64) {
        counter(&self.counters).fetch_add(1, Ordering::Relaxed);
    }

    fn report(&self, kind: MirrorEventKind, key: Option<&str>, error: Option<&Error>) {
        (self.hook)(&MirrorEvent { kind, key, error });
    }
}

impl Layer for Mirrored {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(MirroredBackend::new(inner, Arc::clone(&self.secondary), self.settings.clone()))
    }
}

impl fmt::Display for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = match self.settings.on_failure {
            SecondaryFailure::Ignore => "ignored",
            SecondaryFailure::Fail => "returned",
        };
        write!(f, "mirrored({} of reads compared, failures of the secondary {failures})", self.settings.compared)
    }
}

impl fmt::Debug for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrored")
            .field("secondary", &self.secondary)
            .field("compared", &self.settings.compared)
            .field("on_failure", &self.settings.on_failure)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
