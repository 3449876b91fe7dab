//! What is off unless it is switched on.

use std::time::Duration;

use kv_fakes::ServerOptions;
use kv_fakes::cloudflare::Fake;
use reqwest::Method;
use serde_json::json;

use crate::client::Client;

#[tokio::test]
async fn a_key_may_be_limited_to_one_write_a_second() {
    let client = Client::new().await;
    assert_eq!(client.put("/values/k", "1").await.status, 200);
    assert_eq!(client.put("/values/k", "2").await.status, 200);

    let client = Client::of(Fake::new().with_one_write_per_key_and_second()).await;
    assert_eq!(client.put("/values/k", "1").await.status, 200);
    client.clock.advance(Duration::from_micros(999_999));
    assert_eq!(client.put("/values/k", "2").await.refusal(), (429, 971));
    assert_eq!(client.put("/values/other", "2").await.status, 200);
    assert_eq!(client.value("k").await, b"1");
    client.clock.advance(Duration::from_micros(1));
    assert_eq!(client.put("/values/k", "3").await.status, 200);
}

#[tokio::test]
async fn some_keys_may_never_succeed_in_bulk() {
    let client = Client::of(Fake::new().with_unsuccessful_keys(["b"])).await;
    let item = |key: &str| json!({ "key": key, "value": "v" });
    let answer = json!({ "successful_key_count": 2, "unsuccessful_keys": ["b"] });
    assert_eq!(client.bulk_write(&json!([item("a"), item("b"), item("c")])).await.result(), answer);
    assert_eq!(client.server.keys(), ["a", "c"]);
    assert_eq!(client.put("/values/b", "v").await.status, 200);
    let deleted = client.send_json(Method::POST, "/bulk/delete", &json!(["a", "b", "c"])).await.result();
    assert_eq!(deleted, answer);
    assert_eq!(client.server.keys(), ["b"]);
}

#[tokio::test]
async fn settings_that_no_client_could_use_are_refused() {
    for fake in [
        Fake::new().with_account("me"),
        Fake::new().with_namespace("0".repeat(31)),
        Fake::new().with_token(""),
        Fake::new().with_token("two words"),
        Fake::new().with_global_key("me", "ключ"),
    ] {
        let refused = fake.serve(ServerOptions::new()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn no_secret_shows() {
    let fake = Fake::new().with_token("canary-token").with_global_key("me@example.com", "canary-key");
    assert!(!format!("{fake:?}").contains("canary"), "{fake:?}");
}
