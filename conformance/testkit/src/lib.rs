#![doc = include_str!("../README.md")]

mod clocks;
mod http;
mod pages;
pub mod remote;
mod scripted;
mod turns;

pub use clocks::BothClocks;
pub use http::http_client;
pub use pages::pages;
pub use remote::RemoteSystem;
pub use scripted::{Asked, Said, Scripted};
pub use turns::{settle, until};
