//! Acknowledged means kept: a process that writes is killed without warning, again and again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write as _, stdout};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::future::join_all;
use kv_api::{Backend, SetItem};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};
use support::{Place, all_keys, all_or_nothing, get_many, increment, set, set_many};

const ROUNDS: usize = 10;
const SETTERS: usize = 64;
const BATCHERS: usize = 4;
const BATCH_ITEMS: usize = 10;
const COUNTERS: usize = 4;
/// Too many for a group, so that the others end its transactions early.
const LARGE_ITEMS: usize = 3000;

/// Set in the process that is to be killed: the round it writes.
const ROUND: &str = "KV_SQLITE_TEST_ROUND";
const FILE: &str = "KV_SQLITE_TEST_FILE";

/// The test is also the process that it kills.
#[test]
fn an_acknowledged_write_survives_sigkill() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match (env::var(ROUND), env::var_os(FILE)) {
        (Ok(round), Some(path)) => runtime.block_on(write_until_killed(path.into(), round)),
        _ => runtime.block_on(kill_and_look()),
    }
}

/// Tells the parent, in one write, so that a line is whole or not there.
fn acknowledge(line: &str) {
    let mut out = stdout().lock();
    out.write_all(format!("ack {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn write_until_killed(path: PathBuf, round: String) {
    // Both survive the end of the process; they differ when the power goes.
    let durability = if round.parse::<usize>().unwrap() % 2 == 0 { Durability::Full } else { Durability::Normal };
    let config = SqliteConfig::new(path).with_durability(durability);
    let store = Arc::new(SqliteStore::open(config).await.unwrap());
    let mut tasks = Vec::new();
    for task in 0..SETTERS {
        let (store, round) = (Arc::clone(&store), round.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0.. {
                let key = format!("set/{round}/{task}/{number}");
                // Some of them by a statement of their own.
                let bytes = if number % 50 == 7 { 40_000 } else { 100 };
                set(&store, SetItem::new(&key, format!("{key}:{}", "x".repeat(bytes)))).await.unwrap();
                acknowledge(&key);
            }
        }));
    }
    for task in 0..BATCHERS {
        let (store, round) = (Arc::clone(&store), round.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0.. {
                let name = format!("batch/{round}/{task}/{number}");
                let keys: Vec<_> = (0..BATCH_ITEMS).map(|item| format!("{name}/{item}")).collect();
                let items = keys.iter().map(|key| SetItem::new(key, key.as_str())).collect();
                assert!(all_or_nothing(&store, items).await.unwrap().is_written());
                acknowledge(&name);
            }
        }));
    }
    let (large_store, large_round) = (Arc::clone(&store), round.clone());
    tasks.push(tokio::spawn(async move {
        for number in 0.. {
            let name = format!("large/{large_round}/{number}");
            let keys: Vec<_> = (0..LARGE_ITEMS).map(|item| format!("{name}/{item}")).collect();
            let items = keys.iter().map(|key| SetItem::new(key, key.as_str())).collect();
            let outcomes = set_many(&large_store, items).await;
            assert!(outcomes.into_iter().all(|outcome| outcome.unwrap().is_written()));
            acknowledge(&name);
        }
    }));
    for task in 0..COUNTERS {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            loop {
                let value = increment(&store, &format!("count/{task}"), 1).await.unwrap();
                acknowledge(&format!("count/{task} {value}"));
            }
        }));
    }
    join_all(tasks).await;
}

async fn kill_and_look() {
    let place = Place::new();
    let mut sets: Vec<String> = Vec::new();
    let mut batches: Vec<String> = Vec::new();
    let mut large: Vec<String> = Vec::new();
    let mut counts: HashMap<String, i64> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["an_acknowledged_write_survives_sigkill", "--exact", "--nocapture"])
            .env(ROUND, round.to_string())
            .env(FILE, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The moment is as random as the two processes are to each other; the number only spreads it.
        let kill_after = 20 + (round * 7_919) % 1_500;
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut seen) = (String::new(), 0);
        while lines.read_line(&mut line).unwrap() > 0 {
            // A line without its end was cut by the kill.
            if let Some(acknowledged) = line.strip_suffix('\n').and_then(|line| line.strip_prefix("ack ")) {
                seen += 1;
                match acknowledged.split_once(' ') {
                    Some((counter, value)) => {
                        let last = counts.entry(counter.to_owned()).or_default();
                        *last = value.parse::<i64>().unwrap().max(*last);
                    }
                    None if acknowledged.starts_with("set/") => sets.push(acknowledged.to_owned()),
                    None if acknowledged.starts_with("large/") => large.push(acknowledged.to_owned()),
                    None => batches.push(acknowledged.to_owned()),
                }
            }
            line.clear();
            if seen == kill_after {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(seen >= kill_after, "the process ended by itself after {seen} writes");
        look(&place, &sets, &batches, &large, &mut counts).await;
    }
    assert!(!large.is_empty(), "no large batch was acknowledged");
}

async fn look(place: &Place, sets: &[String], batches: &[String], large: &[String], counts: &mut HashMap<String, i64>) {
    let store = place.open().await;
    let keys: Vec<&str> = sets.iter().map(String::as_str).collect();
    for (key, entry) in keys.iter().zip(get_many(&store, &keys).await) {
        let entry = entry.unwrap_or_else(|| panic!("{key} was acknowledged and is lost"));
        assert!(entry.value().as_text().unwrap().starts_with(&format!("{key}:")));
    }
    let mut found: HashMap<String, usize> = HashMap::new();
    for key in all_keys(&store, "batch/", 1000).await {
        let (batch, _) = key.rsplit_once('/').unwrap();
        *found.entry(batch.to_owned()).or_default() += 1;
    }
    for batch in batches {
        assert_eq!(found.get(batch), Some(&BATCH_ITEMS), "{batch} was acknowledged");
    }
    for (batch, items) in found {
        assert_eq!(items, BATCH_ITEMS, "{batch} is there in part");
    }
    for batch in large {
        let keys = all_keys(&store, &format!("{batch}/"), 1000).await;
        assert_eq!(keys.len(), LARGE_ITEMS, "{batch} was acknowledged");
    }
    for (counter, last) in counts {
        let value = get_many(&store, &[counter]).await.remove(0).unwrap().value().as_i64().unwrap();
        assert!(value == *last || value == *last + 1, "{counter}: {last} was acknowledged, {value} is there");
        *last = value;
    }
    assert_eq!(place.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'").await, 0);
    store.close().await.unwrap();
}
