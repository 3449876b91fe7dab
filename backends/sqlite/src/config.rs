//! Settings of a store, in SQLite's own nouns.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl, SystemClock, Timer, TokioTimer};

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process by any means, and a loss of power: each commit waits until the disk has it
    /// (`synchronous=FULL`). As far as the disk keeps its word about having written.
    #[default]
    Full,
    /// The end of the process by any means. A loss of power may take the last writes with it, never a part of one, and
    /// never leaves a damaged file (`synchronous=NORMAL`).
    Normal,
}

impl FromStr for Durability {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` unless it is `full` or `normal`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(Error::new(ErrorKind::InvalidArgument, "durability is full or normal")),
        }
    }
}

/// Settings of a [`SqliteStore`](crate::SqliteStore): one namespace of one file.
///
/// ```
/// use kv_sqlite::{Durability, SqliteConfig};
/// use std::time::Duration;
/// let config = SqliteConfig::new("app.db")
///     .with_namespace("users")
///     .with_durability(Durability::Normal)
///     .with_busy_timeout(Duration::from_secs(3));
/// let shown = format!("{config:?}");
/// assert!(shown.contains("app.db") && !shown.contains("users"), "a secret may stand there by mistake (ERR-2)");
/// ```
#[derive(Clone)]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) namespace: String,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: NonZeroUsize,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) allow_hard_links: bool,
    pub(crate) checkpoint_pages: u32,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
}

/// Without the namespace, in whose place a secret may stand by mistake (ERR-2).
impl fmt::Debug for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConfig")
            .field("path", &self.path)
            .field("is_default_namespace", &(self.namespace == Self::DEFAULT_NAMESPACE))
            .field("durability", &self.durability)
            .field("busy_timeout", &self.busy_timeout)
            .field("readers", &self.readers)
            .field("create", &self.create)
            .field("read_only", &self.read_only)
            .field("allow_hard_links", &self.allow_hard_links)
            .field("checkpoint_pages", &self.checkpoint_pages)
            .finish_non_exhaustive()
    }
}

