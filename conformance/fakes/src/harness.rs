//! What the conformance suite asks of a fake: faults in its own words.

use kv_conformance::Fault as Wanted;
use kv_conformance::Faults;

use crate::fault::{Applied, Fault};
use crate::nemesisdb::Server;
use crate::server::FakeServer;

impl Faults for FakeServer {
    fn offers(&self, fault: Wanted) -> bool {
        offered(fault).is_some()
    }

    /// # Panics
    /// For a fault that is not offered: an order that did nothing would let a case pass for no reason.
    fn inject(&self, fault: Wanted, count: u32) {
        Self::inject(self, known(fault), count);
    }

    /// # Panics
    /// As [`inject`](Self::inject).
    fn inject_into_writes(&self, fault: Wanted, count: u32) {
        Self::inject_into_writes(self, known(fault), count);
    }
}

/// `Refused` becomes [`Fault::Throttled`]: a server that listens cannot refuse a connection, and 429 is the answer that
/// tells as surely that nothing was carried out.
fn offered(fault: Wanted) -> Option<Fault> {
    match fault {
        Wanted::Refused | Wanted::Throttled => Some(Fault::Throttled { retry_after: None }),
        Wanted::RequestLost => Some(Fault::Cut { applied: Applied::No }),
        Wanted::AnswerLost => Some(Fault::Cut { applied: Applied::Yes }),
        Wanted::AnswerTruncated => Some(Fault::Truncated),
        Wanted::AnswerGarbled => Some(Fault::Garbage),
        Wanted::FailureReported => Some(Fault::ServerError { status: 503, applied: Applied::Yes }),
        _ => None,
    }
}

fn known(fault: Wanted) -> Fault {
    offered(fault).unwrap_or_else(|| panic!("the fakes know no fault {fault:?}"))
}

impl Faults for Server {
    /// All but [`Wanted::Throttled`], for which the system has no words.
    fn offers(&self, fault: Wanted) -> bool {
        fault != Wanted::Throttled && offered(fault).is_some()
    }

    /// `Refused` ends the connections there are and refuses the next ones. What a client sends before it has taken note is
    /// not carried out, but that it cannot know.
    ///
    /// # Panics
    /// As for [`FakeServer`].
    fn inject(&self, fault: Wanted, count: u32) {
        assert!(self.offers(fault), "the fake knows no fault {fault:?}");
        let refused = fault == Wanted::Refused;
        self.refuse_connections(if refused { count } else { 0 });
        Self::inject(self, known(fault), if refused { 0 } else { count });
    }

    /// # Panics
    /// As for [`FakeServer`].
    fn inject_into_writes(&self, fault: Wanted, count: u32) {
        Faults::inject(self, fault, 0);
        if fault == Wanted::Refused {
            self.refuse_connections(count);
        } else {
            Self::inject_into_writes(self, known(fault), count);
        }
    }
}
