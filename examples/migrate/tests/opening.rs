//! What cannot be opened, or takes no more: a signal ends the wait, and messages name what the user typed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::processes::Running;

const GOOD: &str = "{\"key\":\"a\",\"value\":\"1\"}\n";

fn kv_migrate(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(arguments).stdin(Stdio::null());
    command
}

fn run(here: &Path, arguments: &[&str]) -> (i32, String) {
    let output = kv_migrate(here, arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A folder with `in.jsonl` and the named pipe `pipe.jsonl`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.jsonl"), GOOD).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.jsonl")).status().unwrap().success());
    folder
}

#[test]
fn a_signal_ends_the_wait_for_the_other_end_of_a_pipe() {
    for (arguments, signal, code) in [
        (&["copy", "pipe.jsonl", "out.jsonl"][..], "-INT", 130),
        (&["copy", "pipe.jsonl", "out.jsonl"], "-TERM", 143),
        (&["copy", "in.jsonl", "pipe.jsonl"], "-INT", 130),
        (&["copy", "in.jsonl", "pipe.jsonl"], "-TERM", 143),
        (&["copy", "--keys-from", "pipe.jsonl", "memory:", "out.jsonl"], "-TERM", 143),
    ] {
        let folder = folder();
        let mut running = Running::start(kv_migrate(folder.path(), arguments).stderr(Stdio::null()));
        running.wait_until_it_waits();
        running.signal(signal);
        assert_eq!(running.wait_until_it_ends().code(), Some(code), "{arguments:?} {signal}");
    }
}