/// Writes of 16 MiB of pages between checkpoints: groups gain by it at either durability, and the log stays small.
const CHECKPOINT_PAGES: u32 = 4000;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl SqliteConfig {
    /// The default namespace.
    pub const DEFAULT_NAMESPACE: &'static str = "default";

    /// The most bytes in the name of a namespace.
    pub const NAMESPACE_BYTES_MAX: usize = 255;

    /// The most connections that read.
    pub const READERS_MAX: usize = 64;

    /// The longest wait for another process's lock: one hour.
    pub const BUSY_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

    /// The most pages in the log before they are moved into the file: 4 GB of pages of 4 KiB.
    pub const CHECKPOINT_PAGES_MAX: u32 = 1_000_000;

    /// The file at `path`, created with the first opening, and the default of each setting.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            namespace: Self::DEFAULT_NAMESPACE.to_owned(),
            durability: Durability::default(),
            busy_timeout: BUSY_TIMEOUT,
            readers: default_readers(),
            create: true,
            read_only: false,
            allow_hard_links: false,
            checkpoint_pages: CHECKPOINT_PAGES,
            clock: Arc::new(SystemClock),
            timer: Arc::new(TokioTimer),
        }
    }

    /// From a URL: `sqlite:app.db`, `sqlite:/var/lib/app.db` or `sqlite:///var/lib/app.db`, with the options
    /// `namespace`, `durability` (`full`, `normal`), `mode` (`rwc`: create the file if it is missing, the default;
    /// `rw`; `ro`), `busy_timeout_ms`, `readers`, `checkpoint_pages` and `allow_hard_links` (`true`, `false`).
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, no path, an in-memory path, a host, an option that is not one of these, or
    /// a number beyond its bound.
    ///
    /// ```
    /// use kv_api::Reason;
    /// use kv_sqlite::SqliteConfig;
    /// let config = SqliteConfig::from_url("sqlite:app.db?namespace=users&durability=normal&mode=rw".parse()?)?;
    /// assert!(format!("{config:?}").contains("Normal"));
    /// let error = SqliteConfig::from_url("sqlite:app.db?durabilty=full".parse()?).unwrap_err();
    /// assert_eq!(error.reason(), Some(&Reason::UnknownOption));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        let invalid = |message: &'static str| Error::new(ErrorKind::InvalidArgument, message);
        if url.scheme() != "sqlite" {
            return Err(invalid("not a SQLite URL: it begins with sqlite:").with_reason(Reason::UnknownScheme));
        }
        let path = match url.rest().strip_prefix("//") {
            None => url.rest(),
            Some(path) if path.starts_with('/') || path.is_empty() => path,
            Some(":memory:") => ":memory:",
            Some(_) => {
                return Err(invalid(
                    "a SQLite URL has no host: a relative path is sqlite:app.db, an absolute one sqlite:///app.db",
                ));
            }
        };
        check_path(path)?;
        let mut config = Self::new(path);
        if let Some(namespace) = url.take_option("namespace") {
            config.namespace = namespace;
        }
        if let Some(durability) = url.take_parsed("durability", "full or normal")? {
            config.durability = durability;
        }
        if let Some(mode) = url.take_option("mode") {
            (config.create, config.read_only) = match mode.as_str() {
                "rwc" => (true, false),
                "rw" => (false, false),
                "ro" => (false, true),
                _ => {
                    return Err(invalid("the option mode of the store URL must be rwc, rw or ro")
                        .with_reason(Reason::UnknownOption));
                }
            };
        }
        if let Some(millis) = url.take_parsed("busy_timeout_ms", "a whole number of milliseconds")? {
            config.busy_timeout = Duration::from_millis(millis);
        }
        if let Some(readers) = url.take_parsed("readers", "a whole number, at least 1")? {
            config.readers = readers;
        }
        if let Some(pages) = url.take_parsed("checkpoint_pages", "a whole number of pages")? {
            config.checkpoint_pages = pages;
        }
        if let Some(allow) = url.take_parsed("allow_hard_links", "true or false")? {
            config.allow_hard_links = allow;
        }
        url.finish()?;
        config.check()?;
        Ok(config)
    }

    /// The namespace, created with the first opening for writing: 1 to [`Self::NAMESPACE_BYTES_MAX`] bytes of any
    /// characters. Default: [`Self::DEFAULT_NAMESPACE`]. Nothing in it is visible through another (NS-1).
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// What an acknowledged write survives. Default: [`Durability::Full`].
    #[must_use]
    pub const fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The clock that decides expiries (EXP-10). Default: the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The timer that waits for another process's lock (EXP-10). Default: tokio's.
    #[must_use]
    pub fn with_timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }

    /// How long another process's lock is waited out before the call fails with `Unavailable` and
    /// [`Reason::Busy`](kv_api::Reason::Busy). Default: 10 seconds; zero does not wait at all. Counted from when the
    /// store turns to the call: one that stands in line behind others that wait for the lock waits for them too. At
    /// most [`Self::BUSY_TIMEOUT_MAX`]; beyond it the opening fails with `InvalidArgument`.
    #[must_use]
    pub const fn with_busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// How many connections read, beside one for gets that come alone. Default: half of the machine's cores, at least 1
    /// and at most 4. Each has a thread; reads that wait for one connection are answered together. At most [`Self::READERS_MAX`]; beyond it the opening
    /// fails with `InvalidArgument`.
    #[must_use]
    pub const fn with_readers(mut self, readers: NonZeroUsize) -> Self {
        self.readers = readers;
        self
    }

    /// Whether a missing file is created. Default: yes.
    #[must_use]
    pub const fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether the store can only be read: then file and namespace must exist, and each write fails with
    /// `Misconfigured` and [`Reason::ReadOnly`](kv_api::Reason::ReadOnly). Default: no.
    #[must_use]
    pub const fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether a file with several names (hard links) may be opened. Default: no, the opening fails with
    /// `Misconfigured` and [`Reason::HardLinked`](kv_api::Reason::HardLinked). SQLite names the log after the name that
    /// a program opens, so programs that use different names do not see what the others write, and damage it. Safe only
    /// where no program opens the other names, such as those of a backup that hard-links files.
    #[must_use]
    pub const fn with_allow_hard_links(mut self, allow_hard_links: bool) -> Self {
        self.allow_hard_links = allow_hard_links;
        self
    }

    /// After how many pages (of 4 KiB) in the write-ahead log they are moved into the file. Default: 4000; more is
    /// faster and lets the log grow; zero moves them only when the last store on the file closes. While batches of more
    /// than 256 items or 1 MiB are written it is at least 16,384. At most [`Self::CHECKPOINT_PAGES_MAX`]; beyond it the
    /// opening fails with `InvalidArgument`.
    #[must_use]
    pub const fn with_checkpoint_pages(mut self, checkpoint_pages: u32) -> Self {
        self.checkpoint_pages = checkpoint_pages;
        self
    }

    /// What can be checked without touching the file (LIFE-1).
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(path) = self.path.to_str() {
            check_path(path)?;
        }
        if self.namespace.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "the name of a namespace must not be empty"));
        }
        let busy_timeout_ms = u64::try_from(self.busy_timeout.as_millis()).unwrap_or(u64::MAX);
        let busy_timeout_ms_max = Self::BUSY_TIMEOUT_MAX.as_secs() * 1000;
        for (name, allowed, found) in [
            ("namespace_bytes_max", Self::NAMESPACE_BYTES_MAX as u64, self.namespace.len() as u64),
            ("readers_max", Self::READERS_MAX as u64, self.readers.get() as u64),
            ("busy_timeout_ms_max", busy_timeout_ms_max, busy_timeout_ms),
            ("checkpoint_pages_max", Self::CHECKPOINT_PAGES_MAX.into(), self.checkpoint_pages.into()),
        ] {
            if found > allowed {
                return Err(Error::limit(name, allowed, found));
            }
        }
        Ok(())
    }
}

