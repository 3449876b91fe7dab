#![doc = include_str!("../README.md")]

pub mod backendless;
mod chance;
pub mod cloudflare;
mod fault;
#[cfg(feature = "harness")]
mod harness;
mod javascript;
mod json;
mod model;
pub mod nemesisdb;
mod order;
mod path;
pub mod puter;
mod server;

pub use fault::{Applied, Fault, Refused};
pub use server::{EXCHANGES_MAX, Engine, Exchange, FakeServer, RateLimit, ServerOptions};
