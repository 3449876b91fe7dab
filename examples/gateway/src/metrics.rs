//! What `/metrics` answers: the figures of requests, and those that the metrics layer takes of calls on the stores.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kv_layers::Traced;
use metrics::Histogram;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::RwLock;

use crate::fault::Fault;
use crate::gateway::Gateway;

const DURATION: &str = "http.server.request.duration";
pub(crate) const REJECTED: &str = "kv_gateway.rejected_requests";
const UNDER_WAY: &str = "http.server.active_requests";
const HELD: &str = "kv_gateway.held_bytes";
/// How often what was recorded is put together, whether somebody asks for it or not; without that it would grow.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What collects the figures, in the format that Prometheus reads.
///
/// Of requests: `http_server_request_duration` in seconds, by `kv_operation` and `http_response_status_code`, and
/// `http_server_active_requests`; `kv_gateway_rejected_requests` counts those that were one too many, and
/// `kv_gateway_held_bytes` is what bodies and answers hold, both by `limit`. Of calls on the stores: what [`Traced`] describes, by `db_namespace`.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    durations: Arc<Durations>,
}

/// The histograms of requests, by operation and status: so a request makes no labels and looks for no metric. There are
/// no more of them than operations and statuses.
type Durations = RwLock<HashMap<(&'static str, StatusCode), Histogram>>;

impl Metrics {
    /// Collects what the whole process records. Install it before namespaces are made, so that their metrics are
    /// described.
    ///
    /// # Errors
    /// When the process has a recorder already.
    pub fn install() -> Result<Self, MetricsError> {
        let failed = |error: metrics_exporter_prometheus::BuildError| MetricsError(error.to_string());
        let mut builder = PrometheusBuilder::new();
        for metric in ["db.client.operation.duration", DURATION] {
            let buckets = &Traced::DURATION_BUCKETS;
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.to_owned()), buckets).map_err(failed)?;
        }
        let handle = builder.install_recorder().map_err(failed)?;
        metrics::describe_histogram!(DURATION, metrics::Unit::Seconds, "Duration of requests of the dialect.");
        metrics::describe_gauge!(UNDER_WAY, "Requests of the dialect that are under way.");
        metrics::describe_gauge!(HELD, metrics::Unit::Bytes, "What bodies and answers under way hold, by their limit.");
        metrics::describe_counter!(REJECTED, "Requests that were one too many, by the limit of which.");
        Ok(Self { handle, durations: Arc::default() })
    }

    /// Puts what was recorded together, from time to time, for as long as it is polled.
    pub(crate) async fn keep_up(&self, timer: &dyn kv_api::Timer) -> Infallible {
        loop {
            timer.sleep(UPKEEP_INTERVAL).await;
            self.handle.run_upkeep();
        }
    }

    /// A request has ended.
    pub(crate) fn ended(&self, operation: &'static str, status: StatusCode, took: Duration) {
        if let Some(duration) = self.durations.read().get(&(operation, status)) {
            duration.record(took);
            return;
        }
        let labels =
            [("kv.operation", operation.to_owned()), ("http.response.status_code", status.as_str().to_owned())];
        let duration = metrics::histogram!(DURATION, &labels);
        duration.record(took);
        self.durations.write().insert((operation, status), duration);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// Why metrics cannot be collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsError(String);

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics cannot be collected: {}", self.0)
    }
}

impl std::error::Error for MetricsError {}

/// `GET /metrics`. The figures name all namespaces, so where there are tokens it takes one that may read them all.
pub(crate) async fn render(State(gateway): State<Gateway>, headers: HeaderMap) -> Result<Response, Fault> {
    let grant = gateway.grant(&headers)?;
    if !(grant.covers_all() && grant.allows(false)) {
        return Err(Fault::forbidden());
    }
    let Some(Metrics { handle, .. }) = gateway.metrics() else { return Err(Fault::no_route()) };
    let under_way = u32::try_from(gateway.admission().under_way()).unwrap_or(u32::MAX);
    metrics::gauge!(UNDER_WAY).set(under_way);
    for budget in [gateway.admission().bodies(), gateway.admission().answers()] {
        let (limit, bytes) = budget.held();
        metrics::gauge!(HELD, "limit" => limit).set(bytes);
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response())
}
