//! What the counts depend on beside the code: they are comparable where all of it is the same.

use std::process::Command;

use crate::Result;

/// Compiler, target, C library and valgrind, in one line.
pub(crate) fn made_with() -> Result<String> {
    let rustc = said("rustc", &["-vV"])?;
    let of = |name: &str| rustc.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").trim().to_owned();
    let libc = said("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_else(|_| "another C library".to_owned());
    let valgrind = said("valgrind", &["--version"])?;
    Ok(format!("rustc {} {}, {}, {}", of("release:"), of("host:"), libc.trim(), valgrind.trim()))
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
