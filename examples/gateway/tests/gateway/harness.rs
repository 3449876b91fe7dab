//! Gateways, and clients of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use kv_api::{ManualClock, Store, Timestamp};
use kv_gateway::{Access, Ended, Gateway, Namespace, Server, Tokens};
use kv_memory::{MemoryConfig, MemoryStore};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub(crate) const READER: &str = "reads-everything-0001";
pub(crate) const WRITER: &str = "writes-everything-001";
pub(crate) const BOTH_OF_A: &str = "both-but-only-in-a-01";

/// Where the namespaces are.
pub(crate) const BASE: &str = "/client/v4/accounts/023e105f4ecef8ad9ca31a8372d0c353/storage/kv/namespaces";

/// A store in memory, and its clock, which stands still between two whole seconds.
pub(crate) fn memory() -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
    (memory_at(&clock), clock)
}

/// A store in memory that goes by this clock.
pub(crate) fn memory_at(clock: &ManualClock) -> MemoryStore {
    MemoryStore::with_config(MemoryConfig::new().with_clock(Arc::new(clock.clone())))
}

pub(crate) async fn open(url: &str) -> Store {
    kv_backends::open(url).await.unwrap()
}

pub(crate) fn namespace(name: &str, store: Store) -> Namespace {
    Namespace::new(name, store, "memory:").unwrap()
}

pub(crate) fn tokens() -> Access {
    let tokens = format!("{READER} read\n{WRITER} write\n{BOTH_OF_A} read,write a");
    Access::Tokens(Tokens::parse(&tokens).unwrap())
}

/// What comes of it. Fails when nothing does for a minute, also where the clock of the test stands still.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let (late, is_late) = oneshot::channel();
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        // It ends at once when the other end is dropped.
        if is_done.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            let _ = late.send(());
        }
    });
    let came = tokio::select! {
        biased;
        came = work => came,
        Ok(()) = is_late => panic!("nothing came in a minute"),
    };
    drop(done);
    came
}

/// The namespaces `a` and `b` in memory, for three tokens.
pub(crate) async fn guarded() -> Gateway {
    let namespaces = [namespace("a", open("memory:").await), namespace("b", open("memory:").await)];
    Gateway::builder(namespaces, tokens()).build().unwrap()
}

/// A client of a gateway without a socket, which may do everything in the namespace `n`.
pub(crate) struct Client(pub(crate) Router);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and first code of a refusal, whose envelope is looked at.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        let envelope = self.json();
        assert_eq!(envelope["success"], false, "{envelope}");
        assert!(envelope["messages"].is_array() && envelope["result"].is_null(), "{envelope}");
        assert!(!envelope["errors"][0]["message"].as_str().unwrap().is_empty());
        (self.status.as_u16(), envelope["errors"][0]["code"].as_u64().unwrap())
    }

    /// The result of a success, whose envelope is looked at.
    pub(crate) fn result(&self) -> Value {
        let mut envelope = self.json();
        assert_eq!((self.status, &envelope["success"]), (StatusCode::OK, &Value::Bool(true)), "{envelope}");
        assert_eq!(envelope["errors"], serde_json::json!([]));
        envelope["result"].take()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

impl Client {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self(gateway.router())
    }

    pub(crate) fn on(store: Store) -> Self {
        let access = Access::Open { loopback: true };
        Self::of(&Gateway::builder([namespace("n", store)], access).build().unwrap())
    }

    /// In memory, with a clock that stands still until it is moved.
    pub(crate) fn with_clock() -> (Self, ManualClock) {
        let (memory, clock) = memory();
        let gateway = Gateway::builder([namespace("n", Store::new(memory))], Access::Open { loopback: true });
        (Self::of(&gateway.with_clock(Arc::new(clock.clone())).build().unwrap()), clock)
    }

    /// A request for a path below the namespaces.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.send_to(method, &format!("{BASE}{path}"), headers, body).await
    }

    pub(crate) async fn send_to(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.0.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send("PUT", path, &[], body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }
}

/// A gateway that listens.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Ended>,
}

impl Running {
    pub(crate) async fn start(gateway: Gateway) -> Self {
        Self::start_at(gateway, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(gateway: Gateway, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // A test that ends drops it.
            let _ = stopped.await;
        };
        let task = tokio::spawn(Server::new(gateway).serve(listener, stopped));
        Self { address, stop: Some(stop), task }
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(&mut self) -> Ended {
        (&mut self.task).await.unwrap()
    }

    pub(crate) async fn stop(&mut self) -> Ended {
        self.ask_to_stop();
        self.ended().await
    }
}
