#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod carrier;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod coded;
#[cfg(feature = "compressed")]
mod compressed;
#[cfg(feature = "encrypted")]
mod encrypted;
mod intercepted;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod offered;
#[cfg(feature = "rate-limited")]
mod rate_limited;
mod read_only;
#[cfg(feature = "traced")]
mod traced;

pub use call::{Operation, Outcome};
#[cfg(feature = "compressed")]
pub use compressed::Compressed;
#[cfg(feature = "encrypted")]
pub use encrypted::{Encrypted, EncryptionKey};
pub use intercepted::{Call, Intercept, Intercepted};
#[cfg(feature = "rate-limited")]
pub use rate_limited::RateLimited;
pub use read_only::ReadOnly;
#[cfg(feature = "traced")]
pub use traced::Traced;
