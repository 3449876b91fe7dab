//! A served application, and the requests that tests send to it.

use std::sync::Arc;
use std::time::Duration;

use kv_api::{ManualClock, Timestamp};
use kv_fakes::backendless::{Fake, HIVE, Switches};
use kv_fakes::{Engine, FakeServer, ServerOptions};
use reqwest::{Client, Method};
use serde_json::Value;

/// What every application's clock shows at first, in Unix seconds.
pub(crate) const START: i64 = 1_800_000_000;

pub(crate) struct Application {
    pub(crate) server: FakeServer,
    pub(crate) clock: ManualClock,
    client: Client,
}

impl Application {
    pub(crate) async fn new() -> Self {
        Self::serve(Fake::new()).await
    }

    pub(crate) async fn with(switches: Switches) -> Self {
        Self::serve(Fake::new().with_switches(switches)).await
    }

    pub(crate) async fn serve(fake: Fake) -> Self {
        Self::serve_by(Engine::default(), fake).await
    }

    pub(crate) async fn serve_by(engine: Engine, fake: Fake) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(START));
        let options = ServerOptions::new().with_engine(engine).with_clock(Arc::new(clock.clone()));
        let server = fake.serve(options).await.unwrap();
        Self { server, clock, client: Client::builder().tls_certs_only([]).build().unwrap() }
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> &str {
        self.server.base_url().strip_suffix("/api").unwrap()
    }

    /// Sends a request to a path from the root of the host on, with a body of this content type.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> (u16, String) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.origin()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What a successful answer says, about a path in the bucket of the one hive; `None` for an empty body.
    pub(crate) async fn ok(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> Option<Value> {
        let (status, text) = self.call(method, path, body.into()).await;
        assert_eq!(status, 200, "{method} {path}: {text}");
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    /// Status and code of an error, about a path in the bucket of the one hive.
    pub(crate) async fn error(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> (u16, u64) {
        let (status, text) = self.call(method, path, body.into()).await;
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {status} {text:?}"));
        assert!(error["message"].is_string() && error["errorData"].is_object(), "{method} {path}: {status} {text}");
        (status, error["code"].as_u64().unwrap())
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let path = format!("/APP-ID/API-KEY/hive/{HIVE}/key-value{path}");
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        self.send(method, &path, headers, body.map(|body| body.to_string())).await
    }
}
