//! How many requests were made, and how many may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_api::{Capabilities, Result, Retry};
use kv_layers::{Call, Intercept, Operation, Outcome};
use tokio::sync::Notify;

use super::traces::Trace;

/// Counts the calls of all stores of a run, as the requests that they take at least.
#[derive(Debug)]
pub(crate) struct Meter {
    spent: AtomicU64,
    /// What links have counted.
    counted: AtomicU64,
    budget: AtomicU64,
    over: Notify,
}

impl Meter {
    /// Without a budget.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            spent: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            budget: AtomicU64::new(u64::MAX),
            over: Notify::new(),
        })
    }

    pub(crate) fn set_budget(&self, requests: u64) {
        self.budget.store(requests, Ordering::Relaxed);
    }

    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Adds what a link has counted.
    pub(crate) fn count(&self, requests: u64) {
        self.counted.fetch_add(requests, Ordering::Relaxed);
    }

    /// What all links have counted.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    fn add(&self, requests: u64) {
        let spent = self.spent.fetch_add(requests, Ordering::Relaxed).saturating_add(requests);
        if spent >= self.budget.load(Ordering::Relaxed) {
            // Kept for who comes to wait.
            self.over.notify_one();
        }
    }

    /// Ends when the budget is used up.
    pub(crate) async fn exhausted(&self) {
        self.over.notified().await;
    }
}

/// Sees each call on its way to the system: counts it, and notes what is written.
pub(crate) struct Watch {
    meter: Arc<Meter>,
    trace: Option<Arc<Trace>>,
    bulk_write_items: usize,
    bulk_read_items: usize,
}

impl Watch {
    pub(crate) fn new(meter: &Arc<Meter>, trace: Option<&Arc<Trace>>, capabilities: &Capabilities) -> Self {
        Self {
            meter: Arc::clone(meter),
            trace: trace.map(Arc::clone),
            bulk_write_items: capabilities.bulk_write_items.max(1),
            bulk_read_items: capabilities.bulk_read_items.max(1),
        }
    }

    /// How many requests a call takes at least.
    fn requests(&self, call: &Call) -> u64 {
        let requests = match call.operation {
            Operation::Close => 0,
            Operation::GetMany => call.keys.len().div_ceil(self.bulk_read_items),
            Operation::SetMany | Operation::DeleteMany => call.keys.len().div_ceil(self.bulk_write_items),
            _ => 1,
        };
        requests.try_into().unwrap_or(u64::MAX)
    }

    /// Where a call writes to.
    fn written(&self, call: &Call) -> Option<&Trace> {
        use Operation::{Increment, Set, SetMany, SetManyAllOrNothing};
        let trace = self.trace.as_deref()?;
        matches!(call.operation, Set | SetMany | SetManyAllOrNothing | Increment).then_some(trace)
    }
}

impl Intercept for Watch {
    fn before(&self, call: &Call) -> Result<()> {
        self.meter.add(self.requests(call));
        if let Some(trace) = self.written(call) {
            trace.remember(&call.keys);
        }
        Ok(())
    }

    fn after(&self, call: &Call, outcome: &Outcome<'_>) {
        let is_unknown = outcome.error().is_some_and(|error| error.retry() == Retry::OutcomeUnknown);
        if let Some(trace) = self.written(call)
            && (is_unknown || outcome.status() == "cancelled")
        {
            trace.unsettle();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use kv_api::{BackendExt, Error, ErrorKind, Layer, SetItem, Store};
    use kv_backends::memory::MemoryStore;
    use kv_layers::Intercepted;

    use super::super::traces::Traces;
    use super::*;

    #[tokio::test]
    async fn a_batch_is_as_many_requests_as_the_system_makes_of_it() {
        let meter = Meter::new();
        meter.set_budget(5);
        let capabilities = Capabilities::new("example").with_bulk_items(2, 10);
        let watch = Watch::new(&meter, None, &capabilities);
        let store = MemoryStore::default().layer(&Intercepted::new(watch)).into_store();
        let is_over = || pin!(meter.exhausted()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        store.set("a", 1).await.unwrap();
        store.get_many(["a", "b", "c"]).await.unwrap();
        assert_eq!(meter.spent(), 2);
        assert!(!is_over());
        for set in store.set_many(["a", "b", "c", "d", "e"].map(|key| SetItem::new(key, 1))).await {
            set.unwrap();
        }
        assert_eq!(meter.spent(), 5);
        assert!(is_over());
    }

    #[tokio::test]
    async fn a_write_without_an_answer_may_be_applied_later() {
        let traces = Traces::default();
        let plain = MemoryStore::default().into_store();
        let trace = traces.begin(&plain, "k");
        let watch = Watch::new(&Meter::new(), Some(&trace), plain.capabilities());
        let silent = MemoryStore::default().layer(&Intercepted::new(NoAnswer));
        let store = Store::from_arc(Intercepted::new(watch).layer(silent));
        drop(store.get("k").await);
        assert!(!traces.are_unsettled());
        drop(store.set("k", 1).await);
        assert!(traces.are_unsettled());
    }

    struct NoAnswer;

    impl Intercept for NoAnswer {
        fn before(&self, _: &Call) -> Result<()> {
            Err(Error::new(ErrorKind::Unavailable, "gone").with_retry(Retry::OutcomeUnknown))
        }
    }
}
