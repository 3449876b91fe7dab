//! A file or store is not copied to itself, however it is named, and whatever lies in between.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

const ITEMS: &str = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n";

fn command(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).arg("copy").args(arguments).stdin(Stdio::null());
    command
}

/// Exit code and standard error.
fn run(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A folder with a file, also by two links, and a folder beside it.
fn folder() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("s.jsonl"), ITEMS).unwrap();
    fs::create_dir(here.join("sub")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../s.jsonl", here.join("sub/link.jsonl")).unwrap();
    fs::hard_link(here.join("s.jsonl"), here.join("hard.jsonl")).unwrap();
    directory
}

#[cfg(unix)]
#[test]
fn a_file_is_found_again_by_every_spelling_and_link_and_over_every_way() {
    let directory = folder();
    let here = directory.path();
    let absolute = here.join("s.jsonl").display().to_string();
    for again in ["s.jsonl", "./s.jsonl", "sub/../s.jsonl", &absolute, "sub/link.jsonl", "hard.jsonl", "sqlite:s.jsonl"]
    {
        for way in [&[][..], &["memory:"], &["memory:", "x.jsonl"], &["sqlite:x.db"]] {
            let stops = [&["--prefix", "a", "s.jsonl"], way, &[again]].concat();
            let (code, error) = run(command(here, &stops));
            let message = format!("error: stops 1 and {} are the same file: s.jsonl and ", way.len() + 2);
            assert!(code == 2 && error.contains(&message), "{stops:?}: {error}");
            assert_eq!(fs::read_to_string(here.join("s.jsonl")).unwrap(), ITEMS, "{stops:?}");
        }
    }
    assert!(!here.join("x.jsonl").exists() && !here.join("x.db").exists(), "nothing was opened");
}

#[test]
fn two_later_stops_are_compared_also_when_they_are_not_there_yet() {
    let directory = folder();
    let here = directory.path();
    for (one, other, message) in [
        ("new.jsonl", "sub/../new.jsonl", "stops 2 and 4 are the same file: new.jsonl and "),
        (
            "sqlite:new.db",
            "sqlite:sub/../new.db?namespace=default",
            "stops 2 and 4 are the same store: sqlite:new.db and ",
        ),
        ("sqlite:new.json", "new.json", "stops 2 and 4 are the same file: sqlite:new.json and new.json"),
    ] {
        let (code, error) = run(command(here, &["s.jsonl", one, "memory:", other]));
        assert!(code == 2 && error.contains(message), "{error}");
        assert_eq!(fs::read_dir(here).unwrap().count(), 3, "nothing was written");
    }
}

#[test]
fn a_sqlite_store_is_not_copied_to_itself_but_to_another_namespace_and_to_a_copy_of_the_file() {
    let directory = folder();
    let here = directory.path();
    assert_eq!(run(command(here, &["s.jsonl", "sqlite:app.db"])).0, 0);
    fs::copy(here.join("app.db"), here.join("copy.db")).unwrap();
    let absolute = format!("sqlite://{}", here.join("app.db").display());
    for again in ["sqlite:app.db", "SQLITE:sub/../app.db", "sqlite:app%2Edb?namespace=default", &absolute] {
        for way in [&[][..], &["memory:"]] {
            let (code, error) = run(command(here, &[&["sqlite:app.db"], way, &[again]].concat()));
            assert!(code == 2 && error.contains("are the same store: sqlite:app.db and "), "{again}: {error}");
        }
    }
    for other in ["sqlite:app.db?namespace=n", "sqlite:copy.db", "memory:"] {
        let (code, error) = run(command(here, &["sqlite:app.db", other]));
        assert!(code == 0 && error.contains("copied 2 entries"), "{other}: {error}");
    }
    assert_eq!(
        run(command(here, &["s.jsonl", "memory:", "memory:", "out.json"])).0,
        0,
        "each memory: is one of its own"
    );
}

#[cfg(unix)]
#[test]
fn standard_input_and_output_may_be_the_same_file_too() {
    let directory = folder();
    let here = directory.path();
    let path = here.join("s.jsonl");
    let append = || File::options().append(true).open(&path).unwrap();
    let mut both = command(here, &["-", "memory:", "-"]);
    both.stdin(File::open(&path).unwrap()).stdout(append());
    let mut output = command(here, &["s.jsonl", "-"]);
    output.stdout(append());
    let mut input = command(here, &["-", "s.jsonl"]);
    input.stdin(File::open(&path).unwrap());
    for command in [both, output, input] {
        let (code, error) = run(command);
        assert!(code == 2 && error.contains("are the same file: "), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), ITEMS);
    }
}

#[test]
fn the_file_of_keys_is_not_copied_over() {
    let directory = folder();
    let here = directory.path();
    assert_eq!(run(command(here, &["s.jsonl", "sqlite:app.db"])).0, 0);
    let (code, error) = run(command(here, &["--keys-from", "s.jsonl", "sqlite:app.db", "hard.jsonl"]));
    assert!(
        code == 2 && error.contains("hard.jsonl: this stop and the file of --keys-from are the same file"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(here.join("s.jsonl")).unwrap(), ITEMS);
}

/// Nothing differs from itself, which looks like a good copy.
#[test]
fn nothing_is_verified_against_itself() {
    let directory = folder();
    let here = directory.path();
    let copied = run(command(here, &["s.jsonl", "sqlite:s.db"]));
    assert_eq!(copied.0, 0, "{}", copied.1);
    let verify = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
        command.current_dir(here).arg("verify").args(arguments).stdin(Stdio::null());
        run(command)
    };
    for (one, other) in [("s.jsonl", "hard.jsonl"), ("sqlite:s.db", "sqlite:sub/../s.db?namespace=default")] {
        let (code, error) = verify(&[one, other]);
        assert!(code == 2 && error.contains("are the same: there is nothing to compare"), "{error}");
    }
    // Under other keys there is.
    assert_eq!(verify(&["--strip-prefix", "a", "--add-prefix", "b", "--one-way", "sqlite:s.db", "sqlite:s.db"]).0, 3);
    assert_eq!(verify(&["s.jsonl", "sqlite:s.db"]).0, 0);
}
