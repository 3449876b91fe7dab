//! Every entry that was read is counted once, and none that was skipped is called the same.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{import, memory};

/// Exit code and standard error of a copy.
fn run(here: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    let output = command.current_dir(here).arg("copy").args(arguments).stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn folder(items: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.jsonl"), items.join("\n")).unwrap();
    directory
}

#[track_caller]
fn assert_says(outcome: &(i32, String), code: i32, lines: &[&str]) {
    assert_eq!(outcome.0, code, "{}", outcome.1);
    for line in lines {
        assert!(outcome.1.contains(line), "{line}: {}", outcome.1);
    }
}

const ZEROS: [&str; 3] = [
    r#"{"key":"at","value":"v","expiration":0}"#,
    r#"{"key":"good","value":"v"}"#,
    r#"{"key":"ttl","value":"v","expiration_ttl":-1}"#,
];

#[test]
fn exp_5_an_expiry_of_zero_or_less_is_what_the_command_says() {
    let directory = folder(&ZEROS);
    let here = directory.path();
    for target in ["memory:", "sqlite:refused.db", "refused.json"] {
        let outcome = run(here, &["in.jsonl", target]);
        assert_says(&outcome, 1, &["copied 1 entry", "2 entries were not copied", "--zero-expiry says which"]);
    }
    for target in ["memory:", "sqlite:never.db", "never.jsonl"] {
        let outcome = run(here, &["--verify", "--zero-expiry", "never", "in.jsonl", target]);
        assert_says(&outcome, 0, &["copied 3 entries", "verified 3 entries of ", "all the same"]);
    }
    let written = fs::read_to_string(here.join("never.jsonl")).unwrap();
    let never = ZEROS.join("\n").replace(r#","expiration":0"#, "").replace(r#","expiration_ttl":-1"#, "");
    assert_eq!(written, never + "\n");
    for target in ["memory:", "sqlite:skip.db", "skip.jsonl"] {
        let outcome = run(here, &["--verify", "--zero-expiry", "skip", "in.jsonl", target]);
        let lines =
            ["copied 1 entry ", "2 entries were skipped: ", "3 entries were read in all", "verified 1 entry of "];
        assert_says(&outcome, 0, &lines);
        assert_says(&outcome, 0, &["2 entries were skipped, and not compared: the expiry is zero or less"]);
    }
    assert_eq!(fs::read_to_string(here.join("skip.jsonl")).unwrap(), format!("{}\n", ZEROS[1]));
    assert_says(&run(here, &["--zero-expiry", "soon", "in.jsonl", "memory:"]), 2, &["never, skip"]);
}

#[test]
fn what_was_skipped_or_has_expired_is_not_called_the_same() {
    let directory = folder(&[ZEROS[0], r#"{"key":"old","value":"v","expiration":1000}"#]);
    let outcome = run(directory.path(), &["--verify", "--zero-expiry", "skip", "in.jsonl", "memory:"]);
    assert_says(&outcome, 0, &["verified 0 entries of in.jsonl against memory:, nothing to compare"]);
    assert_says(&outcome, 0, &["1 entry had expired by then and was not compared", "1 entry was skipped, and not"]);
    assert!(!outcome.1.contains("the same"), "{}", outcome.1);
}

#[test]
fn an_item_that_a_later_one_replaces_is_repeated_and_not_copied() {
    let mut items: Vec<String> = (0..20).map(|at| format!(r#"{{"key":"{}","value":"{at}"}}"#, at % 7)).collect();
    items.push(r#"{"key":"late","value":"","expiration":1000}"#.to_owned());
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let directory = folder(&items);
    let here = directory.path();
    // In one batch, and over many.
    for (batch, target) in [("500", "memory:"), ("1", "memory:"), ("3", "sqlite:app.db")] {
        let outcome = run(here, &["--verify", "--batch", batch, "in.jsonl", target]);
        assert_says(
            &outcome,
            0,
            &["copied 7 entries ", "  13 entries were replaced by a later one with the same key\n"],
        );
        assert_says(
            &outcome,
            0,
            &["  1 entry had expired by then and was skipped\n", "  21 entries were read in all\n"],
        );
    }
    // A file keeps them all.
    assert_says(&run(here, &["in.jsonl", "out.jsonl"]), 0, &["copied 21 entries "]);
    // So does the list of keys name one twice.
    fs::write(here.join("keys.txt"), "1\n2\n1\nnone\n").unwrap();
    let outcome = run(here, &["--keys-from", "keys.txt", "sqlite:app.db", "memory:"]);
    assert_says(&outcome, 0, &["copied 2 entries ", "1 entry was replaced by a later one", "1 of the keys"]);
}

#[tokio::test]
async fn every_outcome_together_adds_up_to_what_was_read() {
    let directory = folder(&[
        r#"{"key":"a","value":"1"}"#,
        r#"{"key":"zero","value":"1","expiration":0}"#,
        r#"{"key":"a","value":"2"}"#,
        r#"{"key":"old","value":"1","expiration":5}"#,
        r#"{"key":"","value":"refused"}"#,
        r#"{"key":"b","value":"1"}"#,
        r#"{"key":"a","value":"3"}"#,
        r#"{"key":"a","value":"too far","expiration":999999999999}"#,
    ]);
    let to = memory().await;
    let summary = import(&directory.path().join("in.jsonl"), &to).await;
    let counts = [
        summary.counts.read,
        summary.counts.written,
        summary.counts.repeated,
        summary.counts.expired,
        summary.counts.failed,
        summary.counts.unknown,
    ];
    assert_eq!(counts, [8, 2, 2, 1, 3, 0], "{summary:?}");
    assert!(!summary.repeated_at_least);
    assert_eq!(to.get("a").await.unwrap(), Some("3".into()));
    assert_eq!(to.list().await.unwrap().items.len() as u64, summary.counts.written);
}
