//! What a client is told when a call fails.

use axum::Json;
use axum::http::{StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use kv_backends::{Error, ErrorKind, Reason};
use serde::Serialize;

/// The error of a store as an answer: its kind says what to do next (ERR-1). The text stays here, since it names keys.
#[derive(Debug)]
pub(crate) struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Serialize)]
struct Body {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = self.0.kind();
        let status = match kind {
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::RateLimited | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let reason = match self.0.reason() {
            Some(Reason::Unsupported(feature) | Reason::BestEffortNotAllowed(feature)) => Some(feature.to_string()),
            _ => None,
        };
        let mut response = (status, Json(Body { error: kind.to_string(), reason })).into_response();
        if let Some(wait) = self.0.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().saturating_add(1).into());
        }
        response
    }
}