/// With the shell's redirections behind the command.
fn run_in_shell(here: &Path, before: &str, arguments: &str) -> (i32, String) {
    let script = format!("{before} exec {} {arguments}", env!("CARGO_BIN_EXE_kv-migrate"));
    let output = Command::new("sh").current_dir(here).args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_closed_standard_stream_is_an_error_and_one_that_leads_to_dev_null_is_not() {
    let folder = folder();
    let here = folder.path();
    for (arguments, code, message) in [
        ("copy in.jsonl - >&-", 4, "error: standard output: cannot write: it is closed"),
        ("copy memory: - >&- <&-", 4, "error: standard output: cannot write: it is closed"),
        ("copy - out.jsonl <&-", 4, "error: standard input: cannot read: it is closed"),
        ("import sqlite:new.db <&-", 4, "error: standard input: cannot read: it is closed"),
        ("plan in.jsonl memory: >&-", 4, "error: standard output: cannot write: it is closed"),
        ("copy --dry-run in.jsonl sqlite:new.db >&-", 4, "error: standard output: cannot write: it is closed"),
        ("import --json in.jsonl sqlite:new.db >&-", 4, "error: standard output: cannot write: it is closed"),
        ("verify in.jsonl in.jsonl >&-", 4, "error: standard output: cannot write: it is closed"),
        ("man >&-", 4, "error: standard output: cannot write: it is closed"),
        ("completions bash >&-", 4, "error: standard output: cannot write: it is closed"),
        ("--help >&-", 4, "error: standard output: cannot write: it is closed"),
        ("--version >/dev/full", 4, "error: standard output: cannot write: "),
        ("copy in.jsonl - >/dev/null", 0, "copied 1 entry"),
        ("copy in.jsonl - >>there.jsonl", 0, "copied 1 entry"),
        ("copy in.jsonl - 1<>there.jsonl", 0, "copied 1 entry"),
        ("copy - out.jsonl </dev/null", 0, "copied 0 entries"),
    ] {
        let (found, error) = run_in_shell(here, "", arguments);
        assert!(found == code && error.contains(message), "{arguments}: {found}: {error}");
    }
    assert!(!here.join("new.db").exists());
}

#[test]
fn a_message_names_what_the_user_typed() {
    let folder = folder();
    let here = folder.path();
    std::os::unix::fs::symlink("far/gone.jsonl", here.join("dangling.jsonl")).unwrap();
    std::os::unix::fs::symlink("/dev/full", here.join("full.jsonl")).unwrap();
    fs::create_dir(here.join("folder.jsonl")).unwrap();
    for (arguments, message) in [
        (
            ["in.jsonl", "dangling.jsonl"],
            "dangling.jsonl: cannot write there: it is a link to far/gone.jsonl, which does not exist",
        ),
        (["dangling.jsonl", "out.jsonl"], "dangling.jsonl: cannot open: No such file"),
        (["in.jsonl", "missing/out.jsonl"], "missing/out.jsonl: cannot write there: No such file"),
        (["in.jsonl", "in.jsonl/out.jsonl"], "in.jsonl/out.jsonl: cannot write there: Not a directory"),
        (["missing/in.jsonl", "out.jsonl"], "missing/in.jsonl: cannot open: No such file"),
        (["folder.jsonl", "out.jsonl"], "folder.jsonl: cannot read: is a directory"),
        (["in.jsonl", "folder.jsonl"], "folder.jsonl: cannot write there: is a directory"),
        (["in.jsonl", "full.jsonl"], "full.jsonl: cannot write: No space left on device"),
    ] {
        let (code, error) = run(here, &[&["copy"][..], &arguments].concat());
        assert_eq!(code, if message.contains("No space") { 4 } else { 5 }, "{arguments:?}: {error}");
        assert!(error.lines().any(|line| line.starts_with(&format!("error: {message}"))), "{message}: {error}");
        assert!(!error.contains("kv-migrate-part"), "{error}");
    }
    assert!(fs::symlink_metadata(here.join("dangling.jsonl")).unwrap().is_symlink());
}

#[test]
fn a_disk_that_takes_no_more_is_named_and_the_file_stays_as_it_was() {
    let folder = folder();
    let here = folder.path();
    // Of noise, which does not become small.
    let noise = |at: u32| format!("{:x}", u64::from(at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let line = |at: u32| format!("{{\"key\":\"{at}\",\"value\":\"{}\"}}\n", noise(at));
    fs::write(here.join("in.jsonl"), (0..10_000).map(line).collect::<String>()).unwrap();
    for name in ["out.jsonl", "out.json.gz", "out.jsonl.zst"] {
        fs::write(here.join(name), GOOD).unwrap();
        // A limit on the size of files stands for a full disk.
        let (code, error) = run_in_shell(here, "trap '' XFSZ; ulimit -f 4;", &format!("copy in.jsonl {name}"));
        assert_eq!(code, 4, "{error}");
        assert!(error.contains(&format!("error: {name}: cannot write: File too large")), "{error}");
        assert_eq!(fs::read_to_string(here.join(name)).unwrap(), GOOD);
    }
}

#[test]
fn what_may_not_be_read_or_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("locked")).unwrap();
    fs::copy(here.join("in.jsonl"), here.join("locked/in.jsonl")).unwrap();
    fs::set_permissions(here.join("locked/in.jsonl"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(here.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    // The one who may do everything is refused nothing: then the same is asked of what nobody may write.
    let is_root = fs::write(here.join("locked/probe"), "").is_ok();
    let cases: [(&[&str], &str); 2] = if is_root {
        [(&["copy", "in.jsonl", "/proc/out.jsonl"], "/proc/out.jsonl: cannot write there: "), (&[], "")]
    } else {
        [
            (&["copy", "in.jsonl", "locked/out.jsonl"], "locked/out.jsonl: cannot write there: Permission denied"),
            (&["copy", "locked/in.jsonl", "out.jsonl"], "locked/in.jsonl: cannot open: Permission denied"),
        ]
    };
    for (arguments, message) in cases.into_iter().filter(|(arguments, _)| !arguments.is_empty()) {
        let (code, error) = run(here, arguments);
        assert!(code == 4 || code == 5, "{error}");
        assert!(error.contains(&format!("error: {message}")), "{message}: {error}");
    }
    fs::set_permissions(here.join("locked"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_target_of_a_compression_that_is_not_supported_is_named_as_what_it_is() {
    let folder = folder();
    for (name, compression) in [("out.jsonl.bz2", "bzip2"), ("OUT.ZIP", "zip"), ("out.json.xz", "xz")] {
        let (code, error) = run(folder.path(), &["copy", "in.jsonl", name]);
        assert_eq!(code, 2, "{error}");
        let message = format!("error: {name}: {compression} is not supported: end the name in .gz for gzip");
        assert!(error.starts_with(&message), "{error}");
    }
}
