//! A second store answers reads while the first cannot be reached.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Consistency, Entry, Error, ErrorKind, GetAndDelete, Layer, ListPage, RawPage,
    Read, ReadMany, Reason, Resolver, Result, SetOutcome, Touch, Write, WriteMany, async_trait,
};

use crate::scope::scope_of;
use crate::shown::Shown;

/// Lets a second store answer reads that the first cannot answer now: those that end as
/// [`Unavailable`](ErrorKind::Unavailable), and on request as [`RateLimited`](ErrorKind::RateLimited). Writes go to the
/// first alone, and so does every read that fails otherwise. The second is kept up to date by other means, such as
/// `Mirrored` or the database's own replication.
///
/// See [the README](crate#fallback) for what it offers and what a list does.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::BackendExt;
/// use kv_layers::Fallback;
/// use kv_memory::MemoryStore;
/// let fallback = Fallback::to(MemoryStore::default()).with_rate_limited(true);
/// assert_eq!(fallback.to_string(), "fallback(when unavailable or rate limited)");
/// let store = kv_api::Store::from_arc(MemoryStore::default().layer(&fallback));
/// store.set("k", "v").await?;
/// assert!(store.exists("k").await?);
/// assert_eq!(fallback.counts().fell_back, 0);
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Fallback {
    second: Arc<dyn Backend>,
    is_of_rate_limited: bool,
    counters: Arc<Counters>,
}

/// How often reads fell back, since the layer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackCounts {
    /// Reads that the second store answered.
    pub fell_back: u64,
    /// Reads that neither of the two answered. Each has failed with the error of the first.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    fell_back: AtomicU64,
    failed: AtomicU64,
}

impl Fallback {
    /// Reads fall back to this store, when the first is unavailable.
    #[must_use]
    pub fn to(second: impl Backend) -> Self {
        Self { second: Arc::new(second), is_of_rate_limited: false, counters: Arc::default() }
    }

    /// Whether reads fall back also when the first store asks for fewer calls; `false` by default.
    #[must_use]
    pub const fn with_rate_limited(mut self, falls_back: bool) -> Self {
        self.is_of_rate_limited = falls_back;
        self
    }

    /// How often reads fell back, over all backends that this layer and its clones were put before.
    #[must_use]
    pub fn counts(&self) -> FallbackCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FallbackCounts { fell_back: read(&self.counters.fell_back), failed: read(&self.counters.failed) }
    }

    fn is_for(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Unavailable => true,
            ErrorKind::RateLimited => self.is_of_rate_limited,
            _ => false,
        }
    }

    /// The answer of the second store, if it has one, and else the error of the first.
    fn counted<T>(&self, first: Error, second: Result<T>) -> Result<T> {
        let counter = if second.is_ok() { &self.counters.fell_back } else { &self.counters.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        second.map_err(|_| first)
    }
}

impl Layer for Fallback {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(FallbackBackend::new(inner, self.clone()))
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limited = if self.is_of_rate_limited { " or rate limited" } else { "" };
        write!(f, "fallback(when unavailable{limited})")
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("second", &self.second)
            .field("is_of_rate_limited", &self.is_of_rate_limited)
            .field("counts", &self.counts())
            .finish()
    }
}

struct FallbackBackend {
    first: Arc<dyn Backend>,
    fallback: Fallback,
    capabilities: Capabilities,
    scope: String,
}

/// Which store a list position is of: its first byte. The stored form of cursors (LIST-3).
const FIRST: u8 = 0;
const SECOND: u8 = 1;

impl FallbackBackend {
    fn new(first: Arc<dyn Backend>, fallback: Fallback) -> Self {
        let second = &fallback.second;
        let capabilities = capabilities(&Capabilities::offered_by(&*first), &Capabilities::offered_by(&**second));
        let scope =
            scope_of([first.capabilities().system, first.scope(), second.capabilities().system, second.scope()]);
        Self { first, fallback, capabilities, scope }
    }

    fn first(&self) -> Shown<'_> {
        Shown { inner: &*self.first, capabilities: &self.capabilities }
    }

    fn second(&self) -> Shown<'_> {
        Shown { inner: &*self.fallback.second, capabilities: &self.capabilities }
    }

    fn name_second(&self, error: Error) -> Error {
        error.with_store(format!("{}, which is fallen back to", self.fallback.second.capabilities().system))
    }

    /// A page of one of the stores, whose position says of which.
    async fn page_of(&self, which: u8, page: &ListPage<'_>, position: Option<Vec<u8>>) -> Result<RawPage> {
        let shown = if which == FIRST { self.first() } else { self.second() };
        let page = Resolver::new(shown.inner.capabilities()).list(page.prefix(), page.limit().get(), position)?;
        let raw = shown.list(page).await?;
        Ok(RawPage::new(raw.items, raw.next.map(|next| [&[which], &*next].concat())))
    }
}

