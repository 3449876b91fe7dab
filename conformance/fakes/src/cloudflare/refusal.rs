//! How the system says no: its error catalogue.
//!
//! Codes and statuses that have not been seen in production are assumptions; each is made here, once, and says so. A
//! test of an adapter should rely on the status class only.

use super::Refusals;
use crate::javascript::stringify;
use crate::json::{Value, json};
use crate::model::Answer;

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    code: u32,
    message: String,
    /// Code and text of the local implementation, where they are others.
    local: Option<(u32, String)>,
    /// The reason behind the reason, for refusals of the gateway.
    chain: Option<(u32, String)>,
}

impl Refusal {
    fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), local: None, chain: None }
    }

    /// The local implementation has this code.
    fn locally(self, code: u32) -> Self {
        let local = Some((code, self.message.clone()));
        Self { local, ..self }
    }

    /// The local implementation has one code for all that it refuses in a bulk write or delete.
    pub(super) fn in_bulk(self) -> Self {
        let message = self.local.map_or_else(|| self.message.clone(), |(_, message)| message);
        Self { local: Some((10001, message)), ..self }
    }

    pub(super) fn key_not_found() -> Self {
        Self { local: Some((10009, "Not Found".to_owned())), ..Self::new(404, 10009, "get: 'key not found'") }
    }

    /// `operation` as the system names it: `get`, `put`, `list keys`.
    pub(super) fn namespace_not_found(operation: &str) -> Self {
        Self::new(404, 10013, format!("{operation}: 'namespace not found'"))
    }

    pub(super) fn malformed_namespace_id(id: &str) -> Self {
        Self::new(400, 10011, format!("could not parse UUID from request's namespace_id: '{id}'"))
    }

    pub(super) fn duplicate_title() -> Self {
        Self::new(400, 10014, "a namespace with this account ID and title already exists")
    }

    /// The code has been seen for an empty title; status, text and the upper limit's code are assumed.
    pub(super) fn bad_title() -> Self {
        Self::new(400, 10019, "namespace titles must have 1 to 512 characters")
    }

    /// Too many requests, too fast; code and text have been seen in production.
    pub(super) fn too_fast() -> Self {
        Self::new(429, 971, "Please wait and consider throttling your request speed")
    }

    pub(super) fn wrong_credentials() -> Self {
        Self::new(403, 10000, "Authentication error")
    }

    /// A header that does not look like credentials at all, refused by the gateway.
    pub(super) fn malformed_authorization() -> Self {
        let chain = Some((6111, "Invalid format for Authorization header".to_owned()));
        Self { chain, ..Self::new(400, 6003, "Invalid request headers") }
    }

    /// Assumed: of the two statuses and codes seen, 404 and 7003.
    pub(super) fn no_route(path: &str) -> Self {
        Self::new(404, 7003, format!("Could not route to {path}, perhaps your object identifier is invalid?"))
    }

    /// Assumed: of the two codes seen, 10405.
    pub(super) fn method_not_allowed(method: &str) -> Self {
        Self::new(405, 10405, format!("{method} method not allowed"))
    }

    /// The code has been seen for a ttl below the minimum; for an absolute expiry it is assumed. The texts are those of
    /// the binding, the same in production and locally.
    pub(super) fn expiry(message: String) -> Self {
        Self::new(400, 10034, message).locally(10001)
    }

    /// A ttl that the local implementation does not hand to the binding: its validator refuses it first.
    pub(super) fn short_ttl(message: String, at: usize, min: i64) -> Self {
        let local = format!("{at}.expiration_ttl: Too small: expected number to be >={min}");
        Self { local: Some((10001, local)), ..Self::expiry(message) }
    }

    /// Status and text seen locally, code assumed.
    pub(super) fn key_too_long(bytes: usize, max: usize) -> Self {
        Self::new(414, 10001, format!("UTF-8 encoded length of {bytes} exceeds key length limit of {max}."))
            .locally(10000)
    }

    /// Status and text seen locally, code assumed. `what` is `Value` or `Metadata`.
    pub(super) fn too_long(what: &str, bytes: usize, max: usize) -> Self {
        Self::new(413, 10001, format!("{what} length of {bytes} exceeds limit of {max}.")).locally(10000)
    }

    /// Assumed: the answer to more than 100 MB has not been seen.
    pub(super) fn request_too_large(max: usize) -> Self {
        Self::new(413, 10001, format!("Total size of request exceeds the limit of {max} bytes"))
    }

    /// Status seen locally, code assumed: a single request or a query that is not as documented.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, 10001, message)
    }

    /// The code has been seen for a bulk body of the wrong shape; for a wrong item in it the code is assumed. The
    /// status has been seen locally.
    pub(super) fn bad_bulk(message: impl Into<String>) -> Self {
        Self::new(400, 10012, message).locally(10001)
    }

    pub(super) fn no_keys() -> Self {
        Self::new(400, 10029, "You must request a minimum of 1 key").locally(10000)
    }

    /// Under its own status.
    pub(super) fn answer(&self, refusals: Refusals) -> Answer {
        match &self.local {
            Some((code, message)) if refusals == Refusals::Local => self.answer_as(self.status, *code, message),
            _ => self.answer_under(self.status),
        }
    }

    /// Under another status: the system has been seen to say no under 200.
    pub(super) fn answer_under(&self, status: u16) -> Answer {
        self.answer_as(status, self.code, &self.message)
    }

    fn answer_as(&self, status: u16, code: u32, message: &str) -> Answer {
        let mut error = json!({ "code": code, "message": message });
        if let Some((code, message)) = &self.chain {
            error["error_chain"] = json!([{ "code": *code, "message": message }]);
        }
        json_answer(status, &json!({ "success": false, "errors": [error], "messages": [], "result": null }))
    }
}

/// Success, with a result that is no listing.
pub(super) fn success(result: &Value) -> Answer {
    json_answer(200, &json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

/// Success, with a page.
pub(super) fn page(result: &[Value], info: &Value) -> Answer {
    let envelope =
        json!({ "success": true, "errors": [], "messages": [], "result": result.to_vec(), "result_info": info });
    json_answer(200, &envelope)
}

fn json_answer(status: u16, body: &Value) -> Answer {
    let headers = vec![("content-type", "application/json".to_owned())];
    Answer { status, headers, body: stringify(body).into_bytes() }
}
