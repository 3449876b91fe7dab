#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[path = "guide.rs"]
pub mod _guide;

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(all(feature = "layers", feature = "memory"))]
mod like;

pub use kv_api;
pub use kv_api::{
    Backend, BackendExt, BatchOutcome, Capabilities, Clock, Condition, Consistency, Cursor, DeleteOutcome, Entry,
    EntryExpiry, Error, ErrorKind, ExpectedVersion, ExpiryPrecedence, Feature, Layer, ListItem, ListOrder,
    ListedMetadata, Metadata, MinTtl, Page, Reason, RequestRate, Result, Retry, SetItem, SetOutcome, SetStatus, Stack,
    Store, StoreUrl, Support, Timer, Timestamp, Value, ValueKind, ValueKinds, Version,
};
#[cfg(feature = "backendless")]
#[doc(inline)]
pub use kv_backendless as backendless;
#[cfg(feature = "cloudflare")]
#[doc(inline)]
pub use kv_cloudflare as cloudflare;
#[cfg(feature = "layers")]
#[doc(inline)]
pub use kv_layers as layers;
#[cfg(feature = "memory")]
#[doc(inline)]
pub use kv_memory as memory;
#[cfg(feature = "nemesisdb")]
#[doc(inline)]
pub use kv_nemesisdb as nemesisdb;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use kv_postgres as postgres;
#[cfg(feature = "puter")]
#[doc(inline)]
pub use kv_puter as puter;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use kv_redis as redis;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use kv_sqlite as sqlite;

use std::sync::Arc;

/// The schemes that [`open`] understands in this build: those of each backend whose feature is on.
///
/// ```
/// # #[cfg(feature = "memory")]
/// assert!(kv_backends::schemes().contains(&"memory"));
/// assert!(!kv_backends::schemes().contains(&"gopher"));
/// ```
#[must_use]
pub const fn schemes() -> &'static [&'static str] {
    &[
        #[cfg(feature = "memory")]
        "memory",
        #[cfg(feature = "sqlite")]
        "sqlite",
        #[cfg(feature = "redis")]
        "redis",
        #[cfg(feature = "redis")]
        "rediss",
        #[cfg(feature = "redis")]
        "redis-cluster",
        #[cfg(feature = "redis")]
        "rediss-cluster",
        #[cfg(feature = "postgres")]
        "postgres",
        #[cfg(feature = "postgres")]
        "postgresql",
        #[cfg(feature = "cloudflare")]
        "cloudflare",
        #[cfg(feature = "backendless")]
        "backendless",
        #[cfg(feature = "puter")]
        "puter",
        #[cfg(feature = "nemesisdb")]
        "nemesisdb",
    ]
}

/// Opens the store that `url` names: `memory:`, `sqlite:app.db?namespace=users`, `cloudflare://ACCOUNT/NAMESPACE`, ...
/// The scheme chooses the backend; its own `Config::from_url` says what may follow the colon. All backends know two
/// options more: `best_effort=true` is [`Store::allow_best_effort`] (default: `false`), `min_ttl=round_up` is
/// [`Store::with_min_ttl`] (default: `reject`).
///
/// `memory:?like=cloudflare` is a store in memory that behaves like Workers KV, so that a test fails where production
/// would: it refuses, limits and hides as that system does, and has its race windows. With `stale_reads=3` the next
/// three reads of a key after a change are old. It needs the feature `layers` and that of the system; see `Like` there.
///
/// # Errors
/// `InvalidArgument` for what is not a store URL of that backend; with [`Reason::UnknownScheme`] when the scheme names
/// no backend, or one whose feature is off in this build: the message names the feature. `Misconfigured` outside a
/// tokio runtime, which every backend but `memory` needs, with time and I/O enabled. Else what opening runs into
/// (LIFE-1). Nothing of the URL is shown but the names of options (ERR-2).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # #[cfg(feature = "memory")] {
/// let store = kv_backends::open("memory:").await?;
/// store.set("greeting", "hello").await?;
/// assert_eq!(store.get("greeting").await?, Some(kv_backends::Value::from("hello")));
/// # }
/// let error = kv_backends::open("gopher://host").await.unwrap_err();
/// assert_eq!(error.reason(), Some(&kv_backends::Reason::UnknownScheme));
/// # Ok::<(), kv_backends::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn open(url: &str) -> Result<Store> {
    let mut url: StoreUrl = url.parse()?;
    let best_effort = url.take_parsed("best_effort", "true or false")?.unwrap_or(false);
    let min_ttl = url.take_parsed::<MinTtl>("min_ttl", "reject or round_up")?.unwrap_or_default();
    let store = Store::from_arc(open_at(url).await?).with_min_ttl(min_ttl);
    Ok(if best_effort { store.allow_best_effort() } else { store })
}

