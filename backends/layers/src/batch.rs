//! Results of the parts of a batch, brought together.

use kv_api::{Error, ErrorKind, Result, Retry};

/// The results of the parts in the order of all items. An item that no part has is `Internal`, outcome unknown.
pub(crate) fn joined<T>(count: usize, parts: impl IntoIterator<Item = (usize, Result<T>)>) -> Vec<Result<T>> {
    let unanswered = || {
        let error = Error::new(ErrorKind::Internal, "an item of the batch has no answer");
        Err(error.with_retry(Retry::OutcomeUnknown))
    };
    let mut all: Vec<Result<T>> = (0..count).map(|_| unanswered()).collect();
    for (index, result) in parts {
        all[index] = result;
    }
    all
}
