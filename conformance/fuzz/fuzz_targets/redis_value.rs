//! Strings that any client may have stored in Redis (VAL-5).
#![no_main]

use kv_api::ValueKind;
use kv_fuzz::{bounded, checked, is_writable};
use kv_redis::fuzzing::{decode, encode, is_integer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let number = std::str::from_utf8(input).ok().and_then(|text| text.parse::<i64>().ok());
    assert_eq!(is_integer(input), number.is_some_and(|number| number.to_string().as_bytes() == input));
    let Some((value, metadata)) = checked(bounded(input.len(), 64, || decode(input.to_vec())), true) else { return };
    assert!(!is_integer(input) || value.kind() == ValueKind::Json, "an integer is one that the server counts in");
    if is_writable(&value, metadata.as_ref()) {
        let again = decode(encode(&value, metadata.as_ref())).expect("what was stored is read");
        assert_eq!(again, (value, metadata));
    }
});
