//! The command itself: exit codes, messages, standard input and output.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[cfg(unix)]
use common::processes::{Running, wait_for};
use common::{KEYS, export, memory, sqlite, with_difficult_items};

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    outcome(command(directory, arguments).output().unwrap())
}

fn run_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = command(directory, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    outcome(child.wait_with_output().unwrap())
}

fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn assert_copied(outcome: &(i32, String, String), message: &str) {
    assert_eq!(outcome.0, 0, "{}", outcome.2);
    assert!(outcome.2.contains(message), "{}", outcome.2);
}

async fn directory_with_entries() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    export(&with_difficult_items(memory().await).await, &directory.path().join("in.jsonl")).await;
    directory
}

/// More than a pipe holds.
async fn export_many(path: &Path) {
    let many = memory().await;
    for at in 0..20_000 {
        many.set(format!("{at}"), "x".repeat(100)).await.unwrap();
    }
    export(&many, path).await;
}

#[tokio::test]
async fn copies_from_stop_to_stop_and_verifies() {
    let directory = directory_with_entries().await;
    let here = directory.path();
    let outcome = run(here, &["copy", "--verify", "in.jsonl", "sqlite:app.db?namespace=n", "memory:", "out.json"]);
    assert_copied(&outcome, "copied 24 entries from in.jsonl to sqlite:app.db?namespace=n in ");
    assert_copied(&outcome, "copied 24 entries from sqlite:app.db?namespace=n to memory: in ");
    assert_copied(&outcome, "verified 24 entries of memory: against out.json, all the same");
    assert_eq!(outcome.1, "", "standard output is for data alone");

    assert_copied(&run(here, &["copy", "out.json", "sqlite:app.db?namespace=n", "again.jsonl.gz"]), "again.jsonl.gz");
    let (code, text, _) = run(here, &["copy", "again.jsonl.gz", "-"]);
    assert_eq!((code, text), (0, fs::read_to_string(here.join("in.jsonl")).unwrap()));
    assert_copied(&run(here, &["copy", "--prefix", "a", "in.jsonl", "some.jsonl"]), "copied 3 entries");
    assert_copied(&run(here, &["copy", "--batch", "1", "in.jsonl", "memory:"]), "copied 24 entries");
}

#[tokio::test]
async fn standard_input_is_recognised_and_standard_output_has_a_format() {
    let directory = directory_with_entries().await;
    let here = directory.path();
    let lines = fs::read(here.join("in.jsonl")).unwrap();
    let (code, array, _) = run_with_input(here, &["copy", "-", "--stdout-format", "json", "-"], &lines);
    assert_eq!(code, 0);
    let items: serde_json::Value = serde_json::from_str(&array).unwrap();
    assert_eq!(items.as_array().unwrap().len(), KEYS.len());

    run(here, &["copy", "in.jsonl", "in.json.gz"]);
    let zipped = fs::read(here.join("in.json.gz")).unwrap();
    for input in [array.into_bytes(), zipped] {
        let (code, again, _) = run_with_input(here, &["copy", "-", "memory:", "-"], &input);
        let mut again: Vec<&str> = again.lines().collect();
        again.sort_unstable();
        let mut expected: Vec<&str> = std::str::from_utf8(&lines).unwrap().lines().collect();
        expected.sort_unstable();
        assert_eq!((code, again), (0, expected));
    }
    let (code, _, message) = run_with_input(here, &["copy", "-", "memory:"], b"{\"key\":5}");
    assert_eq!(code, 4);
    assert!(message.contains("error: standard input: line 1: member \"key\" must be a string"), "{message}");
    assert!(message.contains("0 entries were written to memory: before that"), "{message}");
}

