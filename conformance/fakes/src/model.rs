//! What a fake system is, apart from any server: a state that turns a request and the time into an answer.

use std::time::Duration;

use kv_api::Timestamp;

use crate::fault::Fault;

/// A request as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The method, in capitals.
    pub(crate) method: &'a str,
    /// The path, still percent-encoded, from the first slash on.
    pub(crate) path: &'a str,
    /// What follows the question mark, still percent-encoded; empty without one.
    pub(crate) query: &'a str,
    /// The headers, their names in lower case.
    pub(crate) headers: &'a [(String, String)],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Request<'_> {
    /// The first header of this name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// An answer as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers; the server adds length and date.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Whether the body calls itself JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.headers.iter().any(|(name, value)| *name == "content-type" && value.starts_with("application/json"))
    }
}

/// What a client may still send, as a system reports in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Requests per window.
    pub(crate) requests: u32,
    /// The length of the window.
    pub(crate) window: Duration,
    /// Requests left in this window.
    pub(crate) remaining: u32,
    /// Whole seconds until the next window begins, rounded up.
    pub(crate) reset_seconds: u64,
}

/// A stateful model of a system.
pub(crate) trait Model: Send + 'static {
    /// Carries out one request at this time. Requests come one after the other.
    fn answer(&mut self, request: &Request<'_>, now: Timestamp) -> Answer;

    /// How this system shows a fault that lies in it and not in the connection: [`Fault::Throttled`],
    /// [`Fault::ThrottledUnderSuccess`], [`Fault::EmptyPage`], [`Fault::StuckPage`], [`Fault::FirstPageAgain`],
    /// [`Fault::Implausible`], [`Fault::Stale`], [`Fault::PartlyUnsuccessful`], [`Fault::BrokenOff`],
    /// [`Fault::Refused`]. `None` when the fault does not fit the request; then nothing has been carried out.
    fn answer_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> Option<Answer>;

    /// Whether the request asks for a change, not just for an answer.
    fn is_write(&self, request: &Request<'_>) -> bool {
        matches!(request.method, "PUT" | "DELETE")
    }

    /// What the system adds to every answer about the rate of requests.
    fn quota_headers(&self, _quota: &Quota) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The keys that exist at this time in the store that the base URL and the model's defaults name, sorted by their
    /// bytes.
    fn keys(&self, now: Timestamp) -> Vec<String>;

    /// What must not show in a log although it may stand in a path or query.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}
