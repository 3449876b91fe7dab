//! Files of other tools that once went wrong.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use kv_fakes::{ServerOptions, backendless, cloudflare, nemesisdb, puter};

/// Exit code, standard output and standard error of a copy.
fn run(here: &Path, arguments: &[&str]) -> (i32, String, String) {
    run_command(here, &[&["copy"], arguments].concat())
}

fn run_command(here: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(arguments).stdin(Stdio::null());
    for name in ["CLOUDFLARE_EMAIL", "CLOUDFLARE_API_KEY", "BACKENDLESS_USER_TOKEN"] {
        command.env_remove(name);
    }
    command.env("CLOUDFLARE_API_TOKEN", cloudflare::TOKEN).env("PUTER_AUTH_TOKEN", puter::TOKEN);
    let output = command.env("BACKENDLESS_API_KEY", backendless::API_KEY).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with one file.
fn folder(name: &str, content: impl AsRef<[u8]>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(name), content).unwrap();
    directory
}

/// A member name that a JSON library gives a meaning of its own must come back as it was, in order.
const PRIVATE_MEMBERS: &str = concat!(
    r#"{"key":"broken","value":"ok","metadata":{"$serde_json::private::RawValue":":5"}}"#,
    "\n",
    r#"{"key":"inner","value":"{\"a\":[{\"$serde_json::private::RawValue\":\"1\"}]}","kind":"json"}"#,
    "\n",
    r#"{"key":"number","value":"{\"$serde_json::private::Number\":\"1e999\"}","kind":"json"}"#,
    "\n",
    r#"{"key":"ordered","value":"{\"z\":1.5,\"a\":{\"y\":[],\"b\":{}}}","kind":"json","metadata":{"z":1,"b":2,"a":[{"d":1,"c":2}]}}"#,
    "\n",
    r#"{"key":"plain","value":"ok","metadata":{"$serde_json::private::RawValue":"{\"admin\":true}"}}"#,
    "\n",
);

#[tokio::test]
async fn val_2_json_comes_back_as_it_was_through_every_store_and_both_ways() {
    let directory = folder("in.jsonl", PRIVATE_MEMBERS);
    let here = directory.path();
    let cloudflare = cloudflare::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let puter = puter::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let backendless = backendless::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let base_url = cloudflare.base_url();
    let stores = [
        "memory:".to_owned(),
        "sqlite:app.db".to_owned(),
        format!("cloudflare://{}/{}?base_url={base_url}", cloudflare::ACCOUNT, cloudflare::NAMESPACE),
        format!("puter:///?base_url={}", puter.base_url()),
        format!("backendless://{}@/{}?base_url={}", backendless::APP_ID, backendless::HIVE, backendless.base_url()),
    ];
    for store in &stores {
        // Puter does not tell expiries.
        let (code, back, error) = run(here, &["--unknown-expiry-as-never", "in.jsonl", store, "-"]);
        assert_eq!(code, 0, "{store}: {error}");
        let mut lines: Vec<&str> = back.split_inclusive('\n').collect();
        lines.sort_unstable(); // not every store lists in order
        assert_eq!(lines.concat(), PRIVATE_MEMBERS, "{store}");
        let (code, _, error) = run(here, &["--verify", "in.jsonl", store]);
        assert_eq!(code, 0, "{store}: {error}");
        assert!(error.contains("verified 5 entries"), "{store}: {error}");
    }
}

