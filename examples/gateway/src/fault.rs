//! Refusals and failures: which status and which code. The table of `README.md` is this file.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kv_api::{Error, ErrorKind, Feature, Reason, json_quoted};
use tracing::warn;

/// The header that says what became of a write. It is ours.
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static("x-kv-outcome");

/// The vendor's clients repeat whatever failed with a status from 500 on, unless it says this.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The vendor's codes, as far as they are known.
pub(crate) mod codes {
    /// Throttling.
    pub(crate) const THROTTLED: u32 = 971;
    /// No route for a path.
    pub(crate) const NO_ROUTE: u32 = 7000;
    /// Wrong or missing credentials, or credentials that do not allow it.
    pub(crate) const AUTHENTICATION: u32 = 10000;
    /// A request that is not acceptable; what the vendor's local implementation says.
    pub(crate) const INVALID: u32 = 10001;
    /// A key that is not there.
    pub(crate) const KEY_NOT_FOUND: u32 = 10009;
    /// A JSON body that is not of the expected form.
    pub(crate) const INVALID_BODY: u32 = 10012;
    /// A namespace that is not there.
    pub(crate) const NAMESPACE_NOT_FOUND: u32 = 10013;
    /// A bulk get without keys.
    pub(crate) const NO_KEYS: u32 = 10029;
    /// An expiry that is not acceptable.
    pub(crate) const INVALID_EXPIRY: u32 = 10034;
    /// A method that a path does not have.
    pub(crate) const METHOD: u32 = 10405;

    /// Where the vendor has no code, or none is known: ours, which end with the status.
    pub(crate) const fn own(status: u16) -> u32 {
        99_000 + status as u32
    }
}

