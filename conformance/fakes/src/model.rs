//! What a fake system is, apart from any server: a state that turns a request and the time into an answer.

use kv_api::Timestamp;

/// A request as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The method, in capitals.
    pub(crate) method: &'a str,
    /// The path, still percent-encoded, from the first slash on.
    pub(crate) path: &'a str,
    /// What follows the question mark, still percent-encoded; empty when there is none.
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

/// A stateful model of a system.
pub(crate) trait Model: Send + 'static {
    /// Carries out one request at this time. Requests come one after the other.
    fn answer(&mut self, request: &Request<'_>, now: Timestamp) -> Answer;
}