#[test]
fn help_says_what_a_stop_is() {
    let (code, text, _) = run(Path::new("."), &["copy", "--help"]);
    assert_eq!(code, 0);
    for word in
        ["A stop is a store URL", ".jsonl", "a target file is replaced", "130  interrupted", "CLOUDFLARE_API_TOKEN"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(run(Path::new("."), &["--help"]).1.contains("Copy all entries from one stop to the next"));
}

#[test]
fn what_cannot_be_understood_is_code_2_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for (arguments, message) in [
        (&[] as &[&str], "Usage"),
        (&["copy"], "required arguments"),
        (&["copy", "memory:"], "one to copy to"),
        (
            &["copy", "sqllite:a.db", "out.json"],
            "sqllite:... begins like the URL of a store, and no store has this scheme; known are memory:, sqlite:",
        ),
        (
            &["copy", "nothing.txt", "out.json"],
            "nothing.txt: neither a store URL (memory:, sqlite:, redis:, rediss:, redis-cluster:, rediss-cluster:, postgres:, \
             postgresql:, cloudflare:, backendless:, puter:, nemesisdb:) nor a file",
        ),
        (
            &["copy", "memory:", "sqlite:a.db?namepsace=x"],
            "option 1 of the store URL is unknown; there are best_effort, min_ttl, namespace, ",
        ),
        (&["copy", "memory:", "sqlite:"], "a SQLite store needs a file"),
        (&["copy", "memory:", "memory:name"], "has no name"),
        (&["copy", "memory:", "."], "the name does not say in which format"),
        (&["copy", "memory:", "-", "sqlite:a.db"], "- can only be the first stop"),
        (&["copy", "--verify", "-", "sqlite:a.db"], "cannot be read again"),
        (&["copy", "--verify", "memory:", "-"], "cannot be read again"),
        (&["copy", "--batch", "0", "memory:", "out.json"], "--batch"),
        (&["copy", "--prefex", "a", "memory:", "out.json"], "--prefex"),
        (&["move", "memory:", "out.json"], "move"),
    ] {
        let (code, output, error) = run(here, arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
        assert_eq!(fs::read_dir(here).unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn a_stop_that_is_not_there_is_code_5_and_is_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for (from, to, message) in [
        ("gone.json", "memory:", "error: gone.json: cannot open"),
        ("gone.json", "sqlite:new.db", "error: gone.json: cannot open"),
        (".", "sqlite:new.db", "error: .: cannot read: is a directory"),
        ("sqlite:gone.db", "memory:", "error: sqlite:gone.db: misconfigured"),
        ("memory:", "nowhere/out.json", "error: nowhere/out.json: cannot write there"),
        ("memory:", "sqlite:nowhere/app.db", "error: sqlite:nowhere/app.db: misconfigured"),
    ] {
        let (code, _, error) = run(here, &["copy", from, to]);
        assert_eq!(code, 5, "{error}");
        assert!(error.contains(message), "{error}");
        assert_eq!(fs::read_dir(here).unwrap().count(), 0, "{from}");
    }
}

#[tokio::test]
async fn a_misspelt_namespace_of_a_source_is_no_empty_store() {
    let directory = tempfile::tempdir().unwrap();
    with_difficult_items(sqlite(directory.path()).await).await.close().await.unwrap();
    let (code, _, error) = run(directory.path(), &["copy", "sqlite:store.db?namespace=typo", "memory:"]);
    assert_eq!(code, 5, "{error}");
    assert_copied(&run(directory.path(), &["copy", "sqlite:store.db", "memory:"]), "copied 24 entries");
}

#[test]
fn a_loss_is_code_1_with_names_and_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let items = [
        r#"{"key":"fine","value":""}"#,
        r#"{"key":"old","value":"","expiration":1000}"#,
        r#"{"key":"","value":""}"#,
        r#"{"key":"far","value":"","expiration":999999999999}"#,
    ];
    fs::write(here.join("in.jsonl"), items.join("\n")).unwrap();
    let (code, _, error) = run(here, &["copy", "--verify", "in.jsonl", "memory:", "never.json"]);
    assert_eq!(code, 1);
    for line in [
        "copied 1 entry from in.jsonl to memory: in 0.",
        "1 entry had expired by then and was skipped",
        "2 entries were not copied",
        "line 3, \"\": invalid argument: a key must not be empty",
        "line 4, \"far\": invalid argument: the expiry is after 9999-12-31T23:59:59Z",
        "verified 3 entries of in.jsonl against memory:, 2 differ",
        "1 entry had expired by then and was not compared",
        "4 entries were read in all",
        "line 4, \"far\" is not in the target",
    ] {
        assert!(error.contains(line), "{line}: {error}");
    }
    assert!(!here.join("never.json").exists(), "what is incomplete is not copied on");

    fs::write(here.join("in.jsonl"), format!("{}\n{}", items[0], "oops")).unwrap();
    let (code, _, error) = run(here, &["copy", "in.jsonl", "sqlite:app.db"]);
    assert_eq!(code, 4);
    assert!(error.contains("error: in.jsonl: line 2: is not JSON: expected a value"), "{error}");
    assert!(error.contains("1 entry was written to sqlite:app.db before that"), "{error}");
    let (code, _, error) = run(here, &["copy", "in.jsonl", "out.json"]);
    assert_eq!(code, 4);
    assert!(error.contains("no file out.json was written") && !here.join("out.json").exists(), "{error}");
}

#[tokio::test]
async fn a_file_is_not_copied_onto_itself() {
    let directory = directory_with_entries().await;
    let here = directory.path();
    let before = fs::read(here.join("in.jsonl")).unwrap();
    let mut names = vec!["in.jsonl", "./in.jsonl"];
    if cfg!(unix) {
        #[cfg(unix)]
        std::os::unix::fs::symlink("in.jsonl", here.join("link.jsonl")).unwrap();
        fs::hard_link(here.join("in.jsonl"), here.join("hard.jsonl")).unwrap();
        names.extend(["link.jsonl", "hard.jsonl"]);
    }
    for name in names {
        let (code, _, error) = run(here, &["copy", "--verify", "--prefix", "none of it", "in.jsonl", name]);
        assert!(code == 2 && error.contains("the same file"), "{name}: {error}");
    }
    assert_eq!(fs::read(here.join("in.jsonl")).unwrap(), before);
}

#[cfg(unix)]
#[tokio::test]
async fn a_named_pipe_without_a_reader_is_told_about() {
    let directory = directory_with_entries().await;
    let pipe = directory.path().join("pipe.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    export_many(&directory.path().join("many.jsonl")).await;
    let child =
        command(directory.path(), &["copy", "many.jsonl", "pipe.jsonl"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    fs::File::open(&pipe).unwrap().read_exact(&mut first).unwrap();
    let (code, _, error) = outcome(child.wait_with_output().unwrap());
    assert!(code == 4 && error.contains("error: pipe.jsonl: cannot write"), "{code}: {error}");
}

/// Read a second time a pipe is empty, and then nothing would differ.
#[cfg(unix)]
#[tokio::test]
async fn what_can_be_read_once_alone_is_not_verified() {
    let directory = directory_with_entries().await;
    assert!(Command::new("mkfifo").arg(directory.path().join("pipe.jsonl")).status().unwrap().success());
    for arguments in [
        &["copy", "--verify", "pipe.jsonl", "memory:"][..],
        &["copy", "--verify", "in.jsonl", "pipe.jsonl"],
        &["copy", "--verify", "--keys-from", "pipe.jsonl", "sqlite:store.db", "out.jsonl"],
        &["copy", "--verify", "/dev/null", "memory:"],
    ] {
        let (code, _, error) = run(directory.path(), arguments);
        assert!(code == 2 && error.contains("again, and only a regular file can be"), "{arguments:?}: {code}: {error}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_standard_error_that_takes_nothing_changes_no_exit_code() {
    let directory = directory_with_entries().await;
    for (arguments, code) in [
        (["copy", "in.jsonl", "out.json"], 0),
        (["copy", "gone.jsonl", "out.json"], 5),
        (["copy", "gone.txt", "out.json"], 2),
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = command(directory.path(), &arguments).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    assert!(directory.path().join("out.json").exists());
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions_and_a_link_its_place() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("real.json"), "old").unwrap();
    fs::set_permissions(here.join("real.json"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real.json", here.join("link.json")).unwrap();
    assert_copied(&run(here, &["copy", "--allow-empty", "memory:", "link.json"]), "copied 0 entries");
    assert!(fs::symlink_metadata(here.join("link.json")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(here.join("real.json")).unwrap(), "[]\n");
    assert_eq!(fs::metadata(here.join("real.json")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_copy_quietly() {
    let directory = tempfile::tempdir().unwrap();
    export_many(&directory.path().join("many.jsonl")).await;
    let mut child = command(directory.path(), &["copy", "many.jsonl", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(1, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"key\":"), "{first}");
    let code = child.wait().unwrap().code();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!((code, error.as_str()), (Some(4), ""));
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_neither_a_file_nor_a_part_of_one() {
    for (signal, expected) in [("-INT", 130), ("-TERM", 143)] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(directory.path(), &["copy", "-", "out.json"]);
        let mut process = Running::start(command.stdin(Stdio::piped()).stderr(Stdio::piped()));
        let mut input = process.0.stdin.take().unwrap();
        input.write_all(b"{\"key\":\"a\",\"value\":\"1\"}\n").unwrap();
        wait_for("it to begin to write", || {
            assert!(process.0.try_wait().unwrap().is_none(), "it ended before it began to write");
            fs::read_dir(directory.path()).unwrap().next().map(drop)
        });
        process.signal(signal);
        let status = process.wait_until_it_ends();
        drop(input); // open until here: the copy was waiting for more
        let (_, error) = process.output();
        assert_eq!(status.code(), Some(expected), "{error}");
        assert!(error.contains("interrupted"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// Only the keys that are named, in the order of the file, and what is not there is reported.
#[tokio::test]
async fn keys_can_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(directory.path()).await;
    for key in ["a", "b", "line\nbreak", "left behind"] {
        store.set(key, "v").await.unwrap();
    }
    store.close().await.unwrap();
    fs::write(directory.path().join("keys.txt"), "\"line\\nbreak\"\nb\nmissing\n\na\n").unwrap();
    let arguments = ["copy", "--verify", "--keys-from", "keys.txt", "sqlite:store.db", "out.jsonl"];
    let outcome = run(directory.path(), &arguments);
    assert_copied(&outcome, "copied 3 entries from sqlite:store.db to out.jsonl");
    assert!(outcome.2.contains("1 of the keys that were named was not in sqlite:store.db"), "{}", outcome.2);
    assert!(outcome.2.contains("verified 3 entries"), "{}", outcome.2);
    let written = fs::read_to_string(directory.path().join("out.jsonl")).unwrap();
    let keys: Vec<&str> = written.lines().map(|line| line.split("\"value\"").next().unwrap()).collect();
    assert_eq!(keys, [r#"{"key":"line\nbreak","#, r#"{"key":"b","#, r#"{"key":"a","#]);

    let outcome = run(directory.path(), &["copy", "--keys-from", "none.txt", "sqlite:store.db", "out.jsonl"]);
    assert_eq!(outcome.0, 5, "{}", outcome.2);
    assert!(outcome.2.contains("none.txt: cannot open"), "{}", outcome.2);
    let outcome = run(directory.path(), &["copy", "--keys-from", "keys.txt", "out.jsonl", "memory:"]);
    assert_eq!(outcome.0, 2, "{}", outcome.2);
    assert!(outcome.2.contains("--keys-from names keys of a store"), "{}", outcome.2);
}

#[tokio::test]
async fn export_and_import_are_copies_with_a_file_or_a_pipe() {
    let directory = directory_with_entries().await;
    let here = directory.path();
    let lines = fs::read_to_string(here.join("in.jsonl")).unwrap();
    assert_copied(&run(here, &["import", "in.jsonl", "sqlite:one.db"]), "copied 24 entries from in.jsonl to sqlite");
    assert_copied(
        &run_with_input(here, &["import", "--verify", "in.jsonl", "sqlite:two.db"], b""),
        "verified 24 entries of in.jsonl against sqlite:two.db, all the same",
    );
    assert_copied(&run_with_input(here, &["import", "sqlite:three.db"], lines.as_bytes()), "copied 24 entries from -");
    assert_copied(&run(here, &["export", "sqlite:three.db", "out.jsonl.gz"]), "to out.jsonl.gz");
    let mut sorted: Vec<&str> = lines.lines().collect();
    sorted.sort_unstable();
    let (code, text, _) = run(here, &["export", "sqlite:three.db"]);
    let mut exported: Vec<&str> = text.lines().collect();
    exported.sort_unstable();
    assert_eq!((code, exported), (0, sorted));
    for (arguments, message) in [
        (&["export", "in.jsonl", "out.jsonl"][..], "in.jsonl: export copies from a store"),
        (&["export", "sqlite:one.db", "memory:"], "memory:: export copies to a file or to -"),
        (&["import", "sqlite:one.db", "memory:"], "sqlite:one.db: import copies from a file or from -"),
        (&["import", "in.jsonl", "out.jsonl"], "out.jsonl: import copies to a store"),
        (&["import", "a.jsonl", "memory:", "memory:"], "Usage"),
    ] {
        let (code, _, error) = run(here, arguments);
        assert!(code == 2 && error.contains(message), "{arguments:?}: {code}: {error}");
    }
}

#[test]
fn entries_are_selected_and_their_keys_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let item = |key| format!("{{\"key\":\"{key}\",\"value\":\"\"}}\n");
    fs::write(here.join("in.jsonl"), ["a/1", "a/2", "a/tmp", "b/1"].map(item).concat()).unwrap();
    let copy = |options: &[&str]| run(here, &[&["copy"], options, &["in.jsonl", "-"]].concat());
    let (code, text, error) = copy(&["--include", "a/*", "--include", "c*", "--exclude", "*tmp"]);
    assert_eq!((code, text), (0, ["a/1", "a/2"].map(item).concat()), "{error}");
    let (code, text, error) = copy(&["--prefix", "a/", "--strip-prefix", "a/", "--add-prefix", "new-"]);
    assert_eq!((code, text), (0, ["new-1", "new-2", "new-tmp"].map(item).concat()), "{error}");
    let (code, text, error) = copy(&["--strip-prefix", "a/"]);
    assert_eq!((code, text), (1, ["1", "2", "tmp"].map(item).concat()), "{error}");
    assert!(error.contains("line 4, \"b/1\": "), "{error}");
    for (options, stops, message) in [
        (&["--include", "[a"][..], &["in.jsonl", "-"][..], "[a"),
        (&["--add-prefix", "x"], &["in.jsonl", "memory:", "-"], "--strip-prefix and --add-prefix change keys once"),
    ] {
        let (code, _, error) = run(here, &[&["copy"], options, stops].concat());
        assert!(code == 2 && error.contains(message), "{error}");
    }
}

#[test]
fn what_an_interrupted_copy_has_left_is_removed_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("out.jsonl.kv-migrate-part"), "{}").unwrap();
    fs::write(here.join("out.jsonl"), "").unwrap();
    let (code, _, error) = run(here, &["clean", "out.jsonl"]);
    assert_eq!((code, error.as_str()), (0, "removed out.jsonl.kv-migrate-part\n"));
    assert_eq!(fs::read_dir(here).unwrap().count(), 1);
    let (code, _, error) = run(here, &["clean", "out.jsonl"]);
    assert_eq!((code, error.as_str()), (0, "nothing was left beside out.jsonl\n"));
    fs::write(here.join("out.jsonl.kv-migrate-checkpoint"), "").unwrap();
    let (code, _, error) = run(here, &["clean", "out.jsonl"]);
    assert_eq!((code, error.as_str()), (0, "removed out.jsonl.kv-migrate-checkpoint\n"));
    assert_eq!(run(here, &["clean", "memory:"]).0, 0);
    let (code, _, error) = run(here, &["clean", "c4nary@host/x"]);
    assert!(code == 2 && !error.contains("c4nary"), "{error}");
}

#[test]
fn completions_and_man_page_go_to_standard_output() {
    let (code, text, _) = run(Path::new("."), &["completions", "bash"]);
    assert!(code == 0 && text.contains("complete -F _kv__migrate"), "{text}");
    let (code, text, _) = run(Path::new("."), &["man"]);
    assert!(code == 0 && text.contains(".TH kv-migrate 1"), "{text}");
    assert_eq!(run(Path::new("."), &["completions", "tcsh"]).0, 2);
}

/// Help is read at 80 columns, and in logs that are narrower.
#[test]
fn help_fits_the_terminal() {
    for (columns, arguments) in [("60", ["copy", "--help"]), ("80", ["copy", "-h"]), ("80", ["import", "--help"])] {
        let output = command(Path::new("."), &arguments).env("COLUMNS", columns).output().unwrap();
        let (_, text, _) = outcome(output);
        let columns: usize = columns.parse().unwrap();
        for line in text.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
}

#[test]
fn verify_compares_both_ways_and_names_what_differs() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let item = |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n");
    fs::write(here.join("a.jsonl"), [item("u/1", "x"), item("u/2", "x")].concat()).unwrap();
    assert_copied(&run(here, &["import", "a.jsonl", "sqlite:b.db"]), "copied 2 entries");
    let (code, text, error) = run(here, &["verify", "a.jsonl", "sqlite:b.db"]);
    assert_eq!((code, text.as_str()), (0, ""), "{error}");
    assert!(error.contains("verified 2 entries of a.jsonl against sqlite:b.db, all the same"), "{error}");

    fs::write(here.join("b.jsonl"), [item("u/1", "y"), item("u/3", "x")].concat()).unwrap();
    let (code, text, error) = run(here, &["verify", "sqlite:b.db", "b.jsonl"]);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let expected = [
        r#"{"mark":"*","key":"u/1","line":null,"what":"value"}"#,
        r#"{"mark":"+","key":"u/3","line":null,"what":"extra"}"#,
        r#"{"mark":"-","key":"u/2","line":null,"what":"missing"}"#,
    ];
    assert_eq!((code, lines.as_slice()), (3, &expected[..]), "{error}");
    for line in ["  = 0 the same", "  - 1 only in sqlite:b.db", "  + 1 only in b.jsonl", "  * 1 in both, and not alike"]
    {
        assert!(error.lines().any(|said| said == line), "{line}: {error}");
    }
    let (code, text, _) = run(here, &["verify", "--one-way", "--include", "u/2", "sqlite:b.db", "b.jsonl"]);
    assert_eq!((code, text.as_str()), (3, concat!(r#"{"mark":"-","key":"u/2","line":null,"what":"missing"}"#, "\n")));
    let (code, text, _) =
        run(here, &["verify", "--sample", "1", "--recheck", "--prefix", "u/2", "a.jsonl", "sqlite:b.db"]);
    assert_eq!((code, text.as_str()), (0, ""));

    // What a copy has rewritten is verified with the same options.
    let rewrite = ["--strip-prefix", "u/", "--add-prefix", "v/"];
    let (code, _, error) = run(here, &[&["copy", "--verify"], &rewrite[..], &["a.jsonl", "v.jsonl"]].concat());
    assert_eq!(code, 0, "{error}");
    assert_eq!(run(here, &[&["verify"], &rewrite[..], &["a.jsonl", "v.jsonl"]].concat()).0, 0);
    assert_eq!(run(here, &["verify", "a.jsonl", "v.jsonl"]).0, 3);

    for (arguments, code, message) in [
        (["a.jsonl", "-"], 2, "- can be read only once"),
        (["a.jsonl", "gone.jsonl"], 5, "gone.jsonl: cannot open"),
        (["sqlite:gone.db", "a.jsonl"], 5, "sqlite:gone.db: misconfigured"),
        (["a.jsonl", "redsi://c4nary@host"], 2, "redsi:... begins like"),
    ] {
        let (exit, _, error) = run(here, &[&["verify"], &arguments[..]].concat());
        assert!(exit == code && error.contains(message) && !error.contains("c4nary"), "{arguments:?}: {exit}: {error}");
    }
    assert!(!here.join("gone.db").exists());
}

#[tokio::test]
async fn a_plan_says_what_a_copy_would_do_and_makes_nothing() {
    let directory = directory_with_entries().await;
    let here = directory.path();
    for to in ["sqlite:app.db?namespace=new", "out.jsonl", "memory:"] {
        let (code, text, error) = run(here, &["plan", "in.jsonl", to]);
        assert_eq!((code, error.as_str()), (0, ""), "{text}");
        assert!(text.starts_with(&format!("plan of a copy from in.jsonl to {to}; nothing was written\n")), "{text}");
        assert!(text.contains("24 entries would be written"), "{text}");
    }
    assert_eq!(fs::read_dir(here).unwrap().count(), 1);
    assert_copied(&run(here, &["import", "in.jsonl", "sqlite:app.db"]), "copied 24 entries");
    let (code, text, _) = run(here, &["plan", "--existing", "in.jsonl", "sqlite:app.db"]);
    assert!(code == 0 && text.contains("24 would meet an entry with their key in the target"), "{text}");
    let (code, text, _) = run(here, &["plan", "--prefix", "a", "sqlite:app.db", "sqlite:app.db?namespace=new"]);
    assert!(code == 0 && text.contains("3 entries would be written"), "{text}");
    let (code, text, _) = run(here, &["plan", "--sample", "5", "sqlite:app.db", "out.jsonl"]);
    assert!(code == 0 && text.contains("24 entries listed, 5 of them read"), "{text}");
    for (arguments, message) in [
        (&["plan", "in.jsonl", "in.jsonl"][..], "are the same file"),
        (&["plan", "--sample", "5", "in.jsonl", "memory:"], "--sample needs a store"),
        (&["copy", "--dry-run", "in.jsonl", "memory:", "out.jsonl"], "cannot be planned at once"),
        (&["copy", "--dry-run", "--verify", "in.jsonl", "out.jsonl"], "--dry-run"),
    ] {
        let (code, _, error) = run(here, arguments);
        assert!(code == 2 && error.contains(message), "{arguments:?}: {error}");
    }
    assert_eq!(run(here, &["plan", "gone.jsonl", "memory:"]).0, 5);
}

#[test]
fn items_that_cannot_be_read_are_counted_by_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let items: String = (0..30).map(|at| format!("oops\n{{\"key\":\"{at}\",\"value\":{at}}}\n")).collect();
    fs::write(here.join("in.jsonl"), items).unwrap();
    for command in ["copy", "plan"] {
        let (code, output, error) = run(here, &[command, "--skip-bad-lines", "in.jsonl", "memory:"]);
        let told = output + &error;
        let [bad_json, bad_value] = match command {
            "copy" => [
                "line 1, \"\": invalid argument: is not JSON: expected a value; and 29 more for this reason",
                "line 2, \"0\": invalid argument: member \"value\" must be a string; and 29 more for this reason",
            ],
            _ => [
                "30: invalid argument: is not JSON: expected a value (such as \"\", line 1)",
                "30: invalid argument: member \"value\" must be a string (such as \"0\", line 2)",
            ],
        };
        assert!(code == 1 && told.contains(bad_json) && told.contains(bad_value), "{told}");
    }
}
