//! Damaged files: the error says where, and a target file is left alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::Write;

use common::{convert, import, memory};
use flate2::Compression;
use flate2::write::GzEncoder;
use kv_migrate::{BulkReader, Error};

const GOOD: &str = "{\"key\":\"a\",\"value\":\"1\"}";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 0).unwrap();
    encoder.include_checksum(true).unwrap();
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
    let zstd_cut = {
        let bytes = zstd(&long);
        bytes[..bytes.len() - 3].to_vec()
    };
    let zstd_wrong_sum = {
        let mut bytes = zstd(&long);
        *bytes.last_mut().unwrap() ^= 1;
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
        // A frame of nothing, with a window of 256 MiB.
        ("x.jsonl.zst", b"\x28\xb5\x2f\xfd\0\x90\x01\0\0".to_vec(), "needs a window of more than 128 MiB"),
        ("x.jsonl.zst", zstd_cut, "the zstd data ends too early"),
        ("x.jsonl.zst", zstd_wrong_sum, "the zstd data is damaged"),
        ("x.jsonl", [zstd(GOOD), b"rest".to_vec()].concat(), "the zstd data is damaged"),
        ("x.jsonl.zst", GOOD.as_bytes().to_vec(), "line 1: the zstd data is damaged"),
        ("x.jsonl.zst", gzip(GOOD), "line 1: the zstd data is damaged"),
        ("x.jsonl.gz", zstd(GOOD), "line 1: the gzip data is damaged"),
        (
            "x.json.zst",
            zstd("[{\"key\":\"b\",\n\"value\":5}]"),
            "line 2: member \"value\" must be a string (item 1, key \"b\")",
        ),
        ("x.json", zstd(&format!("[{GOOD},5]")), "line 1: expected an item, which is a JSON object (item 2)"),
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

#[tokio::test]
async fn zstd_is_read_frame_by_frame_and_known_by_its_first_bytes() {
    let line = |key: &str| format!("{{\"key\":\"{key}\",\"value\":\"\"}}\n");
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let frames =
        [skippable.clone(), zstd(&line("a")), zstd(""), skippable.clone(), zstd(&line("b")), skippable].concat();
    let directory = tempfile::tempdir().unwrap();
    for name in ["x.jsonl.zst", "x.jsonl", "x"] {
        let path = directory.path().join(name);
        fs::write(&path, &frames).unwrap();
        let mut reader = BulkReader::open(&path).unwrap();
        assert_eq!(reader.next_record().unwrap().unwrap().key, "a");
        assert_eq!(reader.next_record().unwrap().unwrap().key, "b");
        assert!(reader.next_record().unwrap().is_none());
    }
}

#[tokio::test]
async fn what_is_compressed_otherwise_is_named_as_what_it_is() {
    for (bytes, compression) in [
        (&b"BZh91AY&SY"[..], "bzip2"),
        (b"PK\x03\x04\x14\0", "zip"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"7z\xbc\xaf\x27\x1c\0", "7-Zip"),
        (b"\x04\x22\x4d\x18\x64", "lz4"),
        (b"\x1f\x9d\x90", "compress"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        for name in ["x.json", "x.jsonl.gz", "x.bz2"] {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            let error = BulkReader::open(&path).unwrap().next_record().unwrap_err().to_string();
            let expected =
                format!("{name}: is compressed with {compression}, which is not supported: decompress it first");
            assert!(error.ends_with(&expected), "{error}");
        }
    }
}

#[test]
fn reading_goes_on_behind_an_item_that_is_bad_by_itself() {
    let in_both = [
        "{\"key\":\"b\"}",
        "{\"key\":\"b\",\"value\":5}",
        "{\"key\":tru}",
        "{\"key\":\"\\x\"}",
        "{\"key\":\"b\",\"value\":\"\",\"more\":[{\"}\":\"]\"}]}",
    ];
    let only_in_lines = ["oops", "{\"key\":\"b", "[", "]", "{}}", "\"", "{\"key\":\"a\"b\",\"value\":\"\"}"];
    let directory = tempfile::tempdir().unwrap();
    for (at, bad) in in_both.iter().chain(&only_in_lines).enumerate() {
        for name in ["x.json", "x.jsonl"] {
            if name == "x.json" && at >= in_both.len() {
                continue;
            }
            let path = directory.path().join(name);
            let text = match name {
                "x.json" => format!("[{GOOD},\n{bad},{bad},\n{GOOD}]"),
                _ => format!("{GOOD}\n{bad}\n{bad}\n{GOOD}"),
            };
            fs::write(&path, text).unwrap();
            let mut reader = BulkReader::open(&path).unwrap();
            let mut items = Vec::new();
            while let Some(item) = reader.next_item().unwrap() {
                items.push(item.is_ok());
                assert_eq!(reader.items_read(), items.len() as u64);
                if let Err(error) = item {
                    assert!(error.to_string().contains(&format!("(item {}", items.len())), "{error}");
                }
            }
            assert_eq!(items, [true, false, false, true], "{name}: {bad}");
        }
    }
}

#[test]
fn what_breaks_the_array_itself_ends_the_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.json");
    for text in [
        format!("[{GOOD},5,{GOOD}]"),
        format!("[{GOOD}{GOOD}]"),
        format!("[{GOOD},{{\"key\":\"a"),
        // A quote too many turns what is text and what is not around, up to the next one.
        format!("[{GOOD},\n{{\"key\":\"a\"b\",\"value\":\"\"}},\n{GOOD},\n{{\"key\":\"a\"b\",\"value\":\"\"}}\n]"),
    ] {
        fs::write(&path, &text).unwrap();
        let mut reader = BulkReader::open(&path).unwrap();
        assert!(reader.next_item().unwrap().unwrap().is_ok());
        let error = reader.next_item().unwrap_err().to_string();
        assert!(error.contains("(item 2"), "{text}: {error}");
    }
}
