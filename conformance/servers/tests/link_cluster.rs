//! Links before a private Redis Cluster: no client gets past them.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use kv_servers::{ClusterLink, RedisCluster, RedisClusterOptions, Result, System, tests};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{RedisError, Value};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

fn main() -> ExitCode {
    kv_servers::run(
        System::RedisCluster,
        tests![
            addresses_are_those_of_the_links,
            a_client_never_gets_past_the_links,
            a_redirection_leads_to_a_link,
            faults_are_for_all_nodes_or_for_one,
            a_node_is_partitioned_alone,
        ],
    )
}

/// One cluster for all, one after the other: it ends with this process.
static SERVER: OnceCell<RedisCluster> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

struct Bench {
    cluster: &'static RedisCluster,
    links: ClusterLink,
    _turn: MutexGuard<'static, ()>,
}

impl Bench {
    async fn new() -> Result<Self> {
        let turn = TURN.lock().await;
        let cluster = SERVER.get_or_try_init(|| RedisCluster::start(RedisClusterOptions::new())).await?;
        for node in &cluster.nodes()[..3] {
            node.command(&["FLUSHALL"]).await?;
        }
        Ok(Self { cluster, links: ClusterLink::open(&cluster.addresses())?, _turn: turn })
    }

    async fn client(&self) -> ClusterConnection {
        let first = format!("redis://{}", self.links.addresses()[0]);
        // A fault is to be seen, and not repeated away.
        let client = ClusterClient::builder([first]).retries(0).response_timeout(Duration::from_secs(20)).build();
        client.unwrap().get_async_connection().await.unwrap()
    }

    /// A connection to one node, through its link.
    async fn node(&self, index: usize) -> MultiplexedConnection {
        let client = redis::Client::open(format!("redis://{}", self.links.addresses()[index])).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

async fn ask<C: redis::aio::ConnectionLike>(client: &mut C, words: &[&str]) -> std::result::Result<Value, RedisError> {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query_async(client).await
}

/// All numbers and words in an answer.
fn words(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::Map(pairs) => {
            pairs.iter().map(|(key, value)| words(key) + " " + &words(value)).collect::<Vec<_>>().join(" ")
        }
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

async fn addresses_are_those_of_the_links() -> Result<()> {
    let bench = Bench::new().await?;
    for index in 0..6 {
        let mut client = bench.node(index).await;
        let slots = words(&ask(&mut client, &["CLUSTER", "SLOTS"]).await.unwrap());
        let shards = words(&ask(&mut client, &["CLUSTER", "SHARDS"]).await.unwrap());
        let nodes = words(&ask(&mut client, &["CLUSTER", "NODES"]).await.unwrap());
        let has = |text: &str, port: u16| text.split(' ').any(|word| word == port.to_string());
        for (at, (node, link)) in bench.cluster.addresses().iter().zip(bench.links.addresses()).enumerate() {
            // A replica is named there once it has something.
            assert!((at >= 3 || has(&slots, link.port())) && !has(&slots, node.port()), "{slots}");
            assert!(has(&shards, link.port()) && !has(&shards, node.port()), "{shards}");
            assert!(nodes.contains(&format!("127.0.0.1:{}@{}", link.port(), node.port() + 10_000)), "{nodes}");
        }
        assert_eq!(slots.split(' ').filter(|word| ["0", "16383"].contains(word)).count(), 2, "{slots}");
    }
    assert_eq!(bench.links.requests(), 0);
    Ok(())
}

async fn a_client_never_gets_past_the_links() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    assert_eq!((bench.links.requests(), bench.links.commands()), (0, 0), "setting up is no request");
    for number in 0..60 {
        let key = format!("k{number}");
        ask(&mut client, &["SET", &key, "v"]).await.unwrap();
        assert_eq!(words(&ask(&mut client, &["GET", &key]).await.unwrap()), "v");
    }
    assert_eq!(bench.links.requests(), 120);
    for (link, node) in bench.links.nodes().iter().zip(bench.cluster.nodes()).take(3) {
        let keys: u64 = node.command(&["DBSIZE"]).await?.to_string().parse().unwrap();
        assert_eq!(link.requests(), 2 * keys);
        assert!(keys > 5, "{keys} of 60 keys in a third of the slots");
    }
    Ok(())
}

async fn a_redirection_leads_to_a_link() -> Result<()> {
    let bench = Bench::new().await?;
    let owner = bench.cluster.node_of("a").await?;
    let other = (owner + 1) % 3;
    let error = ask(&mut bench.node(other).await, &["GET", "a"]).await.unwrap_err();
    let address = bench.links.addresses()[owner].to_string();
    assert_eq!(error.redirect_node().map(|(node, _)| node.to_owned()), Some(address), "{error}");
    // Other errors are as they are.
    let error = ask(&mut bench.node(owner).await, &["SET", "a"]).await.unwrap_err();
    assert!(error.to_string().contains("wrong number of arguments"), "{error}");
    Ok(())
}

async fn faults_are_for_all_nodes_or_for_one() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    bench.links.inject(Fault::FailureReported, 3);
    let mut failures = 0;
    for key in keys {
        failures += usize::from(ask(&mut client, &["SET", key, "v"]).await.is_err());
    }
    assert_eq!((failures, bench.links.faults_left()), (3, 0));
    // All were carried out.
    for key in keys {
        assert_eq!(words(&ask(&mut client, &["GET", key]).await.unwrap()), "v");
    }
    let owner = bench.cluster.node_of("a").await?;
    bench.links.nodes()[owner].answer_with("OOM no", 1_000);
    for key in keys {
        let is_refused = ask(&mut client, &["SET", key, "v"]).await.is_err();
        assert_eq!(is_refused, bench.cluster.node_of(key).await? == owner, "{key}");
    }
    // An order for all replaces it.
    bench.links.inject_into_writes(Fault::AnswerLost, 1);
    assert!(ask(&mut client, &["GET", "a"]).await.is_ok());
    assert!(ask(&mut client, &["SET", "a", "w"]).await.is_err());
    assert_eq!(bench.cluster.nodes()[owner].command(&["GET", "a"]).await?.to_string(), "w");
    bench.links.inject(Fault::Refused, 1);
    for address in bench.links.addresses() {
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    bench.links.inject(Fault::Refused, 0);
    assert_eq!(words(&ask(&mut bench.client().await, &["GET", "a"]).await.unwrap()), "w");
    Ok(())
}

async fn a_node_is_partitioned_alone() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    let owner = bench.cluster.node_of("a").await?;
    let mut elsewhere = String::new();
    for number in 0..100 {
        elsewhere = format!("k{number}");
        if bench.cluster.node_of(&elsewhere).await? != owner {
            break;
        }
    }
    bench.links.nodes()[owner].partition();
    let mut waiting = client.clone();
    let stuck = tokio::spawn(async move { ask(&mut waiting, &["SET", "a", "v"]).await.map(|_| ()) });
    ask(&mut client, &["SET", &elsewhere, "v"]).await.unwrap();
    assert_eq!(bench.cluster.nodes()[owner].command(&["GET", "a"]).await?.to_string(), "");
    // Between the nodes all is well: the replica has what its master has.
    bench.cluster.nodes()[owner].command(&["SET", "a", "direct"]).await?;
    let replica = &bench.cluster.nodes()[owner + 3];
    while replica.command(&["DBSIZE"]).await?.to_string() != "1" {
        tokio::task::yield_now().await;
    }
    bench.links.nodes()[owner].heal();
    stuck.await.unwrap().unwrap();
    assert_eq!(words(&ask(&mut client, &["GET", "a"]).await.unwrap()), "v");
    Ok(())
}
