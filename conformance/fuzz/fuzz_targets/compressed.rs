//! Envelopes of compressed values. The first byte chooses: an envelope, or a value to make one of.
#![no_main]

use bytes::Bytes;
use kv_api::{Value, ValueKind};
use kv_fuzz::{bounded, checked};
use kv_layers::fuzzing::{compress, decompress};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 128 * 1024;

fuzz_target!(|input: &[u8]| {
    match input {
        [0, envelope @ ..] => {
            // All that begin otherwise are plain values.
            let envelope = Bytes::from([b"\x8fkvz", envelope].concat());
            // Room for BYTES_MAX is part of what is allowed beside the input.
            let Some(value) = checked(bounded(input.len(), 4, || decompress(&envelope, BYTES_MAX)), true) else {
                return;
            };
            assert!(value.as_bytes().len() <= BYTES_MAX.max(envelope.len()), "a bomb stays closed");
            assert!(value.kind() == ValueKind::Bytes || std::str::from_utf8(value.as_bytes()).is_ok());
            let again = Bytes::from(compress(&value).expect("it compresses"));
            assert_eq!(decompress(&again, BYTES_MAX).expect("what was compressed is read"), value);
        }
        [1, value @ ..] => {
            let value = Value::from(value);
            let envelope = Bytes::from(compress(&value).expect("it compresses"));
            assert_eq!(decompress(&envelope, BYTES_MAX).expect("what was compressed is read"), value);
        }
        _ => {}
    }
});
