//! Faults, deadlines and batches where the system has no conditions, so that a condition is a look and then a write.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how these tests fail")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{ErrorKind, Retry, SetItem, SetStatus};
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

pub async fn err_4_a_set_is_repeated_and_a_condition_is_not<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store().allow_best_effort();
    for fault in [
        Fault::Cut { applied: Applied::Yes },
        Fault::Cut { applied: Applied::No },
        Fault::ServerError { status: 500, applied: Applied::Yes },
        Fault::Truncated,
        Fault::Garbage,
    ] {
        store.delete("k").await.unwrap();
        system.server().inject_into_writes(fault, 1);
        let (set, sent) = system.counted(store.set("k", "v")).await;
        assert_eq!((set.unwrap().status(), sent), (SetStatus::Stored, 2), "{fault:?}");

        store.delete("k").await.unwrap();
        system.server().inject_into_writes(fault, 1);
        let (set, sent) = system.counted(store.set("k", "v").if_not_exists()).await;
        assert!(set.unwrap_err().is_outcome_unknown(), "{fault:?}");
        assert_eq!(sent, 2, "{fault:?}: one look, one write");
    }
    // A look that fails has written nothing.
    system.server().inject(Fault::Cut { applied: Applied::No }, 99);
    let error = store.set("k", "v").if_exists().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
}

pub async fn batch_5_what_needs_a_condition_goes_singly<S: RemoteSystem>() {
    let system = S::start().await;
    let store = system.store().allow_best_effort();
    let items = [
        SetItem::new("a", "1"),
        SetItem::new("new", "2").if_not_exists(),
        SetItem::new("b", "3"),
        SetItem::new("missing", "4").if_exists(),
    ];
    let (results, sent) = system.counted(store.set_many(items)).await;
    let statuses: Vec<_> = results.into_iter().map(|result| result.unwrap().status()).collect();
    assert_eq!(statuses, [SetStatus::Stored, SetStatus::Created, SetStatus::Stored, SetStatus::NotMet]);
    assert_eq!(sent, 1 + 2 + 1);
    assert_eq!(system.server().keys(), ["a", "b", "new"]);
}
