//! The protocols, behind one face.

use std::sync::Arc;

use kv_conformance::Fault;

use crate::count::Shared;
use crate::lane::Lane;
use crate::postgres::Postgres;
use crate::protocol::Malformed;
use crate::resp::Resp;

/// What goes through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// What Redis speaks, in version 2 or 3.
    Resp,
    /// What PostgreSQL speaks, in version 3.
    Postgres,
}

impl Protocol {
    /// What a link answers in the server's place, in the form that an order has it.
    ///
    /// # Panics
    /// For what is no SQLSTATE, where one is needed.
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
        }
    }

    /// Where a server listens whose URL does not say.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Resp => 6_379,
            Self::Postgres => 5_432,
        }
    }

    pub(crate) const fn offers(self, fault: Fault) -> bool {
        match fault {
            Fault::Refused
            | Fault::Throttled
            | Fault::RequestLost
            | Fault::AnswerLost
            | Fault::AnswerTruncated
            | Fault::AnswerGarbled
            | Fault::FailureReported => true,
            Fault::BulkAnswerImplausible | Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles => {
                matches!(self, Self::Resp)
            }
            _ => false,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Dialect {
    Resp(Box<Resp>),
    Postgres(Box<Postgres>),
}

impl Dialect {
    pub(crate) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Resp => Self::Resp(Box::new(Resp::new())),
            Protocol::Postgres => Self::Postgres(Box::new(Postgres::new())),
        }
    }

    /// Looks at what the client has sent, and passes it on or drops it.
    pub(crate) fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        match self {
            Self::Resp(resp) => resp.take_requests(up, shared),
            Self::Postgres(postgres) => postgres.take_requests(up, shared),
        }
    }

    /// Looks at what the server has sent, and passes it on, drops it or puts something in its place.
    pub(crate) fn take_answers(&mut self, down: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        match self {
            Self::Resp(resp) => resp.take_answers(down, shared),
            Self::Postgres(postgres) => postgres.take_answers(down),
        }
    }

    /// Whether nothing is under way: no request begun, and none without its answer.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Resp(resp) => resp.is_idle(),
            Self::Postgres(postgres) => postgres.is_idle(),
        }
    }

    /// Whether what the connection met ends it now.
    pub(crate) fn has_to_end(&self) -> bool {
        match self {
            Self::Resp(resp) => resp.has_to_end(),
            Self::Postgres(postgres) => postgres.has_to_end(),
        }
    }
}
