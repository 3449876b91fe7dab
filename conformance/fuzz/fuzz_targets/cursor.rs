//! Cursors as callers bring them back (LIST-3). A first byte chooses: a text, a position, or bytes behind a check sum
//! that is right.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kv_api::fuzzing::{check_sum, open_cursor, seal_cursor};
use kv_api::{Cursor, ErrorKind};
use kv_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fn open(text: &str) -> Option<Vec<u8>> {
    let opened = bounded(text.len(), 8, || open_cursor("system", "scope", "prefix/", &text.parse::<Cursor>()?));
    match opened {
        Ok(position) => Some(position),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.reason().is_some(), "it says that the cursor is not valid");
            None
        }
    }
}

fuzz_target!(|input: &[u8]| {
    match input {
        [0, position @ ..] => {
            let cursor = seal_cursor("system", "scope", "prefix/", position).to_string();
            assert_eq!(open(&cursor).as_deref(), Some(position));
            for (system, scope, prefix) in
                [("other", "scope", "prefix/"), ("system", "", "prefix/"), ("system", "scope", "")]
            {
                assert!(open_cursor(system, scope, prefix, &cursor.parse().expect("a cursor")).is_err());
            }
        }
        [1, bytes @ ..] => {
            let whole = [bytes, &check_sum(bytes)].concat();
            if let Some(position) = open(&URL_SAFE_NO_PAD.encode(&whole)) {
                assert!(bytes.ends_with(&position));
            }
        }
        [_, text @ ..] => {
            let Ok(text) = std::str::from_utf8(text) else { return };
            if let Some(position) = open(text) {
                assert_eq!(seal_cursor("system", "scope", "prefix/", &position).to_string(), text, "one text for each");
            }
        }
        [] => {}
    }
});
