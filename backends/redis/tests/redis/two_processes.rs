//! Two processes on one server, and on one cluster (SET-6).

use std::env;
use std::io::Write;
use std::process::Stdio;

use futures_util::StreamExt;
use kv_api::{SetItem, SetStatus};
use kv_redis::RedisConfig;
use kv_servers::{Redis, RedisCluster, RedisClusterOptions, RedisOptions};
use tokio::process::Command;

use crate::harness::open;

/// Set in the processes that the test starts: the URL of the store.
const URL: &str = "KV_REDIS_TEST_STORE";

const PROCESSES: usize = 2;
const KEYS: usize = 10_000;

/// How many keys are asked for at once.
const CHUNK: usize = 500;

pub(crate) fn is_helper() -> bool {
    env::var_os(URL).is_some()
}

/// One of the processes: says which keys it created.
pub(crate) async fn helper() {
    let url = env::var(URL).unwrap().parse().unwrap();
    let store = open(RedisConfig::from_url(url).unwrap()).await.unwrap();
    let (store, mut said) = (&store, String::new());
    for begin in (0..KEYS).step_by(CHUNK) {
        // Nobody begins a chunk before all are there: else the faster one could create each key.
        let there = format!("there {begin}");
        store.increment(&there, 1).await.unwrap();
        while store.increment(&there, 0).await.unwrap() < i64::try_from(PROCESSES).unwrap() {}
        let numbers = begin..begin + CHUNK;
        let outcomes: Vec<_> = if begin % (2 * CHUNK) == 0 {
            let items = numbers.map(|number| SetItem::new(format!("k{number}"), 1).if_not_exists());
            store.set_many(items).await
        } else {
            let sets = numbers.map(|number| store.set(format!("k{number}"), 1).if_not_exists());
            futures_util::stream::iter(sets).buffered(64).collect().await
        };
        for (number, outcome) in outcomes.into_iter().enumerate() {
            if outcome.unwrap().status() == SetStatus::Created {
                said += &format!("created {}\n", begin + number);
            }
        }
    }
    std::io::stdout().lock().write_all(format!("\n{said}").as_bytes()).unwrap();
}

pub(crate) async fn set_6_of_two_processes_exactly_one_creates_each_key() {
    let redis = Redis::start(RedisOptions::new()).await.unwrap();
    race(&format!("redis://{}", redis.address())).await;
}

pub(crate) async fn set_6_of_two_processes_on_a_cluster_exactly_one_creates_each_key() {
    let cluster = RedisCluster::start(RedisClusterOptions::new()).await.unwrap();
    let nodes: Vec<String> = cluster.addresses().iter().map(ToString::to_string).collect();
    race(&format!("redis-cluster://{}", nodes.join(","))).await;
}

async fn race(url: &str) {
    let start = || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(URL, url).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap().wait_with_output()
    };
    let mut created = vec![0; KEYS];
    for output in futures_util::future::join_all((0..PROCESSES).map(|_| start())).await {
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut own = 0;
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            if let Some(number) = line.strip_prefix("created ") {
                created[number.parse::<usize>().unwrap()] += 1;
                own += 1;
            }
        }
        assert!(own > 0, "both take part");
    }
    let wrong: Vec<_> = created.iter().enumerate().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "created more or less than once: {wrong:?}");
}
