//! A message on its way from a caller to the task that owns the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use kv_api::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::wire::message::Command;
use crate::wire::reply::Answer;

/// What became of a message.
#[derive(Debug)]
pub(crate) struct Replies {
    /// One for each key, in the order of the keys; `None` where the answer did not come.
    pub(crate) answers: Vec<Option<Answer>>,
    /// Why some did not come.
    pub(crate) lost: Option<Error>,
}

/// A message, the keys that it is about as they are on the server, and who wants the replies.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) keys: Vec<String>,
    pub(crate) text: String,
    pub(crate) caller: oneshot::Sender<Replies>,
    pub(crate) handover: Handover,
    /// Its share of the bytes that all requests may hold, until all of its replies have come.
    pub(crate) room: OwnedSemaphorePermit,
}

impl Request {
    pub(crate) fn new(
        command: Command,
        keys: Vec<String>,
        text: String,
        caller: oneshot::Sender<Replies>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { command, keys, text, caller, handover: Handover::default(), room }
    }

    /// Whether its caller is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    /// Says that it was not sent.
    pub(crate) fn refuse(self, error: &Error) {
        let answers = self.keys.iter().map(|_| None).collect();
        let _ = self.caller.send(Replies { answers, lost: Some(error.clone()) });
    }
}

const WAITING: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Whether a request has been sent: decided once, by the first of two: the task that sends it or the caller that
/// goes away. So a caller that takes it back knows for sure that it was never sent (ERR-3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Handover(Arc<AtomicU8>);

impl Handover {
    /// It is being sent. `false` when the caller has withdrawn it.
    pub(crate) fn send(&self) -> bool {
        self.decide(SENT) != WITHDRAWN
    }

    /// It is wanted no more. `false` when it has been sent.
    pub(crate) fn withdraw(&self) -> bool {
        self.decide(WITHDRAWN) != SENT
    }

    /// What is decided now.
    fn decide(&self, wanted: u8) -> u8 {
        match self.0.compare_exchange(WAITING, wanted, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => wanted,
            Err(decided) => decided,
        }
    }
}

/// The caller's side of a request. Dropping it withdraws the request, and notes in `sent` if it was too late for that.
#[derive(Debug)]
pub(crate) struct Withdrawal<'a> {
    pub(crate) handover: Handover,
    pub(crate) sent: &'a AtomicBool,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if !self.handover.withdraw() {
            self.sent.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_3_a_request_is_either_sent_or_withdrawn() {
        for sends_first in [true, false] {
            let (handover, sent) = (Handover::default(), AtomicBool::new(false));
            let withdrawal = Withdrawal { handover: handover.clone(), sent: &sent };
            if sends_first {
                assert!(handover.send());
            }
            drop(withdrawal);
            assert_eq!(sent.load(Ordering::Acquire), sends_first);
            assert_eq!(handover.send(), sends_first);
        }
    }
}
