//! The command `kv-conformance`; see the README.

use std::process::ExitCode;

fn main() -> ExitCode {
    kv_conformance_cli::main()
}
