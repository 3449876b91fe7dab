//! Many entries in one request.

use kv_fakes::cloudflare::NAMESPACE;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, START, send};

fn done(count: usize) -> Value {
    json!({ "successful_key_count": count, "unsuccessful_keys": [] })
}

#[tokio::test]
async fn writes_what_each_item_says() {
    let client = Client::new().await;
    let items = json!([
        { "key": "text", "value": "t" },
        { "key": "bytes", "value": "AP8B", "base64": true },
        { "key": "unpadded", "value": "AP8", "base64": true },
        { "key": "meta", "value": "", "metadata": "just text", "nonsense": 1 },
        { "key": "both", "value": "v", "expiration": 1, "expiration_ttl": 60.9 },
    ]);
    assert_eq!(client.bulk_write(&items).await.result(), done(5));
    assert_eq!(client.value("bytes").await, [0, 255, 1]);
    assert_eq!(client.value("unpadded").await, [0, 255]);
    assert_eq!(client.get("/metadata/meta").await.result(), json!("just text"));
    assert_eq!(client.get("/values/both").await.header("expiration"), Some((START + 60).to_string().as_str()));
    assert_eq!(client.bulk_write(&json!([])).await.result(), done(0));
}

#[tokio::test]
async fn one_wrong_item_refuses_all() {
    let client = Client::new().await;
    let good = json!({ "key": "good", "value": "v" });
    for (bad, status) in [
        (json!({ "key": "k" }), 400),
        (json!({ "value": "v" }), 400),
        (json!({ "key": "k", "value": 5 }), 400),
        (json!({ "key": "k", "value": null }), 400),
        (json!({ "key": "", "value": "v" }), 400),
        (json!({ "key": "..", "value": "v" }), 400),
        (json!({ "key": "k".repeat(513), "value": "v" }), 400),
        (json!({ "key": "é".repeat(257), "value": "v" }), 414),
        (json!({ "key": "k", "value": "!", "base64": true }), 400),
        (json!({ "key": "k", "value": "v", "base64": 1 }), 400),
        (json!({ "key": "k", "value": "v", "expiration_ttl": 59 }), 400),
        (json!({ "key": "k", "value": "v", "expiration_ttl": "600" }), 400),
        (json!({ "key": "k", "value": "v", "expiration": START + 59 }), 400),
        (json!({ "key": "k", "value": "v", "metadata": "x".repeat(1023) }), 413),
        (json!({ "key": "k", "value": "v".repeat(26_214_401) }), 413),
        (json!("k"), 400),
    ] {
        let reply = client.bulk_write(&json!([good, bad])).await;
        assert_eq!(
            (reply.status, client.server.keys().len()),
            (status, 0),
            "{}",
            &bad.to_string()[..20.min(bad.to_string().len())]
        );
        reply.code();
    }
    for body in [json!({ "body": [good] }), json!(null), json!("[]")] {
        assert_eq!(client.bulk_write(&body).await.refusal(), (400, 10012));
    }
    let untyped = client.inside(Method::PUT, "/bulk").body("[]");
    assert_eq!(send(untyped).await.refusal(), (400, 10012));
}

#[tokio::test]
async fn the_same_item_twice_is_one_and_different_ones_are_refused() {
    let client = Client::new().await;
    let item = |value: &str| json!({ "key": "k", "value": value, "expiration_ttl": 60 });
    assert_eq!(client.bulk_write(&json!([item("1"), item("1")])).await.result(), done(1));
    assert_eq!(client.bulk_write(&json!([item("1"), item("2")])).await.refusal(), (400, 10012));
    let longer = json!({ "key": "k", "value": "1", "expiration_ttl": 61 });
    assert_eq!(client.bulk_write(&json!([item("1"), longer])).await.refusal(), (400, 10012));
    assert_eq!(client.value("k").await, b"1");
}

