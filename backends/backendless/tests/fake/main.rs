//! The store against the fake of Backendless Hive, over real HTTP on this machine.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod counters;
mod expiry;
mod faults;
mod harness;
mod keys;
mod logs {
    kv_testkit::remote_tests!(logs for crate::harness::System);
}
mod requests;
mod scripted;
mod timing;
