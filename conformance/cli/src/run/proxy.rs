//! A link before the system, which counts requests and breaks them on purpose.

use std::io;

use kv_api::{Error, ErrorKind, Result};
use kv_link::StoreLink;

use super::target::Target;

/// A link of its own, and the store through it.
pub(crate) struct Linked {
    pub(crate) link: StoreLink,
    pub(crate) target: Target,
}

impl Linked {
    /// # Errors
    /// `InvalidArgument` for a system that no link leads to; `Misconfigured` when it cannot be opened.
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let link = StoreLink::open(target.url()).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::InvalidInput => ErrorKind::InvalidArgument,
                _ => ErrorKind::Misconfigured,
            };
            Error::new(kind, format!("--through-proxy: {error}"))
        })?;
        let target = Target::parse(link.url())?;
        Ok(Self { link, target })
    }
}
