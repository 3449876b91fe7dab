//! Checkpoints of copies, whole and cut.
#![no_main]

use kv_fuzz::bounded;
use kv_migrate::fuzzing::checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((says, length, written)) = bounded(input.len(), 128, || checkpoint(input)) else { return };
    let length = usize::try_from(length).expect("it is a part of the file");
    assert!(length <= input.len() && input[..length].ends_with(b"\n"), "it ends with a whole line");
    let again = checkpoint(&input[..length]).expect("what was kept is a checkpoint");
    assert_eq!((again.0, again.1), (says, length as u64), "what was cut off did not count");
    let (_, whole, twice) = checkpoint(&written).expect("what is written is read");
    assert_eq!((whole, &twice), (written.len() as u64, &written), "the place stays the same");
});
