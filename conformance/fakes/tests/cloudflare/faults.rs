//! What goes wrong on demand, as a client sees it and as the store shows it afterwards.

use std::time::Duration;

use kv_fakes::{Applied, Fault};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, send, try_send};

async fn put(client: &Client, value: &'static str) -> Result<crate::client::Reply, reqwest::Error> {
    try_send(client.inside(Method::PUT, "/values/k").body(value)).await
}

#[tokio::test]
async fn throttles_with_and_without_a_time_and_under_200() {
    let client = Client::new().await;
    client.server.inject(Fault::Throttled { retry_after: None }, 1);
    let reply = put(&client, "1").await.unwrap();
    assert_eq!((reply.refusal(), reply.header("retry-after")), ((429, 971), None));
    client.server.inject(Fault::Throttled { retry_after: Some(Duration::from_millis(1001)) }, 1);
    let reply = client.get("/values/k").await;
    assert_eq!((reply.refusal(), reply.header("retry-after")), ((429, 971), Some("2")));
    client.server.inject(Fault::ThrottledUnderSuccess, 1);
    assert_eq!(put(&client, "1").await.unwrap().refusal(), (200, 971));
    assert_eq!(client.server.keys(), [""; 0]);
    assert_eq!(put(&client, "1").await.unwrap().status, 200);
}

#[tokio::test]
async fn fails_before_and_after_a_write_was_applied() {
    let client = Client::new().await;
    for fault in [
        Fault::Cut { applied: Applied::No },
        Fault::Cut { applied: Applied::Yes },
        Fault::ServerError { status: 524, applied: Applied::No },
        Fault::ServerError { status: 524, applied: Applied::Yes },
    ] {
        client.delete("/values/k").await;
        client.server.inject(fault, 1);
        let (reply, applied) = match fault {
            Fault::Cut { applied } => (None, applied),
            Fault::ServerError { status, applied } => (Some(status), applied),
            _ => unreachable!(),
        };
        let seen = put(&client, "v").await;
        assert_eq!(seen.as_ref().ok().map(|reply| reply.status), reply, "{fault:?}");
        if let Ok(reply) = seen {
            assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
        }
        assert_eq!(client.server.keys().len(), usize::from(applied == Applied::Yes), "{fault:?}");
    }
}

#[tokio::test]
async fn cuts_and_garbles_answers() {
    let client = Client::new().await;
    client.put("/values/k", "a value").await;
    client.server.inject(Fault::Truncated, 1);
    let cut = try_send(client.inside(Method::GET, "/values/k")).await;
    assert!(cut.is_err(), "{cut:?}");
    // A value may be any bytes, so garbage waits for an answer that is JSON.
    client.server.inject(Fault::Garbage, 1);
    assert_eq!(client.value("k").await, b"a value");
    client.put("/values/empty", "").await;
    client.server.inject(Fault::Garbage, 1);
    assert_eq!(client.value("empty").await, b"");
    let garbage = put(&client, "another").await.unwrap();
    assert_eq!((garbage.status, garbage.header("content-type")), (200, Some("application/json")));
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    assert_eq!(client.value("k").await, b"another");
}

#[tokio::test]
async fn shows_an_empty_page_and_goes_on_from_there() {
    let client = Client::new().await;
    let items: Vec<_> = (10..40).map(|at| json!({ "key": at.to_string(), "value": "" })).collect();
    client.bulk_write(&Value::from(items)).await.result();
    client.server.inject(Fault::EmptyPage, 3);
    // Not for a write, nor for a listing that is refused.
    client.put("/values/99", "").await.result();
    assert_eq!(client.get("/keys?limit=1").await.status, 400);
    let (mut names, mut cursor, mut empty) = (Vec::new(), String::new(), 0);
    loop {
        let page = client.get(&format!("/keys?limit=10&cursor={cursor}")).await.json();
        let keys = page["result"].as_array().unwrap();
        names.extend(keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()));
        let next = page["result_info"]["cursor"].as_str().unwrap().to_owned();
        assert_ne!(next, cursor);
        cursor = next;
        if keys.is_empty() {
            empty += 1;
            assert!(!cursor.is_empty());
            if empty == 2 {
                // The third one in the middle.
                client.server.inject(Fault::EmptyPage, 0);
            }
        } else if names.len() == 20 {
            client.server.inject(Fault::EmptyPage, 1);
        }
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!((names, empty), (client.server.keys(), 3));
}

#[tokio::test]
async fn reads_the_state_before_the_last_change() {
    let client = Client::new().await;
    client.put("/values/k", "old").await;
    client.put("/values/k", "new").await;
    client.server.inject(Fault::Stale, 3);
    assert_eq!(client.value("k").await, b"old");
    assert_eq!(client.bulk_get(&json!({ "keys": ["k"] })).await.result()["values"]["k"], "old");
    client.delete("/values/k").await;
    assert_eq!(client.get("/keys").await.result(), json!([{ "name": "k" }]));
    assert_eq!(client.get("/values/k").await.status, 404);
    // A miss is cached as well.
    client.put("/values/k", "again").await;
    client.server.inject(Fault::Stale, 1);
    assert_eq!(client.get("/values/k").await.refusal(), (404, 10009));
    assert_eq!(client.value("k").await, b"again");
}

