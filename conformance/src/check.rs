//! What a case says when a promise is not kept.

use kv_api::{Error, ErrorKind, Reason, Value, ValueKind};

/// Ends the case as failed unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::outcome::Stop::Failed(format!("{} ({}:{})", format_args!($($text)+), file!(), line!())));
        }
    };
}

/// Ends the case as failed unless what was found is what was expected.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($text:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if found != expected {
                    return Err($crate::outcome::Stop::Failed(format!(
                        "{}: expected {expected:?}, found {found:?} ({}:{})", format_args!($($text)+), file!(), line!()
                    )));
                }
            }
        }
    };
}

/// The error that a call must end with; a success ends the case as failed.
macro_rules! ensure_err {
    ($result:expr, $($text:tt)+) => {
        match $result {
            Err(error) => error,
            Ok(_) => return Err($crate::outcome::Stop::Failed(format!(
                "{}: expected an error, and it succeeded ({}:{})", format_args!($($text)+), file!(), line!()
            ))),
        }
    };
}

/// Ends the case as failed unless the error has this kind and reason.
macro_rules! ensure_refused {
    ($result:expr, $kind:expr, $reason:expr, $($text:tt)+) => {{
        let error = ensure_err!($result, $($text)+);
        if let Some(wrong) = $crate::check::differs(&error, $kind, $reason) {
            return Err($crate::outcome::Stop::Failed(format!("{}: {wrong} ({}:{})", format_args!($($text)+), file!(), line!())));
        }
    }};
}

/// Ends the case as failed unless the error is `InvalidArgument` for this reason.
macro_rules! ensure_invalid {
    ($result:expr, $reason:expr, $($text:tt)+) => {
        ensure_refused!($result, kv_api::ErrorKind::InvalidArgument, Some($reason), $($text)+)
    };
}

/// In what an error differs from the one that was expected; without a reason, only the kind counts.
pub(crate) fn differs(error: &Error, kind: ErrorKind, reason: Option<Reason>) -> Option<String> {
    if error.kind() == kind && (reason.is_none() || error.reason() == reason.as_ref()) {
        return None;
    }
    let expected = reason.map_or(String::new(), |reason| format!(" with reason {reason:?}"));
    Some(format!(
        "expected the error {kind:?}{expected}, found {:?} with reason {:?}: {error}",
        error.kind(),
        error.reason()
    ))
}

/// A value with its content: the suite wrote it, so there is no secret in it.
pub(crate) fn show(value: Option<&Value>) -> String {
    const CHARS_SHOWN: usize = 80;
    let Some(value) = value else { return "no entry".to_owned() };
    let content = match value.kind() {
        ValueKind::Text | ValueKind::Json => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        _ => format!("{:02x?}", &value.as_bytes()[..value.as_bytes().len().min(CHARS_SHOWN / 4)]),
    };
    let cut: String = content.chars().take(CHARS_SHOWN).collect();
    format!("{} of {} bytes {cut:?}", value.kind(), value.as_bytes().len())
}
