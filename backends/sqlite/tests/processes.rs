//! Two processes on one file: conditions stay atomic, counters exact, versions unique.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use futures_util::future::join_all;
use kv_api::{Backend, SetItem, SetOutcome, SetStatus, Version};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};
use support::{Place, get, increment, set};
use tokio::process::Command;

const PROCESSES: usize = 2;
const TASKS: usize = 16;
const ROUNDS: usize = 60;

/// Set in the processes that the test starts.
const FILE: &str = "KV_SQLITE_TEST_FILE";

/// The test is also the processes that it starts.
#[test]
fn conditions_and_counters_are_exact_across_processes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match env::var_os(FILE) {
        Some(path) => runtime.block_on(compete(path.into())),
        None => runtime.block_on(start_and_look()),
    }
}

async fn compete(path: PathBuf) {
    let config = SqliteConfig::new(path).with_durability(Durability::Normal);
    let store = Arc::new(SqliteStore::open(config).await.unwrap());
    let tasks = (0..TASKS).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut told = String::new();
            for round in 0..ROUNDS {
                increment(&store, "sum", 1).await.unwrap();
                let claim = set(&store, SetItem::new(format!("claim/{round}"), "mine").if_not_exists()).await.unwrap();
                if claim.is_written() {
                    told += &format!("won {round}\nversion {}\n", version(&claim));
                }
                let outcome = compare_and_set(&store).await;
                if outcome.status() == SetStatus::Updated {
                    told += &format!("set 1\nversion {}\n", version(&outcome));
                }
            }
            told
        })
    });
    let told: String = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    store.close().await.unwrap();
    stdout().lock().write_all(format!("\n{told}").as_bytes()).unwrap();
}

/// One attempt to count by compare-and-set.
async fn compare_and_set(store: &SqliteStore) -> SetOutcome {
    let entry = get(store, "cas").await.unwrap();
    let next = entry.value().as_i64().unwrap() + 1;
    set(store, SetItem::new("cas", next).if_version(entry.version().unwrap().clone())).await.unwrap()
}

fn version(outcome: &SetOutcome) -> &Version {
    outcome.version().unwrap()
}

async fn start_and_look() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("cas", 0i64)).await.unwrap();
    let processes = (0..PROCESSES).map(|_| {
        Command::new(env::current_exe().unwrap())
            .args(["conditions_and_counters_are_exact_across_processes", "--exact", "--nocapture"])
            .env(FILE, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
    });
    let mut won: BTreeMap<usize, usize> = BTreeMap::new();
    let mut versions = HashSet::new();
    let mut sets = 0;
    for output in join_all(processes).await {
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            match line.split_once(' ') {
                Some(("won", round)) => *won.entry(round.parse().unwrap()).or_default() += 1,
                Some(("set", _)) => sets += 1,
                Some(("version", version)) => {
                    assert!(versions.insert(version.parse::<Version>().unwrap()), "{version} was given twice");
                }
                _ => {}
            }
        }
    }
    assert_eq!(won, (0..ROUNDS).map(|round| (round, 1)).collect(), "one winner for each key");
    let number = async |key| get(&store, key).await.unwrap().value().as_i64().unwrap();
    assert_eq!(number("sum").await, i64::try_from(PROCESSES * TASKS * ROUNDS).unwrap());
    assert!(sets > 0);
    assert_eq!(number("cas").await, sets);
    store.close().await.unwrap();
}
