//! The store on the fake of NemesisDB, over WebSockets on this machine.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod batches;
mod conditions;
mod conformance;
mod expiry;
mod faults;
mod floods;
mod harness;
mod keys;
mod life;
mod load;
mod recorded;
mod scripted;
mod values;
