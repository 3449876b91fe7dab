//! A file that is copied to is replaced only by a result that is worth it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const GOOD: &str = "{\"key\":\"a\",\"value\":\"1\"}\n";
/// An expiry of zero is refused.
const REFUSED: &str = "{\"key\":\"zero\",\"value\":\"1\",\"expiration\":0}\n";
const BACKUP: &str = "{\"key\":\"old\",\"value\":\"of great worth\"}\n";

/// Exit code and standard error of a copy that is not to be gone on with.
fn run(here: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    let output = command
        .current_dir(here)
        .args(["copy", "--no-checkpoint"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A folder with a backup and the file `in.jsonl`.
fn folder(items: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.jsonl"), items).unwrap();
    fs::write(directory.path().join("backup.jsonl"), BACKUP).unwrap();
    directory
}

fn names(here: &Path) -> Vec<String> {
    let names = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn an_incomplete_result_replaces_no_file_and_is_kept_beside_it() {
    let damaged = format!("{GOOD}oops\n");
    let refused = format!("{REFUSED}{GOOD}");
    for (items, options, expected, message) in [
        (&refused, &[][..], 1, "copied 1 entry from in.jsonl to backup.incomplete.jsonl in "),
        (&refused, &["--verify"], 1, "verified 2 entries of in.jsonl against backup.incomplete.jsonl, 1 differs"),
        (&refused, &["--fail-fast"], 1, "was stopped; 1 entry was written to backup.incomplete.jsonl before that"),
        (&damaged, &[], 4, "was stopped; 1 entry was written to backup.incomplete.jsonl before that"),
    ] {
        let directory = folder(items);
        let here = directory.path();
        let (code, error) = run(here, &[options, &["in.jsonl", "backup.jsonl"]].concat());
        assert_eq!(code, expected, "{error}");
        assert!(error.contains(message), "{message}: {error}");
        assert!(error.contains("  backup.jsonl is as it was before, since not everything was copied"), "{error}");
        assert_eq!(fs::read_to_string(here.join("backup.jsonl")).unwrap(), BACKUP);
        assert_eq!(fs::read_to_string(here.join("backup.incomplete.jsonl")).unwrap(), GOOD);
        assert_eq!(names(here), ["backup.incomplete.jsonl", "backup.jsonl", "in.jsonl"]);

        // The next one does not replace it: it may be all that there is.
        let (_, error) = run(here, &["in.jsonl", "backup.jsonl"]);
        assert!(error.contains("backup.incomplete-2.jsonl"), "{error}");

        let (code, error) = run(here, &[options, &["--keep-partial", "in.jsonl", "backup.jsonl"]].concat());
        assert_eq!(code, expected, "{error}");
        assert!(!error.contains("as it was"), "{error}");
        assert_eq!(fs::read_to_string(here.join("backup.jsonl")).unwrap(), GOOD);
    }
}

#[test]
fn an_incomplete_result_makes_no_file_of_the_name_that_was_asked_for() {
    let directory = folder(&format!("{REFUSED}{GOOD}"));
    let here = directory.path();
    let (code, error) = run(here, &["in.jsonl", "new.json.gz"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("copied 1 entry from in.jsonl to new.incomplete.json.gz in "), "{error}");
    assert!(error.contains("  no file new.json.gz was written, since not everything was copied"), "{error}");
    assert_eq!(names(here), ["backup.jsonl", "in.jsonl", "new.incomplete.json.gz"]);
    let (code, error) = run(here, &["new.incomplete.json.gz", "again.jsonl"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(fs::read_to_string(here.join("again.jsonl")).unwrap(), GOOD);
}

#[cfg(unix)]
#[test]
fn an_incomplete_result_is_kept_beside_the_file_that_a_link_leads_to() {
    let directory = folder(&format!("{REFUSED}{GOOD}"));
    let here = directory.path();
    fs::create_dir(here.join("far")).unwrap();
    fs::rename(here.join("backup.jsonl"), here.join("far/backup.jsonl")).unwrap();
    std::os::unix::fs::symlink("far/backup.jsonl", here.join("link.jsonl")).unwrap();
    let (code, error) = run(here, &["in.jsonl", "link.jsonl"]);
    assert!(code == 1 && error.contains("far/backup.incomplete.jsonl in "), "{error}");
    assert_eq!(names(&here.join("far")), ["backup.incomplete.jsonl", "backup.jsonl"]);
    assert_eq!(fs::read_to_string(here.join("link.jsonl")).unwrap(), BACKUP);
}

#[test]
fn where_every_entry_is_refused_the_file_stays_and_nothing_is_kept() {
    let directory = folder(REFUSED);
    let here = directory.path();
    let (code, error) = run(here, &["--verify", "in.jsonl", "backup.jsonl"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("copied no entry from in.jsonl\n  backup.jsonl is as it was before\n"), "{error}");
    assert!(error.contains("1 entry was not copied"), "{error}");
    let (code, error) = run(here, &["--keep-partial", "in.jsonl", "backup.jsonl"]);
    assert!(code == 1 && error.contains("--allow-empty"), "{error}");
    assert_eq!(fs::read_to_string(here.join("backup.jsonl")).unwrap(), BACKUP);
    assert_eq!(names(here), ["backup.jsonl", "in.jsonl"]);
    assert_eq!(run(here, &["--keep-partial", "--allow-empty", "in.jsonl", "backup.jsonl"]).0, 1);
    assert_eq!(fs::read_to_string(here.join("backup.jsonl")).unwrap(), "");
}

#[test]
fn an_empty_result_over_a_file_with_entries_must_be_allowed() {
    let directory = folder(GOOD);
    let here = directory.path();
    for (from, options) in [("memory:", &[][..]), ("in.jsonl", &["--prefix", "mistyped/"])] {
        let (code, error) = run(here, &[options, &[from, "backup.jsonl"]].concat());
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("error: backup.jsonl: not replaced, since no entry was copied"), "{error}");
        assert!(error.contains("backup.jsonl is as it was before; --allow-empty replaces it"), "{error}");
        assert_eq!(fs::read_to_string(here.join("backup.jsonl")).unwrap(), BACKUP);
    }
    // What holds no entry, or is not there, may be replaced by as much; what is something else may not.
    for (name, content, code) in [
        ("new.json", None, 0),
        ("new.json", Some("[ ]\n"), 0),
        ("new.json", Some(""), 0),
        ("new.jsonl", Some("\n"), 0),
        ("new.json", Some("notes of a person"), 1),
        ("new.json", Some(&*format!("[{}]", " ".repeat(5000))), 1),
    ] {
        if let Some(content) = content {
            fs::write(here.join(name), content).unwrap();
        }
        assert_eq!(run(here, &["memory:", name]).0, code, "{name}: {content:?}");
    }
    let (code, error) = run(here, &["--allow-empty", "memory:", "backup.jsonl"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(fs::read_to_string(here.join("backup.jsonl")).unwrap(), "");
}
