//! The service in memory, within what production can do, and on stores chosen by URL.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use kv_backends::kv_api::ManualClock;
use kv_backends::{BackendExt, Feature, Timestamp};
use kv_memory::{MemoryConfig, MemoryStore};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A client of the service: no socket in between.
struct Client(Router);

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Client {
    async fn on(url: &str) -> Self {
        Self(service::router(kv_backends::open(url).await.unwrap()))
    }

    /// In memory, with a clock that stands still until it is moved.
    fn with_clock() -> (Self, ManualClock) {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000));
        let store = MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())));
        (Self(service::router(store.into_store())), clock)
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.0.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(method, path, &headers, body.to_string()).await
    }

    async fn login(&self, user: &str) -> String {
        let answer = self.json("POST", "/sessions", &[], &json!({ "user": user })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["session"].as_str().unwrap().to_owned()
    }

    async fn order(&self, session: &str, attempt: &str, count: u32) -> Answer {
        let bearer = format!("Bearer {session}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", attempt)];
        self.json("POST", "/orders", &headers, &json!({"item": "tea", "count": count})).await
    }
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used() {
    let (client, clock) = Client::with_clock();
    let session = client.login("Ada").await;
    let path = format!("/sessions/{session}");
    for _ in 0..3 {
        clock.advance(Duration::from_secs(29 * 60));
        assert_eq!(client.send("GET", &path, &[], "").await.body, json!({"user": "Ada"}));
    }
    clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(client.send("GET", &path, &[], "").await.status, StatusCode::NOT_FOUND);

    let other = format!("/sessions/{}", client.login("Grace").await);
    assert_eq!(client.send("DELETE", &other, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.send("GET", &other, &[], "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_order_is_placed_once_and_not_too_often() {
    let (client, clock) = Client::with_clock();
    let session = client.login("Ada").await;
    assert_eq!(client.order("of nobody", "1", 1).await.status, StatusCode::UNAUTHORIZED);
    let first = client.order(&session, "1", 1).await;
    assert_eq!((first.status, first.body), (StatusCode::CREATED, json!({"item": "tea", "count": 1})));
    for _ in 0..10 {
        assert_eq!(client.order(&session, "1", 1).await.status, StatusCode::OK, "a repeat is no order");
    }
    assert_eq!(client.order(&session, "1", 2).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for attempt in 2..=5 {
        assert_eq!(client.order(&session, &attempt.to_string(), 1).await.status, StatusCode::CREATED);
    }
    let refused = client.order(&session, "6", 1).await;
    assert_eq!(
        (refused.status, &refused.headers["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"60".parse().unwrap())
    );
    assert_eq!(client.order(&client.login("Grace").await, "6", 1).await.status, StatusCode::CREATED);
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.order(&session, "6", 1).await.status, StatusCode::CREATED, "another window");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_attempts_at_once_one_is_the_order() {
    let client = Arc::new(Client::on("memory:").await);
    let session = client.login("Ada").await;
    let attempts: Vec<_> = (0..5)
        .map(|_| {
            let (client, session) = (Arc::clone(&client), session.clone());
            tokio::spawn(async move { client.order(&session, "1", 1).await.status })
        })
        .collect();
    let mut created = 0;
    for attempt in attempts {
        let status = attempt.await.unwrap();
        created += usize::from(status == StatusCode::CREATED);
        assert!([StatusCode::CREATED, StatusCode::OK].contains(&status), "{status}");
    }
    assert_eq!(created, 1);
}

async fn a_flag_is_not_overwritten_unseen(client: &Client) {
    let put = async |condition: (&str, &str), text: &'static str| {
        let answer = client.send("PUT", "/flags/dark", &[condition], text).await;
        let tag = answer.headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status, tag)
    };
    assert_eq!(client.send("GET", "/flags/dark", &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.send("PUT", "/flags/dark", &[], "on").await.status, StatusCode::PRECONDITION_REQUIRED);
    let (created, first) = put(("if-none-match", "*"), "on").await;
    assert_eq!(created, StatusCode::NO_CONTENT);
    assert_eq!(put(("if-none-match", "*"), "off").await.0, StatusCode::PRECONDITION_FAILED);
    let first = first.unwrap();
    let (updated, second) = put(("if-match", &first), "off").await;
    assert_eq!(updated, StatusCode::NO_CONTENT);
    assert_eq!(put(("if-match", &first), "on").await.0, StatusCode::PRECONDITION_FAILED);
    let read = client.send("GET", "/flags/dark", &[], "").await;
    assert_eq!((read.body, read.headers["etag"].to_str().unwrap()), (json!("off"), &*second.unwrap()));
}

async fn a_job_has_one_worker(client: &Client) {
    let take = async |worker: &str| client.json("POST", "/jobs/report/lease", &[], &json!({ "worker": worker })).await;
    let lease = take("Ada").await;
    assert_eq!(lease.status, StatusCode::CREATED);
    assert_eq!(take("Grace").await.status, StatusCode::CONFLICT);
    assert_eq!(client.json("PUT", "/jobs/report/lease", &[], &lease.body).await.status, StatusCode::NO_CONTENT);
    let stranger = json!({"token": "not-of-this-lease"});
    assert_eq!(client.json("DELETE", "/jobs/report/lease", &[], &stranger).await.status, StatusCode::CONFLICT);
    assert_eq!(client.json("DELETE", "/jobs/report/lease", &[], &lease.body).await.status, StatusCode::NO_CONTENT);
    let next = take("Grace").await;
    assert_eq!(next.status, StatusCode::CREATED);
    assert_eq!(client.json("PUT", "/jobs/report/lease", &[], &lease.body).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn flags_and_leases_work_in_memory_and_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["memory:".to_owned(), format!("sqlite:{}", folder.path().join("service.db").display())] {
        let client = Client::on(&url).await;
        a_flag_is_not_overwritten_unseen(&client).await;
        a_job_has_one_worker(&client).await;
        let session = client.login("Ada").await;
        assert_eq!(client.order(&session, "1", 1).await.status, StatusCode::CREATED);
        assert_eq!(client.send("GET", &format!("/sessions/{session}"), &[], "").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_lease_ends_by_itself() {
    let (client, clock) = Client::with_clock();
    let worker = json!({"worker": "Ada"});
    assert_eq!(client.json("POST", "/jobs/report/lease", &[], &worker).await.status, StatusCode::CREATED);
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.json("POST", "/jobs/report/lease", &[], &worker).await.status, StatusCode::CREATED);
}

/// What production could not do fails in memory too, before anything is written, and says why.
#[tokio::test]
async fn within_what_cloudflare_can_do_the_rest_is_refused() {
    let client = Client::on("memory:?like=cloudflare").await;
    let session = client.login("Ada").await;
    let path = format!("/sessions/{session}");
    assert_eq!(client.send("GET", &path, &[], "").await.body, json!({"user": "Ada"}));
    let refused = client.order(&session, "1", 1).await;
    assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(refused.body["error"], "unsupported");
    let flag = client.send("PUT", "/flags/dark", &[("if-match", "\"1\"")], "on").await;
    assert_eq!((flag.status, &flag.body["reason"]), (StatusCode::NOT_IMPLEMENTED, &json!("the condition IfVersion")));
    let lease = client.json("POST", "/jobs/report/lease", &[], &json!({"worker": "Ada"})).await;
    assert_eq!((lease.status, &lease.body["reason"]), (StatusCode::NOT_IMPLEMENTED, &json!("the condition IfVersion")));
    let missing = service::missing(&kv_backends::open("memory:?like=cloudflare").await.unwrap());
    assert!(missing.contains(&("orders", Feature::CounterTtl)) && !missing.contains(&("sessions", Feature::Ttl)));
    assert!(service::missing(&kv_backends::open("memory:").await.unwrap()).is_empty());
}
