//! What is there, against what the outcomes say.

use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{BatchOutcome, DeleteOutcome, SetItem, SetStatus, Store};
use kv_postgres::RetryPolicy;
use kv_servers::{Postgres, PostgresOptions};

use crate::harness::{config, open, remote};

const KEYS: usize = 4;
const TASKS: usize = 16;
const STEPS: usize = 60;

/// Whatever two processes do to the same keys at once, and however the database isolates transactions: of each key as
/// many entries were created as were deleted, but for the one that is there.
pub(crate) async fn creations_and_deletions_balance() {
    for isolation in ["read committed", "serializable"] {
        let options = PostgresOptions::new().setting("default_transaction_isolation", isolation);
        let server = Postgres::start(options.setting("deadlock_timeout", "5ms")).await.unwrap();
        let retry = RetryPolicy::default()
            .with_attempts_max(1000.try_into().unwrap())
            .with_delays(Duration::from_millis(1), Duration::from_millis(10));
        let config = config(server.address()).with_remote(remote().with_retry(retry));
        let stores = [open(config.clone()).await.unwrap(), open(config).await.unwrap()];
        let tasks = (0..TASKS).map(|task| tokio::spawn(balance(stores[task % 2].clone(), task)));
        let balances = join_all(tasks).await;
        for at in 0..KEYS {
            let sum: i64 = balances.iter().map(|balance| balance.as_ref().unwrap()[at]).sum();
            let exists = stores[0].exists(key(at)).await.unwrap();
            assert_eq!(sum, i64::from(exists), "{isolation}, {}", key(at));
        }
    }
}

fn key(at: usize) -> String {
    format!("k{at}")
}

/// Of each key, how many entries a task created less those that it deleted.
async fn balance(store: Store, task: usize) -> [i64; KEYS] {
    let mut balance = [0; KEYS];
    let created = |status: SetStatus| i64::from(status == SetStatus::Created);
    let deleted = |outcome: DeleteOutcome| i64::from(outcome == DeleteOutcome::Deleted);
    for step in 0..STEPS {
        // Each task in another order.
        let (at, what) = ((step * 3 + task) % KEYS, (step * 5 + task * (step / 7 + 1)) % 7);
        let key = key(at);
        balance[at] += match what {
            0 => created(store.set(&key, 1).await.unwrap().status()),
            1 => created(store.set(&key, 1).if_not_exists().await.unwrap().status()),
            2 => {
                let status = store.set(&key, 1).if_exists().await.unwrap().status();
                assert_ne!(status, SetStatus::Created);
                0
            }
            3 => {
                let entry = store.get_entry(&key).await.unwrap();
                match entry.and_then(|entry| entry.version().cloned()) {
                    Some(version) => -deleted(store.delete(&key).if_version(version).await.unwrap()),
                    None => 0,
                }
            }
            4 => -deleted(store.delete(&key).await.unwrap()),
            5 => {
                let items = (0..KEYS).map(|at| {
                    let item = SetItem::new(self::key(at), 0);
                    if at == 2 { item.if_not_exists() } else { item }
                });
                if let BatchOutcome::Written(outcomes) = store.set_many_all_or_nothing(items).await.unwrap() {
                    for (at, outcome) in outcomes.iter().enumerate() {
                        balance[at] += created(outcome.status());
                    }
                }
                0
            }
            _ => {
                let outcomes = store.delete_many((0..KEYS).map(self::key)).await;
                for (at, outcome) in outcomes.into_iter().enumerate() {
                    balance[at] -= deleted(outcome.unwrap());
                }
                0
            }
        };
    }
    balance
}
