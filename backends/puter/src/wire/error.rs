//! What the system's refusals mean (ERR-1, ERR-3).

use std::borrow::Cow;

use kv_api::{Clock, Error, ErrorKind, JsonText, Retry};
use kv_remote::Redaction;
use kv_remote::http::Answer;

/// A failure of the program, or of a number that it could not read back.
pub(crate) const INTERNAL_ERROR: &str = "internal_error";
/// The refusal of the storage behind the system, perhaps after it had taken a part.
pub(crate) const UPSTREAM_BAD_REQUEST: &str = "upstream_bad_request";

/// The codes of the system. Those of 403 that ask for a confirmation are known by their status where they have another
/// name.
const CODES: &[(&str, ErrorKind, Retry)] = &[
    ("bad_request", ErrorKind::InvalidArgument, Retry::Never),
    ("client_bad_json", ErrorKind::InvalidArgument, Retry::Never),
    ("client_bad_request", ErrorKind::InvalidArgument, Retry::Never),
    (UPSTREAM_BAD_REQUEST, ErrorKind::InvalidArgument, Retry::Never),
    ("token_missing", ErrorKind::Unauthorized, Retry::Never),
    ("token_auth_failed", ErrorKind::Unauthorized, Retry::Never),
    ("reauth_required", ErrorKind::Unauthorized, Retry::Never),
    ("insufficient_funds", ErrorKind::Exhausted, Retry::Never),
    ("forbidden", ErrorKind::Unauthorized, Retry::Never),
    ("app_blocked", ErrorKind::Unauthorized, Retry::Never),
    ("email_confirmation_required", ErrorKind::Unauthorized, Retry::Never),
    ("phone_confirmation_required", ErrorKind::Unauthorized, Retry::Never),
    ("card_verification_required", ErrorKind::Unauthorized, Retry::Never),
    ("not_found", ErrorKind::Misconfigured, Retry::Never),
    ("subject_does_not_exist", ErrorKind::Misconfigured, Retry::Never),
    // Raised before the call is carried out.
    ("too_many_requests", ErrorKind::RateLimited, Retry::Safe),
    // The storage failed in the middle of a call, of which a part may have been carried out.
    ("upstream_rate_limited", ErrorKind::RateLimited, Retry::OutcomeUnknown),
    ("upstream_provider_unavailable", ErrorKind::Unavailable, Retry::OutcomeUnknown),
    ("upstream_auth_failed", ErrorKind::Unavailable, Retry::OutcomeUnknown),
    // Of another part of the system than the one that keeps the entries: nothing says that the call was not carried
    // out, and the system's own client does not repeat a write after it.
    ("db_unavailable", ErrorKind::Unavailable, Retry::OutcomeUnknown),
    (INTERNAL_ERROR, ErrorKind::Unavailable, Retry::OutcomeUnknown),
];

/// Texts of refusals that mean something else than their code does elsewhere.
const TEXTS: &[(&str, (&str, ErrorKind, Retry))] = &[
    // The storage took a part of a batch, and not the rest in spite of the system's repeats.
    ("Failed to batch write all items to DynamoDB", ("bad_request", ErrorKind::Unavailable, Retry::OutcomeUnknown)),
    // A step on what is no number. The storage refuses with the same code what it has no room for at the moment.
    (
        "An operand in the update expression has an incorrect data type",
        (UPSTREAM_BAD_REQUEST, ErrorKind::WrongType, Retry::Never),
    ),
];

/// An error as the system spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The system's own code, where it is one that is known; another text may be anything.
    code: Option<&'static (&'static str, ErrorKind, Retry)>,
    /// What it says, which may quote the request.
    message: Option<String>,
}

impl Refusal {
    /// In the present form, `code` and `message` beside each other, and in the older one, which has them in `error`.
    pub(super) fn of(json: JsonText<'_>) -> Self {
        let text = |member: &str| -> Option<String> {
            let members = json.object()?;
            let within = members.get("error").and_then(|error| error.object());
            within.as_ref().unwrap_or(&members).get(member)?.as_str().map(Cow::into_owned)
        };
        let (code, message) = (text("code"), text("message"));
        let (code, said) = (code.as_deref(), message.as_deref());
        let by_text = TEXTS.iter().find(|(text, (known, ..))| Some(*text) == said && Some(*known) == code);
        let by_code = || CODES.iter().find(|(known, ..)| Some(*known) == code);
        Self { code: by_text.map(|(_, meaning)| meaning).or_else(by_code), message }
    }
}

/// The error that an answer is: by its code where that is known, else by its status.
pub(super) fn error(answer: &Answer, refusal: &Refusal, redaction: &Redaction, clock: &dyn Clock) -> Error {
    let said = refusal.message.as_ref().and_then(|message| redaction.apply(message));
    let message = said.map_or_else(
        || "the system refused the request".to_owned(),
        |said: String| format!("the system refused the request: {said}"),
    );
    let by_status = answer.error(clock, message.clone());
    let Some((code, kind, retry)) = refusal.code else { return by_status };
    let error = Error::new(*kind, message)
        .with_retry(*retry)
        .with_native_code(format_args!("HTTP {}, {code}", answer.status.as_u16()));
    match answer.retry_after(clock) {
        Some(wait) if *retry != Retry::Never => error.with_retry_after(wait),
        _ => error,
    }
}

