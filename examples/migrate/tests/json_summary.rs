//! The summary for programs, as the README documents it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const README: &str = include_str!("../README.md");

fn run(here: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The one line of standard output.
fn summary(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

/// Rows of a table of the README: the members that it documents, and what it says of them.
fn documented(table: &str) -> Vec<(BTreeSet<String>, String)> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let names = cells.next().unwrap().trim_start_matches("| ");
        let names = names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        (names, cells.collect())
    })
    .collect()
}

#[track_caller]
fn assert_documented(value: &Value, table: &str) {
    let rows = documented(table);
    let named: BTreeSet<String> = rows.iter().flat_map(|(names, _)| names.clone()).collect();
    let members = value.as_object().unwrap();
    assert_eq!(members.keys().cloned().collect::<BTreeSet<_>>(), named);
    for (name, member) in members.iter().filter(|(name, _)| !has_table(name)) {
        let (_, says) = rows.iter().find(|(names, _)| names.contains(name)).unwrap();
        for inner in inner_members(member) {
            assert!(says.contains(&format!("`{inner}`")), "{name}: {inner} is not documented: {says}");
        }
    }
}

/// Whether its members are documented in a table of their own.
fn has_table(name: &str) -> bool {
    ["plan", "verification"].contains(&name)
}

/// Of objects in it, and of objects in its arrays. Those of steps have a table of their own.
fn inner_members(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            let below = members.values().flat_map(inner_members);
            members.keys().cloned().chain(below).collect()
        }
        Value::Array(items) => {
            items.iter().filter(|item| item.get("counts").is_none()).flat_map(inner_members).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The tables of the whole, of a step, of a plan, and of a verification.
fn tables() -> [&'static str; 4] {
    let (_, section) = README.split_once("## JSON summary").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (top, rest) = section.split_once("A step:").unwrap();
    let (step, rest) = rest.split_once("A plan:").unwrap();
    let (plan, verification) = rest.split_once("A verification:").unwrap();
    [top, step, plan, verification]
}

#[test]
fn the_readme_documents_every_member_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let items = "{\"key\":\"\",\"value\":\"\"}\n{\"key\":\"a\",\"value\":\"\"}\n";
    fs::write(here.join("in.jsonl"), items).unwrap();
    let output = run(here, &["copy", "--json", "--verify", "in.jsonl", "memory:"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "the text is left out");
    let summary = summary(&output);
    let [top, step, _, verification] = tables();
    assert_documented(&summary, top);
    assert_documented(&summary["steps"][0], step);
    assert_documented(&summary["steps"][0]["verification"], verification);
    assert_eq!((&summary["version"], &summary["command"]), (&json!(1), &json!("copy")));
    assert_eq!(summary["exit"], json!({"code": 1, "name": "not_copied"}));
    assert_eq!(summary["error"], Value::Null);
    let step = &summary["steps"][0];
    assert_eq!((&step["from"], &step["to"]), (&json!("in.jsonl"), &json!("memory:")));
    assert_eq!((&step["counts"]["read"], &step["counts"]["written"]), (&json!(2), &json!(1)));
    let example = json!({
        "key": "", "line": 1, "kind": "invalid_argument", "message": "a key must not be empty", "code": null
    });
    assert_eq!(step["causes"], json!([{"count": 1, "examples": [example]}]));
    assert_eq!((&step["verification"]["target"], &step["stopped"]), (&json!("memory:"), &Value::Null));
}

/// A program must find out what ended it, also before the first step and within one.
#[test]
fn what_ended_the_command_is_told_with_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("bad.jsonl"), "{\"key\":\"a\",\"value\":\"\"}\noops\n").unwrap();
    for (arguments, code, kind) in [
        (&["gone.jsonl", "memory:"][..], 5, "file"),
        (&["sqlite:gone.db", "memory:"], 5, "misconfigured"),
        (&["memory:", "-", "out.jsonl"], 2, "usage"),
        (&["--keys-from", "k", "bad.jsonl", "memory:"], 2, "usage"),
    ] {
        let output = run(here, &[&["copy", "--json"], arguments].concat());
        let summary = summary(&output);
        assert_eq!(output.status.code(), Some(code), "{summary}");
        assert_eq!((&summary["exit"]["code"], &summary["error"]["kind"]), (&json!(code), &json!(kind)), "{summary}");
        assert_eq!(summary["steps"], json!([]));
    }
    let output = run(here, &["import", "--json", "bad.jsonl", "memory:"]);
    let summary = summary(&output);
    assert_eq!(summary["exit"], json!({"code": 4, "name": "stopped"}));
    assert_eq!((&summary["command"], &summary["error"]), (&json!("import"), &Value::Null));
    let step = &summary["steps"][0];
    assert_eq!((&step["stopped"]["kind"], &step["counts"]["written"]), (&json!("damaged"), &json!(1)));
}

