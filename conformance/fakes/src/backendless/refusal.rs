//! The errors that the system answers: which there are, and how they look.

use crate::json::json;

/// The status of every error whose status no source gives, which is nearly all (reference: the official JavaScript
/// client takes only a status outside 200 to 299 for an error, and users report 400).
const STATUS: u16 = 400;

/// An error answer: a status, and an object of `code`, `message` and `errorData`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: u32,
    pub(super) message: String,
}

impl Refusal {
    /// Documented.
    pub(super) fn no_such_key() -> Self {
        Self::new(27003, "no such key")
    }

    /// Documented.
    pub(super) fn no_expiration() -> Self {
        Self::new(27010, "Expiration for key wasn't set.")
    }

    /// Code and message as the official JavaScript client expects them; it quotes the token.
    pub(super) fn bad_user_token(status: u16, token: &str) -> Self {
        let message = format!("Not existing user token - {token}. Relogin user to update your user token");
        Self { status, ..Self::new(3064, message) }
    }

    // No source has a code for the errors below. Theirs lie beyond all codes of the system, so that no reader takes
    // them for real ones.

    /// Reads and writes alike; whether the system creates a hive on first write is not known.
    pub(super) fn no_such_hive() -> Self {
        Self::new(999_001, "no such hive")
    }

    pub(super) fn hive_exists() -> Self {
        Self::new(999_002, "a hive of this name exists already")
    }

    pub(super) fn wrong_application() -> Self {
        Self { status: 401, ..Self::new(999_003, "no application with this id and API key") }
    }

    pub(super) fn no_such_route() -> Self {
        Self { status: 404, ..Self::new(999_004, "there is nothing at this address for this method") }
    }

    /// A request that says something it must not; `what` does not quote it.
    pub(super) fn bad_request(what: &str) -> Self {
        Self::new(999_005, what)
    }

    pub(super) fn not_a_number() -> Self {
        Self::new(999_006, "the value is not an integer")
    }

    pub(super) fn out_of_range() -> Self {
        Self::new(999_007, "the result is not a 64-bit integer")
    }

    /// Too many requests. That 429 is the status is a third party's word.
    pub(super) fn too_many_requests() -> Self {
        Self { status: 429, ..Self::new(999_008, "too many requests") }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        json!({"code": self.code, "message": &self.message, "errorData": {}}).to_string().into_bytes()
    }

    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { status: STATUS, code, message: message.into() }
    }
}
