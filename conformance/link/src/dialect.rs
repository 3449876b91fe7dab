//! The protocols, behind one face.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kv_conformance::Fault;

use crate::count::Shared;
use crate::http::{self, Http};
use crate::lane::Lane;
use crate::postgres::Postgres;
use crate::protocol::{Malformed, websocket};
use crate::resp::Resp;
use crate::target::Target;
use crate::websocket::WebSocket;

/// What goes through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// What Redis speaks, in version 2 or 3.
    Resp,
    /// What PostgreSQL speaks, in version 3.
    Postgres,
    /// HTTP/1.1.
    Http,
    /// WebSocket, as RFC 6455 has it: opened over HTTP/1.1, and then messages in both directions.
    WebSocket,
}

impl Protocol {
    /// What a link answers in the server's place, in the form that an order has it.
    ///
    /// # Panics
    /// For what is no SQLSTATE or no status of HTTP, where one is needed.
    pub(crate) fn answer(self, error: &str) -> Arc<[u8]> {
        match self {
            Self::Resp => {
                // A line is all it can be.
                let line: String = error.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
                Arc::from(format!("-{line}\r\n").as_bytes())
            }
            Self::Postgres => {
                let is_sqlstate = error.len() == 5 && error.bytes().all(|byte| byte.is_ascii_alphanumeric());
                assert!(is_sqlstate, "{error:?} is no SQLSTATE");
                Arc::from(error.as_bytes())
            }
            Self::Http => {
                let status = error.parse::<u16>().ok().filter(|status| (200..1_000).contains(status));
                assert!(status.is_some(), "{error:?} is no status of HTTP");
                Arc::from(http::answer(&format!("{error} Broken On Purpose"), "text/plain", b"", false))
            }
            Self::WebSocket => Arc::from(websocket::text(error)),
        }
    }

    /// Where a server listens whose URL does not say.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Resp => 6_379,
            Self::Postgres => 5_432,
            Self::Http | Self::WebSocket => 80,
        }
    }

    /// The same for a URL that asks for TLS by its scheme.
    pub(crate) const fn tls_port(self) -> u16 {
        match self {
            Self::Http | Self::WebSocket => 443,
            Self::Resp | Self::Postgres => self.port(),
        }
    }

    /// How long clients have to take note of an end while the one who ordered it waits. Many clients of Redis and
    /// PostgreSQL do not read while they are idle, and only learn of it with their next write.
    pub(crate) const fn time_to_take_note(self) -> Duration {
        match self {
            Self::Resp | Self::Postgres => Duration::from_millis(100),
            Self::Http | Self::WebSocket => Duration::from_secs(1),
        }
    }

    pub(crate) const fn offers(self, fault: Fault) -> bool {
        match fault {
            Fault::Refused | Fault::RequestLost | Fault::AnswerLost | Fault::AnswerTruncated | Fault::AnswerGarbled => {
                true
            }
            Fault::FailureReported => !matches!(self, Self::WebSocket),
            Fault::Throttled => matches!(self, Self::Postgres | Self::Http),
            Fault::Unavailable => matches!(self, Self::Resp | Self::Postgres),
            Fault::BulkAnswerImplausible | Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles => {
                matches!(self, Self::Resp)
            }
            _ => false,
        }
    }
}

/// What a connection makes of the bytes of its protocol.
pub(crate) trait Dialect: fmt::Debug {
    /// Looks at what the client has sent, and passes it on or drops it.
    fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed>;

    /// Looks at what the server has sent, and passes it on, drops it or puts something in its place.
    fn take_answers(&mut self, down: &mut Lane, shared: &Shared) -> Result<(), Malformed>;

    /// The server has ended the connection, and all that it sent has been looked at.
    fn end_of_answers(&mut self, _down: &mut Lane) {}

    /// Whether nothing is under way: no request begun, and none without its answer.
    fn is_idle(&self) -> bool;

    /// Whether what the connection met ends it now.
    fn has_to_end(&self) -> bool;

    /// Whether the server is still listened to for a while when the client has been sent the end, since it may have
    /// more to say.
    fn spares_the_server(&self) -> bool {
        false
    }
}

pub(crate) fn dialect(target: &Arc<Target>) -> Box<dyn Dialect> {
    match target.protocol() {
        Protocol::Resp => Box::new(Resp::new()),
        Protocol::Postgres => Box::new(Postgres::new()),
        Protocol::Http => Box::new(Http::new(Arc::clone(target))),
        Protocol::WebSocket => Box::new(WebSocket::new(Arc::clone(target))),
    }
}
