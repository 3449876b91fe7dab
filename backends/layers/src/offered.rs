//! What a layer starts from.

use kv_api::{Backend, Capabilities};

/// What `inner` supports and implements. A layer that answers an optional method itself says that it is there, and must
/// not offer it where the backend inside lacks it (LAYER-1).
pub(crate) fn offered_by(inner: &dyn Backend) -> Capabilities {
    inner.capabilities().clone().masked_by(inner.methods())
}
