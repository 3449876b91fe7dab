//! The store on the fake of Workers KV, over HTTP on this machine.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod conformance;
mod faults;
mod harness;
mod hostile;
mod keys;
mod looks {
    kv_testkit::remote_tests!(looks for crate::harness::System);
}
mod logs {
    kv_testkit::remote_tests!(logs for crate::harness::System);
}
mod races;
mod requests;
mod scripted;
mod timing {
    kv_testkit::remote_tests!(timing for crate::harness::System);
}
mod values;
