//! What is not written is not collected in memory either.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use common::memory;
use kv_migrate::{BulkReader, CheckpointFile, Event, Filter, Options, Sink, Source, copy};

/// Lines of about a thousand bytes.
fn write_lines(path: &Path, lines: usize, expiration: &str) {
    let line = |at| format!("{{\"key\":\"{at:06}\",\"value\":\"{}\"{expiration}}}\n", "x".repeat(1000));
    fs::write(path, (0..lines).map(line).collect::<String>()).unwrap();
}

/// Also without a checkpoint.
#[tokio::test]
async fn rejects_are_written_as_they_come() {
    for into_file in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (path, rejects) = (directory.path().join("in.jsonl"), directory.path().join("rejects.jsonl"));
        write_lines(&path, 500, ",\"expiration\":0");
        let options = Options { batch_bytes: 10_000, rejects: Some(rejects.clone()), ..Options::default() };
        let mut lengths = Vec::new();
        let observe = |event: Event<'_>| {
            if matches!(event, Event::Progress(_)) {
                lengths.push(fs::metadata(&rejects).unwrap().len());
            }
        };
        let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
        let sink = match into_file {
            true => Sink::file(&directory.path().join("out.jsonl")),
            false => Sink::store(&memory().await),
        };
        let summary = copy(source, sink, &options, observe).await;
        assert_eq!((summary.counts.read, summary.counts.failed), (500, 500), "{summary:?}");
        let steps: Vec<u64> = lengths.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.len() > 10 && steps.iter().all(|step| *step < 100_000), "{lengths:?}");
    }
}

#[tokio::test]
async fn it_is_said_and_written_down_how_much_was_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.jsonl");
    let line = |at| format!("{{\"key\":\"{at}\",\"value\":\"\"}}\n");
    fs::write(&path, (0..70_000).map(line).collect::<String>()).unwrap();
    let checkpoint = CheckpointFile { path: directory.path().join("checkpoint"), restart: false };
    let filter = Filter::new(["none"], []).unwrap();
    let options = Options { filter, checkpoint: Some(checkpoint.clone()), ..Options::default() };
    let mut written_down = Vec::new();
    let observe = |event: Event<'_>| {
        if let Event::Progress(progress) = event {
            let journal = fs::read_to_string(&checkpoint.path).unwrap();
            written_down.push((progress.bytes.unwrap().0, journal.contains("\"items\":32000")));
        }
    };
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
    let summary = copy(source, Sink::store(&memory().await), &options, observe).await;
    assert!(summary.is_complete() && summary.counts.read == 0, "{summary:?}");
    assert!(written_down.len() >= 2 && written_down[0].1, "{written_down:?}");
}
