//! The store on private servers: the suite, and what it does not ask.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

mod harness;

use std::process::ExitCode;

use kv_servers::System;

fn main() -> ExitCode {
    kv_servers::run(System::Redis, kv_servers::suite("conformance", harness::OnRedis))
}
