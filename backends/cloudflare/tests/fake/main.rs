//! The store on the fake of Workers KV, over HTTP on this machine.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod conformance;
mod faults;
mod harness;
mod hostile;
mod keys;
mod logs;
mod races;
mod requests;
mod scripted;
#[path = "../../../remote/tests/adapters/timing.rs"]
mod timing;
mod values;
