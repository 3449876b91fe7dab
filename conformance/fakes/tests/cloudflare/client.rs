//! A client that knows nothing but HTTP, and a fake on a clock that stands still.

use std::sync::Arc;

use kv_api::{ManualClock, Timestamp};
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
use kv_fakes::{FakeServer, ServerOptions};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// The time at which every fake here begins; a whole second.
pub(crate) const START: i64 = 1_800_000_000;

/// A fake, its clock, and a client that is let in.
pub(crate) struct Client {
    pub(crate) server: FakeServer,
    pub(crate) clock: ManualClock,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn result(&self) -> Value {
        assert_eq!((self.status, self.json()["success"].clone()), (200, Value::Bool(true)), "{}", self.json());
        self.json()["result"].clone()
    }

    /// The code of the only error of a refusal.
    pub(crate) fn code(&self) -> u64 {
        let json = self.json();
        assert_eq!((&json["success"], &json["result"]), (&Value::Bool(false), &Value::Null), "{json}");
        assert_eq!(json["errors"].as_array().unwrap().len(), 1, "{json}");
        assert!(!json["errors"][0]["message"].as_str().unwrap().is_empty());
        json["errors"][0]["code"].as_u64().unwrap()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        (self.status, self.code())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    pub(crate) async fn new() -> Self {
        Self::of(Fake::new()).await
    }

    pub(crate) async fn of(fake: Fake) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(START));
        let options = ServerOptions::new().with_clock(Arc::new(clock.clone()));
        // Connections are not kept, as a client may repeat a request whose kept connection was closed.
        let http = reqwest::Client::builder().tls_certs_only([]).pool_max_idle_per_host(0).build().unwrap();
        Self { server: fake.serve(options).await.unwrap(), clock, http }
    }

    /// A request below `…/namespaces`, with credentials.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.foreign(method, &format!("/accounts/{ACCOUNT}/storage/kv/namespaces{path}")).bearer_auth(TOKEN)
    }

    /// A request below the base URL, without credentials.
    pub(crate) fn foreign(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.base_url()))
    }

    /// A request below the namespace.
    pub(crate) fn inside(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/{NAMESPACE}{path}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.inside(Method::GET, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        send(self.inside(Method::PUT, path).body(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        send(self.inside(Method::DELETE, path)).await
    }

    pub(crate) async fn send_json(&self, method: Method, path: &str, body: &Value) -> Reply {
        send(self.inside(method, path).header("content-type", "application/json").body(body.to_string())).await
    }

    pub(crate) async fn bulk_write(&self, items: &Value) -> Reply {
        self.send_json(Method::PUT, "/bulk", items).await
    }

    pub(crate) async fn bulk_get(&self, body: &Value) -> Reply {
        self.send_json(Method::POST, "/bulk/get", body).await
    }

    /// The value of a key, which must be there.
    pub(crate) async fn value(&self, key: &str) -> Vec<u8> {
        let reply = self.get(&format!("/values/{key}")).await;
        assert_eq!(reply.status, 200, "{key}");
        reply.body
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Reply {
    try_send(request).await.unwrap()
}

pub(crate) async fn try_send(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Reply { status, headers, body: answer.bytes().await?.to_vec() })
}
