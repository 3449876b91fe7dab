//! Transactions that wait for each other.

use futures_util::future::join_all;
use kv_api::{BatchOutcome, SetItem};
use kv_postgres::RetryPolicy;
use kv_servers::{Postgres, PostgresOptions};
use std::time::Duration;

use crate::harness::{config, open, remote};

pub(crate) async fn batches_that_get_into_each_others_way_are_all_written() {
    const KEYS: usize = 6;
    let server = Postgres::start(PostgresOptions::new().setting("deadlock_timeout", "5ms")).await.unwrap();
    let retry = RetryPolicy::default()
        .with_attempts_max(1000.try_into().unwrap())
        .with_delays(Duration::from_millis(1), Duration::from_millis(20));
    let store = open(config(server.address()).with_remote(remote().with_retry(retry))).await.unwrap();
    for key in 0..KEYS {
        store.set(format!("k{key}"), 0).await.unwrap();
    }
    // Half of the keys with a condition and half without, the other half in every other batch: a statement for each
    // half, and so the locks in either order.
    let batches = (0..8usize).map(|task| {
        let store = store.clone();
        async move {
            for round in 0..25usize {
                let items = (0..KEYS).map(|key| {
                    let item = SetItem::new(format!("k{key}"), (task * 1000 + round).to_string());
                    if (key + task) % 2 == 0 { item.if_exists() } else { item }
                });
                let outcome = store.set_many_all_or_nothing(items).await.unwrap();
                assert!(matches!(outcome, BatchOutcome::Written(_)), "{outcome:?}");
            }
        }
    });
    join_all(batches).await;
    let mut values = Vec::new();
    for key in 0..KEYS {
        values.push(store.get(format!("k{key}")).await.unwrap().unwrap());
    }
    assert!(values.iter().all(|value| *value == values[0]), "the last batch is whole: {values:?}");
    store.close().await.unwrap();
    // The statistics come when a connection ends, and then soon.
    let mut deadlocks = String::new();
    for _ in 0..200 {
        deadlocks = server.sql("select deadlocks from pg_stat_database where datname = 'postgres'").await.unwrap();
        if deadlocks != "0" {
            return;
        }
    }
    panic!("{deadlocks} deadlocks: the batches did not get into each other's way");
}
