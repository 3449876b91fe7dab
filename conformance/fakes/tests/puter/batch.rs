//! Batches: checked as a whole, written in chunks.

use kv_fakes::{Applied, Fault};
use serde_json::{Value, json};

use crate::server::{Server, bad_request, internal};

fn items(count: usize) -> Vec<Value> {
    (0..count).map(|number| json!({"key": format!("k{number:03}"), "value": number})).collect()
}

#[tokio::test]
async fn any_bad_item_refuses_the_whole_batch() {
    let server = Server::new().await;
    let mut thirty = items(30);
    for (bad, refused) in [
        (json!({"key": "", "value": 1}), bad_request("Missing `key`")),
        (json!({"value": 1}), bad_request("Missing `key`")),
        (json!("text"), bad_request("Missing `key`")),
        (json!(null), internal()),
        (json!({"key": "k".repeat(1025), "value": 1}), bad_request("kv: key exceeds 1024 byte limit")),
        (json!({"key": "k", "value": "v".repeat(408_575)}), bad_request("kv: value exceeds 408576 byte limit")),
        (json!({"key": "k", "value": {"prototype": 1}}), bad_request("kv: value key `prototype` is not allowed")),
    ] {
        thirty[29] = bad;
        assert_eq!(server.refused("batchPut", json!({"items": thirty})).await, refused);
        assert!(server.fake.keys().is_empty());
    }
}

#[tokio::test]
async fn a_failure_of_the_storage_keeps_the_chunks_before_it() {
    for (bad, status) in [(json!(1e20), 500), (json!(vec![1; 200_000]), 400)] {
        let server = Server::new().await;
        let mut sixty = items(60);
        sixty[52] = json!({"key": "bad", "value": bad});
        assert_eq!(server.refused("batchPut", json!({"items": sixty})).await.0, status);
        assert_eq!(server.fake.keys().len(), 50);
    }
}

#[tokio::test]
async fn the_last_of_equal_keys_wins() {
    let server = Server::new().await;
    let mut items = items(26);
    items.push(json!({"key": "k000", "value": "last"}));
    items.push(json!({"key": "k001"}));
    assert_eq!(server.ok("batchPut", json!({"items": items})).await, json!(true));
    assert_eq!(server.ok("get", json!({"key": ["k000", "k001", "k025"]})).await, json!(["last", null, 25]));
    let without_value = server.ok("list", json!({"pattern": "k001"})).await;
    assert_eq!(without_value, json!([{"key": "k001"}]));
    assert_eq!(server.ok("list", json!({"pattern": "k001", "as": "values"})).await, json!([null]));
}

#[tokio::test]
async fn a_thousand_items_are_one_request() {
    let server = Server::new().await;
    assert_eq!(server.ok("batchPut", json!({"items": items(1000)})).await, json!(true));
    assert_eq!((server.fake.keys().len(), server.fake.requests()), (1000, 1));
}

#[tokio::test]
async fn a_batch_can_be_ordered_to_break_off() {
    let server = Server::new().await;
    server.fake.inject(Fault::BrokenOff { items: 25 }, 1);
    // It passes over what it does not fit.
    server.set("single", 1).await;
    server.ok("batchPut", json!({"items": items(25)})).await;
    assert_eq!(server.fake.faults_left(), 1);
    server.ok("flush", json!({})).await;
    let refused = server.refused("batchPut", json!({"items": items(26)})).await;
    assert_eq!((refused.0, refused.1.as_str()), (400, "bad_request"));
    assert_eq!((server.fake.keys().len(), server.fake.faults_left()), (25, 0));
    server.ok("flush", json!({})).await;
    server.fake.inject(Fault::BrokenOff { items: 0 }, 1);
    assert_eq!(server.refused("batchPut", json!({"items": items(1)})).await.0, 400);
    assert!(server.fake.keys().is_empty());
    server.fake.inject(Fault::ServerError { status: 503, applied: Applied::Yes }, 1);
    let body = json!({"interface": "puter-kvstore", "method": "batchPut", "args": {"items": items(2)}}).to_string();
    let headers = [("authorization", kv_fakes::puter::TOKEN), ("content-type", "application/json")];
    assert_eq!(server.send("POST", "/drivers/call", &headers, Some(body)).await.status(), 503);
    assert_eq!(server.fake.keys().len(), 2);
}

#[tokio::test]
async fn half_of_a_batch_can_be_answered_with_a_figure_that_cannot_be() {
    let server = Server::new().await;
    server.fake.inject(Fault::Implausible, 1);
    server.set("k", 1).await;
    assert_eq!(server.ok("batchPut", json!({"items": items(4)})).await, json!(-3));
    assert_eq!(server.fake.keys(), ["k", "k000", "k001"]);
    assert_eq!(server.fake.faults_left(), 0);
}
