//! The command `kv-fakes`; see the README.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
