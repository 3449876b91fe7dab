#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod carrier;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod coded;
#[cfg(feature = "compressed")]
mod compressed;
#[cfg(feature = "encrypted")]
mod encrypted;
#[cfg(any(feature = "compressed", feature = "encrypted"))]
mod offered;

#[cfg(feature = "compressed")]
pub use compressed::Compressed;
#[cfg(feature = "encrypted")]
pub use encrypted::{Encrypted, EncryptionKey};