/// Opens the backend that `url` names, to put [layers](Layer) before it. It is the same as in [`open`], but for the two
/// options that all backends know: they are choices of a handle.
///
/// # Errors
/// As [`open`]. `InvalidArgument` with [`Reason::UnknownOption`] for `best_effort` and `min_ttl`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # #[cfg(feature = "memory")] {
/// use kv_backends::{BackendExt, Stack, open_backend};
/// let store = open_backend("memory:").await?.layer(&Stack::new()).into_store();
/// store.set("greeting", "hello").await?;
/// # }
/// # Ok::<(), kv_backends::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn open_backend(url: &str) -> Result<Arc<dyn Backend>> {
    let mut url: StoreUrl = url.parse()?;
    for (option, choice) in [("best_effort", "allow_best_effort"), ("min_ttl", "with_min_ttl")] {
        if url.take_option(option).is_some() {
            let message =
                format!("the option {option} is a choice of a store, not of its backend: call {choice} on the store");
            return Err(Error::invalid(Reason::UnknownOption, message));
        }
    }
    open_at(url).await
}

async fn open_at(url: StoreUrl) -> Result<Arc<dyn Backend>> {
    match url.scheme() {
        #[cfg(feature = "memory")]
        "memory" => {
            let mut url = url;
            #[cfg(feature = "layers")]
            let like = like::Options::take(&mut url)?;
            #[cfg(not(feature = "layers"))]
            refuse_like(&mut url)?;
            let store = Arc::new(memory::MemoryStore::with_config(memory::MemoryConfig::from_url(url)?));
            #[cfg(feature = "layers")]
            let store = like.layer(store);
            Ok(store)
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let config = sqlite::SqliteConfig::from_url(url)?;
            require_runtime("sqlite")?;
            Ok(Arc::new(sqlite::SqliteStore::open(config).await?))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => {
            let config = redis::RedisConfig::from_url(url)?;
            require_runtime("redis")?;
            Ok(Arc::new(redis::RedisStore::open(config).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let config = postgres::PostgresConfig::from_url(url)?;
            require_runtime("postgres")?;
            Ok(Arc::new(postgres::PostgresStore::open(config).await?))
        }
        #[cfg(feature = "cloudflare")]
        "cloudflare" => {
            let config = cloudflare::CloudflareConfig::from_url(url)?;
            require_runtime("cloudflare")?;
            Ok(Arc::new(cloudflare::CloudflareStore::open(config)?))
        }
        #[cfg(feature = "backendless")]
        "backendless" => {
            let config = backendless::BackendlessConfig::from_url(url)?;
            require_runtime("backendless")?;
            Ok(Arc::new(backendless::BackendlessStore::open(config)?))
        }
        #[cfg(feature = "puter")]
        "puter" => {
            let config = puter::PuterConfig::from_url(url)?;
            require_runtime("puter")?;
            Ok(Arc::new(puter::PuterStore::open(config)?))
        }
        #[cfg(feature = "nemesisdb")]
        "nemesisdb" => {
            let config = nemesisdb::NemesisdbConfig::from_url(url)?;
            require_runtime("nemesisdb")?;
            Ok(Arc::new(nemesisdb::NemesisdbStore::open(config).await?))
        }

        #[cfg(not(feature = "memory"))]
        "memory" => Err(switched_off("memory")),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(switched_off("sqlite")),
        #[cfg(not(feature = "redis"))]
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => Err(switched_off("redis")),
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => Err(switched_off("postgres")),
        #[cfg(not(feature = "cloudflare"))]
        "cloudflare" => Err(switched_off("cloudflare")),
        #[cfg(not(feature = "backendless"))]
        "backendless" => Err(switched_off("backendless")),
        #[cfg(not(feature = "puter"))]
        "puter" => Err(switched_off("puter")),
        #[cfg(not(feature = "nemesisdb"))]
        "nemesisdb" => Err(switched_off("nemesisdb")),

        // The scheme is not shown: where it was forgotten, it is a user or a key.
        _ => {
            let built_in = match schemes() {
                [] => "none".to_owned(),
                schemes => schemes.join(", "),
            };
            Err(Error::invalid(
                Reason::UnknownScheme,
                format!("no backend has the scheme of this store URL; built in: {built_in}"),
            ))
        }
    }
}

/// What would panic in the middle of a call is refused before the first.
#[cfg(feature = "tokio")]
#[allow(dead_code, reason = "only backends need a runtime to be there, and none may be built in")]
fn require_runtime(scheme: &'static str) -> Result<()> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|_| {
        let message = format!("a {scheme} store needs a tokio runtime with time and I/O: open and use it inside one");
        Error::new(ErrorKind::Misconfigured, message)
    })
}

/// What imitates another system is not in this build.
#[cfg(all(feature = "memory", not(feature = "layers")))]
fn refuse_like(url: &mut StoreUrl) -> Result<()> {
    let given = ["like", "stale_reads"].map(|option| url.take_option(option).is_some());
    if given.contains(&true) {
        let message = "the options like and stale_reads are not built in: enable the feature \"layers\" of kv-backends";
        return Err(Error::invalid(Reason::UnknownOption, message));
    }
    Ok(())
}

/// The backend exists, but not in this build.
#[allow(dead_code, reason = "with every feature on, nothing is switched off")]
fn switched_off(feature: &str) -> Error {
    let message = format!("the backend {feature} is not built in: enable the feature {feature:?} of kv-backends");
    Error::invalid(Reason::UnknownScheme, message)
}
