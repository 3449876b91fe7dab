//! Positions of lists, as they lie in cursors: of systems with cursors of their own, of Redis, and over mounts.
#![no_main]

use kv_fuzz::{bounded, checked};
use kv_remote::ListPosition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(position) = checked(bounded(input.len(), 16, || ListPosition::decode(input)), true) {
        let written = position.encode().expect("a position is written");
        assert_eq!(ListPosition::decode(&written).expect("it is read"), position);
    }
    if let Some(written) = checked(bounded(input.len(), 16, || kv_redis::fuzzing::position(input)), true) {
        let again = kv_redis::fuzzing::position(&written).expect("it is read");
        assert_eq!(again, written);
    }
    for parts in [0, 1, 3] {
        if let Some(written) = bounded(input.len(), 32, || kv_layers::fuzzing::mounted_position(input, parts)) {
            assert_eq!(written, input, "a position has one form");
        }
    }
});