/// Data and summary never mix.
#[test]
fn the_summary_makes_room_for_entries_on_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("in.jsonl"), "{\"key\":\"a\",\"value\":\"\"}\n").unwrap();
    assert_eq!(run(here, &["import", "in.jsonl", "sqlite:app.db"]).status.code(), Some(0));
    let output = run(here, &["export", "--json", "sqlite:app.db"]);
    assert_eq!(std::str::from_utf8(&output.stdout).unwrap(), "{\"key\":\"a\",\"value\":\"\"}\n");
    let last = std::str::from_utf8(&output.stderr).unwrap().lines().last().unwrap();
    let summary: Value = serde_json::from_str(last).unwrap();
    assert_eq!((&summary["command"], &summary["steps"][0]["to"]), (&json!("export"), &json!("-")));
}

#[test]
fn a_verification_has_its_summary_after_the_differences() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let item = |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n");
    fs::write(here.join("a.jsonl"), [item("same", "1"), item("other", "1"), item("gone", "1")].concat()).unwrap();
    fs::write(here.join("b.jsonl"), [item("other", "2"), item("extra", "1"), item("same", "1")].concat()).unwrap();
    let output = run(here, &["verify", "--json", "a.jsonl", "b.jsonl"]);
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    lines.sort_by_key(|line| line["key"].to_string());
    let expected = json!([
        {"mark": "+", "key": "extra", "line": null, "what": "extra"},
        {"mark": "-", "key": "gone", "line": 3, "what": "missing"},
        {"mark": "*", "key": "other", "line": 2, "what": "value"},
    ]);
    assert_eq!(Value::Array(lines), expected);
    assert_eq!((&summary["exit"], &summary["steps"]), (&json!({"code": 3, "name": "differs"}), &json!([])));
    let [top, _, _, verification] = tables();
    assert_documented(&summary, top);
    assert_documented(&summary["verification"], verification);
    for (member, count) in
        [("compared", 3), ("same", 1), ("only_in_source", 1), ("only_in_target", 1), ("different", 1)]
    {
        assert_eq!(summary["verification"][member], json!(count), "{member}");
    }
}

#[test]
fn a_verification_counts_what_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let item = "{\"key\":\"a\",\"value\":\"1\"}\n";
    fs::write(here.join("a.jsonl"), [item, "oops\n"].concat()).unwrap();
    fs::write(here.join("b.jsonl"), item).unwrap();
    let output = run(here, &["verify", "--json", "--skip-bad-lines", "a.jsonl", "b.jsonl"]);
    assert_eq!(output.status.code(), Some(3));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [.., verification] = tables();
    assert_documented(&summary["verification"], verification);
    for (member, count) in [("same", 1), ("unreadable", 1), ("missing", 0)] {
        assert_eq!(summary["verification"][member], json!(count), "{member}");
    }
}

#[test]
fn a_plan_has_a_summary_too() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("in.jsonl"), "{\"key\":\"\",\"value\":\"\"}\n{\"key\":\"a\",\"value\":\"123\"}\n").unwrap();
    for command in [&["plan"][..], &["copy", "--dry-run"]] {
        let output = run(here, &[command, &["--json", "in.jsonl", "sqlite:new.db"]].concat());
        assert_eq!(output.status.code(), Some(1));
        let summary = summary(&output);
        let [top, _, plan, _] = tables();
        assert_documented(&summary, top);
        let mut planned = summary["plan"].clone();
        // As of a step, and documented there.
        planned["counts"] = Value::Null;
        planned["causes"] = Value::Null;
        assert_documented(&planned, plan);
        let planned = &summary["plan"];
        assert_eq!((&planned["counts"]["written"], &planned["value_bytes"]), (&json!(1), &json!(3)));
        assert_eq!(planned["causes"][0]["examples"][0]["line"], json!(1));
        assert_eq!(fs::read_dir(here).unwrap().count(), 1, "nothing is made");
    }
}

/// An error of an address must not show what is in it (ERR-2).
#[test]
fn err_2_no_secret_stands_in_a_summary() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("backendless://APP:c4nary@/hive?base_url=http://{nobody}");
    for stops in [["memory:", &*url], [&*url, "out.jsonl"], ["c4nary@host/x", "memory:"]] {
        let output = run(directory.path(), &[&["copy", "--json"], &stops[..]].concat());
        let text = [output.stdout, output.stderr].concat();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(!text.contains("c4nary") && text.contains("\"version\":1"), "{text}");
    }
}
