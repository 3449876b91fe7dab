//! What the system's refusals mean.

use kv_api::{Clock, Error, ErrorKind, JsonText, Retry};
use kv_remote::Redaction;
use kv_remote::http::Answer;

use super::value::whole;

/// An error as the system spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its own code.
    pub(super) code: i64,
    /// Its text, which may quote the request.
    message: String,
}

/// `no such key`: documented for expire, expire-at, get-expiration-ttl and rename.
pub(super) const NO_SUCH_KEY: i64 = 27_003;
/// `Expiration for key wasn't set.`: documented for get-expiration-ttl.
pub(super) const NO_EXPIRATION: i64 = 27_010;
/// `Not existing user token - <token>. ...`: from the tests of the JavaScript SDK.
const BAD_USER_TOKEN: i64 = 3064;

impl Refusal {
    /// The error object that a body is: `code` and `message`, documented for every operation. Never asked of an answer
    /// that holds values, which may look like one.
    pub(super) fn of(json: JsonText<'_>) -> Option<Self> {
        let members = json.object()?;
        let code = whole(*members.get("code")?)?;
        Some(Self { code, message: members.get("message")?.as_str()?.into_owned() })
    }
}

/// The error that an answer is: by its code where that is known, else by its status. The status of errors is not
/// documented; 400 in what was observed of the same shape.
pub(super) fn error(answer: &Answer, refusal: Option<&Refusal>, redaction: &Redaction, clock: &dyn Clock) -> Error {
    let said = refusal.and_then(|refusal| redaction.apply(&refusal.message));
    let message = said.map_or_else(
        || "the system refused the request".to_owned(),
        |said| format!("the system refused the request: {said}"),
    );
    let status = answer.status.as_u16();
    let Some(refusal) = refusal else { return answer.error(clock, message) };
    let error = match refusal.code {
        BAD_USER_TOKEN => Error::new(ErrorKind::Unauthorized, message),
        // Said under a status that says nothing.
        _ if answer.status.is_success() => Error::new(ErrorKind::InvalidArgument, message).with_retry(Retry::Never),
        _ => answer.error(clock, message),
    };
    error.with_native_code(format_args!("HTTP {status}, code {}", refusal.code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{ManualClock, Timestamp};
    use kv_remote::SecretString;
    use kv_remote::http::{HeaderMap, HeaderValue, StatusCode, header};
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    fn refusal(body: &Json) -> Option<Refusal> {
        Refusal::of(JsonText::parse(&body.to_string()).unwrap())
    }

    fn answer(status: u16, body: &Json) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: body.to_string().into() }
    }

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn err_1_each_row_of_the_table() {
        use ErrorKind::*;
        use Retry::{Never, OutcomeUnknown, Safe};
        let with_code = |code: i64| json!({"code": code, "message": "m", "errorData": {}});
        for (status, body, kind, retry, code) in [
            // By code, whatever the status.
            (400, with_code(3064), Unauthorized, Never, "HTTP 400, code 3064"),
            (200, with_code(3064), Unauthorized, Never, "HTTP 200, code 3064"),
            // A code that nobody documented, by status.
            (400, with_code(27_001), InvalidArgument, Never, "HTTP 400, code 27001"),
            (200, with_code(27_001), InvalidArgument, Never, "HTTP 200, code 27001"),
            (400, json!({"code": 27_001.0, "message": "m"}), InvalidArgument, Never, "HTTP 400, code 27001"),
            (401, with_code(1), Unauthorized, Never, "HTTP 401, code 1"),
            (404, with_code(1), Misconfigured, Never, "HTTP 404, code 1"),
            (429, with_code(1), RateLimited, Safe, "HTTP 429, code 1"),
            (500, with_code(1), Unavailable, OutcomeUnknown, "HTTP 500, code 1"),
            // By status alone.
            (400, json!("no object"), InvalidArgument, Never, "HTTP 400"),
            (401, Json::Null, Unauthorized, Never, "HTTP 401"),
            (402, Json::Null, Exhausted, Never, "HTTP 402"),
            (403, Json::Null, Unauthorized, Never, "HTTP 403"),
            (404, Json::Null, Misconfigured, Never, "HTTP 404"),
            (407, Json::Null, Misconfigured, Never, "HTTP 407"),
            (408, Json::Null, Unavailable, OutcomeUnknown, "HTTP 408"),
            (413, Json::Null, InvalidArgument, Never, "HTTP 413"),
            (429, Json::Null, RateLimited, Safe, "HTTP 429"),
            (502, json!({"message": "no code"}), Unavailable, OutcomeUnknown, "HTTP 502"),
            (503, json!({"code": "no number", "message": "m"}), Unavailable, OutcomeUnknown, "HTTP 503"),
            (301, Json::Null, Misconfigured, Never, "HTTP 301"),
        ] {
            let answer = answer(status, &body);
            let error = error(&answer, refusal(&body).as_ref(), &Redaction::Everything, &clock());
            assert_eq!(
                (error.kind(), error.retry(), error.native_code()),
                (kind, retry, Some(code)),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn err_2_the_text_is_shown_without_secrets_and_never_when_a_value_was_sent() {
        let body = json!({"code": 3064, "message": "Not existing user token - s3cr3t. Relogin", "errorData": {}});
        let (answer, refusal) = (answer(400, &body), refusal(&body));
        let secrets = Redaction::Secrets([SecretString::from("s3cr3t")].into());
        let shown = error(&answer, refusal.as_ref(), &secrets, &clock()).to_string();
        assert!(shown.contains("token - ...."), "{shown}");
        assert!(!shown.contains("s3cr3t"));
        let hidden = error(&answer, refusal.as_ref(), &Redaction::Everything, &clock()).to_string();
        assert!(!hidden.contains("Relogin"), "{hidden}");
    }

    #[test]
    fn err_3_the_wait_that_was_asked_for_is_told() {
        let mut answer = answer(429, &json!({"code": 1, "message": "slow down"}));
        answer.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let refusal = refusal(&json!({"code": 1, "message": "slow down"}));
        let error = error(&answer, refusal.as_ref(), &Redaction::Everything, &clock());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
}
