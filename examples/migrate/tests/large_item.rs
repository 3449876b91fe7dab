//! What a large item takes in memory. One test, since it looks at the peak of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::Path;

use kv_migrate::{BulkReader, BulkWriter};

const MIB: usize = 1024 * 1024;

/// The peak since the last call, in MiB.
fn peak(work: impl FnOnce()) -> usize {
    // As the manual of proc(5) has it: forgets the peak so far.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    work();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() / 1024
}

/// A line whose value is `piece` again and again, up to a length.
fn write_item(path: &Path, length: usize, value: (&str, &str, &str), after: &str) {
    let (first, piece, last) = value;
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    write!(file, "{{\"key\":\"large\",\"value\":\"{first}").unwrap();
    for _ in 0..length / piece.len() {
        file.write_all(piece.as_bytes()).unwrap();
    }
    writeln!(file, "{last}\"{after}}}").unwrap();
    file.flush().unwrap();
}

#[test]
fn a_large_item_is_in_memory_as_text_and_value_and_no_more_than_that() {
    // Beyond what the allocator keeps for itself.
    const LENGTH: usize = 48 * MIB;
    const BESIDE: usize = 16;
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("in.jsonl");
    let letters = ("", "sixteen letters ", "");
    for (to, value, after, percent) in [
        ("text.jsonl", letters, "", 210),
        ("text.json.zst", letters, "", 210),
        ("escapes.jsonl", ("", "letters \\n \\\"\u{e9}\\\" ", ""), "", 210),
        ("bytes.jsonl", ("", "AAECAwQFBgcICQoL", ""), ",\"base64\":true", 210),
        // A text first, to be checked.
        ("json.jsonl", ("[", "\\\"letters\\\",12345, ", "0]"), ",\"kind\":\"json\"", 310),
    ] {
        write_item(&from, LENGTH, value, after);
        let path = folder.path().join(to);
        let peak = peak(|| {
            let mut reader = BulkReader::open(&from).unwrap();
            let mut writer = BulkWriter::create(&path).unwrap();
            while let Some(record) = reader.next_record().unwrap() {
                writer.write(&record).unwrap().unwrap();
            }
            writer.finish().unwrap();
        });
        let allowed = BESIDE + LENGTH / MIB * percent / 100;
        assert!(peak <= allowed, "{to}: {peak} MiB, and {allowed} MiB are allowed");
    }
}
