#![doc = include_str!("../README.md")]

mod clocks;
#[doc(hidden)]
pub mod remote;
mod scripted;
mod turns;

pub use clocks::BothClocks;
pub use remote::RemoteSystem;
pub use scripted::{Asked, Said, Scripted};
pub use turns::{settle, until};
