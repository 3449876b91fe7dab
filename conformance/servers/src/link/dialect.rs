//! The protocols, behind one face.

use super::count::Shared;
use super::lane::Lane;
use super::protocol::Malformed;
use super::resp::Resp;

/// What goes through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// What Redis speaks, in version 2 or 3.
    Resp,
}

#[derive(Debug)]
pub(super) enum Dialect {
    Resp(Box<Resp>),
}

impl Dialect {
    pub(super) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Resp => Self::Resp(Box::new(Resp::new())),
        }
    }

    /// Looks at what the client has sent, and passes it on or drops it.
    pub(super) fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        match self {
            Self::Resp(resp) => resp.take_requests(up, shared),
        }
    }

    /// Looks at what the server has sent, and passes it on, drops it or puts something in its place.
    pub(super) fn take_answers(&mut self, down: &mut Lane) -> Result<(), Malformed> {
        match self {
            Self::Resp(resp) => resp.take_answers(down),
        }
    }

    /// Whether nothing is under way: no request begun, and none without its answer.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Resp(resp) => resp.is_idle(),
        }
    }

    /// Whether what the connection met ends it now.
    pub(super) fn has_to_end(&self) -> bool {
        match self {
            Self::Resp(resp) => resp.has_to_end(),
        }
    }
}
