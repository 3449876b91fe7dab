//! What ends a run before its end.

use std::time::Duration;

use kv_terminal::signals::Signal;
use tokio::sync::watch;

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Why {
    Signal(Signal),
    Requests,
    Time(Duration),
}

/// Stops a run, once.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<Option<Why>>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The first reason counts.
    pub(crate) fn stop(&self, why: Why) {
        self.0.send_if_modified(|stopped| {
            let is_first = stopped.is_none();
            stopped.get_or_insert(why);
            is_first
        });
    }

    pub(crate) fn why(&self) -> Option<Why> {
        *self.0.borrow()
    }

    /// Ends when the run is to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut seen, keeps_it_open) = (self.0.subscribe(), self.clone());
        async move {
            let _ = seen.wait_for(Option::is_some).await;
            drop(keeps_it_open);
        }
    }
}
