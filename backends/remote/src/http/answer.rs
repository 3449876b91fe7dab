//! Answers, and what their status says.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use kv_api::{Clock, Error, ErrorKind, Retry, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// A whole answer. Its body is not printed: it may be a value.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The wait that the header `Retry-After` asks for, in seconds or until a date; `None` without one that makes
    /// sense.
    #[must_use]
    pub fn retry_after(&self, clock: &dyn Clock) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = Timestamp::from(httpdate::parse_http_date(text).ok()?);
        Some(until.saturating_since(clock.now()))
    }

    /// An error of the kind and retry class that the status alone gives, with the status as native code and the wait
    /// that the system asked for: for a system whose own codes say no more.
    #[must_use]
    pub fn error(&self, clock: &dyn Clock, message: impl Into<Cow<'static, str>>) -> Error {
        let (kind, retry) = match self.status.as_u16() {
            401 | 403 => (ErrorKind::Unauthorized, Retry::Never),
            402 | 507 => (ErrorKind::Exhausted, Retry::Never),
            // 407 is a proxy's.
            404 | 407 | 300..=399 => (ErrorKind::Misconfigured, Retry::Never),
            429 => (ErrorKind::RateLimited, Retry::Safe),
            408 | 500..=599 => (ErrorKind::Unavailable, Retry::OutcomeUnknown),
            400..=499 => (ErrorKind::InvalidArgument, Retry::Never),
            // Neither a success that the adapter understood, nor an error of HTTP.
            _ => (ErrorKind::Protocol, Retry::OutcomeUnknown),
        };
        let error =
            Error::new(kind, message).with_retry(retry).with_native_code(format_args!("HTTP {}", self.status.as_u16()));
        match self.retry_after(clock) {
            Some(wait) if retry != Retry::Never => error.with_retry_after(wait),
            _ => error,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A success whose content is not what the system documents: what it means is unknown.
#[must_use]
pub fn malformed(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Protocol, message).with_retry(Retry::OutcomeUnknown)
}
