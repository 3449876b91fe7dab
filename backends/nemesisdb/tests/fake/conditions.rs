//! A store does not race with itself (SET-6, ERR-6), however many calls of it are under way.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use kv_api::{SetItem, SetStatus, Store, Value};
use kv_fakes::ServerOptions;
use kv_fakes::nemesisdb::Fake;

use crate::harness::{System, open};

const LIFE: Duration = Duration::from_millis(1500);

/// A server whose replies mix, and a store with expiry.
async fn start() -> (System, Store) {
    let fake = Fake::new().with_spread(Duration::from_millis(2)).with_seed(5);
    let system = System::start_as(fake, ServerOptions::new()).await;
    let store = open(system.config().with_expiry_in_envelope(true)).await.unwrap();
    (system, store.allow_best_effort())
}

/// How many of the calls say that they created the entry, and whose value it is.
async fn race(store: &Store, key: &str, calls: usize) -> Vec<usize> {
    let adds = (0..calls).map(|call| async move {
        if call % 2 == 0 {
            return store.set(key, call).if_not_exists().ttl(LIFE).await.unwrap().status();
        }
        let other = format!("{key} of {call}");
        let items = [SetItem::new(key, call), SetItem::new(&*other, call)];
        let outcomes = store.set_many(items.map(SetItem::if_not_exists)).await;
        outcomes.into_iter().next().unwrap().unwrap().status()
    });
    let statuses = join_all(adds).await;
    (0..calls).filter(|call| statuses[*call] == SetStatus::Created).collect()
}

#[tokio::test]
async fn set_6_of_a_thousand_if_not_exists_of_one_store_one_wins() {
    let (system, store) = start().await;
    for (key, calls) in [("nothing there", 1000), ("expired", 1000)].into_iter().chain([("again and again", 50); 20]) {
        if key != "nothing there" {
            store.set(key, "old").ttl(LIFE).await.unwrap();
            system.clock.advance(LIFE * 2);
        }
        let winners = race(&store, key, calls).await;
        assert_eq!(winners.len(), 1, "{key}: {winners:?}");
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from(winners[0])), "{key}");
    }
    assert_eq!(system.server.connections(), 1);
}

/// Once it is deleted, nobody finds it there and sets it again.
#[tokio::test]
async fn set_6_if_exists_brings_back_nothing_that_the_same_store_deletes() {
    for with_expiry in [false, true] {
        let fake = Fake::new().with_spread(Duration::from_micros(300)).with_seed(9);
        let system = System::start_as(fake, ServerOptions::new()).await;
        let store = open(system.config().with_expiry_in_envelope(with_expiry)).await.unwrap().allow_best_effort();
        for round in 0..20 {
            store.set("sixsix", "there").await.unwrap();
            let sets = (0..40).map(|call| {
                let store = &store;
                async move {
                    if call == 20 {
                        store.delete("sixsix").await.unwrap();
                    } else {
                        store.set("sixsix", call).if_exists().await.unwrap();
                    }
                }
            });
            join_all(sets).await;
            assert!(!store.exists("sixsix").await.unwrap(), "round {round}, with expiry: {with_expiry}");
        }
    }
}

#[tokio::test]
async fn err_6_a_dropped_conditional_call_blocks_no_other() {
    let (system, store) = start().await;
    for polls in 0..60 {
        store.set("sixsix", "old").ttl(LIFE).await.unwrap();
        system.clock.advance(LIFE * 2);
        let mut dropped = Box::pin(store.set("sixsix", "dropped").if_not_exists());
        let mut ended = None;
        for _ in 0..polls * 4 {
            if ended.is_none() {
                ended = (&mut dropped).now_or_never();
            }
            tokio::task::yield_now().await;
        }
        drop(dropped);
        // Whole or not at all; and the next call is not kept waiting.
        let outcome = store.set("sixsix", "next").if_not_exists().await.unwrap();
        let found = store.get("sixsix").await.unwrap().unwrap();
        let expected = if outcome.is_written() { "next" } else { "dropped" };
        assert_eq!(found, Value::from(expected), "after {polls} polls");
        assert!(ended.is_none_or(|ended| ended.unwrap().is_written() && !outcome.is_written()));
        store.delete("sixsix").await.unwrap();
    }
}
