//! What becomes of a request that has met an order, and of its answer.

use std::convert::Infallible;

use kv_conformance::Fault;

/// What becomes of a request and its answer. `Own` is what only one protocol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate<Own = Infallible> {
    Pass,
    /// The link answers, and the server does not carry it out.
    Answered,
    /// Neither reaches the server, nor is it answered, and the connection ends.
    RequestLost,
    AnswerLost,
    AnswerTruncated,
    Garbled,
    Failed,
    Own(Own),
}

impl<Own> Fate<Own> {
    /// By a fault that means the same in every protocol. What the link answers itself, and what only one protocol has,
    /// passes here.
    pub(crate) const fn of(fault: Fault) -> Self {
        match fault {
            Fault::RequestLost => Self::RequestLost,
            Fault::AnswerLost => Self::AnswerLost,
            Fault::AnswerTruncated => Self::AnswerTruncated,
            Fault::AnswerGarbled => Self::Garbled,
            Fault::FailureReported => Self::Failed,
            _ => Self::Pass,
        }
    }

    pub(crate) const fn reaches_the_server(&self) -> bool {
        !matches!(self, Self::Answered | Self::RequestLost)
    }

    pub(crate) const fn ends_the_connection(&self) -> bool {
        matches!(self, Self::RequestLost | Self::AnswerLost | Self::AnswerTruncated)
    }
}
