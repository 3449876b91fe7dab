//! Files of keys: one a line, or lists as other tools print them.
#![no_main]

use kv_fuzz::{assert_unsaid, bounded};
use kv_migrate::fuzzing::keys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let is_plain = !input.starts_with(b"\x1f\x8b")
        && !input.windows(3).any(|bytes| bytes == b"\xb5\x2f\xfd" || bytes == b"\x2a\x4d\x18");
    // The buffers of the readers, and what a compressed file may become.
    let factor = if is_plain { 128 } else { 64 * 1024 };
    match bounded(input.len() + 8 * 1024, factor, || keys(input.to_vec())) {
        Ok(keys) => {
            assert!(keys.is_sorted_by_key(|(_, line)| *line), "lines are counted up");
            let text: String = keys.iter().map(|(key, _)| kv_api::json_quoted(key) + "\n").collect();
            let again = kv_migrate::fuzzing::keys(text.into_bytes()).expect("keys in quotes are read");
            assert!(again.iter().map(|(key, _)| key).eq(keys.iter().map(|(key, _)| key)));
        }
        Err(error) => assert_unsaid(&error.to_string()),
    }
});
