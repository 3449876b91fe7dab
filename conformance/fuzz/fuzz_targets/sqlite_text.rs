//! The one text in which SQLite gives many rows. The first byte says which statement it is the answer to.
#![no_main]

use kv_api::Fields;
use kv_fuzz::{bounded, checked};
use kv_sqlite::fuzzing::{found, states};
use libfuzzer_sys::fuzz_target;

const FIELDS: [Fields; 4] = [Fields::Value, Fields::Existence, Fields::All, Fields::Value];

fuzz_target!(|input: &[u8]| {
    let [statement, text @ ..] = input else { return };
    if let Some(states) = checked(bounded(input.len(), 256, || states(text, statement & 1 == 1)), true) {
        assert!(states.len() <= text.len());
    }
    let Some((entries, withheld)) =
        checked(bounded(input.len(), 64, || found(text, &FIELDS, statement & 2 == 2)), true)
    else {
        return;
    };
    assert_eq!(entries.len(), FIELDS.len());
    assert!(withheld.iter().all(|slot| *slot < FIELDS.len()));
    let mut bytes = 0;
    for entry in entries {
        if let Some(entry) = checked(entry, true).flatten() {
            bytes += entry.value().as_bytes().len() + entry.metadata().map_or(0, |metadata| metadata.as_bytes().len());
        }
    }
    assert!(bytes <= text.len(), "no byte is found twice");
});
