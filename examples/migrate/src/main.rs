//! The command `kv-migrate`; see the README.
#![allow(clippy::print_stderr, reason = "a program that talks to a person; standard output is for data alone")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
