//! Envelopes, and metadata with the tag of its value (ENV-1 to ENV-3).
#![no_main]

use kv_api::{Envelope, JsonForm, JsonText, TaggedMetadata, Value};
use kv_fuzz::{assert_silent, bounded, is_writable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let decoded = bounded(input.len(), 64, || Envelope::decode_text(text));
    let json = JsonText::parse_foreign(text).ok();
    let mistakable = Envelope::is_mistakable_text(text);
    match &decoded {
        Ok(None) => {}
        Ok(Some(envelope)) => {
            assert!(mistakable, "a plain text of that look is put into an envelope");
            if is_writable(envelope.value(), envelope.metadata()) {
                for form in [JsonForm::Inline, JsonForm::Text] {
                    let again = Envelope::decode_text(&envelope.encode(form));
                    assert_eq!(again.as_ref().ok().and_then(Option::as_ref), Some(envelope), "in the form {form:?}");
                }
            }
        }
        Err(error) => {
            assert!(mistakable);
            assert_silent(error);
        }
    }
    if mistakable {
        let wrapped = Envelope::new(Value::from(text));
        assert_eq!(Envelope::decode_text(&wrapped.encode(JsonForm::Text)).ok().flatten(), Some(wrapped));
    }
    let Some(json) = json else { return };
    match (&decoded, Envelope::decode_json(json)) {
        (Ok(one), Ok(other)) => assert_eq!(*one, other),
        (Err(_), Err(_)) => {}
        (one, other) => panic!("the text and its JSON differ: {one:?}, {other:?}"),
    }
    match bounded(input.len(), 64, || TaggedMetadata::decode_json(json)) {
        Err(error) => assert_silent(&error),
        Ok(TaggedMetadata { metadata: Some(metadata), .. }) if is_writable(&Value::from(""), Some(&metadata)) => {
            let values =
                [Value::from(""), Value::from("\u{FEFF}"), Value::from(1), Value::from(b"a"), Value::from(b"\xff")];
            for value in values {
                let stored = TaggedMetadata::encode(&value, Some(&metadata)).expect("there is metadata");
                let stored = JsonText::parse_slice(stored.as_bytes()).expect("it is JSON");
                let again = TaggedMetadata::decode_json(stored).expect("what was encoded decodes");
                assert_eq!(again.metadata.as_ref(), Some(&metadata));
                assert!(kv_api::KindTag::needed_for(&value).is_none_or(|tag| again.tag == Some(tag)));
            }
        }
        Ok(_) => {}
    }
});
