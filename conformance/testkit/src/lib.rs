#![doc = include_str!("../README.md")]

mod clocks;
mod scripted;
mod turns;

pub use clocks::BothClocks;
pub use scripted::{Asked, Said, Scripted};
pub use turns::{settle, until};
