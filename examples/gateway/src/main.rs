//! The command `kv-gateway`; see the README.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