#[tokio::test]
async fn leaves_a_share_of_a_bulk_undone() {
    let client = Client::new().await;
    let items =
        |n: usize| Value::from((0..n).map(|at| json!({ "key": at.to_string(), "value": "" })).collect::<Vec<_>>());
    client.server.inject(Fault::PartlyUnsuccessful { every: 3 }, 1);
    // Neither a single write, a refused batch nor one too short.
    put(&client, "v").await.unwrap();
    client.delete("/values/k").await;
    assert_eq!(client.bulk_write(&json!([{ "key": "x" }])).await.status, 400);
    assert_eq!(client.bulk_write(&items(2)).await.result()["successful_key_count"], 2);
    let partly = client.bulk_write(&items(7)).await.result();
    assert_eq!(partly, json!({ "successful_key_count": 5, "unsuccessful_keys": ["2", "5"] }));
    assert_eq!(client.server.keys(), ["0", "1", "3", "4", "6"]);
    client.server.inject(Fault::PartlyUnsuccessful { every: 0 }, 1);
    let deleted = client.send_json(Method::DELETE, "/bulk", &json!(["0", "1"])).await.result();
    assert_eq!(deleted, json!({ "successful_key_count": 0, "unsuccessful_keys": ["0", "1"] }));
    assert_eq!(client.server.keys().len(), 5);
    assert_eq!(client.server.faults_left(), 0);
}

#[tokio::test]
async fn answers_late() {
    let client = Client::new().await;
    client.server.inject(Fault::Slow { delay: Duration::from_secs(60) }, 1);
    let impatient = try_send(client.inside(Method::PUT, "/values/k").timeout(Duration::from_secs(2)).body("v"));
    assert!(impatient.await.unwrap_err().is_timeout());
    assert_eq!(client.server.keys(), ["k"]);
    client.server.inject(Fault::Slow { delay: Duration::from_millis(50) }, 1);
    assert_eq!(send(client.inside(Method::GET, "/values/k")).await.body, b"v");
}

#[tokio::test]
async fn passes_over_reads_when_only_writes_are_to_break() {
    let client = Client::new().await;
    client.server.inject_into_writes(Fault::Cut { applied: Applied::Yes }, 3);
    assert_eq!(client.get("/values/k").await.status, 404);
    assert_eq!(client.bulk_get(&json!({ "keys": ["k"] })).await.status, 200);
    assert_eq!(client.get("/keys").await.status, 200);
    assert_eq!(client.server.faults_left(), 3);
    assert!(put(&client, "v").await.is_err());
    assert_eq!(client.value("k").await, b"v");
    let delete = client.inside(Method::POST, "/bulk/delete").header("content-type", "application/json");
    assert!(try_send(delete.body(r#"["k"]"#)).await.is_err());
    assert!(try_send(client.inside(Method::DELETE, "/values/k")).await.is_err());
    assert_eq!((client.server.keys().len(), client.server.faults_left()), (0, 0));
}

#[tokio::test]
async fn shows_the_first_page_again_and_again_with_a_new_cursor_each_time() {
    let client = Client::new().await;
    client.server.inject(Fault::FirstPageAgain, 2);
    assert_eq!(client.get("/keys").await.result(), json!([]));
    let items: Vec<_> = (10..40).map(|at| json!({ "key": at.to_string(), "value": "" })).collect();
    client.bulk_write(&Value::from(items)).await.result();
    let (mut cursor, mut pages) = (String::new(), Vec::new());
    for _ in 0..3 {
        let page = client.get(&format!("/keys?limit=10&cursor={cursor}")).await.json();
        cursor = page["result_info"]["cursor"].as_str().unwrap().to_owned();
        pages.push((page["result"][0]["name"].clone(), cursor.clone()));
    }
    let first = |cursor: &str| (json!("10"), cursor.to_owned());
    // The third one leads on.
    assert_eq!(pages, [first(".1"), first(".2"), first("MTk=")]);
    assert_eq!(client.server.faults_left(), 0);
}

#[tokio::test]
async fn answers_a_bulk_that_was_half_done_with_figures_that_cannot_be() {
    let client = Client::new().await;
    client.server.inject(Fault::Implausible, 2);
    put(&client, "v").await.unwrap();
    let items: Vec<_> = (0..4).map(|at| json!({ "key": at.to_string(), "value": "" })).collect();
    let implausible = json!({ "successful_key_count": -3, "unsuccessful_keys": [] });
    assert_eq!(client.bulk_write(&Value::from(items)).await.result(), implausible);
    assert_eq!(client.server.keys(), ["0", "2", "k"]);
    assert_eq!(client.send_json(Method::DELETE, "/bulk", &json!(["0", "2"])).await.result(), implausible);
    assert_eq!((client.server.keys().len(), client.server.faults_left()), (2, 0));
}

#[tokio::test]
async fn a_stuck_page_has_the_cursor_of_its_request() {
    let client = Client::new().await;
    client.put("/values/k", "v").await.result();
    client.server.inject(Fault::StuckPage, 3);
    for cursor in ["", ".", "aw=="] {
        let page = client.get(&format!("/keys?cursor={cursor}")).await.json();
        let expected = if cursor.is_empty() { "." } else { cursor };
        assert_eq!((&page["result"], &page["result_info"]["cursor"]), (&json!([]), &json!(expected)));
    }
    assert_eq!(client.get("/keys?cursor=.").await.result(), json!([{ "name": "k" }]));
}
