//! The suite over all layers that let every call through, one before the other.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Backend, Layer, ManualClock, RequestRate, Stack};
use kv_layers::{Compressed, Intercept, Intercepted, RateLimited, Traced};

struct Nothing;
impl Intercept for Nothing {}

fn stack(time: &ManualClock) -> Stack {
    let rate = RequestRate::new(1_000_000, Duration::from_secs(1));
    Stack::new()
        .with(Traced::new().with_timer(Arc::new(time.clone())))
        .with(Intercepted::new(Nothing))
        .with(Compressed::new())
        .with(RateLimited::new(rate).with_burst(NonZeroU32::new(3).unwrap()))
}

fn wrap(inner: Arc<dyn Backend>, time: &ManualClock) -> Arc<dyn Backend> {
    stack(time).layer(inner)
}

mod all {
    crate::common::suite!(crate::wrap);
}

#[test]
fn a_stack_prints_its_layers() {
    let time = ManualClock::new(kv_api::Timestamp::UNIX_EPOCH);
    assert_eq!(
        stack(&time).to_string(),
        "traced > intercepted > compressed(zstd level 3, from 1024 bytes) > rate_limited(1000000 in 1s, 3 at once, wait at \
         most 10s)"
    );
}
