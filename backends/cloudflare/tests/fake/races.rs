//! A store does not race with itself (SET-6).

use futures_util::StreamExt;
use futures_util::future::poll_immediate;
use futures_util::stream::{self, FuturesUnordered};
use kv_api::{SetItem, SetStatus};
use kv_fakes::{Applied, Fault};
use kv_testkit::RemoteSystem as _;

use crate::harness::System;

#[tokio::test]
async fn set_6_of_a_thousand_sets_of_one_key_if_not_exists_one_creates_it() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    let sets = (0..1000).map(|number| {
        let store = store.clone();
        async move { store.set("k", number).if_not_exists().await.unwrap().status() }
    });
    let statuses: Vec<_> = stream::iter(sets).buffer_unordered(1000).collect().await;
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(SetStatus::Created), count(SetStatus::NotMet)), (1, 999));
}

#[tokio::test]
async fn set_6_other_writes_of_the_key_do_not_come_between_look_and_write() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    for round in 0..40 {
        let key = format!("k{round}");
        let conditional = async { store.set(&key, 1).if_not_exists().await.unwrap().status() };
        let plain = async { store.set(&key, 2).await.unwrap() };
        let many =
            async { assert!(store.set_many([SetItem::new(&*key, 3), SetItem::new("other", 3)]).await[0].is_ok()) };
        let (created, _, ()) = tokio::join!(conditional, plain, many);
        // It asked first: nothing was there, and nothing came before its write.
        assert_eq!(created, SetStatus::Created);
        let left = store.get(&key).await.unwrap().unwrap();
        assert_ne!(left.as_i64(), Some(1), "the others came after it");
        // It asks last: the entry is there, or has just been deleted by who came first.
        let (_, kept) = tokio::join!(async { store.delete(&key).await.unwrap() }, async {
            store.set(&key, 4).if_exists().await.unwrap().status()
        });
        assert_eq!((kept, store.exists(&key).await.unwrap()), (SetStatus::NotMet, false));
    }
}

#[tokio::test]
async fn batch_5_batches_with_conditions_on_shared_keys_do_not_wait_for_each_other_for_ever() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    let batches: FuturesUnordered<_> = (0..60_usize)
        .map(|caller| {
            let store = store.clone();
            async move {
                let items = (0..6_usize).map(|at| {
                    let item = SetItem::new(format!("k{}", (caller + at * (caller % 5 + 1)) % 12), at);
                    if (caller + at) % 3 == 0 { item.if_not_exists() } else { item }
                });
                store.set_many(items).await
            }
        })
        .collect();
    let results: Vec<_> = batches.collect().await;
    assert!(results.into_iter().flatten().all(|result| result.is_ok()));
}

#[tokio::test]
async fn err_6_a_call_that_is_dropped_leaves_its_key_to_the_next() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    for polls in 1..12 {
        system.server.inject(Fault::Silent { applied: Applied::No }, 1);
        let mut holder = Box::pin(store.set("k", 1).if_not_exists());
        let mut waiter = Box::pin(store.set("k", 2).if_not_exists());
        for _ in 0..polls {
            // A request of the round before may have met the fault instead.
            if poll_immediate(&mut holder).await.is_some() || poll_immediate(&mut waiter).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(if polls % 2 == 0 { holder } else { waiter });
        system.server.inject(Fault::Silent { applied: Applied::No }, 0);
    }
    store.delete("k").await.unwrap();
    assert_eq!(store.set("k", 3).if_not_exists().await.unwrap().status(), SetStatus::Created);
    // Nor does a stream that is given up half-way.
    let sets = stream::iter(0..50).map(|number| store.set("many", number).if_not_exists()).buffer_unordered(50);
    assert_eq!(sets.take(3).collect::<Vec<_>>().await.len(), 3);
    assert_eq!(store.set("many", 0).if_not_exists().await.unwrap().status(), SetStatus::NotMet);
}
