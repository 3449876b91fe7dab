//! The harnesses by themselves: every case passes, or does not apply, without a layer.

mod common;

use std::sync::Arc;

use kv_api::{Backend, ManualClock};

fn bare(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
    inner
}

common::suite!(bare);