/// A store in memory that vanishes with its connections would break every promise about what has been acknowledged.
fn check_path(path: &str) -> Result<()> {
    if path.is_empty() || path == ":memory:" {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "a SQLite store needs a file, such as sqlite:app.db; for a store in memory use memory:",
        ));
    }
    Ok(())
}

fn default_readers() -> NonZeroUsize {
    const READERS_MAX: usize = 4;
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new((cores / 2).min(READERS_MAX)).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_url(url: &str) -> Result<SqliteConfig> {
        SqliteConfig::from_url(url.parse()?)
    }

    #[test]
    fn a_url_names_the_file_in_three_forms() {
        for (url, path) in [
            ("sqlite:app.db", "app.db"),
            ("sqlite:a%20b/app.db", "a b/app.db"),
            ("sqlite:/var/app.db", "/var/app.db"),
            ("sqlite:///var/app.db", "/var/app.db"),
            ("SQLITE:file:app.db", "file:app.db"),
        ] {
            assert_eq!(from_url(url).unwrap().path, PathBuf::from(path), "{url}");
        }
    }

    #[test]
    fn a_url_sets_every_option() {
        let config = from_url(
            "sqlite:a?namespace=n%2F1&durability=normal&mode=ro&busy_timeout_ms=7&readers=3&checkpoint_pages=10000",
        )
        .unwrap();
        assert_eq!(config.namespace, "n/1");
        assert_eq!(config.durability, Durability::Normal);
        assert!(config.read_only && !config.create);
        assert_eq!(config.busy_timeout, Duration::from_millis(7));
        assert_eq!(config.readers.get(), 3);
        assert_eq!(config.checkpoint_pages, 10_000);
        let plain = from_url("sqlite:a").unwrap();
        assert!(plain.create && !plain.read_only);
        assert_eq!((plain.namespace.as_str(), plain.durability), ("default", Durability::Full));
    }

    #[test]
    fn a_url_that_means_nothing_is_refused() {
        for url in [
            "memory:",
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://host/app.db",
            "sqlite:a?mode=w",
            "sqlite:a?durability=off",
            "sqlite:a?readers=0",
            "sqlite:a?busy_timeout_ms=-1",
            "sqlite:a?name=b",
        ] {
            assert_eq!(from_url(url).unwrap_err().kind(), ErrorKind::InvalidArgument, "{url}");
        }
        assert!(from_url("sqlite::memory:").unwrap_err().to_string().contains("use memory:"));
    }

    #[test]
    fn life_1_every_number_has_a_bound() {
        for (option, limit, name) in [
            ("readers", 64, "readers_max"),
            ("busy_timeout_ms", 3_600_000, "busy_timeout_ms_max"),
            ("checkpoint_pages", 1_000_000, "checkpoint_pages_max"),
        ] {
            assert!(from_url(&format!("sqlite:a?{option}={limit}")).is_ok());
            for beyond in [limit + 1, 2_000_000_000] {
                let error = from_url(&format!("sqlite:a?{option}={beyond}")).unwrap_err();
                assert_eq!(
                    error.reason(),
                    Some(&Reason::Limit { name: name.into(), allowed: limit, found: beyond }),
                    "{option}"
                );
            }
        }
        let too_many = NonZeroUsize::new(1_000_000).unwrap();
        assert!(SqliteConfig::new("a").with_readers(too_many).check().is_err());
        assert!(SqliteConfig::new("a").with_busy_timeout(Duration::MAX).check().is_err());
        assert!(SqliteConfig::new("a").with_checkpoint_pages(u32::MAX).check().is_err());
    }

    #[test]
    fn err_2_a_secret_in_the_place_of_a_namespace_is_not_printed() {
        let printed = format!("{:?}", from_url("sqlite:a?namespace=hush").unwrap());
        assert!(!printed.contains("hush") && printed.contains("is_default_namespace: false"), "{printed}");
    }

    #[test]
    fn a_namespace_has_a_name_of_bounded_length() {
        assert!(SqliteConfig::new("a").with_namespace("").check().is_err());
        assert!(SqliteConfig::new("a").with_namespace(&"é".repeat(127)).check().is_ok());
        let error = SqliteConfig::new("a").with_namespace(&"é".repeat(128)).check().unwrap_err();
        assert_eq!(
            error.reason(),
            Some(&Reason::Limit { name: "namespace_bytes_max".into(), allowed: 255, found: 256 })
        );
    }
}
