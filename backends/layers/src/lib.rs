#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
#[cfg(feature = "cached")]
mod cached;
mod call;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod carrier;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod coded;
#[cfg(feature = "compressed")]
mod compressed;
#[cfg(feature = "encrypted")]
mod encrypted;
mod fallback;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod intercepted;
#[cfg(feature = "like")]
mod like;
#[cfg(feature = "mirrored")]
mod mirrored;
mod mounted;
#[cfg(feature = "rate-limited")]
mod rate_limited;
mod read_only;
mod scope;
mod shown;
#[cfg(feature = "traced")]
mod traced;

#[cfg(feature = "cached")]
pub use cached::Cached;
pub use call::{Operation, Outcome};
#[cfg(feature = "compressed")]
pub use compressed::Compressed;
#[cfg(feature = "encrypted")]
pub use encrypted::{Encrypted, EncryptionKey};
pub use fallback::{Fallback, FallbackCounts};
pub use intercepted::{Call, Intercept, Intercepted};
#[cfg(feature = "like")]
pub use like::Like;
#[cfg(feature = "mirrored")]
pub use mirrored::{MirrorCounts, MirrorEvent, MirrorEventKind, Mirrored, SecondaryFailure};
pub use mounted::Mounted;
#[cfg(feature = "rate-limited")]
pub use rate_limited::RateLimited;
pub use read_only::ReadOnly;
#[cfg(feature = "traced")]
pub use traced::Traced;
