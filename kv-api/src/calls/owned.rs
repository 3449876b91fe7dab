//! Requests that keep the store by themselves: `into_owned`.

use std::borrow::Cow;
use std::sync::Arc;

use super::Phase;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle;

/// What a request borrows, to be kept. One that has begun is given up here, and is not begun again.
pub(super) fn keep<T>(
    handle: &Handle,
    key: Cow<'_, str>,
    phase: Phase<'_, T>,
    operation: &'static str,
) -> Result<(Arc<Handle>, Cow<'static, str>)> {
    if !matches!(phase, Phase::Fresh) {
        let error = Error::new(ErrorKind::InvalidArgument, "the request had begun before it was to keep the store");
        return Err(handle.explain_key(error, operation, &key));
    }
    Ok((handle.to_arc(), Cow::Owned(key.into_owned())))
}

/// Says once for all requests how one becomes a future that borrows nothing.
macro_rules! into_owned {
    ($([$generic:ident])? $call:ident { $($field:ident),* } -> $output:ty, $operation:literal) => {
        impl<$($generic)?> $call<'_, $($generic)?> {
            /// The same request as a future that borrows nothing: it keeps the store by itself, so it can be spawned or
            /// returned. Options come before it, and it does nothing until it is polled.
            ///
            /// # Errors
            /// As the request; `InvalidArgument` when it was polled before.
            pub fn into_owned(self) -> impl Future<Output = Result<$output>> + Send + use<$($generic)?> {
                let Self { handle, key, $($field,)* phase } = self;
                let kept = crate::calls::owned::keep(handle, key, phase, $operation);
                async move {
                    let (handle, key) = kept?;
                    $call { handle: &handle, key, $($field,)* phase: Phase::Fresh }.await
                }
            }
        }
    };
}
pub(super) use into_owned;
