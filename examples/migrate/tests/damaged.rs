//! Damaged files: the error says where, and a target file is left alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::Write;

use common::{convert, import, memory};
use flate2::Compression;
use flate2::write::GzEncoder;
use kv_migrate::Error;

const GOOD: &str = "{\"key\":\"a\",\"value\":\"1\"}";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn the_error_names_file_line_and_member_and_no_target_file_appears() {
    // 1000 items of noise, so that a cut or changed gzip file still gives some of them.
    let long: String = (0..1000_u32)
        .map(|at| format!("{{\"key\":\"{}\",\"value\":\"{}\"}}\n", at.wrapping_mul(2_654_435_761), at * at))
        .collect();
    let cut = {
        let bytes = gzip(&long);
        bytes[..bytes.len() / 2].to_vec()
    };
    let without_end = {
        let bytes = gzip(&long);
        bytes[..bytes.len() - 3].to_vec()
    };
    let wrong_sum = {
        let mut bytes = gzip(&long);
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
        bytes
    };
    let with_rest = [gzip(GOOD), b"rest".to_vec()].concat();
    let lines = |bad: &str| format!("{GOOD}\n\n{bad}\n{GOOD}\n").into_bytes();
    let array = |bad: &str| format!("[\n{GOOD},\n{bad}\n]").into_bytes();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("x.jsonl", lines("{\"key\":\"b\",\"value\":5}"), "line 3: member \"value\" must be a string"),
        ("x.jsonl", lines("{\"value\":\"\"}"), "line 3: member \"key\" is missing"),
        ("x.jsonl", lines("{\"key\":\"b\",\"value\":\"\",\"ttl\":1}"), "line 3: member \"ttl\" is no member"),
        ("x.jsonl", lines("{\"key\":\"b\",\"value\":\"#\",\"base64\":true}"), "line 3: member \"value\" is not base64"),
        ("x.jsonl", lines("{\"key\":\"b\",\"value\":\"\"} x"), "line 3: is not JSON"),
        ("x.jsonl", lines("{\"key\":\"b\",\"value\":\"\"}{}"), "line 3: is not JSON"),
        ("x.jsonl", lines("{\"key\":\"b\",\"val"), "line 3: is not JSON"),
        ("x.jsonl", lines("null"), "line 3: expected an item"),
        ("x.jsonl", [b"{\"key\":\"\xff\",\"value\":\"\"}".as_slice()].concat(), "line 1: is not UTF-8"),
        (
            "x.jsonl",
            b"{\"key\":\"a\",\"value\"".to_vec(),
            "line 1: is not JSON: the JSON ends too early (item 1, key \"a\")",
        ),
        ("x.json", Vec::new(), "line 1: is empty"),
        ("x.json", b" \n ".to_vec(), "is empty"),
        ("x.json", array("{\"key\":\"b\",\n\"value\":[]}"), "line 4: member \"value\" must be a string"),
        (
            "x.json",
            array("{\"key\":\"b\",\n\"value\":\"\",\n\"expiration\":\"soon\"}"),
            "line 5: member \"expiration\"",
        ),
        ("x.json", array("5"), "line 3: expected an item"),
        ("x.json", array(&format!("{GOOD}\n{GOOD}")), "line 4: expected a comma"),
        ("x.json", array(&format!("{GOOD},")), "line 4: expected an item"),
        ("x.json", format!("[{GOOD}").into_bytes(), "line 1: the file ends before the array does"),
        ("x.json", format!("[{GOOD},\n{{\"key\":\"b").into_bytes(), "line 2: the file ends in the middle of an item"),
        ("x.json", format!("[{GOOD}]\n[]").into_bytes(), "line 2: something follows the end of the array"),
        ("x.jsonl.gz", cut, "the gzip data ends too early"),
        ("x.jsonl.gz", without_end, "line 1001: the gzip data ends too early"),
        ("x.jsonl.gz", wrong_sum, "the gzip data is damaged"),
        ("x.jsonl.gz", with_rest, "the gzip data"),
        ("x.jsonl.gz", GOOD.as_bytes().to_vec(), "line 1: the gzip data is damaged"),
        ("x.jsonl.gz", Vec::new(), "line 1: the gzip data ends too early"),
    ];
    for (name, bytes, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join(name), directory.path().join("out.json"));
        fs::write(&from, bytes).unwrap();
        for existing in [None, Some("what was there before")] {
            if let Some(text) = existing {
                fs::write(&to, text).unwrap();
            }
            let summary = convert(&from, &to).await;
            let error = summary.stopped.as_ref().unwrap_or_else(|| panic!("{expected}: {summary:?}"));
            let text = error.to_string();
            assert!(matches!(error, Error::Damaged { .. }), "{text}");
            assert!(text.starts_with(&from.display().to_string()) && text.contains(expected), "{expected}: {text}");
            assert!(!summary.is_complete() && summary.target_untouched);
            assert_eq!(fs::read_to_string(&to).ok().as_deref(), existing, "{expected}");
            // What came before the damage is kept, and no temporary file is left.
            assert_eq!(summary.kept_beside.is_some(), summary.counts.written > 0, "{summary:?}");
            let kept = summary.kept_beside.map(fs::remove_file).transpose().unwrap();
            let left = fs::read_dir(directory.path()).unwrap().count();
            assert_eq!((left, kept.is_some()), (if existing.is_some() { 2 } else { 1 }, summary.counts.written > 0));
        }
    }
}

#[tokio::test]
async fn everything_before_the_damage_is_in_the_store_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    for good in [0, 1, 4, 5, 6, 10, 13] {
        let lines: String = (0..good).map(|at| format!("{{\"key\":\"{at}\",\"value\":\"\"}}\n")).collect();
        fs::write(&path, lines + "oops\n{\"key\":\"after\",\"value\":\"\"}\n").unwrap();
        let store = memory().await;
        let summary = import(&path, &store).await;
        let error = summary.stopped.as_ref().expect("line 1 behind the good ones is damaged").to_string();
        assert!(error.contains(&format!("line {}: is not JSON", good + 1)), "{error}");
        assert_eq!((summary.counts.read, summary.counts.written, summary.target_untouched), (good, good, false));
        assert_eq!(store.list().await.unwrap().items.len() as u64, good);
    }
}
