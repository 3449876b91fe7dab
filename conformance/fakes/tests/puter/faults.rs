//! What goes wrong on demand.

use std::time::Duration;

use kv_fakes::puter::TOKEN;
use kv_fakes::{Applied, Fault, Refused};
use serde_json::{Value, json};

use crate::server::Server;

const SET: &str = r#"{"interface":"puter-kvstore","method":"set","args":{"key":"k","value":1}}"#;

async fn send(server: &Server, body: &str) -> (u16, Option<String>, Value) {
    let headers = [("authorization", TOKEN), ("content-type", "application/json")];
    let answer = server.send("POST", "/drivers/call", &headers, Some(body.to_owned())).await;
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), retry_after, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn too_many_requests_say_so_without_a_time() {
    let server = Server::new().await;
    server.fake.inject(Fault::Throttled { retry_after: None }, 1);
    let (status, retry_after, body) = send(&server, SET).await;
    assert_eq!((status, retry_after), (429, None));
    let text = "Too many requests.";
    assert_eq!(body, json!({"error": text, "message": text, "code": "too_many_requests"}));
    server.fake.inject(Fault::Throttled { retry_after: Some(Duration::from_millis(1500)) }, 1);
    assert_eq!(send(&server, SET).await.1.as_deref(), Some("2"));
    assert!(server.fake.keys().is_empty());
}

#[tokio::test]
async fn every_reason_to_refuse_has_its_words() {
    let server = Server::new().await;
    for (reason, status, code) in [
        (Refused::Unauthorized, 401, "token_auth_failed"),
        (Refused::SessionEnded, 401, "reauth_required"),
        (Refused::NoCredit, 402, "insufficient_funds"),
        (Refused::Forbidden, 403, "forbidden"),
        (Refused::Unconfirmed, 403, "email_confirmation_required"),
        (Refused::Suspended, 403, "forbidden"),
        (Refused::ProgramBlocked, 403, "app_blocked"),
        (Refused::TooManyAtOnce, 429, "too_many_requests"),
        (Refused::Overloaded, 503, "db_unavailable"),
    ] {
        server.fake.inject(Fault::Refused { reason }, 1);
        let (own, retry_after, body) = send(&server, SET).await;
        assert_eq!((own, body["code"].as_str()), (status, Some(code)), "{reason:?}");
        assert_eq!(body["error"], body["message"]);
        assert_eq!(retry_after.as_deref(), (status == 503).then_some("5"));
        assert_eq!(body["reason"].is_string(), reason == Refused::SessionEnded);
    }
    assert!(server.fake.keys().is_empty());
}

#[tokio::test]
async fn what_takes_no_credit_goes_on_without_any() {
    let server = Server::new().await;
    server.set("k", json!({"a": 1})).await;
    server.fake.inject(Fault::Refused { reason: Refused::NoCredit }, 100);
    assert_eq!(server.list("").await, json!(["k"]));
    assert_eq!(server.ok("remove", json!({"key": "k", "paths": ["a"]})).await, json!({}));
    server.ok("del", json!({"key": "k"})).await;
    server.ok("flush", json!({})).await;
    assert_eq!(server.fake.faults_left(), 100);
    for (method, args) in [("get", json!({"key": "k"})), ("list", json!({})), ("set", json!({"key": "k", "value": 1}))]
    {
        assert_eq!(server.refused(method, args).await.0, 402, "{method}");
    }
}

