//! The store on private PostgreSQL servers.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod harness;

use std::process::ExitCode;

use kv_servers::{System, suite};

fn main() -> ExitCode {
    let mut tests = suite("suite", harness::OnServer { pgbouncer: false });
    tests.extend(suite("without_sessions", harness::OnServer { pgbouncer: true }));
    kv_servers::run(System::Postgres, tests)
}
