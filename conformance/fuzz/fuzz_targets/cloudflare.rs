//! Answers of Workers KV, read as the answer to every request.
#![no_main]

use kv_cloudflare::fuzzing as cloudflare;
use kv_fuzz::{answer, bounded, checked, other_reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(answer) = answer(input) else { return };
    let bytes = input.len();
    let other = other_reader(&answer.body);
    let is_ok = answer.status.as_u16() == 200;
    let success = is_ok && other.as_ref().is_none_or(|body| body["success"] == true);
    let missing = answer.status.as_u16() == 404 && other.as_ref().is_none_or(|body| body["success"] == false);

    checked(bounded(bytes, 64, || cloudflare::done(&answer)), success);
    checked(bounded(bytes, 64, || cloudflare::namespace(&answer)), success);
    if checked(bounded(bytes, 64, || cloudflare::metadata(&answer)), success || missing)
        .is_some_and(|found| found.is_none())
    {
        assert!(missing);
    }
    match checked(bounded(bytes, 64, || cloudflare::raw(&answer)), is_ok || missing) {
        Some(Some((raw, _))) => assert!(is_ok && raw == answer.body, "a value is its bytes"),
        Some(None) => assert!(missing),
        None => {}
    }
    let keys = ["a".to_owned(), "b/\u{e9}".to_owned()];
    if let Some(found) = checked(bounded(bytes, 128, || cloudflare::bulk_get(&answer, &keys)), success) {
        assert_eq!(found.len(), keys.len());
        for (key, found) in keys.iter().zip(found) {
            let Some(other) = other.as_ref().map(|body| &body["result"]["values"][key]) else { continue };
            match found {
                None => assert!(other.is_null()),
                Some(None) => assert!(other.is_null() || other["value"].is_null()),
                Some(Some((text, value))) => {
                    assert_eq!(other["value"].as_str(), Some(&*text));
                    if let Some(value) = value {
                        let read = std::str::from_utf8(value.as_bytes()).expect("it came as text");
                        assert_eq!(
                            read.strip_prefix('\u{feff}').unwrap_or(read),
                            text.strip_prefix('\u{feff}').unwrap_or(&text)
                        );
                    }
                }
            }
        }
    }
    if let Some(left_out) = checked(bounded(bytes, 64, || cloudflare::unsuccessful(&answer, 2)), true) {
        assert!(left_out.len() <= 2, "no more are left out than there were");
        assert!(success || !left_out.is_empty(), "a refusal is no success");
    }
    if let Some((items, cursor)) = checked(bounded(bytes, 256, || cloudflare::page(&answer, "k", 3)), success) {
        assert!(items.len() <= 3 && items.iter().all(|item| item.key.starts_with('k')));
        assert!(cursor.is_none_or(|cursor| !cursor.is_empty()), "an empty cursor is the end");
    }
});
