//! Answers of Puter, read as the answer to every call, and stored values.
#![no_main]

use kv_api::JsonText;
use kv_fuzz::{answer, bounded, checked, is_writable, other_reader};
use kv_puter::fuzzing as puter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(answer) = answer(input) else { return };
    let bytes = input.len();
    let other = other_reader(&answer.body);
    let success = answer.status.as_u16() == 200 && other.as_ref().is_none_or(|body| body["success"] == true);

    if checked(bounded(bytes, 64, || puter::done(&answer)), success).is_some() {
        assert!(other.as_ref().is_none_or(|body| body["result"] == true), "done is what says so");
    }
    checked(bounded(bytes, 64, || puter::expired(&answer)), success);
    if let Some(Some((value, metadata))) = checked(bounded(bytes, 128, || puter::value(&answer)), success)
        && is_writable(&value, metadata.as_ref())
    {
        for expires in [false, true] {
            let stored = puter::encode(&value, metadata.as_ref(), expires);
            let stored = JsonText::parse(&stored).expect("what is stored is JSON");
            assert!(stored.survives_javascript() && stored.nesting() <= 32, "what is stored comes back as it was");
            let again = puter::decode(stored).expect("it decodes");
            assert_eq!(again.as_ref(), Some(&(value.clone(), metadata.clone())));
        }
    }
    let keys = ["a".to_owned(), "b".to_owned()];
    if let Some(values) = checked(bounded(bytes, 128, || puter::values(&answer, &keys)), success) {
        assert_eq!(values.len(), keys.len());
    }
    checked(bounded(bytes, 64, || puter::sum(&answer)), success);
    if let Some((keys, _)) = checked(bounded(bytes, 256, || puter::page(&answer)), success) {
        assert!(keys.is_sorted_by(|left, right| left < right), "a walk goes forward");
    }
});
