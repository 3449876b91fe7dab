//! What a layer starts from.

use kv_api::{Backend, Capabilities, Method, Support};

/// What `inner` supports and implements. A layer that answers an optional method itself says that it is there, and must
/// not offer it where the backend inside lacks it (LAYER-1).
pub(crate) fn offered_by(inner: &dyn Backend) -> Capabilities {
    let mut capabilities = inner.capabilities().clone();
    let methods = inner.methods();
    for (support, method) in [
        (&mut capabilities.all_or_nothing, Method::WriteAllOrNothing),
        (&mut capabilities.counters, Method::Increment),
        (&mut capabilities.expire, Method::Expire),
        (&mut capabilities.touch, Method::Touch),
        (&mut capabilities.get_and_delete, Method::GetAndDelete),
    ] {
        if !methods.contains(method) {
            *support = Support::None;
        }
    }
    capabilities
}
