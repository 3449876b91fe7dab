//! The options `like` and `stale_reads` of `memory:`.

use std::sync::Arc;

use kv_api::{Backend, Capabilities, Error, Layer, Reason, Result, StoreUrl};
use kv_layers::Like;

/// The systems that memory can be like in this build: those of each backend whose feature is on.
const SYSTEMS: &[(&str, &Capabilities)] = &[
    #[cfg(feature = "sqlite")]
    ("sqlite", &kv_sqlite::CAPABILITIES),
    #[cfg(feature = "redis")]
    ("redis", &kv_redis::CAPABILITIES),
    #[cfg(feature = "postgres")]
    ("postgres", &kv_postgres::CAPABILITIES),
    #[cfg(feature = "cloudflare")]
    ("cloudflare", &kv_cloudflare::CAPABILITIES),
    #[cfg(feature = "backendless")]
    ("backendless", &kv_backendless::CAPABILITIES),
    #[cfg(feature = "puter")]
    ("puter", &kv_puter::CAPABILITIES),
    #[cfg(feature = "nemesisdb")]
    ("nemesisdb", &kv_nemesisdb::CAPABILITIES),
];

/// What a URL says the store is to be like.
pub(crate) struct Options(Option<Like>);

impl Options {
    /// Takes the options from the URL.
    ///
    /// # Errors
    /// `InvalidArgument` for a system that is unknown or not built in, for reads that are no number, and for stale reads
    /// of no system.
    pub(crate) fn take(url: &mut StoreUrl) -> Result<Self> {
        let system = url.take_option("like");
        let stale_reads = url.take_parsed::<u32>("stale_reads", "a number of reads")?;
        let Some(system) = system else {
            return match stale_reads {
                None => Ok(Self(None)),
                Some(_) => Err(refused("stale_reads needs the option like".to_owned())),
            };
        };
        let Some((_, capabilities)) = SYSTEMS.iter().find(|(name, _)| *name == system) else {
            let names: Vec<&str> = SYSTEMS.iter().map(|(name, _)| *name).collect();
            let built_in = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            // The value is not shown: a secret may stand anywhere by mistake.
            let message = format!("like names no system that is built in; built in: {built_in}; each is a feature");
            return Err(refused(message));
        };
        Ok(Self(Some(Like::new((*capabilities).clone()).with_stale_reads(stale_reads.unwrap_or(0)))))
    }

    pub(crate) fn layer(self, backend: Arc<dyn Backend>) -> Arc<dyn Backend> {
        match self.0 {
            Some(like) => like.layer(backend),
            None => backend,
        }
    }
}

fn refused(message: String) -> Error {
    Error::invalid(Reason::UnknownOption, message)
}
