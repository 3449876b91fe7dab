//! A server that answers as a test says, for what the fake cannot be made to do.

use std::sync::Arc;

use kv_api::{ManualClock, Store};
use kv_testkit::RemoteSystem as _;
use serde_json::{Value as Json, json};

use crate::harness::{System, open};

/// A call: its method, its arguments, and how many came before it.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) arguments: &'a Json,
    pub(crate) number: usize,
}

/// Status and body.
pub(crate) type Said = (u16, String);

pub(crate) fn success(result: &Json) -> Said {
    (200, json!({"success": true, "result": result, "service": {"name": "puter-kvstore"}}).to_string())
}

pub(crate) fn failure(status: u16, code: &str) -> Said {
    (status, json!({"error": "said", "message": "said", "code": code}).to_string())
}

/// Serves as long as this is kept.
pub(crate) struct Scripted {
    pub(crate) store: Store,
    server: kv_testkit::Scripted,
}

impl Scripted {
    pub(crate) async fn serve(answer: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static) -> Self {
        let clock = System::start().await.client_clock;
        Self::serve_at(clock, answer).await
    }

    /// With this clock on the store's side.
    pub(crate) async fn serve_at(
        clock: ManualClock,
        answer: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static,
    ) -> Self {
        let server = kv_testkit::Scripted::serve(move |asked| {
            let body: Json = serde_json::from_str(&asked.body).unwrap();
            let method = body["method"].as_str().unwrap();
            let (status, said) = answer(Asked { method, arguments: &body["args"], number: asked.number });
            Some(kv_testkit::Said::json(status, said))
        });
        let server = server.await.unwrap();
        let system = System::start().await;
        let config = system.config().with_base_url(&server.url()).unwrap();
        let config = config.with_remote(system.remote().with_clock(Arc::new(clock)));
        Self { store: open(config).allow_best_effort(), server }
    }

    pub(crate) fn requests(&self) -> usize {
        self.server.requests()
    }
}
