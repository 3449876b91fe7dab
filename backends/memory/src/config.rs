//! The settings of a store.

use std::sync::Arc;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl, SystemClock};

/// The settings of a [`MemoryStore`](crate::MemoryStore): its clock, and bounds on what it holds. The default is the
/// system's clock and no bound.
///
/// ```
/// use kv_memory::{MemoryConfig, MemoryStore};
/// let config = MemoryConfig::new().with_entries_max(10_000).with_bytes_max(64 * 1024 * 1024);
/// let store = MemoryStore::with_config(config);
/// # let _ = store;
/// ```
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entries_max: Option<u64>,
    pub(crate) bytes_max: Option<u64>,
}

impl MemoryConfig {
    /// The system's clock and no bound.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock), entries_max: None, bytes_max: None }
    }

    /// The clock that decides when an entry has expired (EXP-10); the system's unless set.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The most live entries the store holds; no bound unless set. A write that would pass it is
    /// [`Exhausted`](ErrorKind::Exhausted) with [`Reason::StoreFull`], and nothing is thrown out for it but what has
    /// expired.
    #[must_use]
    pub fn with_entries_max(mut self, entries_max: usize) -> Self {
        self.entries_max = Some(entries_max as u64);
        self
    }

    /// The most bytes of keys, values and metadata of live entries; no bound unless set. What the store needs beside
    /// them is not counted: about 115 bytes an entry, and some 10 more where it expires. A write that would pass it
    /// fails as with [`with_entries_max`](Self::with_entries_max).
    #[must_use]
    pub fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = Some(bytes_max);
        self
    }

    /// From a URL `memory:`, with the options `entries_max` and `bytes_max`.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, for anything between the colon and the options (a memory store has no
    /// name: each one is its own), for an unknown option, and for a bound that is not a whole number.
    ///
    /// ```
    /// use kv_memory::MemoryConfig;
    /// assert!(MemoryConfig::from_url("memory:?entries_max=1000".parse()?).is_ok());
    /// let error = MemoryConfig::from_url("memory:cache".parse()?).unwrap_err();
    /// assert_eq!(error.kind(), kv_api::ErrorKind::InvalidArgument);
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        if url.scheme() != "memory" {
            return Err(Error::invalid(Reason::UnknownScheme, "a memory store has the scheme memory"));
        }
        if !url.rest().is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a memory store has no name: write memory: and then only options, such as memory:?entries_max=1000",
            ));
        }
        let expected = "a whole number of at least 0";
        let entries_max = url.take_parsed::<u64>("entries_max", expected)?;
        let bytes_max = url.take_parsed::<u64>("bytes_max", expected)?;
        url.finish()?;
        Ok(Self { entries_max, bytes_max, ..Self::new() })
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_sets_bounds() {
        let config = MemoryConfig::from_url("memory:?bytes_max=9&entries_max=7".parse().unwrap()).unwrap();
        assert_eq!((config.entries_max, config.bytes_max), (Some(7), Some(9)));
        let config = MemoryConfig::from_url("memory:".parse().unwrap()).unwrap();
        assert_eq!((config.entries_max, config.bytes_max), (None, None));
    }

    #[test]
    fn a_url_with_anything_else_is_refused() {
        let check = |url: &str, expected: &str| {
            let error = MemoryConfig::from_url(url.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(error.to_string().contains(expected), "{url}: {error}");
        };
        check("sqlite:", "scheme");
        check("memory:name", "no name");
        check("memory://host", "no name");
        check("memory:?entrys_max=1", "entries_max");
        check("memory:?entries_max=many", "entries_max");
        check("memory:?bytes_max=-1", "bytes_max");
        check("memory:?bytes_max=1&bytes_max=2", "bytes_max");
    }
}
