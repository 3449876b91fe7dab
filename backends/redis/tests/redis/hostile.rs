//! Answers that no Redis gives.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kv_api::{ErrorKind, Retry, SetItem};
use kv_redis::{RedisConfig, RemoteSettings, RetryPolicy};

use crate::harness::{open, plain};
use crate::scripted::{bulk, scripted, scripted_node};

fn once() -> RemoteSettings {
    RemoteSettings::default().with_retry(RetryPolicy::none()).with_request_timeout(Duration::from_secs(20))
}

pub(crate) async fn batch_6_an_answer_that_cannot_be_read_is_a_protocol_error_in_a_pipeline_too() {
    for junk in ["?hush\r\n", ":x\r\n", "$x\r\n", "*2\r\n:1\r\n?hush\r\n"] {
        let address =
            scripted(move |command| Some(if command[1] == "junk" { junk } else { "+OK\r\n" }.to_owned())).await;
        let store = open(plain(address).with_remote(once())).await.unwrap();
        let error = store.get("junk").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{junk:?} {error}");
        let error = store.set("junk", 1).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{junk:?} {error}");
        let items = ["a", "junk", "b"].map(|key| SetItem::new(key, 1));
        for error in store.set_many(items).await.into_iter().map(Result::unwrap_err) {
            let found = (error.kind(), error.retry());
            assert_eq!(found, (ErrorKind::Protocol, Retry::OutcomeUnknown), "{junk:?} {error}");
            assert!(!format!("{error} {error:?}").contains("hush"));
        }
        store.set("a", 1).await.unwrap();
    }
}

pub(crate) async fn list_1_what_comes_twice_in_a_step_is_listed_once_and_no_key_is_empty() {
    let address = scripted(|command| {
        let keys = ["k", "a", "", "k", "", "a"].map(bulk).concat();
        Some(if command[0] == "SCAN" { format!("*2\r\n{}*6\r\n{keys}", bulk("0")) } else { ":6\r\n".to_owned() })
    })
    .await;
    let store = open(plain(address).with_remote(once())).await.unwrap();
    let page = store.list().await.unwrap();
    let mut keys: Vec<_> = page.items.into_iter().map(|item| item.key).collect();
    keys.sort();
    assert_eq!(keys, ["a", "k"]);
}

pub(crate) async fn err_6_what_nobody_asked_for_reaches_nobody() {
    let address = scripted(|command| {
        let push = ">2\r\n+message\r\n+hush\r\n";
        Some(format!("{push}{}{push}", bulk(&command[1])))
    })
    .await;
    let store = open(plain(address).with_remote(once())).await.unwrap();
    for number in 0..100 {
        let key = format!("key{number}");
        assert_eq!(store.get(&key).await.unwrap(), Some(key.as_str().into()));
    }
}

pub(crate) async fn a_length_that_cannot_be_takes_no_memory_and_ends_with_the_time_of_a_request() {
    const LENGTHS: [&str; 6] =
        ["$9223372036854775807", "*9223372036854775807", "%4611686018427387903", "*2147483647", "~99999999999", "=-1"];
    for length in LENGTHS {
        let address = scripted(move |_| Some(format!("{length}\r\n:1\r\n"))).await;
        let remote = once().with_request_timeout(Duration::from_millis(500));
        let store = open(plain(address).with_remote(remote)).await.unwrap();
        let error = store.get("k").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{length} {error}");
    }
    for depth in [101, 100_000] {
        let address = scripted(move |_| Some("*1\r\n".repeat(depth) + ":1\r\n")).await;
        let store = open(plain(address).with_remote(once())).await.unwrap();
        assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Protocol, "{depth}");
    }
}

pub(crate) async fn a_node_that_is_cut_off_from_the_others_does_not_say_where_keys_are() {
    let ports = Arc::new(OnceLock::<[u16; 3]>::new());
    let node = |own: usize| {
        let ports = Arc::clone(&ports);
        scripted_node(move |command| {
            let ports = ports.get()?;
            let line = |node: usize, flags: &str, slots: &str| {
                let own = if node == own { "myself," } else { "" };
                format!("{node} 127.0.0.1:{}@1 {own}{flags} - 0 0 1 connected {slots}\n", ports[node])
            };
            Some(match (command[0].as_str(), own) {
                ("CLUSTER", 0) => bulk(
                    &[
                        line(0, "master", "0-5460"),
                        line(1, "master,fail?", "5461-10922"),
                        line(2, "master,fail?", "10923-16383"),
                    ]
                    .concat(),
                ),
                // Another one has taken over its slots.
                ("CLUSTER", _) => bulk(
                    &[line(0, "master,fail", ""), line(1, "master", "0-10922"), line(2, "master", "10923-16383")]
                        .concat(),
                ),
                (_, 0) => "-CLUSTERDOWN The cluster is down\r\n".to_owned(),
                _ => bulk("v"),
            })
        })
    };
    let addresses = [node(0).await, node(1).await, node(2).await];
    ports.set(addresses.map(|address| address.port())).unwrap();
    // Which node answers first is chance.
    for _ in 0..50 {
        let seeds = addresses.map(|address| (address.ip().to_string(), address.port()));
        let store = open(RedisConfig::cluster(seeds).unwrap().with_remote(once())).await.unwrap();
        assert_eq!(store.get("bar").await.unwrap(), Some("v".into()), "its slot is 5,061");
    }
}
