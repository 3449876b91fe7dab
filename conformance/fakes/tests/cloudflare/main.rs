//! The fake of Workers KV over HTTP: held to recordings, to the rules of the system, and to the faults it promises.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod bulk;
mod client;
mod faults;
mod listing;
mod namespaces;
mod recordings;
mod single;
mod switches;
