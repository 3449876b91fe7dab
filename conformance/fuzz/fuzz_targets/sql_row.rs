//! Columns of rows, and positions and prefixes of lists, as the SQL adapters read them. The first eight bytes are a
//! number, the rest a value, a key or a prefix.
#![no_main]

use bytes::Bytes;
use kv_fuzz::{bounded, checked};
use kv_sql::{StoredCounter, counter_value, entry, first_key, key_after, kind_from_number, kind_number, stored_value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((number, rest)) = input.split_first_chunk::<8>() else { return };
    let number = i64::from_le_bytes(*number);
    let bytes = Bytes::copy_from_slice(rest);
    if let Some(kind) = checked(kind_from_number(number), true) {
        assert_eq!(kind_number(kind), Some(number));
    }
    if let Some(value) = checked(stored_value(number, bytes.clone()), true) {
        assert_eq!(value.as_bytes(), &bytes);
        let entry = entry(value, Some(bytes.clone()), Some(number), kv_sql::version(7, number));
        // Damage is found when it is looked at, and is an error then.
        bounded(input.len(), 64, || {
            checked(entry.value().as_json().map(drop), true);
            if let Some(metadata) = entry.metadata() {
                checked(metadata.as_json().map(drop), true);
            }
            checked(entry.value().decode::<String>(), true);
        });
    }
    for has_metadata in [false, true] {
        let counter = StoredCounter { kind: number, has_metadata, head: rest.to_vec() };
        if let Some(value) = checked(counter.value(), !has_metadata) {
            assert_eq!(value.to_string().as_bytes(), rest);
            assert_eq!(counter_value(rest).ok(), Some(value));
        }
    }
    let middle = usize::try_from(number.rem_euclid(rest.len() as i64 + 1)).unwrap_or_default();
    let (prefix, position) = rest.split_at(middle);
    let Ok(prefix) = std::str::from_utf8(prefix) else { return };
    if let Some(first) = checked(first_key(prefix, Some(position)), true) {
        assert!(first.starts_with(prefix) && first.as_bytes() > position);
    }
    match key_after(prefix) {
        Some(after) => {
            assert!(*after > *prefix && !after.starts_with(prefix));
            assert!(after > format!("{prefix}{}", char::MAX), "it is behind all keys with the prefix");
        }
        None => assert!(prefix.chars().all(|c| c == char::MAX)),
    }
});
