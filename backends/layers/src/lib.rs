#![doc = include_str!("../README.md")]

#[cfg(feature = "encrypted")]
mod carrier;
#[cfg(feature = "encrypted")]
mod coded;
#[cfg(feature = "encrypted")]
mod encrypted;
#[cfg(feature = "encrypted")]
mod offered;

#[cfg(feature = "encrypted")]
pub use encrypted::{Encrypted, EncryptionKey};
