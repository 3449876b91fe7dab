//! The fake of Puter KV over real HTTP: held to the recorded exchanges and to the system's rules.

#![allow(clippy::unwrap_used, reason = "a panic in a helper fails the test that called it")]

mod batch;
mod command;
mod documents;
mod expiry;
mod faults;
mod limits;
mod listing;
mod recordings;
mod server;
mod transport;
mod users;
