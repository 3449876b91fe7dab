//! What each failure of the connection means (the README, "What goes over the wire").

use kv_api::{Error, ErrorKind, Retry};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, error};

/// No connection in time. Nothing was sent.
pub(crate) fn not_in_time(authority: &str) -> Error {
    let message = format!("no connection to {} in time", authority.escape_debug());
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
}

/// The WebSocket was not opened; nothing was sent on it.
pub(crate) fn not_opened(authority: &str, error: tungstenite::Error) -> Error {
    let authority = authority.escape_debug();
    match error {
        tungstenite::Error::Http(answer) => {
            let code = format!("HTTP {}", answer.status().as_u16());
            let error = if answer.status().is_server_error() {
                let message = format!("{authority} opens no WebSocket now");
                Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
            } else {
                Error::new(ErrorKind::Misconfigured, format!("what answers at {authority} opens no WebSocket"))
            };
            error.with_native_code(code)
        }
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete)
        | tungstenite::Error::Io(_)
        | tungstenite::Error::ConnectionClosed => {
            let message = format!("{authority} hung up before the WebSocket was open");
            Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Safe)
        }
        _ => Error::new(ErrorKind::Misconfigured, format!("what answers at {authority} speaks no WebSocket")),
    }
}

/// The connection has ended without a close frame, in good order or over what came.
pub(crate) fn ended(error: Option<tungstenite::Error>) -> Error {
    let lost = || Error::new(ErrorKind::Unavailable, "the connection was lost").with_retry(Retry::OutcomeUnknown);
    match error {
        None
        | Some(
            error::Error::ConnectionClosed
            | error::Error::AlreadyClosed
            | error::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing),
        ) => lost(),
        Some(error::Error::Io(error)) => lost().with_native_code(error.kind()),
        Some(error::Error::Capacity(CapacityError::MessageTooLong { .. })) => {
            violation("a longer reply than buffer_bytes_max allows")
        }
        Some(error::Error::Utf8(_)) => violation("a text that is not UTF-8"),
        // The text of some holds a message, and so perhaps a value.
        Some(_) => violation("a damaged WebSocket frame"),
    }
}

/// The server has closed the connection.
pub(crate) fn closed(code: Option<CloseCode>) -> Error {
    let error = match code {
        Some(CloseCode::Size) => {
            Error::new(ErrorKind::Misconfigured, "the server takes no message as long as max_message_bytes says")
        }
        Some(CloseCode::Protocol | CloseCode::Invalid | CloseCode::Unsupported | CloseCode::Policy) => {
            Error::new(ErrorKind::Protocol, "the server closed the connection over a message")
        }
        _ => Error::new(ErrorKind::Unavailable, "the server closed the connection"),
    };
    let error = error.with_retry(Retry::OutcomeUnknown);
    match code {
        Some(code) => error.with_native_code(format_args!("close {}", u16::from(code))),
        None => error,
    }
}

/// Something came that the server never sends, or that fits no request. No text of it is in the error.
pub(crate) fn violation(what: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the server sent {what}")).with_retry(Retry::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn err_1_each_end_of_a_connection_has_its_kind() {
        use error::Error as Ws;
        for (end, kind) in [
            (None, ErrorKind::Unavailable),
            (Some(Ws::ConnectionClosed), ErrorKind::Unavailable),
            (Some(Ws::Protocol(ProtocolError::ResetWithoutClosingHandshake)), ErrorKind::Unavailable),
            (Some(Ws::Io(io::ErrorKind::ConnectionReset.into())), ErrorKind::Unavailable),
            (Some(Ws::Protocol(ProtocolError::NonZeroReservedBits)), ErrorKind::Protocol),
            (Some(Ws::Protocol(ProtocolError::MaskedFrameFromServer)), ErrorKind::Protocol),
            (Some(Ws::Protocol(ProtocolError::UnknownDataFrameType(3))), ErrorKind::Protocol),
            (Some(Ws::Protocol(ProtocolError::UnexpectedContinueFrame)), ErrorKind::Protocol),
            (Some(Ws::Protocol(ProtocolError::ControlFrameTooBig)), ErrorKind::Protocol),
            (Some(Ws::Protocol(ProtocolError::InvalidCloseSequence)), ErrorKind::Protocol),
            (Some(Ws::Capacity(CapacityError::MessageTooLong { size: 2, max_size: 1 })), ErrorKind::Protocol),
            (Some(Ws::Utf8("hush".to_owned())), ErrorKind::Protocol),
            (Some(Ws::AttackAttempt), ErrorKind::Protocol),
        ] {
            let error = ended(end);
            assert_eq!((error.kind(), error.retry()), (kind, Retry::OutcomeUnknown), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
