//! Refusals and failures: which status and which code. The table of `README.md` is this file.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kv_api::{Error, ErrorKind, Feature, Reason, Retry, json_quoted};
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
    /// Whether the same call may be sent again. What is made here is final, unless it says otherwise.
    retry: Retry,
    is_conditional: bool,
    retry_after: Option<u64>,
    header: Option<(HeaderName, &'static str)>,
    failure: Option<Box<Failure>>,
}

/// What the log says of a store's failure. It has no key, and no text of the system, which may quote one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    kind: ErrorKind,
    store: Option<String>,
    operation: Option<&'static str>,
    reason: Option<Reason>,
    code: Option<String>,
}

/// A call, as far as it matters to what is said of its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It changes nothing, so its outcome is never unknown (ERR-3).
    Read,
    /// It asks for a state, so it may be sent again when its outcome is unknown (ERR-4).
    State,
    /// It asks for a step: what was done already does not hold a second time.
    Step,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let (retry, is_conditional) = (Retry::Never, false);
        Self { status, code, message, retry, is_conditional, retry_after: None, header: None, failure: None }
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
        Self::own(StatusCode::NOT_IMPLEMENTED, what)
    }

    pub(crate) fn unsupported_encoding() -> Self {
        Self::own(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body with a content-encoding, or a transfer-encoding but chunked, is not understood",
        )
    }

    pub(crate) fn overloaded() -> Self {
        let message = "Please wait and consider throttling your request speed";
        let mut fault = Self::new(StatusCode::TOO_MANY_REQUESTS, codes::THROTTLED, message);
        (fault.retry, fault.retry_after) = (Retry::Safe, Some(1));
        fault
    }

    pub(crate) fn slow_body() -> Self {
        Self { retry: Retry::Safe, ..Self::own(StatusCode::REQUEST_TIMEOUT, "the body took too long") }
    }

    pub(crate) fn broken_body() -> Self {
        Self::invalid("the body broke off")
    }

    pub(crate) fn body_too_long(max: usize) -> Self {
        let message = format!("the body exceeds the limit of {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, codes::INVALID, message)
    }

    pub(crate) fn answer_too_long(max: usize) -> Self {
        let message = format!("the answer exceeds the limit of {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, codes::INVALID, message)
    }

    pub(crate) fn internal() -> Self {
        Self::own(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// The work was given up: what a write did is not known.
    pub(crate) fn late() -> Self {
        let fault = Self::own(StatusCode::GATEWAY_TIMEOUT, "the store did not answer in time");
        Self { retry: Retry::OutcomeUnknown, ..fault }
    }

    /// Of this call: what its failure leaves unknown is said.
    pub(crate) fn of_call(mut self, asked: Asked) -> Self {
        self.is_conditional = asked == Asked::Step;
        if self.retry == Retry::OutcomeUnknown {
            if asked == Asked::Read {
                self.retry = Retry::Safe;
            } else {
                self.message = format!("{}; what the write did is not known", self.message).into();
            }
        }
        self
    }

    /// Of one of several items, with its key, and with what is known of it.
    pub(crate) fn of_item(mut self, quoted_key: &str) -> Self {
        let known = match self.retry {
            Retry::OutcomeUnknown => "; what became of it is not known",
            _ => "; it was not changed",
        };
        self.message = format!("{quoted_key}: {}{known}", self.message).into();
        self
    }

    /// How much is open of what failed so: an outcome that is unknown is more than a failure that would come again, and
    /// that is more than one that passes.
    pub(crate) const fn gravity(&self) -> u8 {
        match self.retry {
            Retry::Safe => 0,
            Retry::OutcomeUnknown => 2,
            _ => 1,
        }
    }

    /// Whether it is a store's failure, which the operator has to know of.
    pub(crate) const fn is_failure(&self) -> bool {
        self.failure.is_some()
    }

    /// Tells the operator of a store's failure, which so many items of a request had.
    pub(crate) fn log(&self, items: usize) {
        let Some(failure) = &self.failure else { return };
        let Failure { kind, store, operation, reason, code } = &**failure;
        let (store, operation) = (store.as_deref(), *operation);
        let (reason, code) = (reason.as_ref().map(tracing::field::debug), code.as_deref());
        warn!(%kind, store, operation, reason, code, items, "a store failed");
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Whether the call must not be sent again as it is.
    const fn is_final(&self) -> bool {
        match self.retry {
            Retry::Safe => false,
            Retry::OutcomeUnknown => self.is_conditional,
            _ => true,
        }
    }

    /// One error of the envelope.
    pub(crate) fn as_json(&self) -> String {
        format!(r#"{{"code":{},"message":{}}}"#, self.code, json_quoted(&self.message))
    }

    /// With a result and messages beside the error, as bulk answers have. Both are JSON, the messages without brackets.
    pub(crate) fn with_result(&self, result: &str, messages: &str) -> Response {
        let error = self.as_json();
        let body = format!(r#"{{"success":false,"errors":[{error}],"messages":[{messages}],"result":{result}}}"#);
        let mut response = crate::dialect::json(self.status, body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = &self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.retry == Retry::OutcomeUnknown {
            headers.insert(OUTCOME, HeaderValue::from_static("unknown"));
        }
        if self.is_final() && is_repeated(self.status) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }
}

/// What the vendor's clients repeat, unless [`SHOULD_RETRY`] says no.
fn is_repeated(status: StatusCode) -> bool {
    let others = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || others.contains(&status)
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.with_result("null", "")
    }
}

/// What a store's error is to a client (ERR-1), and whether it may try again (ERR-3). The text of one that the client
/// can do nothing about is not shown: it may name addresses.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let mut fault = of_kind(&error);
        if fault.status.is_server_error() && fault.status != StatusCode::NOT_IMPLEMENTED {
            fault.failure = Some(Box::new(Failure {
                kind: error.kind(),
                store: error.store().map(str::to_owned),
                operation: error.operation(),
                reason: error.reason().cloned(),
                code: error.native_code().map(str::to_owned),
            }));
        }
        fault.retry = error.retry();
        fault.retry_after = match fault.status {
            // A wait that nobody asked for is only for what may come again.
            StatusCode::TOO_MANY_REQUESTS if error.retry() == Retry::Never => error.retry_after().map(whole_seconds),
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
        _ => Fault::internal(),
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
    fn err_3_what_is_known_of_the_outcome_is_said() {
        let header = |response: &Response, name: HeaderName| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let no = || Some("false".to_owned());
        let unknown = || Some("unknown".to_owned());
        for kind in [ErrorKind::Unavailable, ErrorKind::Protocol, ErrorKind::RateLimited] {
            for (retry, asked, outcome, should_retry) in [
                (Retry::Safe, Asked::State, None, None),
                (Retry::Safe, Asked::Step, None, None),
                (Retry::OutcomeUnknown, Asked::Read, None, None),
                (Retry::OutcomeUnknown, Asked::State, unknown(), None),
                (Retry::OutcomeUnknown, Asked::Step, unknown(), no()),
                (Retry::Never, Asked::State, None, no()),
                (Retry::Never, Asked::Read, None, no()),
            ] {
                let fault = Fault::from(Error::new(kind, "m").with_retry(retry)).of_call(asked);
                assert_eq!(fault.message.contains("not known"), outcome.is_some(), "{kind} {retry:?} {asked:?}");
                let response = fault.into_response();
                let said = (header(&response, OUTCOME), header(&response, SHOULD_RETRY));
                assert_eq!(said, (outcome, should_retry), "{kind} {retry:?} {asked:?}");
            }
        }
        // What is no use to repeat: the vendor's clients would, by the status.
        for kind in [ErrorKind::WrongType, ErrorKind::Exhausted, ErrorKind::Internal, ErrorKind::Unsupported] {
            let response = Fault::from(Error::new(kind, "m")).of_call(Asked::State).into_response();
            assert_eq!(header(&response, SHOULD_RETRY), no(), "{kind}");
        }
        for fault in [Fault::overloaded(), Fault::slow_body()] {
            assert_eq!(header(&fault.into_response(), SHOULD_RETRY), None);
        }
        let late = Fault::late().of_call(Asked::Step).into_response();
        assert_eq!((header(&late, OUTCOME), header(&late, SHOULD_RETRY)), (unknown(), no()));
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
        let never = || error().with_retry(Retry::Never);
        assert_eq!(wait(never()), None);
        assert_eq!(wait(never().with_retry_after(Duration::from_secs(3))), Some(3));
        assert_eq!(wait(Error::new(ErrorKind::Unavailable, "m")), None);
        assert_eq!(wait(Error::new(ErrorKind::Protocol, "m").with_retry_after(Duration::from_secs(3))), None);
    }
}
