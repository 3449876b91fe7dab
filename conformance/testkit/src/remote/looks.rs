//! Deadlines where the system has no conditions, so that a condition is a look and then a write.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how these tests fail")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{ErrorKind, Retry, SetItem};
use kv_fakes::{Applied, Fault};
use kv_remote::RetryPolicy;

use super::RemoteSystem;
use crate::{settle, until};

pub async fn err_4_one_deadline_ends_all_requests_of_a_batch<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store_with(|remote| {
        remote
            .with_timer(Arc::new(system.client_clock().clone()))
            .with_request_timeout(Duration::from_secs(1000))
            .with_requests_max(NonZeroUsize::MIN)
            .with_retry(RetryPolicy::default().with_deadline(Duration::from_secs(60)))
    });
    system.server().inject(Fault::Silent { applied: Applied::No }, 99);
    let own = store.allow_best_effort();
    let call =
        tokio::spawn(async move { own.set_many(["a", "b"].map(|key| SetItem::new(key, "v").if_not_exists())).await });
    until(|| system.server().requests() == 1).await;
    settle().await;
    assert_eq!(system.server().requests(), 1, "the window holds one");
    system.client_clock().advance(Duration::from_secs(60));
    for result in call.await.unwrap() {
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Safe),
            "only a look was sent: {error}"
        );
    }
}
