//! The store that is looked at: a URL, and how to open it.

use std::fmt;
use std::sync::Arc;

use kv_api::{Backend, ManualClock, Result, StoreUrl, async_trait, forward_backend};
use kv_backends::memory::{MemoryConfig, MemoryStore};
use kv_conformance::Means;

/// A store URL whose scheme is known.
#[derive(Clone)]
pub(crate) struct Target {
    url: String,
    parsed: StoreUrl,
}

impl Target {
    /// # Errors
    /// `InvalidArgument` for what is no store URL.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        Ok(Self { url: url.to_owned(), parsed: url.parse()? })
    }

    /// # Errors
    /// What opening ran into.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Backend>> {
        kv_backends::open_backend(&self.url).await
    }

    /// Whether each time it is opened it is another store.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.parsed.scheme() == "memory"
    }

    /// A store in memory on a clock that can be moved; `None` for all others. The clock of a store in memory that
    /// imitates another system is not ours.
    pub(crate) fn open_on(&self, clock: &ManualClock) -> Option<Result<Arc<dyn Backend>>> {
        let mut url = self.parsed.clone();
        if !self.is_in_memory() || url.take_option("like").is_some() {
            return None;
        }
        let config = MemoryConfig::from_url(url).map(|config| config.with_clock(Arc::new(clock.clone())));
        Some(config.map(|config| Arc::new(MemoryStore::with_config(config)) as Arc<dyn Backend>))
    }

    /// Another namespace of the same system, where the URL of its scheme names one.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Option<Self> {
        const SCHEMES: [&str; 8] =
            ["sqlite", "redis", "rediss", "redis-cluster", "rediss-cluster", "postgres", "postgresql", "nemesisdb"];
        if !SCHEMES.contains(&self.parsed.scheme()) {
            return None;
        }
        self.with_option("namespace", namespace).ok()
    }

    /// As it was given: not to be shown.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same with an option in the place of the one of this name.
    ///
    /// # Errors
    /// `InvalidArgument` when that is no store URL any more.
    pub(crate) fn with_option(&self, name: &str, value: &str) -> Result<Self> {
        let without = self.without_option(name)?;
        let separator = if without.url.contains('?') { '&' } else { '?' };
        Self::parse(&format!("{}{separator}{name}={value}", without.url))
    }

    /// The same without an option. One whose name is written with escapes stays.
    ///
    /// # Errors
    /// As [`with_option`](Self::with_option).
    pub(crate) fn without_option(&self, name: &str) -> Result<Self> {
        let Some((before, options)) = self.url.split_once('?') else { return Ok(self.clone()) };
        let is_other = |option: &&str| option.split_once('=').is_none_or(|(own, _)| own != name);
        let others: Vec<&str> = options.split('&').filter(is_other).collect();
        let options = others.join("&");
        Self::parse(&if options.is_empty() { before.to_owned() } else { format!("{before}?{options}") })
    }

    /// Whether the system itself spells JSON anew.
    pub(crate) fn rewrites_json(&self) -> bool {
        matches!(self.parsed.scheme(), "backendless" | "puter" | "nemesisdb")
    }

    /// What the system has nothing of, and why.
    pub(crate) fn absent(&self) -> Vec<(Means, &'static str)> {
        let scheme = self.parsed.scheme();
        let mut absent = Vec::new();
        if matches!(scheme, "memory" | "sqlite") {
            absent.extend([
                (Means::Requests, "the store sends no requests"),
                (Means::Faults, "the store has no connection that could break"),
                (Means::ForeignTypeWriter, "the store holds nothing but values"),
            ]);
        }
        if matches!(scheme, "memory" | "sqlite" | "nemesisdb") {
            absent.extend([
                (Means::WrongCredentials, "the system asks for no credentials"),
                (Means::Secret, "the system asks for no credentials"),
            ]);
        }
        if scheme == "memory" {
            absent.extend([
                (Means::Restart, "the store is gone with its process"),
                (Means::ForeignWriter, "nobody else can write to a store in memory"),
            ]);
        }
        absent
    }
}

/// Without secrets (ERR-2): host and port, or the scheme alone.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.parsed.to_string();
        let scheme = self.parsed.scheme();
        let is_known = kv_backends::schemes().contains(&scheme);
        match &*shown {
            "..." if is_known && self.parsed.rest().is_empty() => write!(f, "{scheme}:"),
            "..." if is_known => write!(f, "{scheme}:..."),
            _ => f.write_str(&shown),
        }
    }
}

/// One backend as many: each of them is closed by itself, and none closes the others.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) Arc<dyn Backend>);

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for Shared {
    forward_backend!(@forward self, self.0, capabilities);
    forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping],
        implement: [close]);

    /// The handle refuses what comes after it.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_2_no_secret_is_shown() {
        for (url, shown) in [
            ("memory:", "memory:"),
            ("sqlite:hunter2.db?namespace=hunter2", "sqlite:..."),
            ("redis://:hunter2@db.example/0?namespace=hunter2", "redis://...@db.example/...?..."),
            ("hunter2:x", "..."),
        ] {
            assert_eq!(Target::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn another_namespace_takes_the_place_of_the_one_that_was_named() {
        for (url, expected) in [
            ("sqlite:a.db", Some("sqlite:a.db?namespace=n")),
            ("sqlite:a.db?namespace=m&durability=normal", Some("sqlite:a.db?durability=normal&namespace=n")),
            ("redis://h/0?a=1&namespace=m", Some("redis://h/0?a=1&namespace=n")),
            ("memory:", None),
            ("cloudflare://a/n", None),
        ] {
            let target = Target::parse(url).unwrap().in_namespace("n");
            assert_eq!(target.as_ref().map(|target| &*target.url), expected);
        }
    }
}