/// Why a request is not answered as it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: u32,
    pub(crate) message: Cow<'static, str>,
    retry_after: Option<u64>,
    header: Option<(HeaderName, &'static str)>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), retry_after: None, header: None }
    }

    /// With a code of our own.
    fn own(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, codes::own(status.as_u16()), message)
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::INVALID, message)
    }

    pub(crate) fn invalid_body(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::INVALID_BODY, message)
    }

    pub(crate) fn invalid_expiry(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::INVALID_EXPIRY, message)
    }

    pub(crate) fn key_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, codes::KEY_NOT_FOUND, "get: 'key not found'")
    }

    pub(crate) fn namespace_not_found(operation: &'static str) -> Self {
        let message = format!("{operation}: 'namespace not found'");
        Self::new(StatusCode::NOT_FOUND, codes::NAMESPACE_NOT_FOUND, message)
    }

    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, codes::NO_ROUTE, "No route for that URI")
    }

    pub(crate) fn method(allowed: &'static str) -> Self {
        let fault = Self::new(StatusCode::METHOD_NOT_ALLOWED, codes::METHOD, "method not allowed for this URI");
        fault.with_header(ALLOW, allowed)
    }

    /// No token, or an unknown one.
    pub(crate) fn unauthenticated(scheme: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, codes::AUTHENTICATION, "Authentication error")
            .with_header(WWW_AUTHENTICATE, scheme)
    }

    /// A token that does not allow it.
    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, codes::AUTHENTICATION, "Authentication error: the token does not allow this")
    }

    /// Sent by a page of another site, or to a name that is not this server's.
    pub(crate) fn foreign_page() -> Self {
        Self::own(
            StatusCode::FORBIDDEN,
            "without tokens no web page is served, and only a name that is this server's: --host",
        )
    }

    pub(crate) fn read_only() -> Self {
        Self::own(StatusCode::FORBIDDEN, "the namespace is read-only")
    }

    pub(crate) fn not_met() -> Self {
        Self::own(StatusCode::PRECONDITION_FAILED, "the condition does not hold").with_header(OUTCOME, "not-met")
    }

    /// What neither the server nor a store can do.
    pub(crate) fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::own(StatusCode::NOT_IMPLEMENTED, what).with_header(SHOULD_RETRY, "false")
    }

    pub(crate) fn unsupported_encoding() -> Self {
        Self::own(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body with a content-encoding is not understood")
    }

    pub(crate) fn overloaded() -> Self {
        let message = "Please wait and consider throttling your request speed";
        let mut fault = Self::new(StatusCode::TOO_MANY_REQUESTS, codes::THROTTLED, message);
        fault.retry_after = Some(1);
        fault
    }

    pub(crate) fn slow_body() -> Self {
        Self::own(StatusCode::REQUEST_TIMEOUT, "the body took too long")
    }

    pub(crate) fn broken_body() -> Self {
        Self::invalid("the body broke off")
    }

    pub(crate) fn body_too_long(max: usize) -> Self {
        let message = format!("the body exceeds the limit of {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, codes::INVALID, message)
    }

    /// The work was given up: what a write did is not known.
    pub(crate) fn late() -> Self {
        Self::own(StatusCode::GATEWAY_TIMEOUT, "the store did not answer in time; what a write did is not known")
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// One error of the envelope.
    pub(crate) fn as_json(&self) -> String {
        format!(r#"{{"code":{},"message":{}}}"#, self.code, json_quoted(&self.message))
    }

    /// With a result beside the error, as bulk answers have.
    pub(crate) fn with_result(&self, result: &str) -> Response {
        let error = self.as_json();
        let body = format!(r#"{{"success":false,"errors":[{error}],"messages":[],"result":{result}}}"#);
        let mut response = crate::dialect::json(self.status, body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = &self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.with_result("null")
    }
}

/// What a store's error is to a client (ERR-1). The text of one that the client can do nothing about stays here, in the
/// log: it may name addresses.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let mut fault = of_kind(&error);
        if fault.status.is_server_error() && fault.status != StatusCode::NOT_IMPLEMENTED {
            warn!(%error, "a store failed");
        }
        fault.retry_after = match fault.status {
            StatusCode::TOO_MANY_REQUESTS => Some(error.retry_after().map_or(1, whole_seconds)),
            StatusCode::SERVICE_UNAVAILABLE => error.retry_after().map(whole_seconds),
            _ => None,
        };
        fault
    }
}

fn of_kind(error: &Error) -> Fault {
    let message = || error.message().to_owned();
    if error.reason() == Some(&Reason::ReadOnly) {
        return Fault::read_only();
    }
    match error.kind() {
        ErrorKind::InvalidArgument => of_argument(error),
        ErrorKind::Unsupported => Fault::unsupported(match error.reason() {
            Some(Reason::BestEffortNotAllowed(feature)) => format!(
                "this store can do {feature} only with a race window, which its URL has to allow: best_effort=true"
            ),
            Some(Reason::Unsupported(feature)) => unsupported_feature(*feature),
            _ => message(),
        }),
        ErrorKind::WrongType => Fault::own(StatusCode::CONFLICT, "the key holds what is no value of this dialect"),
        ErrorKind::Exhausted => Fault::own(StatusCode::INSUFFICIENT_STORAGE, "the store is full"),
        ErrorKind::RateLimited => Fault::overloaded(),
        ErrorKind::Unavailable => Fault::own(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer"),
        ErrorKind::Closed => Fault::own(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
        ErrorKind::Unauthorized | ErrorKind::Misconfigured => {
            Fault::own(StatusCode::BAD_GATEWAY, "the store does not let this server in, or is not there")
        }
        ErrorKind::Protocol => Fault::own(StatusCode::BAD_GATEWAY, "the store gave an answer that is not understood"),
        _ => Fault::own(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

fn of_argument(error: &Error) -> Fault {
    match error.reason() {
        Some(Reason::Limit { name, allowed, found }) => match &**name {
            "key_bytes_max" => Fault::new(
                StatusCode::URI_TOO_LONG,
                codes::INVALID,
                format!("UTF-8 encoded length of {found} exceeds key length limit of {allowed}."),
            ),
            "value_bytes_max" => Fault::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                codes::INVALID,
                format!("Value length of {found} exceeds limit of {allowed}."),
            ),
            "metadata_bytes_max" => Fault::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                codes::INVALID,
                format!("Metadata length of {found} exceeds limit of {allowed}."),
            ),
            _ => Fault::invalid(error.message().to_owned()),
        },
        Some(Reason::ExpiryTooSoon { minimum }) => Fault::invalid_expiry(format!(
            "Invalid expiration. Expiration must be at least {} seconds in the future.",
            whole_seconds(*minimum)
        )),
        Some(Reason::TtlZero | Reason::ExpiryInPast | Reason::ExpiryTooLate { .. }) => {
            Fault::invalid_expiry(format!("Invalid expiration: {}", error.message()))
        }
        _ => Fault::invalid(error.message().to_owned()),
    }
}

fn unsupported_feature(feature: Feature) -> String {
    format!("this store does not offer {feature}")
}

/// Never shorter.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::Timestamp;

    fn shown(error: Error) -> (u16, u32) {
        let fault = Fault::from(error);
        (fault.status.as_u16(), fault.code)
    }

    #[test]
    fn each_kind_has_its_row() {
        for (kind, status, code) in [
            (ErrorKind::InvalidArgument, 400, 10001),
            (ErrorKind::Unsupported, 501, 99501),
            (ErrorKind::WrongType, 409, 99409),
            (ErrorKind::Unauthorized, 502, 99502),
            (ErrorKind::Misconfigured, 502, 99502),
            (ErrorKind::Exhausted, 507, 99507),
            (ErrorKind::RateLimited, 429, 971),
            (ErrorKind::Unavailable, 503, 99503),
            (ErrorKind::Protocol, 502, 99502),
            (ErrorKind::Closed, 503, 99503),
            (ErrorKind::Internal, 500, 99500),
        ] {
            assert_eq!(shown(Error::new(kind, "m")), (status, code), "{kind}");
        }
    }

    #[test]
    fn each_reason_that_the_vendor_knows_has_its_row() {
        let invalid = |reason| Error::invalid(reason, "m");
        for (error, status, code) in [
            (Error::limit("key_bytes_max", 512, 513), 414, 10001),
            (Error::limit("value_bytes_max", 1, 2), 413, 10001),
            (Error::limit("metadata_bytes_max", 1, 2), 413, 10001),
            (Error::limit("json_bytes_max", 1, 2), 400, 10001),
            (invalid(Reason::ExpiryTooSoon { minimum: Duration::from_secs(60) }), 400, 10034),
            (invalid(Reason::TtlZero), 400, 10034),
            (invalid(Reason::ExpiryInPast), 400, 10034),
            (invalid(Reason::ExpiryTooLate { latest: Timestamp::YEAR_9999_END }), 400, 10034),
            (invalid(Reason::KeyEmpty), 400, 10001),
            (invalid(Reason::CursorInvalid), 400, 10001),
            (Error::new(ErrorKind::Unsupported, "m").with_reason(Reason::ReadOnly), 403, 99403),
        ] {
            assert_eq!(shown(error.clone()), (status, code), "{error}");
        }
    }

    #[test]
    fn a_missing_capability_is_named() {
        let message = |error| Fault::from(error).message;
        assert!(message(Error::unsupported(Feature::Metadata)).contains("metadata"));
        let best_effort = Reason::BestEffortNotAllowed(Feature::IfNotExists);
        let error = Error::new(ErrorKind::Unsupported, "m").with_reason(best_effort);
        assert!(message(error).contains("the condition IfNotExists"));
    }

    #[test]
    fn what_only_the_operator_can_mend_is_not_shown() {
        for kind in [ErrorKind::Unavailable, ErrorKind::Misconfigured, ErrorKind::Protocol, ErrorKind::Internal] {
            let fault = Fault::from(Error::new(kind, "cannot connect to 10.0.0.7"));
            assert!(!fault.message.contains("10.0.0.7"), "{kind}");
        }
    }

    #[test]
    fn a_wait_is_never_shortened() {
        let wait = |error: Error| Fault::from(error).retry_after;
        let error = || Error::new(ErrorKind::RateLimited, "m");
        assert_eq!(wait(error().with_retry_after(Duration::from_millis(1500))), Some(2));
        assert_eq!(wait(error()), Some(1));
        assert_eq!(wait(Error::new(ErrorKind::Unavailable, "m")), None);
        assert_eq!(wait(Error::new(ErrorKind::Protocol, "m").with_retry_after(Duration::from_secs(3))), None);
    }
}
