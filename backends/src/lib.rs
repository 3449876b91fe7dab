#![doc = include_str!("../README.md")]

pub use kv_api;
pub use kv_api::{Error, ErrorKind, Reason, Result, Store, Value};
#[cfg(feature = "backendless")]
pub use kv_backendless as backendless;
#[cfg(feature = "cloudflare")]
pub use kv_cloudflare as cloudflare;
#[cfg(feature = "memory")]
pub use kv_memory as memory;
#[cfg(feature = "nemesisdb")]
pub use kv_nemesisdb as nemesisdb;
#[cfg(feature = "puter")]
pub use kv_puter as puter;
#[cfg(feature = "sqlite")]
pub use kv_sqlite as sqlite;

use kv_api::StoreUrl;

/// The schemes that [`open`] understands in this build: one for each backend whose feature is on.
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

/// Opens the store that `url` names: `memory:`, `sqlite:app.db?namespace=users`, `cloudflare://ACCOUNT/NAMESPACE`, ... The scheme chooses the backend; its
/// own `Config::from_url` says what may follow the colon.
///
/// # Errors
/// `InvalidArgument` for what is not a store URL of that backend; with [`Reason::UnknownScheme`] when the scheme names
/// no backend, or one whose feature is off in this build: the message tells which. Else what opening runs into (LIFE-1).
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
    let url: StoreUrl = url.parse()?;
    match url.scheme() {
        #[cfg(feature = "memory")]
        "memory" => Ok(Store::new(memory::MemoryStore::with_config(memory::MemoryConfig::from_url(url)?))),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Store::new(sqlite::SqliteStore::open(sqlite::SqliteConfig::from_url(url)?).await?)),
        #[cfg(feature = "cloudflare")]
        "cloudflare" => {
            Ok(Store::new(cloudflare::CloudflareStore::open(cloudflare::CloudflareConfig::from_url(url)?)?))
        }
        #[cfg(feature = "backendless")]
        "backendless" => {
            Ok(Store::new(backendless::BackendlessStore::open(backendless::BackendlessConfig::from_url(url)?)?))
        }
        #[cfg(feature = "puter")]
        "puter" => Ok(Store::new(puter::PuterStore::open(puter::PuterConfig::from_url(url)?)?)),
        #[cfg(feature = "nemesisdb")]
        "nemesisdb" => {
            Ok(Store::new(nemesisdb::NemesisdbStore::open(nemesisdb::NemesisdbConfig::from_url(url)?).await?))
        }

        #[cfg(not(feature = "memory"))]
        "memory" => Err(switched_off("memory")),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(switched_off("sqlite")),
        #[cfg(not(feature = "cloudflare"))]
        "cloudflare" => Err(switched_off("cloudflare")),
        #[cfg(not(feature = "backendless"))]
        "backendless" => Err(switched_off("backendless")),
        #[cfg(not(feature = "puter"))]
        "puter" => Err(switched_off("puter")),
        #[cfg(not(feature = "nemesisdb"))]
        "nemesisdb" => Err(switched_off("nemesisdb")),

        unknown => {
            let built_in = match schemes() {
                [] => "none".to_owned(),
                schemes => schemes.join(", "),
            };
            let message = format!("no backend has the scheme {unknown:?}; built in: {built_in}");
            Err(Error::invalid(Reason::UnknownScheme, message))
        }
    }
}

/// The backend exists, but not in this build.
#[allow(dead_code, reason = "with every feature on, nothing is switched off")]
fn switched_off(feature: &str) -> Error {
    let message = format!("the backend {feature} is not built in: enable the feature {feature:?} of kv-backends");
    Error::invalid(Reason::UnknownScheme, message)
}