/// Of what a read reports, what both report; of all else what the first does alone.
fn capabilities(first: &Capabilities, second: &Capabilities) -> Capabilities {
    // What is not named here is the weaker, so that a capability of a later version is not claimed.
    let mut both = first.restricted_to(second);
    both.consistency = Consistency::Eventual { usually_within: None };
    both.if_not_exists = first.if_not_exists;
    both.if_exists = first.if_exists;
    both.reports_set_outcome = first.reports_set_outcome;
    both.reports_delete_outcome = first.reports_delete_outcome;
    both.reports_delete_many_outcome = first.reports_delete_many_outcome;
    both.ttl = first.ttl;
    both.expire_at = first.expire_at;
    both.expiry_resolution = first.expiry_resolution;
    both.expiry_min = first.expiry_min;
    both.expire_at_max = first.expire_at_max;
    both.expire = first.expire;
    both.touch = first.touch;
    both.get_and_delete = first.get_and_delete;
    both.value_kinds = first.value_kinds;
    both.counters = first.counters;
    both.counter_min = first.counter_min;
    both.counter_max = first.counter_max;
    both.counter_range_atomic = first.counter_range_atomic;
    both.counter_expiry = first.counter_expiry;
    both.counter_ttl = first.counter_ttl;
    both.all_or_nothing = first.all_or_nothing;
    both.bulk_write_items = first.bulk_write_items;
    both.forbidden_keys = first.forbidden_keys.clone();
    both.key_bytes_min = first.key_bytes_min;
    both.key_bytes_max = first.key_bytes_max;
    both.item_limits = first.item_limits.clone();
    both
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for FallbackBackend {
    kv_api::forward_backend!(self => self.first;
        forward: [clock, delete, delete_many, increment, expire],
        implement: [scope, read_now, write_now, read, write, read_many, write_many, write_all_or_nothing, list, touch,
            get_and_delete, ping, close]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        // What falls back has to wait; then the first is asked again.
        self.first().read_now(read).filter(|answer| !answer.as_ref().is_err_and(|error| self.fallback.is_for(error)))
    }

    fn write_now(&self, write: &Write<'_>) -> Option<Result<SetOutcome>> {
        self.first().write_now(write)
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        match self.first().read(read.clone()).await {
            Err(error) if self.fallback.is_for(&error) => {
                let answer = match read.into_parts().resolve(self.second().inner) {
                    Ok(read) => self.second().read(read).await,
                    Err(error) => Err(error),
                };
                self.fallback.counted(error, answer)
            }
            answer => answer,
        }
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.first().write(write).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        match self.first().read_many(reads.clone()).await {
            Err(error) if self.fallback.is_for(&error) => {
                let (fields, second) = (reads.fields(), self.second());
                let resolved = Resolver::new(second.inner.capabilities()).read_many(reads.into_keys(), fields);
                let answer = match resolved {
                    // The keys differ already, so the order is theirs.
                    Ok(Some((reads, _))) => second.read_many(reads).await,
                    Ok(None) => Ok(Vec::new()),
                    Err(error) => Err(error),
                };
                self.fallback.counted(error, answer)
            }
            answer => answer,
        }
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        self.first().write_many(writes).await
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        self.first().write_all_or_nothing(writes).await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        // A walk stays where it has begun: a position in one store is none in the other.
        match page.position().map(<[u8]>::split_first) {
            None => match self.page_of(FIRST, &page, None).await {
                Err(error) if self.fallback.is_for(&error) => {
                    self.fallback.counted(error, self.page_of(SECOND, &page, None).await)
                }
                answer => answer,
            },
            Some(Some((which @ (&FIRST | &SECOND), rest))) => self.page_of(*which, &page, Some(rest.to_vec())).await,
            Some(_) => Err(Error::invalid(Reason::CursorInvalid, "the cursor is not of a store with a fallback")),
        }
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        self.first().touch(touch).await
    }

    async fn get_and_delete(&self, request: GetAndDelete<'_>) -> Result<Option<Entry>> {
        self.first().get_and_delete(request).await
    }

    async fn ping(&self) -> Result<()> {
        let (first, second) = join(self.first.ping(), self.fallback.second.ping()).await;
        first.and(second.map_err(|error| self.name_second(error)))
    }

    async fn close(&self) -> Result<()> {
        let (first, second) = join(self.first.close(), self.fallback.second.close()).await;
        first.and(second.map_err(|error| self.name_second(error)))
    }
}

impl fmt::Debug for FallbackBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fallback").field(&self.first).field(&self.fallback.second).finish()
    }
}
