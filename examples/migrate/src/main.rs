//! The command `kv-migrate`; see the README.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