#[tokio::test]
async fn takes_10_000_items_and_100_mb() {
    let client = Client::new().await;
    let items =
        |n: usize| Value::from((0..n).map(|at| json!({ "key": at.to_string(), "value": "" })).collect::<Vec<_>>());
    assert_eq!(client.bulk_write(&items(10_001)).await.refusal(), (400, 10012));
    assert_eq!(client.server.keys(), [""; 0]);
    assert_eq!(client.bulk_write(&items(10_000)).await.result(), done(10_000));
    let keys = Value::from((0..10_001).map(|at| at.to_string()).collect::<Vec<_>>());
    assert_eq!(client.send_json(Method::POST, "/bulk/delete", &keys).await.refusal(), (400, 10012));
    let typed = client.inside(Method::PUT, "/bulk").header("content-type", "application/json");
    assert_eq!(send(typed.body(vec![b' '; 100_000_001])).await.refusal(), (413, 10001));
    assert_eq!(client.server.keys().len(), 10_000);
}

#[tokio::test]
async fn gets_text_and_says_null_for_what_is_missing() {
    let client = Client::new().await;
    let items = json!([
        { "key": "a", "value": "1", "metadata": { "m": 1 }, "expiration_ttl": 60 },
        { "key": "empty", "value": "" },
        { "key": "bytes", "value": "Yf9i", "base64": true },
        { "key": "marked", "value": "\u{feff}\u{feff}x" },
    ]);
    client.bulk_write(&items).await.result();
    let get = async |body: Value| client.bulk_get(&body).await.result()["values"].clone();
    let keys = json!(["a", "empty", "missing", "a"]);
    assert_eq!(get(json!({ "keys": keys })).await, json!({ "a": "1", "empty": "", "missing": null }));
    assert_eq!(
        get(json!({ "keys": keys, "withMetadata": true, "type": "text" })).await,
        json!({
            "a": { "value": "1", "metadata": { "m": 1 }, "expiration": START + 60 },
            "empty": { "value": "", "metadata": null },
            "missing": null,
        })
    );
    // Not a word about the damage.
    assert_eq!(
        get(json!({ "keys": ["bytes", "marked"] })).await,
        json!({ "bytes": "a\u{fffd}b", "marked": "\u{feff}x" })
    );
    assert_eq!(get(json!({ "keys": ["a"], "type": "json" })).await, json!({ "a": 1 }));
    let mixed = json!({ "keys": ["a", "bytes"], "type": "json" });
    assert_eq!(client.bulk_get(&mixed).await.status, 400);
}

#[tokio::test]
async fn gets_1_to_100_keys_and_25_mib() {
    let client = Client::new().await;
    let keys = |n: usize| json!({ "keys": (0..n).map(|at| format!("k{at}")).collect::<Vec<_>>() });
    assert_eq!(client.bulk_get(&keys(100)).await.status, 200);
    assert_eq!(client.bulk_get(&keys(101)).await.status, 400);
    assert_eq!(client.bulk_get(&keys(0)).await.refusal(), (400, 10029));
    for body in [json!({}), json!({ "keys": "k" }), json!({ "keys": [1] }), json!({ "keys": ["k"], "type": "raw" })] {
        assert_eq!(client.bulk_get(&body).await.status, 400, "{body}");
    }
    client.put("/values/k0", vec![b'a'; 26_214_400]).await;
    assert_eq!(client.bulk_get(&keys(2)).await.status, 200);
    client.put("/values/k1", "b").await;
    assert_eq!(client.bulk_get(&keys(2)).await.status, 413);
}

#[tokio::test]
async fn deletes_by_both_forms() {
    let client = Client::new().await;
    for (method, path) in [(Method::POST, "/bulk/delete"), (Method::DELETE, "/bulk")] {
        client.bulk_write(&json!([{ "key": "a", "value": "" }, { "key": "b", "value": "" }])).await.result();
        let delete = async |keys: Value| client.send_json(method.clone(), path, &keys).await;
        assert_eq!(delete(json!(["a", "never-there", "a"])).await.result(), done(2));
        assert_eq!(client.server.keys(), ["b"]);
        assert_eq!(delete(json!([])).await.result(), done(0));
        assert_eq!(delete(json!([{ "name": "b" }])).await.status, 400);
        assert_eq!(delete(json!(["b", "."])).await.status, 400);
        assert_eq!(client.server.keys(), ["b"]);
    }
    assert_eq!(client.server.exchanges().iter().filter(|exchange| exchange.path.contains(NAMESPACE)).count(), 10);
}
