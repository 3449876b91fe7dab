//! How long a system asks to wait.
#![no_main]

use std::time::Duration;

use kv_api::{ManualClock, Timestamp};
use kv_fuzz::bounded;
use kv_remote::http::{Answer, HeaderMap, HeaderValue, StatusCode, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, value);
    let answer = Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Vec::new().into() };
    for now in [Timestamp::from_unix_seconds(0), Timestamp::from_unix_seconds(1_795_161_822)] {
        let clock = ManualClock::new(now);
        let wait = bounded(input.len(), 8, || answer.retry_after(&clock));
        let seconds = std::str::from_utf8(input).ok().and_then(|text| text.trim().parse().ok());
        if let Some(seconds) = seconds {
            assert_eq!(wait, Some(Duration::from_secs(seconds)));
        }
        assert_eq!(answer.error(&clock, "m").retry_after(), wait);
    }
});
