//! The reader of JSON, against another one.
#![no_main]

use kv_api::{JsonText, NESTING_MAX, json_quoted};
use kv_fuzz::{assert_unsaid, bounded};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let strict = bounded(input.len(), 64, || JsonText::parse_slice(input));
    let foreign = bounded(input.len(), 8, || JsonText::parse_slice_foreign(input));
    let other = serde_json::from_slice::<serde_json::Value>(input);
    for error in [strict.as_ref().err(), foreign.as_ref().err()].into_iter().flatten() {
        assert_unsaid(&format!("{error} {error:?}"));
        assert!(error.line() >= 1 && error.column() >= 1);
    }
    let json = match (foreign, &other) {
        (Ok(json), Ok(_)) => json,
        // The two bounds of the other reader.
        (Ok(json), Err(error)) => {
            let error = error.to_string();
            assert!(error.starts_with("number out of range") || error.starts_with("recursion limit"), "{error}");
            json
        }
        (Err(_), Err(_)) => return,
        (Err(error), Ok(_)) => panic!("the other reader takes it: {error}"),
    };
    if let Ok(strict) = strict {
        assert_eq!(strict.as_text(), json.as_text());
        assert!(other.is_ok() && strict.nesting() <= NESTING_MAX, "what is written is bounded");
        assert!(strict == json, "a text means what it means");
    }
    if let Ok(other) = other
        && json.nesting() <= NESTING_MAX
    {
        // Each takes the last of repeated members.
        assert_eq!(bounded(input.len(), 512, || kv_api::fuzzing::json_tree(json)), Some(other));
    }
    let compact = bounded(input.len(), 32, || json.compact());
    let again = JsonText::parse_foreign(&compact).expect("compact JSON is JSON");
    assert_eq!((again.as_text(), again.nesting()), (&*compact, json.nesting()));
    assert_eq!(again.compact(), compact, "what is compact stays as it is");
    assert_eq!(json.with_numbers(|number| number.as_text().into()), compact);
    assert_eq!(json.survives_javascript(), again.survives_javascript());
    if JsonText::parse_slice(input).is_ok() {
        assert!(again == json, "compact JSON means the same");
    }
    if let Some(text) = json.as_str() {
        assert_eq!(json_quoted(&text), compact);
        assert_eq!(JsonText::parse(&json_quoted(&text)).ok().and_then(JsonText::as_str).as_deref(), Some(&*text));
    }
    let text = std::str::from_utf8(input).expect("JSON is UTF-8");
    let parts = json.items().into_iter().flatten().chain(json.members().into_iter().flatten().map(|(_, part)| part));
    let mut end = 0;
    for part in parts {
        let at = part.offset_in(text).expect("a part lies in its text");
        assert!(at >= end, "parts follow each other");
        end = at + part.as_text().len();
        assert_eq!(JsonText::parse_foreign(part.as_text()).map(JsonText::as_text), Ok(part.as_text()));
    }
    let integer = (json.as_i64().map(i128::from), json.as_u64().map(i128::from));
    if let (Some(one), Some(other)) = integer {
        assert_eq!(one, other);
    }
});
