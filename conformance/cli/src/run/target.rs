//! The store that is looked at: a URL, and how to open it.

use std::sync::Arc;
use std::{env, fmt};

use kv_api::{Backend, Clock, ManualClock, Result, StoreUrl, async_trait, forward_backend};
use kv_backends::backendless::{BackendlessConfig, BackendlessStore};
use kv_backends::cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_backends::memory::{MemoryConfig, MemoryStore};
use kv_backends::nemesisdb::{NemesisdbConfig, NemesisdbStore};
use kv_backends::postgres::{PostgresConfig, PostgresStore};
use kv_backends::puter::{PuterConfig, PuterStore};
use kv_backends::redis::{RedisConfig, RedisStore};
use kv_conformance::Means;

/// How often a request is sent at most where each attempt may meet a fault: one that lasts is met by all of them, and
/// the ninth would be long in coming.
const ATTEMPTS_THROUGH_PROXY: u32 = 2;

/// Of the forms that the systems give their own: 40 characters, three parts, a UUID.
const WRONG_TOKEN: &str = "wrongwrongwrongwrongwrongwrongwrongwrong";
const WRONG_JWT: &str = "wrong.wrong.wrong";
const WRONG_KEY: &str = "00000000-0000-4000-8000-000000000000";

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

    /// Whether it can be opened by another clock.
    pub(crate) fn takes_clock(&self) -> bool {
        !matches!(self.parsed.scheme(), "memory" | "sqlite")
    }

    /// By another clock of this side, where it takes one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) async fn open_by(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>> {
        let url = self.parsed.clone();
        Ok(match url.scheme() {
            "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => {
                Arc::new(RedisStore::open(RedisConfig::from_url(url)?.with_clock(clock)).await?)
            }
            "postgres" | "postgresql" => {
                Arc::new(PostgresStore::open(PostgresConfig::from_url(url)?.with_clock(clock)).await?)
            }
            "cloudflare" => Arc::new(CloudflareStore::open(CloudflareConfig::from_url(url)?.with_clock(clock))?),
            "backendless" => Arc::new(BackendlessStore::open(BackendlessConfig::from_url(url)?.with_clock(clock))?),
            "puter" => Arc::new(PuterStore::open(PuterConfig::from_url(url)?.with_clock(clock))?),
            "nemesisdb" => Arc::new(NemesisdbStore::open(NemesisdbConfig::from_url(url)?.with_clock(clock)).await?),
            _ => self.open().await?,
        })
    }

    /// Whether the URL or the environment has a secret, in the place of which there can be a wrong one.
    pub(crate) fn has_credentials(&self) -> bool {
        let has = |variable| env::var_os(variable).is_some_and(|value| !value.is_empty());
        match self.parsed.scheme() {
            "cloudflare" | "puter" => true,
            "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => {
                self.login().has_password || has("REDIS_PASSWORD")
            }
            "postgres" | "postgresql" => self.login().has_password || has("PGPASSWORD"),
            "backendless" => self.login().user.is_some(),
            _ => false,
        }
    }

    /// With credentials that are wrong, of the form that right ones have.
    ///
    /// # Errors
    /// What opening ran into.
    pub(crate) async fn open_as_stranger(&self) -> Result<Arc<dyn Backend>> {
        let url = self.parsed.clone();
        Ok(match url.scheme() {
            "cloudflare" => {
                let wrong = Credentials::Token(WRONG_TOKEN.into());
                Arc::new(CloudflareStore::open(CloudflareConfig::from_url(url)?.with_credentials(wrong))?)
            }
            "puter" => Arc::new(PuterStore::open(PuterConfig::from_url(url)?.with_token(WRONG_JWT.into())?)?),
            _ => self.with_password(WRONG_KEY)?.open().await?,
        })
    }

    fn login(&self) -> Login {
        // One of the nodes of a cluster has it, and that is the first.
        let named = self.parsed.authorities().ok().flatten().unwrap_or_default();
        let first = named.first();
        Login {
            user: first.and_then(|authority| authority.user()).map(str::to_owned),
            has_password: first.and_then(|authority| authority.password()).is_some_and(|word| !word.is_empty()),
        }
    }

    /// The same with another password in the URL.
    fn with_password(&self, password: &str) -> Result<Self> {
        let Some((scheme, rest)) = self.url.split_once("://") else { return Ok(self.clone()) };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        // As it is spelled there.
        let user = login.split_once(':').map_or(login, |(user, _)| user);
        Self::parse(&format!("{scheme}://{user}:{password}@{hosts}{after}"))
    }

    /// How often a request is sent at most.
    pub(crate) fn attempts_max(&self) -> u32 {
        let given = || self.parsed.clone().take_option("attempts_max")?.parse().ok();
        match self.parsed.scheme() {
            "memory" | "sqlite" => 1,
            "puter" => given().unwrap_or(9),
            // As by `RetryPolicy::default`.
            _ => given().unwrap_or(4),
        }
    }

    /// With few attempts for each request, where the URL does not say how many.
    ///
    /// # Errors
    /// As [`with_option`](Self::with_option).
    pub(crate) fn with_few_attempts(self) -> Result<Self> {
        if self.parsed.clone().take_option("attempts_max").is_some() {
            return Ok(self);
        }
        self.with_option("attempts_max", &ATTEMPTS_THROUGH_PROXY.to_string())
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
        } else if !self.has_credentials() {
            absent.push((Means::WrongCredentials, "neither the URL nor the environment has a secret to be wrong"));
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

/// What stands before the host.
struct Login {
    user: Option<String>,
    has_password: bool,
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
    fn a_wrong_password_takes_the_place_of_the_right_one() {
        for (url, expected) in [
            ("redis://:hush@h:1/2?a=b@c", "redis://:wrong@h:1/2?a=b@c"),
            ("redis-cluster://u:hu%40sh@h:1,i:2", "redis-cluster://u:wrong@h:1,i:2"),
            ("postgres://u@h?namespace=n", "postgres://u:wrong@h?namespace=n"),
            ("backendless://APP:hush@/hive", "backendless://APP:wrong@/hive"),
            ("redis://h", "redis://:wrong@h"),
        ] {
            assert_eq!(Target::parse(url).unwrap().with_password("wrong").unwrap().url, expected);
        }
    }

    #[test]
    fn attempts_are_few_unless_the_url_says_how_many() {
        for (url, usual, few) in
            [("puter:///app", 9, 2), ("redis://h?attempts_max=7", 7, 7), ("postgres://h/db", 4, 2), ("memory:", 1, 1)]
        {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.attempts_max(), usual, "{url}");
            assert_eq!(target.with_few_attempts().unwrap().attempts_max(), few, "{url}");
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
