//! The command meets faults, is ended in the middle, and goes on from there.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::processes::{Running, wait_for};
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
use kv_fakes::{Fault, ServerOptions};
use serde_json::{Value, json};

const ENTRIES: usize = 3000;

fn command(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(arguments).stdin(Stdio::null()).env("CLOUDFLARE_API_TOKEN", TOKEN);
    command
}

fn run(here: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(here, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn folder() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let items: String = (0..ENTRIES).map(|at| format!("{{\"key\":\"{at}\",\"value\":\"{at}\"}}\n")).collect();
    fs::write(directory.path().join("in.jsonl"), items).unwrap();
    directory
}

fn written_as_text(entries: u64) -> String {
    if entries < 1000 { entries.to_string() } else { format!("{},{:03}", entries / 1000, entries % 1000) }
}

fn left(here: &Path) -> Vec<String> {
    let names = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "in.jsonl").collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn what_was_interrupted_is_resumed_by_the_same_command() {
    let directory = folder();
    let here = directory.path();
    let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
    let url = format!("cloudflare://{ACCOUNT}/{NAMESPACE}?base_url={}&attempts_max=1", server.base_url());
    let arguments = ["copy", "--json", "--batch", "500", "--concurrency", "1", "in.jsonl", &url];
    // The first batches go through, and then it is asked to wait for very long.
    let waits = Fault::Throttled { retry_after: Some(Duration::from_secs(600)) };
    server.inject_after(4, waits, 1);
    let mut process = Running::start(command(here, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()));
    wait_for("the request that has to wait", || {
        assert!(process.0.try_wait().unwrap().is_none(), "it ended by itself");
        (server.faults_left() == 0).then_some(())
    });
    process.signal("-INT");
    let status = process.wait_until_it_ends();
    let (text, error) = process.output();
    assert_eq!(status.code(), Some(130), "{error}");
    let [checkpoint] = &left(here)[..] else { panic!("{:?}", left(here)) };
    assert!(checkpoint.starts_with("cloudflare-") && checkpoint.ends_with(".kv-migrate-checkpoint"), "{checkpoint}");
    assert!(error.contains("interrupted: ") && error.contains(&format!("kept for it: {checkpoint}")), "{error}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&summary["exit"]["code"], &summary["error"]["kind"]), (&json!(130), &json!("interrupted")));
    let cut_off = &summary["steps"][0];
    let written = cut_off["counts"]["written"].as_u64().unwrap();
    assert!(written > 0 && written < ENTRIES as u64 && cut_off["counts"]["read"] == written, "{summary}");
    assert!(error.contains(&format!("interrupted: {} entries of in.jsonl", written_as_text(written))), "{error}");
    assert_eq!((&cut_off["from"], &cut_off["checkpoint"]), (&json!("in.jsonl"), &json!(checkpoint)));
    assert_eq!(cut_off["stopped"]["kind"], json!("interrupted"));

    // Another command does not take it for its own.
    let (code, _, other) = run(here, &["copy", "--prefix", "1", "in.jsonl", &url, "--checkpoint", checkpoint]);
    assert!(code == 2 && other.contains("the prefix"), "{other}");
    let (code, text, error) = run(here, &arguments);
    assert_eq!(code, 0, "{error}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let step = &summary["steps"][0];
    assert!(step["resumed"]["entries"].as_u64() > Some(0), "{summary}");
    assert_eq!((&step["counts"]["read"], &step["checkpoint"]), (&json!(ENTRIES), &Value::Null));
    assert_eq!(server.keys().len(), ENTRIES);
    assert_eq!(left(here), [""; 0]);
}

/// A file is gone on with too: what is there is kept under names that are reported, and `clean` removes it.
#[tokio::test]
async fn what_an_ended_copy_keeps_beside_a_file_is_named() {
    let directory = folder();
    let here = directory.path();
    let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
    let url = format!("cloudflare://{ACCOUNT}/{NAMESPACE}?base_url={}&attempts_max=1", server.base_url());
    assert_eq!(run(here, &["import", "in.jsonl", &url]).0, 0);
    let arguments = ["export", "--max-wait", "0", &url, "out.jsonl"];
    server.inject_after(4, Fault::Throttled { retry_after: Some(Duration::from_secs(600)) }, 1);
    let (code, _, error) = run(here, &arguments);
    assert_eq!(code, 4, "{error}");
    let kept = left(here);
    assert_eq!(kept, ["out.jsonl.kv-migrate-checkpoint", "out.jsonl.kv-migrate-part"], "{error}");
    for name in &kept {
        assert!(error.contains(name.as_str()), "{error}");
    }
    let (code, _, error) = run(here, &["clean", "out.jsonl"]);
    assert_eq!((code, error.lines().count(), left(here)), (0, 2, Vec::new()), "{error}");
    server.inject_after(4, Fault::Throttled { retry_after: Some(Duration::from_secs(600)) }, 1);
    assert_eq!(run(here, &arguments).0, 4);
    let (code, _, error) = run(here, &arguments);
    assert!(code == 0 && error.contains("were dealt with by earlier runs"), "{error}");
    assert_eq!(left(here), ["out.jsonl"]);
    assert_eq!(fs::read_to_string(here.join("out.jsonl")).unwrap().lines().count(), ENTRIES);
}

/// Else a person would take the copy for ended, and a script for cleaned up after.
#[test]
fn what_a_running_copy_uses_is_not_cleaned() {
    let directory = folder();
    let here = directory.path();
    let checkpoint = fs::File::create(here.join("out.jsonl.kv-migrate-checkpoint")).unwrap();
    checkpoint.lock().unwrap();
    let (code, _, error) = run(here, &["clean", "out.jsonl"]);
    assert_eq!(code, 2, "{error}");
    assert_eq!(error, "error: a copy that is running uses out.jsonl.kv-migrate-checkpoint\n");
    checkpoint.unlock().unwrap();
    let (code, _, error) = run(here, &["clean", "out.jsonl"]);
    assert_eq!((code, &*error), (0, "removed out.jsonl.kv-migrate-checkpoint\n"));
}

/// It would be in the way of other copies, and holds nothing to go on with.
#[tokio::test]
async fn a_copy_that_could_not_begin_leaves_no_checkpoint() {
    let directory = folder();
    let here = directory.path();
    for arguments in [
        &["copy", "--rejects", "gone/no.jsonl", "in.jsonl", "sqlite:app.db"][..],
        &["copy", "--checkpoint", "point", "in.jsonl", "gone/out.jsonl"],
        &["copy", "--on-conflict", "skip", "in.jsonl", "out.jsonl"],
    ] {
        let (code, _, error) = run(here, arguments);
        assert_ne!(code, 0, "{error}");
        let left = left(here);
        assert!(left.iter().all(|name| name.starts_with("app.db") && !name.contains("checkpoint")), "{left:?}");
    }
    // As it is left by a process that was killed before its first batch.
    let (code, _, error) = run(here, &["copy", "--checkpoint", "gone/point", "in.jsonl", "sqlite:app.db"]);
    assert_eq!(code, 5, "{error}");
    let header = r#"{"copy":{"version":1,"started":1,"of":{"the source":"another one"}}}"#;
    fs::write(here.join("app.db.kv-migrate-checkpoint"), format!("{header}\n")).unwrap();
    let (code, _, error) = run(here, &["copy", "in.jsonl", "sqlite:app.db"]);
    assert!(code == 0 && error.contains("copied 3,000 entries"), "{error}");
    let begins = r#"{"begins":{"batch":1,"entries":1}}"#;
    fs::write(here.join("app.db.kv-migrate-checkpoint"), format!("{header}\n{begins}\n")).unwrap();
    let (code, _, error) = run(here, &["copy", "in.jsonl", "sqlite:app.db"]);
    assert!(code == 2 && error.contains("the checkpoint of another copy"), "{error}");
}

/// A server for tests may have the identifiers of the real one.
#[tokio::test]
async fn ns_3_a_copy_to_one_server_is_not_gone_on_with_at_another() {
    let directory = folder();
    let here = directory.path();
    let servers = [
        Fake::new().serve(ServerOptions::new()).await.unwrap(),
        Fake::new().serve(ServerOptions::new()).await.unwrap(),
    ];
    let copy = |server: usize| {
        let url = format!("cloudflare://{ACCOUNT}/{NAMESPACE}?base_url={}", servers[server].base_url());
        run(here, &["import", "--batch", "500", "--concurrency", "1", "--max-wait", "0", "in.jsonl", &url])
    };
    servers[0].inject_after(4, Fault::Throttled { retry_after: Some(Duration::from_secs(600)) }, 1);
    assert_eq!(copy(0).0, 4);
    assert_eq!(left(here).len(), 1);
    let (code, _, error) = copy(1);
    assert!(code == 0 && !error.contains("earlier runs"), "{error}");
    assert_eq!(servers[1].keys().len(), ENTRIES);
    let (code, _, error) = copy(0);
    assert!(code == 0 && error.contains("earlier runs"), "{error}");
    assert_eq!((servers[0].keys().len(), left(here).len()), (ENTRIES, 0));
}

/// What is logged is chosen by this program, and shows no address.
#[tokio::test]
async fn repeated_requests_are_logged_where_that_is_asked_for() {
    let directory = folder();
    let here = directory.path();
    let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
    let url = format!("cloudflare://{ACCOUNT}/{NAMESPACE}?base_url={}", server.base_url());
    for (options, logged) in [(&["-vv"][..], true), (&["-v"], false), (&[], false)] {
        server.inject_into_writes(Fault::Throttled { retry_after: None }, 1);
        let (code, _, error) = run(here, &[&["copy", "--no-checkpoint", "in.jsonl", &url], options].concat());
        assert_eq!(code, 0, "{error}");
        assert_eq!(error.contains("a request is sent again"), logged, "{options:?}: {error}");
        assert!(!error.contains(NAMESPACE) && !error.contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn a_conflict_keeps_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let item = |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n");
    fs::write(here.join("old.jsonl"), [item("same", "1"), item("other", "old")].concat()).unwrap();
    fs::write(here.join("in.jsonl"), [item("same", "1"), item("other", "new"), item("new", "1")].concat()).unwrap();
    for (how, code, said) in
        [("skip", 0, "1 entry gave way to what the target has under the same key"), ("fail", 1, "line 2, \"other\": ")]
    {
        let target = format!("sqlite:{how}.db");
        assert_eq!(run(here, &["import", "old.jsonl", &target]).0, 0);
        let (exit, _, error) =
            run(here, &["import", "--on-conflict", how, "--rejects", "no.jsonl", "in.jsonl", &target]);
        assert!(exit == code && error.contains(said), "{how}: {exit}: {error}");
        assert!(error.contains("1 entry was there already, just so"), "{error}");
        let (_, text, _) = run(here, &["export", "--prefix", "other", &target]);
        assert_eq!(text, item("other", "old"));
    }
    let rejected = fs::read_to_string(here.join("no.jsonl")).unwrap();
    assert!(rejected.contains("\"key\":\"other\"") && rejected.contains("\"reason\":"), "{rejected}");
}

/// What holds up the thread of the work does not hold up the signal.
#[test]
fn a_verification_whose_output_is_not_read_can_be_ended() {
    let directory = folder();
    let here = directory.path();
    // Each entry differs: that is more than a pipe holds.
    fs::write(here.join("none.jsonl"), "").unwrap();
    for signals in [1, 2] {
        let mut verify = command(here, &["verify", "in.jsonl", "none.jsonl"]);
        let mut process = Running::start(verify.stdout(Stdio::piped()).stderr(Stdio::null()));
        let unread = process.0.stdout.take().unwrap();
        wait_for("the pipe to take no more", || {
            // It holds 64 KiB.
            (rustix::io::ioctl_fionread(&unread).unwrap() >= 60_000).then_some(())
        });
        for _ in 0..signals {
            process.signal("-TERM");
        }
        assert_eq!(process.wait_until_it_ends().code(), Some(143));
        drop(unread);
    }
}

#[test]
fn what_an_interrupted_copy_had_left_is_named_when_it_is_discarded() {
    let directory = folder();
    let here = directory.path();
    fs::write(here.join("out.jsonl.kv-migrate-part"), "{\"key\":\"half").unwrap();
    let (code, _, error) = run(here, &["copy", "in.jsonl", "out.jsonl"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("out.jsonl.kv-migrate-part, which an interrupted copy had left, was discarded"), "{error}");
    assert_eq!(left(here), ["out.jsonl"]);
    let (_, _, error) = run(here, &["copy", "in.jsonl", "out.jsonl"]);
    assert!(!error.contains("discarded"), "{error}");
}
