//! Whether the server lives, and whether its stores answer.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tracing::warn;

use crate::deadline::within;
use crate::gateway::Gateway;

/// How long the stores have to answer.
const PING_TIME: Duration = Duration::from_secs(5);
/// How long an answer counts, so that those who ask cannot keep the stores busy.
const ANSWER_COUNTS: Duration = Duration::from_secs(1);

/// When the stores were asked, and whether all answered. Those who ask meanwhile wait for that, at most [`PING_TIME`].
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Duration, bool)>>);

/// `GET /healthz`: 200 as long as the process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when every store answers a ping, else 503. Which one does not is in the log.
pub(crate) async fn ready(State(gateway): State<Gateway>) -> Response {
    let mut last = gateway.readiness().0.lock().await;
    let now = gateway.timer().monotonic_now();
    let is_ready = match *last {
        Some((at, is_ready)) if now.saturating_sub(at) < ANSWER_COUNTS => is_ready,
        _ => {
            let is_ready = all_answer(&gateway).await;
            *last = Some((gateway.timer().monotonic_now(), is_ready));
            is_ready
        }
    };
    if is_ready { "ready\n".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response() }
}

async fn all_answer(gateway: &Gateway) -> bool {
    let pings = gateway.namespaces().all().iter().map(|namespace| async {
        match within(gateway.timer(), PING_TIME, namespace.store().ping()).await {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                warn!(namespace = namespace.name(), %error, "a store is not ready");
                false
            }
            None => {
                warn!(namespace = namespace.name(), "a store does not answer");
                false
            }
        }
    });
    join_all(pings).await.into_iter().all(|answers| answers)
}