/// The system itself sorts members, so that they are compared by meaning.
#[tokio::test]
async fn val_2_json_means_the_same_after_a_way_through_nemesisdb() {
    let directory = folder("in.jsonl", PRIVATE_MEMBERS);
    let here = directory.path();
    let lines = PRIVATE_MEMBERS.replace("\"key\":\"", "\"key\":\"json/");
    fs::write(here.join("in.jsonl"), lines).unwrap();
    fs::write(here.join("keys.txt"), "json/broken\njson/inner\njson/number\njson/ordered\njson/plain\n").unwrap();
    let server = nemesisdb::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let store = server.url().trim_end_matches('/').replace("ws://", "nemesisdb://");
    let (code, _, error) = run(here, &["--verify", "in.jsonl", &store]);
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = run(here, &["--verify", "--keys-from", "keys.txt", &store, "memory:", "out.jsonl"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(error.matches("verified 5 entries").count(), 2, "{error}");
}

#[test]
fn exp_5_an_expiry_of_zero_or_less_is_refused_and_not_taken_for_expired() {
    let items = [
        r#"{"key":"ttl-zero","value":"v","expiration_ttl":0}"#,
        r#"{"key":"at-zero","value":"v","expiration":0}"#,
        r#"{"key":"at-minus-one","value":"v","expiration":-1}"#,
        r#"{"key":"ttl-minus-one","value":"v","expiration_ttl":-1}"#,
        r#"{"key":"good","value":"v"}"#,
    ];
    let directory = folder("in.jsonl", items.join("\n"));
    for target in ["memory:", "sqlite:app.db", "out.jsonl"] {
        let (code, _, error) = run(directory.path(), &["in.jsonl", target]);
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("copied 1 entry") && error.contains("4 entries were not copied"), "{error}");
        assert!(error.contains("line 1, \"ttl-zero\": invalid argument: its expiry is zero or less"), "{error}");
        assert!(error.contains("says which; and 3 more for this reason"), "{error}");
        assert!(!error.contains("expired"), "{error}");
    }
    let written = fs::read_to_string(directory.path().join("out.incomplete.jsonl")).unwrap();
    assert_eq!(written, "{\"key\":\"good\",\"value\":\"v\"}\n");
    let (code, _, error) = run(directory.path(), &["--verify", "in.jsonl", "memory:"]);
    assert_eq!(code, 1);
    assert!(error.contains("verified 5 entries of in.jsonl against memory:, 4 differ"), "{error}");
}

#[test]
fn val_3_a_repeated_member_is_refused_with_line_and_member() {
    for (text, message) in [
        (
            r#"{"key":"m","value":"v","metadata":{"x":1,"x":2}}"#,
            r#"line 2: member "metadata" cannot be kept: the JSON names the member "x" twice (item 2, key "m")"#,
        ),
        (
            r#"{"key":"m","value":"v","metadata":[{"a":{"x":1,"\u0078":2}}]}"#,
            r#"line 2: member "metadata" cannot be kept: the JSON names the member "x" twice (item 2, key "m")"#,
        ),
        (
            r#"{"key":"j","value":"{\"b\":1.0,\"b\":2}","kind":"json"}"#,
            r#"line 2: member "value" is not JSON that can be kept: the JSON names the member "b" twice, at line 1, column"#,
        ),
        (r#"{"key":"j","value":"v","value":"w"}"#, r#"line 2: member "value" is given twice (item 2, key "j")"#),
    ] {
        let directory = folder("in.jsonl", format!("{{\"key\":\"a\",\"value\":\"\"}}\n{text}\n"));
        for target in ["memory:", "out.json"] {
            let (code, _, error) = run(directory.path(), &["in.jsonl", target]);
            assert_eq!(code, 4, "{error}");
            assert!(error.contains(&format!("error: in.jsonl: {message}")), "{error}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_key() {
    let directory = folder("keys.txt", "\u{feff}first\nsecond key\n");
    let here = directory.path();
    fs::write(here.join("in.jsonl"), "{\"key\":\"first\",\"value\":\"1\"}\n{\"key\":\"second key\",\"value\":\"2\"}\n")
        .unwrap();
    assert_eq!(run(here, &["in.jsonl", "sqlite:app.db"]).0, 0);
    let (code, _, error) = run(here, &["--keys-from", "keys.txt", "sqlite:app.db", "out.jsonl"]);
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("copied 2 entries") && !error.contains("not in"), "{error}");
    assert_eq!(fs::read(here.join("out.jsonl")).unwrap(), fs::read(here.join("in.jsonl")).unwrap());
}

#[test]
fn gzip_is_read_as_gzip_reads_it() {
    const ITEMS: &str = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(ITEMS.as_bytes()).unwrap();
    let compressed = encoder.finish().unwrap();
    let directory = folder("in.jsonl.gz", [&compressed[..], &[0; 512]].concat());
    let (code, output, error) = run(directory.path(), &["in.jsonl.gz", "-"]);
    assert_eq!((code, output.as_str()), (0, ITEMS), "{error}");
    for rest in [&b"rest"[..], b"\0\0rest"] {
        let directory = folder("in.jsonl.gz", [&compressed[..], rest].concat());
        let (code, _, error) = run(directory.path(), &["in.jsonl.gz", "-"]);
        assert_eq!(code, 4, "{error}");
        assert!(error.contains("line 3: the gzip data is damaged: something else follows"), "{error}");
    }
}

#[test]
fn the_error_names_item_and_key_where_all_items_are_in_one_line() {
    const ITEMS: &str = r#"[{"key":"a","value":"1"},{"key":"b","value":2,"bogus":3},{"key":"c","value":"3"}]"#;
    let directory = folder("in.json", ITEMS);
    let (code, _, error) = run(directory.path(), &["in.json", "memory:"]);
    assert_eq!(code, 4, "{error}");
    let message = "error: in.json: line 1: member \"bogus\" is no member of an item (item 2, key \"b\")";
    assert!(error.contains(message), "{error}");
    for (items, message) in [
        (r#"[{"key":"a","value":"1"},5]"#, "line 1: expected an item, which is a JSON object (item 2)"),
        (r#"[{"key":"a","value":"1"},{"key":"b"#, "line 1: the file ends in the middle of an item (item 2)"),
        (r#"[{"key":"a","value":1},{"key":"b","value":"2"}]"#, "member \"value\" must be a string (item 1, key \"a\")"),
        (r#"[{"key":"a","value":"1"},{"key":"b","value":true}]"#, "must be a string (item 2, key \"b\")"),
        (r#"[{"key":"a","value":"1"} {"key":"b","value":"2"}]"#, "expected a comma or the end of the array (item 2)"),
        (r#"[{"key":"a","value":"1"},{"key":"b","value":"2}]"#, "in the middle of an item (item 2, key \"b\")"),
        (r#"[{"key":"a","value":"1"},{ "k\u0065y" : "b\"" "value":"2"}]"#, "end of the object (item 2, key \"b\\\"\")"),
        (r#"[{"key":"a","value":"1"},{"key":"b","value":tru}]"#, "expected a value (item 2, key \"b\")"),
        (r#"[{"key":"a","value":"1"},{"value":tru,"key":"b"}]"#, "expected a value (item 2)"),
    ] {
        let directory = folder("in.json", items);
        let (code, _, error) = run(directory.path(), &["in.json", "memory:"]);
        assert_eq!(code, 4, "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn err_2_nothing_in_a_key_or_a_name_reaches_the_terminal_as_it_is() {
    const HOSTILE: &str = "\u{1b}[31m\u{202e}\r\u{9b}2J";
    let quoted = "\\u001b[31m\\u202e\\r\\u009b2J";
    let name = format!("{HOSTILE}.jsonl");
    let items = [
        format!(r#"{{"key":"{quoted}","value":"","expiration":0}}"#),
        format!(r#"{{"key":"","value":"{quoted}"}}"#),
        format!(r#"{{"key":"{quoted}","value":"","{quoted}":1}}"#),
    ];
    let directory = folder(&name, items.join("\n"));
    let here = directory.path();
    let missing = format!("{HOSTILE}.json");
    let url = format!("sqlite:no{HOSTILE}where/x.db");
    let unknown = format!("redsi{HOSTILE}:x");
    let option = format!("--{HOSTILE}");
    for arguments in [
        &["--verify", &name, "memory:"][..],
        &[&missing, "memory:"],
        &[&name, &url],
        &[&name, &unknown],
        &[&name, HOSTILE],
        &[&name, &option, "memory:"],
        &[&name, "memory:", "--batch", HOSTILE],
        &["--keys-from", &missing, "memory:", "out.jsonl"],
    ] {
        let (code, _, error) = run(here, arguments);
        assert_ne!(code, 0, "{arguments:?}: {error}");
        let raw =
            error.chars().find(|character| (character.is_control() && *character != '\n') || *character == '\u{202e}');
        assert_eq!(raw, None, "{arguments:?}: {error:?}");
        // Where clap is built with colours, by another crate's wish, it drops what looks like one.
        assert!(error.contains("u{202e}"), "{arguments:?}: {error}");
    }
}

#[test]
fn err_2_a_secret_in_the_wrong_place_is_not_shown() {
    let directory = folder("in.jsonl", "");
    let url = "cloudflare://account/namespace?api_token=hunter2";
    for arguments in [
        &[url, "out.json"][..],
        &["copy", "in.jsonl", "memory:", "--batch", url],
        &["copy", "in.jsonl", "memory:", &format!("--batch={url}")],
        &["copy", "in.jsonl", "memory:", "--stdout-format", "x://user:hunter2@host"],
        &["copy", "in.jsonl", "memory:", "--api_token=hunter2"],
        &["copy", "in.jsonl", "memory:", "--x-api_token=hunter2"],
        &["copy", "--keys-from", url, "memory:", "out.json"],
        &["copy", "--keys-from", "hunter2@host", "memory:", "out.json"],
    ] {
        let (code, _, error) = run_command(directory.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.starts_with("error: ") && !error.contains("hunter2"), "{arguments:?}: {error}");
    }
}

#[test]
fn err_2_what_begins_like_a_url_never_becomes_a_file_and_only_its_scheme_is_shown() {
    let directory = folder("in.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n");
    let here = directory.path();
    // Not even when one exists.
    fs::write(here.join("file:c4nary.jsonl"), "{\"key\":\"b\",\"value\":\"2\"}\n").unwrap();
    for (stop, shown) in [
        ("sqllite:c4nary.json", "sqllite:... "),
        ("https://u:c4nary@h/x.jsonl", "https:... "),
        ("file:c4nary.jsonl", "file:... "),
        ("rocksdb://h/c4nary.json", "rocksdb:... "),
        ("s3://c4nary/x.json", "s3:... "),
        ("u:c4nary@h.json", "stop "),
    ] {
        for stops in [[stop, "out.json"], ["in.jsonl", stop]] {
            let (code, output, error) = run(here, &stops);
            assert_eq!((code, output.as_str()), (2, ""), "{error}");
            assert!(
                error.contains(&format!("error: {shown}")) && error.contains("no store has this scheme"),
                "{error}"
            );
            assert!(error.contains("known are memory:, sqlite:, ") && !error.contains("c4nary"), "{error}");
            assert_eq!(fs::read_dir(here).unwrap().count(), 2, "{stop} became a file");
        }
    }
    let (code, _, error) = run(here, &["./file:c4nary.jsonl", "./name:with.json"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(fs::read_to_string(here.join("name:with.json")).unwrap(), "[\n{\"key\":\"b\",\"value\":\"2\"}\n]\n");
}
