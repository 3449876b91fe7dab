//! The suite over the layer that traces. The fake's harness collects all that is logged, so the spans are made, and are
//! searched for the token; `spans.rs` looks at them closely.

mod common;

use std::sync::Arc;

use kv_api::{Backend, Layer, ManualClock};
use kv_layers::Traced;

fn wrap(inner: Arc<dyn Backend>, time: &ManualClock) -> Arc<dyn Backend> {
    Traced::new().with_timer(Arc::new(time.clone())).layer(inner)
}

mod alone {
    crate::common::suite!(crate::wrap);
}
