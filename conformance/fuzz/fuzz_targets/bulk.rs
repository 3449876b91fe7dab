//! Files in the bulk format: plain, gzip and zstd. The first byte says what the name of the file does.
#![no_main]

use kv_fuzz::{assert_unsaid, bounded};
use kv_migrate::fuzzing::{bulk, line};
use kv_migrate::{Compression, Error, RecordExpiry};
use libfuzzer_sys::fuzz_target;

/// What a byte of a compressed file may become.
const GROWTH: usize = 64 * 1024;

/// Keys and names of members are shown.
fn assert_shows_no_value(error: &Error) {
    match error {
        Error::Damaged { problem, .. } => assert_unsaid(problem),
        error => assert_unsaid(&error.to_string()),
    }
}

fuzz_target!(|input: &[u8]| {
    let [name, file @ ..] = input else { return };
    let (compression, factor) = match name % 3 {
        0 if !file.starts_with(b"\x1f\x8b") && !file.contains(&0x28) && !file.starts_with(b"P") => {
            (Compression::None, 64)
        }
        0 => (Compression::None, GROWTH),
        1 => (Compression::Gzip, GROWTH),
        _ => (Compression::Zstd, GROWTH),
    };
    // The buffers of the readers.
    let records = bounded(file.len() + 8 * 1024, factor, || {
        let mut reader = bulk(file.to_vec(), compression);
        let mut records = Vec::new();
        loop {
            match reader.next_item() {
                Ok(Some(Ok(record))) => records.push(record),
                Ok(Some(Err(error))) => assert_shows_no_value(&error),
                Ok(None) => break,
                Err(error) => {
                    assert_shows_no_value(&error);
                    break;
                }
            }
            assert!(records.len() as u64 <= reader.items_read());
        }
        records
    });
    for record in records {
        let Ok(written) = line(&record) else { continue };
        if record.expiry == RecordExpiry::NotPositive {
            continue; // it is written as what the caller chose for it
        }
        assert!(!written.contains(&b'\n'), "an item is one line");
        let mut again =
            bulk(written, Compression::None).next_record().expect("what was written is read").expect("an entry");
        again.line = record.line;
        assert_eq!(again, record);
    }
});