#[tokio::test]
async fn faults_can_be_kept_for_writes_which_are_posts_too() {
    let server = Server::new().await;
    server.set("k", 1).await;
    server.fake.inject_into_writes(Fault::Throttled { retry_after: None }, 10);
    server.get("k").await;
    server.list("").await;
    assert_eq!(server.fake.faults_left(), 10);
    for (method, args) in [
        ("set", json!({"key": "k", "value": 1})),
        ("batchPut", json!({"items": [{"key": "k", "value": 1}]})),
        ("del", json!({"key": "k"})),
        ("flush", json!({})),
        ("expireAt", json!({"key": "k", "timestamp": 1})),
        ("expire", json!({"key": "k", "ttl": 1})),
        ("incr", json!({"key": "k", "pathAndAmountMap": {"": 1}})),
        ("update", json!({"key": "k", "pathAndValueMap": {"": 1}})),
        ("add", json!({"key": "k", "pathAndValueMap": {"": 1}})),
        ("remove", json!({"key": "k", "paths": [""]})),
    ] {
        assert_eq!(server.refused(method, args).await.0, 429, "{method}");
    }
    assert_eq!((server.fake.faults_left(), server.get("k").await), (0, json!(1)));
}

#[tokio::test]
async fn a_stale_read_shows_the_state_before_the_last_change() {
    let server = Server::new().await;
    let stale = async |method: &str, args: Value| {
        server.fake.inject(Fault::Stale, 1);
        let answer = server.ok(method, args).await;
        assert_eq!(server.fake.faults_left(), 0);
        answer
    };
    server.set("a", 1).await;
    server.ok("batchPut", json!({"items": [{"key": "a", "value": 2}, {"key": "b", "value": 2}]})).await;
    assert_eq!(stale("get", json!({"key": "a"})).await, json!(1));
    assert_eq!(stale("get", json!({"key": ["a", "b"]})).await, json!([1, null]));
    // What changes nothing is not a change.
    server.ok("del", json!({"key": "none"})).await;
    assert_eq!(server.refused("set", json!({"key": "", "value": 1})).await.0, 400);
    assert_eq!(stale("list", json!({"as": "keys"})).await, json!(["a"]));
    server.ok("incr", json!({"key": "a", "pathAndAmountMap": {"": 5}})).await;
    assert_eq!(stale("get", json!({"key": "a"})).await, json!(2));
    server.ok("flush", json!({})).await;
    assert_eq!(stale("list", json!({"as": "values"})).await, json!([7, 2]));
    // The present is as it was, and a write waits for no read.
    assert!(server.fake.keys().is_empty());
    server.fake.inject(Fault::Stale, 1);
    server.set("c", 1).await;
    assert_eq!(server.fake.faults_left(), 1);
}

#[tokio::test]
async fn connections_and_bodies_break_as_ordered() {
    let server = Server::new().await;
    let incr = r#"{"interface":"puter-kvstore","method":"incr","args":{"key":"n","pathAndAmountMap":{"":1}}}"#;
    let url = format!("{}/drivers/call", server.fake.base_url());
    let ask = async || {
        // One connection a request: a client may otherwise repeat a request whose reused connection was closed.
        let request = reqwest::Client::new().post(&url).bearer_auth(TOKEN).header("content-type", "application/json");
        let answer = request.body(incr).send().await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    for (fault, status, applied) in [
        (Fault::Cut { applied: Applied::No }, None, 0),
        (Fault::Cut { applied: Applied::Yes }, None, 1),
        (Fault::Truncated, None, 2),
        (Fault::ServerError { status: 502, applied: Applied::Yes }, Some(502), 3),
        (Fault::Garbage, Some(200), 4),
    ] {
        server.fake.inject(fault, 1);
        let answer = ask().await.ok();
        assert_eq!(answer.as_ref().map(|(status, _)| *status), status, "{fault:?}");
        assert!(answer.is_none_or(|(_, text)| serde_json::from_str::<Value>(&text).is_err()), "{fault:?}");
        let expected = if applied == 0 { json!(null) } else { json!(applied) };
        assert_eq!(server.get("n").await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn what_this_system_does_not_do_waits() {
    let server = Server::new().await;
    for fault in [Fault::ThrottledUnderSuccess, Fault::PartlyUnsuccessful { every: 1 }] {
        server.fake.inject(fault, 1);
        server.ok("batchPut", json!({"items": [{"key": "k", "value": 1}]})).await;
        assert_eq!(server.fake.faults_left(), 1);
    }
}
