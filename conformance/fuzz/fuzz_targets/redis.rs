//! Replies of Redis as they come over the wire, read as the reply to every command.
#![no_main]

use kv_api::{Fields, Result, SetStatus};
use kv_fuzz::{assert_silent, bounded};
use kv_redis::fuzzing as ours;
use libfuzzer_sys::fuzz_target;
use redis::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(reply) = redis::parse_redis_value(input) else { return };
    let is_refusal = matches!(reply, Value::ServerError(_));
    let bytes = input.len();

    fn check<T>(is_refusal: bool, read: Result<T>) -> Option<T> {
        if let Err(error) = &read {
            assert_silent(error);
        }
        assert!(!(is_refusal && read.is_ok()), "a refusal is no success");
        read.ok()
    }
    macro_rules! read {
        ($reader:ident $(, $more:expr)*) => {
            check(is_refusal, bounded(bytes, 64, || ours::$reader(reply.clone() $(, $more)*)))
        };
    }

    for fields in [Fields::Existence, Fields::Value, Fields::All] {
        read!(read, fields);
        read!(read_and_changed, fields);
    }
    for count in [0, 1, 2, 3] {
        assert!(read!(values, count).is_none_or(|values| values.len() == count));
        assert!(read!(entries, count).is_none_or(|entries| entries.len() == count));
        assert!(read!(first_unmet, count).is_none_or(|unmet| unmet.is_none_or(|unmet| unmet < count)));
    }
    assert!(read!(stored).is_none_or(|_| reply == Value::Okay), "OK is all that says that it was stored");
    assert!(read!(set_if).is_none_or(|status| (status == SetStatus::Created) == (reply == Value::Okay)));
    read!(set_if_version);
    read!(deleted, false);
    read!(deleted, true);
    for (min, max) in [(i64::MIN, i64::MAX), (-10, 10)] {
        assert!(read!(incremented, min, max).is_none_or(|new| (min..=max).contains(&new)), "a counter is in its range");
    }
    if let Some((_, keys)) = read!(scanned) {
        assert!(keys.iter().map(Vec::len).sum::<usize>() <= bytes);
    }
    read!(sized);
    read!(run);
    // An old server does not know the command, and that is an answer.
    if let Err(error) = ours::hello(reply.clone()) {
        assert_silent(&error);
    }
    // The table of slots beside the input.
    read!(topology);
    assert!(!ours::is_redirect(&reply) || is_refusal, "only a refusal leads elsewhere");
});
