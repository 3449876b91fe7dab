//! A served fake, and the calls that tests send to it.

use std::sync::Arc;
use std::time::Duration;

use kv_api::{ManualClock, Timestamp};
use kv_fakes::puter::{Fake, Switches, TOKEN};
use kv_fakes::{Engine, FakeServer, ServerOptions};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// What every clock shows at first, in Unix seconds.
pub(crate) const START: i64 = 1_800_000_000;

pub(crate) struct Server {
    pub(crate) fake: FakeServer,
    pub(crate) clock: ManualClock,
    client: Client,
}

/// Status, and code and message of an error.
pub(crate) type Refused = (u16, String, String);

impl Server {
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
        let fake = fake.serve(options).await.unwrap();
        Self { fake, clock, client: Client::builder().tls_certs_only([]).build().unwrap() }
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.fake.base_url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.unwrap()
    }

    /// Status and body of a call with a token.
    pub(crate) async fn call_as(&self, token: &str, method: &str, args: Value) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        // A name that every switch lets through.
        let headers =
            [("host", "api.localhost.test"), ("authorization", &bearer), ("content-type", "application/json")];
        let body = json!({"interface": "puter-kvstore", "method": method, "args": args}).to_string();
        let answer = self.send("POST", "/drivers/call", &headers, Some(body)).await;
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    /// The result of a call that succeeds; `None` when it has none.
    pub(crate) async fn ok_as(&self, token: &str, method: &str, args: Value) -> Option<Value> {
        let (status, mut body) = self.call_as(token, method, args).await;
        assert_eq!((status, &body["success"]), (200, &json!(true)), "{method}: {body}");
        assert_eq!(body["service"], json!({"name": "puter-kvstore"}));
        body.as_object_mut().unwrap().remove("result")
    }

    pub(crate) async fn refused_as(&self, token: &str, method: &str, args: Value) -> Refused {
        let (status, body) = self.call_as(token, method, args).await;
        assert!(status >= 400, "{method}: {body}");
        assert_eq!(body["error"], body["message"]);
        assert!(body.get("success").is_none());
        (status, body["code"].as_str().unwrap().to_owned(), body["message"].as_str().unwrap().to_owned())
    }

    /// The result of a call of the one user.
    pub(crate) async fn ok(&self, method: &str, args: Value) -> Value {
        self.ok_as(TOKEN, method, args).await.unwrap_or_else(|| panic!("{method} has no result"))
    }

    /// A call of the one user that succeeds without a result.
    pub(crate) async fn done(&self, method: &str, args: Value) {
        assert_eq!(self.ok_as(TOKEN, method, args).await, None);
    }

    pub(crate) async fn refused(&self, method: &str, args: Value) -> Refused {
        self.refused_as(TOKEN, method, args).await
    }

    pub(crate) async fn set(&self, key: &str, value: impl Into<Value>) {
        assert_eq!(self.ok("set", json!({"key": key, "value": value.into()})).await, json!(true));
    }

    pub(crate) async fn get(&self, key: &str) -> Value {
        self.ok("get", json!({"key": key})).await
    }

    pub(crate) async fn list(&self, pattern: &str) -> Value {
        self.ok("list", json!({"as": "keys", "pattern": pattern})).await
    }
}

pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Refused {
    (status, code.to_owned(), message.to_owned())
}

pub(crate) fn bad_request(message: &str) -> Refused {
    refusal(400, "bad_request", message)
}

pub(crate) fn internal() -> Refused {
    refusal(500, "internal_error", "Internal Server Error")
}
