//! The errors that the system answers: which there are, and how they look. Texts and codes are observed unless a line
//! says otherwise.

use crate::json::{Value, json};

/// Also on the answer to what takes more than the account has.
const NEEDS_UPGRADE: (&str, &str) = ("x-needs-upgrade", "true");

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// A member beside `error`, `message` and `code`.
    extra: Option<Extra>,
    pub(super) header: Option<&'static (&'static str, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    UpstreamStatus(u16),
    Reason(&'static str),
}

impl Refusal {
    /// What the system itself objects to in the arguments; nothing was written.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "bad_request", message)
    }

    pub(super) fn missing_key() -> Self {
        Self::bad_request("Missing `key`")
    }

    pub(super) fn malformed_json() -> Self {
        Self::new(400, "client_bad_json", "Malformed JSON in request body")
    }

    pub(super) fn body_too_large() -> Self {
        let header = Some(&NEEDS_UPGRADE);
        Self { header, ..Self::new(413, "client_bad_request", "request entity too large") }
    }

    /// What the storage objects to, perhaps after earlier writes of the same request. The texts are the storage's.
    pub(super) fn storage(message: impl Into<String>) -> Self {
        Self { extra: Some(Extra::UpstreamStatus(400)), ..Self::new(400, "upstream_bad_request", message) }
    }

    pub(super) fn item_too_large() -> Self {
        Self::storage("Item size has exceeded the maximum allowed size")
    }

    pub(super) fn wrong_operand() -> Self {
        Self::storage("An operand in the update expression has an incorrect data type")
    }

    pub(super) fn invalid_document_path() -> Self {
        Self::storage("The document path provided in the update expression is invalid for update")
    }

    /// From the source, which gives it the code of what is refused before anything is written.
    pub(super) fn batch_not_stored() -> Self {
        Self::bad_request("Failed to batch write all items to DynamoDB")
    }

    pub(super) fn token_missing() -> Self {
        Self::new(401, "token_missing", "Missing authentication token")
    }

    pub(super) fn token_refused() -> Self {
        Self::new(401, "token_auth_failed", "Authentication failed")
    }

    /// For a token of an older kind; for a session that has ended there are other reasons, which no source lists.
    pub(super) fn reauthenticate(reason: &'static str) -> Self {
        let extra = Some(Extra::Reason(reason));
        Self { extra, ..Self::new(401, "reauth_required", "Re-authentication required") }
    }

    /// From the source.
    pub(super) fn no_credit() -> Self {
        let header = Some(&NEEDS_UPGRADE);
        Self { header, ..Self::new(402, "insufficient_funds", "No usage left for request.") }
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "forbidden", message)
    }

    pub(super) fn scoped_token() -> Self {
        Self::forbidden("Access tokens are not allowed to access this resource")
    }

    pub(super) fn email_unconfirmed() -> Self {
        Self::new(403, "email_confirmation_required", "Please confirm your email to continue")
    }

    /// From the source.
    pub(super) fn suspended() -> Self {
        Self::forbidden("Account suspended")
    }

    /// From the source, which goes on after "allowed" in a way that is not known.
    pub(super) fn app_blocked() -> Self {
        Self::new(403, "app_blocked", "This app is not allowed")
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "not_found", message)
    }

    pub(super) fn no_such_route() -> Self {
        Self::not_found("Not Found")
    }

    pub(super) fn no_such_app(app: &str) -> Self {
        Self::new(404, "subject_does_not_exist", format!("entity_not_found: app:{app}"))
    }

    pub(super) fn too_many_requests() -> Self {
        Self::new(429, "too_many_requests", "Too many requests.")
    }

    pub(super) fn too_many_at_once() -> Self {
        Self::new(429, "too_many_requests", "Too many concurrent requests.")
    }

    /// What a failed assumption of the program becomes; a write may have happened.
    pub(super) fn internal() -> Self {
        Self::new(500, "internal_error", "Internal Server Error")
    }

    /// From the source.
    pub(super) fn overloaded() -> Self {
        let header = Some(&("retry-after", "5"));
        Self { header, ..Self::new(503, "db_unavailable", "Service temporarily unavailable") }
    }

    pub(super) fn body(&self) -> Value {
        let mut body = json!({"error": &self.message, "message": &self.message, "code": self.code});
        match self.extra {
            Some(Extra::UpstreamStatus(status)) => body["upstreamStatus"] = json!(status),
            Some(Extra::Reason(reason)) => body["reason"] = json!(reason),
            None => {}
        }
        body
    }

    /// How older servers say that a driver failed, under status 200.
    pub(super) fn body_under_success(&self) -> Value {
        json!({"success": false, "error": {"code": self.code, "message": &self.message}})
    }

    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), extra: None, header: None }
    }
}
