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
/// says as surely that nothing was carried out.
fn offered(fault: Wanted) -> Option<Fault> {
    match fault {
        Wanted::Refused | Wanted::Throttled => Some(Fault::Throttled { retry_after: None }),
        Wanted::RequestLost => Some(Fault::Cut { applied: Applied::No }),
        Wanted::AnswerLost => Some(Fault::Cut { applied: Applied::Yes }),
        Wanted::AnswerTruncated => Some(Fault::Truncated),
        Wanted::AnswerGarbled => Some(Fault::Garbage),
        Wanted::FailureReported => Some(Fault::ServerError { status: 503, applied: Applied::Yes }),
        Wanted::BulkAnswerImplausible => Some(Fault::Implausible),
        Wanted::PageEmpty => Some(Fault::EmptyPage),
        Wanted::PageStandsStill => Some(Fault::StuckPage),
        Wanted::PageInCircles => Some(Fault::FirstPageAgain),
        _ => None,
    }
}

fn known(fault: Wanted) -> Fault {
    offered(fault).unwrap_or_else(|| panic!("the fakes know no fault {fault:?}"))
}

impl Faults for Server {
    /// All but those about rates and pages, which this system does not have.
    fn offers(&self, fault: Wanted) -> bool {
        let has_none =
            matches!(fault, Wanted::Throttled | Wanted::PageEmpty | Wanted::PageStandsStill | Wanted::PageInCircles);
        !has_none && offered(fault).is_some()
    }

    /// `Refused` ends the connections there are and refuses the next ones. What a client sends before it has taken note
    /// is not carried out, but that it cannot know.
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

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use kv_conformance::Fault as Wanted;
    use tokio::net::TcpStream;

    use super::*;
    use crate::ServerOptions;
    use crate::nemesisdb::Fake;

    /// The first text that answers `message`; `None` when the connection ends without one or cannot be had.
    async fn ask(server: &Server, message: &str) -> Option<String> {
        let stream = TcpStream::connect(server.url().split('/').nth(2).unwrap()).await.ok()?;
        let (mut client, _) = tokio_tungstenite::client_async(server.url(), stream).await.ok()?;
        client.send(message.into()).await.ok()?;
        Some(client.next().await?.ok()?.to_string())
    }

    #[tokio::test]
    async fn a_connection_meets_every_fault_that_is_offered_in_its_own_way() {
        const SET: &str = r#"{"SET":{"user_key_1":1}}"#;
        const SET_BOTH: &str = r#"{"SET":{"user_key_1":1,"user_key_2":2}}"#;
        let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
        let mut offered = 0;
        for fault in Wanted::ALL.iter().copied().filter(|fault| server.offers(*fault)) {
            ask(&server, r#"{"CLEAR":{}}"#).await.unwrap();
            for order in [<Server as Faults>::inject, <Server as Faults>::inject_into_writes] {
                order(&server, fault, 1);
                let is_bulk = fault == Wanted::BulkAnswerImplausible;
                let answer = ask(&server, if is_bulk { SET_BOTH } else { SET }).await;
                let says = |text: &str| answer.as_ref().is_some_and(|answer| answer.contains(text));
                match fault {
                    Wanted::FailureReported => assert!(says("SERVER_ERROR"), "{answer:?}"),
                    Wanted::AnswerGarbled => assert!(says("SET_RSP") && !says("}"), "{answer:?}"),
                    Wanted::BulkAnswerImplausible => assert!(says("SET_RSP") && says("-1"), "{answer:?}"),
                    _ => assert_eq!(answer, None, "{fault:?}"),
                }
                assert!(ask(&server, r#"{"SERVER_INFO":{}}"#).await.is_some(), "{fault:?}");
            }
            let applied = !matches!(fault, Wanted::Refused | Wanted::RequestLost);
            assert_eq!(server.keys().len(), usize::from(applied), "{fault:?}");
            offered += 1;
        }
        assert_eq!((offered, server.offers(Wanted::Throttled)), (7, false));
        // One ends another.
        Faults::inject(&server, Wanted::Refused, 9);
        Faults::inject(&server, Wanted::AnswerLost, 0);
        assert!(ask(&server, SET).await.is_some());
    }
}
