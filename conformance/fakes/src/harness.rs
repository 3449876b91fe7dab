//! What the conformance suite asks of a fake: faults in its own words.

use kv_conformance::Faults;

use crate::fault::{Applied, Fault};
use crate::server::FakeServer;

/// `Refused` becomes [`Fault::Throttled`]: a server that listens cannot refuse a connection, and 429 is the answer that
/// tells as surely that nothing was carried out. A fault that
/// the suite has learned since is a panic: an order that did nothing would let a case pass for no reason.
impl Faults for FakeServer {
    fn inject(&self, fault: kv_conformance::Fault, count: u32) {
        match fault {
            kv_conformance::Fault::Refused => Self::inject(self, Fault::Throttled { retry_after: None }, count),
            kv_conformance::Fault::RequestLost => Self::inject(self, Fault::Cut { applied: Applied::No }, count),
            kv_conformance::Fault::AnswerLost => Self::inject(self, Fault::Cut { applied: Applied::Yes }, count),
            unknown => panic!("the fakes know no fault {unknown:?}"),
        }
    }
}
