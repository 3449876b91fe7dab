//! Answers of Backendless Hive, read as the answer to every request, and stored values.
#![no_main]

use kv_api::JsonText;
use kv_backendless::fuzzing as backendless;
use kv_fuzz::{answer, bounded, checked, is_writable, other_reader};
use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;

fuzz_target!(|input: &[u8]| {
    let Some(answer) = answer(input) else { return };
    let bytes = input.len();
    let other = other_reader(&answer.body);
    let status = answer.status.as_u16();
    let is = |of_kind: fn(&Json) -> bool| status == 200 && other.as_ref().is_none_or(of_kind);
    let is_empty = answer.body.trim_ascii().is_empty();
    let is_error = |code: i64| other.as_ref().is_none_or(|body| body["code"].as_f64() == Some(code as f64));

    let keys = ["a".to_owned(), "b/\u{e9}".to_owned()];
    if let Some(values) = checked(bounded(bytes, 128, || backendless::values(&answer, &keys)), is(Json::is_object)) {
        assert_eq!(values.len(), keys.len());
    }
    if let Some(count) = checked(bounded(bytes, 64, || backendless::count(&answer, 2)), is(Json::is_number)) {
        assert!(count <= 2);
    }
    checked(bounded(bytes, 64, || backendless::flag(&answer)), is(Json::is_boolean));
    checked(bounded(bytes, 64, || backendless::step(&answer)), is(Json::is_number));
    let is_done = (is_empty && matches!(status, 200 | 204)) || is(|body| body.is_null() || *body == true);
    checked(bounded(bytes, 64, || backendless::done(&answer)), is_done);
    for clears in [false, true] {
        let may = is_done || is_error(27_003) || (clears && is_error(27_010));
        if checked(bounded(bytes, 64, || backendless::expired(&answer, clears)), may) == Some(false) {
            assert!(is_error(27_003), "only a missing key is missing");
        }
    }
    let may = is(Json::is_number) || is_error(27_003) || is_error(27_010);
    checked(bounded(bytes, 64, || backendless::expiration(&answer)), may);
    if let Some((keys, cursor)) = checked(bounded(bytes, 256, || backendless::page(&answer, "k")), is(Json::is_object))
    {
        assert!(keys.iter().all(|key| key.starts_with('k')) && cursor != Some(0));
        assert!(keys.iter().collect::<std::collections::HashSet<_>>().len() == keys.len(), "each key once");
    }

    let Ok(json) = JsonText::parse_slice_foreign(&answer.body) else { return };
    let Some(Some((value, metadata))) = checked(bounded(bytes, 128, || backendless::decode(json)), true) else {
        return;
    };
    if is_writable(&value, metadata.as_ref()) {
        let stored = backendless::encode(&value, metadata.as_ref());
        let stored = JsonText::parse(&stored).expect("what is stored is JSON");
        assert!(stored.survives_javascript(), "what is stored comes back as it was");
        assert_eq!(backendless::decode(stored).expect("it decodes"), Some((value, metadata)));
    }
});