/// Whether the system gave this code.
pub(crate) fn has_code(error: &Error, code: &str) -> bool {
    let own = error.native_code().and_then(|native| native.rsplit_once(' '));
    own.is_some_and(|(_, own)| own == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ManualClock, Timestamp};
    use kv_remote::SecretString;
    use kv_remote::http::{HeaderMap, HeaderValue, StatusCode, header};
    use serde_json::json;
    use std::time::Duration;

    const NOTHING: &Redaction = &Redaction::Everything;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn read(answer: &Answer, redaction: &Redaction) -> Error {
        let refusal = JsonText::parse_slice_foreign(&answer.body).map(Refusal::of).unwrap_or_default();
        error(answer, &refusal, redaction, &ManualClock::new(Timestamp::UNIX_EPOCH))
    }

    fn native(code: &str) -> String {
        json!({"error": "said", "message": "said", "code": code}).to_string()
    }

    #[test]
    fn err_1_each_row_of_the_table() {
        use ErrorKind::*;
        use Retry::{Never, OutcomeUnknown, Safe};
        for (status, code, kind, retry) in [
            (400, "bad_request", InvalidArgument, Never),
            (400, "client_bad_json", InvalidArgument, Never),
            (413, "client_bad_request", InvalidArgument, Never),
            (400, "upstream_bad_request", InvalidArgument, Never),
            (401, "token_missing", Unauthorized, Never),
            (401, "token_auth_failed", Unauthorized, Never),
            (401, "reauth_required", Unauthorized, Never),
            (402, "insufficient_funds", Exhausted, Never),
            (403, "forbidden", Unauthorized, Never),
            (403, "app_blocked", Unauthorized, Never),
            (403, "email_confirmation_required", Unauthorized, Never),
            (403, "phone_confirmation_required", Unauthorized, Never),
            (403, "card_verification_required", Unauthorized, Never),
            (404, "not_found", Misconfigured, Never),
            (404, "subject_does_not_exist", Misconfigured, Never),
            (429, "too_many_requests", RateLimited, Safe),
            (429, "upstream_rate_limited", RateLimited, OutcomeUnknown),
            (400, "upstream_provider_unavailable", Unavailable, OutcomeUnknown),
            (500, "upstream_auth_failed", Unavailable, OutcomeUnknown),
            (500, "internal_error", Unavailable, OutcomeUnknown),
            (503, "db_unavailable", Unavailable, OutcomeUnknown),
        ] {
            let older = json!({"success": false, "error": {"code": code, "message": "said"}}).to_string();
            for answer in [answer(status, &native(code)), answer(200, &older)] {
                let error = read(&answer, NOTHING);
                assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {code}");
                assert_eq!(error.native_code(), Some(&*format!("HTTP {}, {code}", answer.status.as_u16())));
                assert!(has_code(&error, code) && !has_code(&error, "request"), "{code}");
            }
        }
    }

    #[test]
    fn err_1_what_has_no_known_code_is_told_by_its_status() {
        use ErrorKind::*;
        use Retry::{Never, OutcomeUnknown, Safe};
        for (status, kind, retry) in [
            (301, Misconfigured, Never),
            (400, InvalidArgument, Never),
            (401, Unauthorized, Never),
            (402, Exhausted, Never),
            (403, Unauthorized, Never),
            (404, Misconfigured, Never),
            (407, Misconfigured, Never),
            (413, InvalidArgument, Never),
            (429, RateLimited, Safe),
            (500, Unavailable, OutcomeUnknown),
            (502, Unavailable, OutcomeUnknown),
            (503, Unavailable, OutcomeUnknown),
            (200, Protocol, OutcomeUnknown),
        ] {
            for body in ["<html>hush</html>", "", "[]", "5", &native("hush"), r#"{"code":5}"#] {
                let error = read(&answer(status, body), NOTHING);
                assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {body}");
                assert_eq!(error.native_code(), Some(&*format!("HTTP {status}")), "{body}");
                assert!(!error.to_string().contains("hush"), "{error}");
            }
        }
    }

    #[test]
    fn err_2_the_system_is_quoted_without_the_token_and_only_when_no_value_was_sent() {
        let body = json!({"error": "e", "message": "you sent hush and \n more", "code": "bad_request"}).to_string();
        let secrets = Redaction::Secrets([SecretString::from("hush")].into());
        let shown = read(&answer(400, &body), &secrets);
        assert_eq!(shown.message(), "the system refused the request: you sent ... and   more");
        assert_eq!(read(&answer(400, &body), NOTHING).message(), "the system refused the request");
    }

    #[test]
    fn err_3_the_wait_that_was_asked_for_is_told() {
        for (status, code) in [(503, "db_unavailable"), (429, "too_many_requests"), (503, "other")] {
            let mut answer = answer(status, &native(code));
            assert_eq!(read(&answer, NOTHING).retry_after(), None);
            answer.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            assert_eq!(read(&answer, NOTHING).retry_after(), Some(Duration::from_secs(5)), "{code}");
        }
        let mut refused = answer(400, &native("bad_request"));
        refused.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        assert_eq!(read(&refused, NOTHING).retry_after(), None, "waiting does not help");
    }
}
