//! Entries are kept for a while, so that reads need not ask the backend inside.

mod backend;
mod kept;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Backend, Layer};

use self::backend::CachedBackend;
use self::kept::Lifetimes;

/// Keeps what was read and written in the memory of this process, up to a number of entries or bytes, and answers reads
/// from there. One read of a key asks the backend inside at a time; the others wait for its answer.
///
/// A read sees every write that was acknowledged before through the same store, its clones, or another store on the same
/// layered backend. What other processes write is seen at the latest when what is kept has ended; `consistency` says
/// so. To read past what is kept, read through a store on the backend inside.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{Layer, Store, Value};
/// use kv_layers::Cached;
/// use std::sync::Arc;
/// use std::time::Duration;
/// let cached = Cached::new().with_entries_max(1_000).with_ttl(Duration::from_secs(30));
/// assert_eq!(cached.to_string(), "cached(1000 entries, ttl 30s, negative 5s)");
///
/// let inner = Arc::new(kv_memory::MemoryStore::default());
/// let (store, other) = (Store::from_arc(cached.layer(inner.clone())), Store::from_arc(inner));
/// store.set("k", "old").await?;
/// other.set("k", "new").await?; // past the cache, as another process writes
/// assert_eq!(store.get("k").await?, Some(Value::from("old")));
/// assert_eq!(other.get("k").await?, Some(Value::from("new")));
/// store.delete("k").await?; // a write through the cache is seen at once
/// assert_eq!(store.get("k").await?, None);
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cached {
    bound: Bound,
    lifetimes: Lifetimes,
    cache_uncertain_expiry: bool,
}

/// What the cache holds at most.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Entries(u64),
    Bytes(u64),
}

impl Cached {
    /// 10,000 entries, for 60 seconds each, and for 5 seconds that there is none; both shortened by up to a tenth.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bound: Bound::Entries(10_000),
            lifetimes: Lifetimes {
                ttl: Duration::from_secs(60),
                negative_ttl: Duration::from_secs(5),
                stale: Duration::ZERO,
                jitter_percent: 10,
            },
            cache_uncertain_expiry: false,
        }
    }

    /// Keeps at most this many entries, whatever their size. Replaces a bound in bytes.
    #[must_use]
    pub const fn with_entries_max(mut self, entries: u64) -> Self {
        self.bound = Bound::Entries(entries);
        self
    }

    /// Keeps at most about this many bytes of keys, values and metadata, each entry counted with 256 bytes more.
    /// Replaces a bound in entries.
    #[must_use]
    pub const fn with_bytes_max(mut self, bytes: u64) -> Self {
        self.bound = Bound::Bytes(bytes);
        self
    }

    /// For how long an entry is kept at most; 60 seconds by default. It is never kept beyond its own expiry.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.ttl = ttl;
        self
    }

    /// For how long it is kept that a key has no entry; 5 seconds by default. Zero keeps none of that.
    #[must_use]
    pub const fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.negative_ttl = ttl;
        self
    }

    /// By how many hundredths of itself each ttl is shortened at most, at random, so that what was loaded together does
    /// not end together; 10 by default, at most 100.
    #[must_use]
    pub fn with_jitter_percent(mut self, percent: u8) -> Self {
        self.lifetimes.jitter_percent = percent.min(100);
        self
    }

    /// For how long after its ttl an entry still answers while one read loads it again, and where the backend inside
    /// cannot be reached; zero by default. The read that loads waits for its answer. Never beyond the entry's own
    /// expiry, and for a missing entry no longer than its ttl.
    #[must_use]
    pub const fn with_stale_while_revalidate(mut self, stale: Duration) -> Self {
        self.lifetimes.stale = stale;
        self
    }

    /// Keeps also entries of which it is not known for certain when they end: the system does not say it, or its own
    /// clock decides, which this machine's may differ from. They can then be seen after they have ended, for as long as
    /// the clocks differ, and at most for the ttl (EXP-7, EXP-10). False by default: on such a system an entry that ends
    /// is kept only where it was written through this layer with a ttl.
    #[must_use]
    pub const fn cache_uncertain_expiry(mut self, cache: bool) -> Self {
        self.cache_uncertain_expiry = cache;
        self
    }
}

impl Default for Cached {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for Cached {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(CachedBackend::new(self, inner))
    }
}

/// The bound and the times.
impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::Entries(entries) => write!(f, "cached({entries} entries")?,
            Bound::Bytes(bytes) => write!(f, "cached({bytes} bytes")?,
        }
        let Lifetimes { ttl, negative_ttl, stale, .. } = self.lifetimes;
        write!(f, ", ttl {ttl:?}, negative {negative_ttl:?}")?;
        if !stale.is_zero() {
            write!(f, ", stale {stale:?}")?;
        }
        f.write_str(if self.cache_uncertain_expiry { ", also of uncertain expiry)" } else { ")" })
    }
}
