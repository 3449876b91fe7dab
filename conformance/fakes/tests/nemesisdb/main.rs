//! The fake of NemesisDB over real WebSockets: held to recordings, to the rules of the system, and to the faults it
//! promises.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod client;
#[cfg(unix)]
mod command;
mod connections;
mod faults;
mod life;
mod order;
mod recordings;
mod rules;
