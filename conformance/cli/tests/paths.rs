//! The name of a file steers no terminal (ERR-2).
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

/// What comes to standard error of a command that fails.
fn error(arguments: &[&str], files: &[&Path]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kv-conformance")).args(arguments).args(files).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn err_2_a_path_is_escaped_wherever_it_is_named() {
    let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/memory.json");
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("\u{1b}[2Jstale.md");
    std::fs::write(&stale, "<!-- matrix -->\nold\n<!-- /matrix -->\n").unwrap();
    let nowhere = folder.path().join("\u{1b}[2Jno such folder/out.md");
    for (arguments, files) in [
        (["matrix", "--check"], [&*stale, &*report]),
        (["matrix", "--write"], [&*nowhere, &*report]),
        (["render", "--output"], [&*nowhere, &*report]),
        (["compare", "--"], [&*nowhere, &*report]),
    ] {
        let error = error(&arguments, &files);
        assert!(error.contains("\\u{1b}[2J") && !error.contains('\u{1b}'), "{arguments:?}: {error:?}");
    }
}
