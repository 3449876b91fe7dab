//! What a store and its calls share: the backend, what this handle offers of it, and the way there and back.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use crate::backend::Backend;
use crate::capabilities::Capabilities;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::flights::Flights;
use crate::gate::{Gate, InFlight};
use crate::outcome::{DeleteOutcome, SetOutcome};
use crate::resolver::{Policy, Resolver};

/// What is behind a [`Store`](crate::Store). Calls, batches and walks work on this one; nothing here knows of them.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    backend: Arc<dyn Backend>,
    /// What this handle offers: the backend's own capabilities, or restricted ones.
    capabilities: Capabilities,
    restricted: bool,
    pub(crate) policy: Policy,
    prefix: String,
    gate: Arc<Gate>,
    flights: Arc<Flights>,
    /// This handle, for requests that are to own it.
    this: Weak<Self>,
}

impl Handle {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Arc<Self> {
        let capabilities = Capabilities::offered_by(&*backend);
        Arc::new_cyclic(|this| Self {
            backend,
            capabilities,
            restricted: false,
            policy: Policy::default(),
            prefix: String::new(),
            gate: Arc::new(Gate::default()),
            flights: Arc::new(Flights::default()),
            this: Weak::clone(this),
        })
    }

    /// Another handle, as this one but for what `change` makes of it.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut handle = self.clone();
        change(&mut handle);
        Arc::new_cyclic(|this| Self { this: Weak::clone(this), ..handle })
    }

    /// This handle, to be kept. It is always in an `Arc`; a copy would serve as well.
    pub(crate) fn to_arc(&self) -> Arc<Self> {
        self.this.upgrade().unwrap_or_else(|| self.with(|_| {}))
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(crate) const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    pub(crate) const fn is_restricted(&self) -> bool {
        self.restricted
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn push_prefix(&mut self, prefix: &str) {
        self.prefix.push_str(prefix);
    }

    pub(crate) fn restrict_to(&mut self, other: &Capabilities) {
        self.capabilities = self.capabilities.restricted_to(other);
        self.restricted = true;
    }

    /// The same handle on another backend, which stands before this one's.
    pub(crate) fn set_backend(&mut self, change: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) {
        self.backend = change(Arc::clone(&self.backend));
        // What is loaded through one of them is not what the other one shows.
        self.flights = Arc::default();
        let offered = Capabilities::offered_by(&*self.backend);
        self.capabilities = if self.restricted { offered.restricted_to(&self.capabilities) } else { offered };
    }

    pub(crate) fn resolver(&self) -> Resolver<'_> {
        Resolver::with_handle(&self.capabilities, self.policy, &self.prefix)
    }

    /// The loads under way, of all handles on this store.
    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Refuses when the store is closed; for reads that are answered at once.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.gate.check_open()
    }

    /// Refuses when the store is closed, and otherwise keeps it open until the call has ended.
    pub(crate) fn enter(&self) -> Result<InFlight<'_>> {
        self.gate.enter()
    }

    /// Waits for the calls in flight, then lets go of what the backend holds (LIFE-2).
    pub(crate) async fn close(&self) -> Result<()> {
        self.gate.close().await;
        self.backend.close().await
    }

    /// Adds to an error which store and operation it happened in (ERR-2).
    pub(crate) fn explain(&self, error: Error, operation: &'static str) -> Error {
        error.with_store(self.capabilities.system).with_operation(operation)
    }

    /// The same for a read (ERR-3).
    pub(crate) fn explain_read(&self, error: Error, operation: &'static str) -> Error {
        self.explain(error.not_applied(), operation)
    }

    /// The error of a call for one key of the caller (ERR-7).
    #[cold]
    pub(crate) fn explain_key(&self, error: Error, operation: &'static str, key: &str) -> Error {
        self.explain(error, operation).placed(None, Some([self.prefix(), key].concat()))
    }

    /// The error of a whole batch, in which the backend may have named one of the keys it was given, or the position of
    /// one; `index_of` makes of that position the one in the caller's batch (ERR-7).
    #[cold]
    pub(crate) fn explain_batch(
        &self,
        error: Error,
        operation: &'static str,
        keys: &[Cow<'_, str>],
        index_of: impl FnOnce(usize) -> Option<usize>,
    ) -> Error {
        let at = match error.key() {
            Some(named) => keys.iter().position(|key| key == named),
            None => error.index().filter(|index| *index < keys.len()),
        };
        let key = at.map(|at| keys[at].clone().into_owned());
        self.explain(error, operation).placed(at.and_then(index_of), key)
    }

    /// What a restricted handle may report of an outcome (CAP-4).
    pub(crate) fn shown_outcome(&self, outcome: SetOutcome, unconditional: bool) -> SetOutcome {
        if self.restricted { self.capabilities.show_outcome(outcome, unconditional) } else { outcome }
    }

    /// What this handle may report of a delete without a version (CAP-4).
    pub(crate) const fn shown_delete(&self, outcome: DeleteOutcome) -> DeleteOutcome {
        self.capabilities.show_delete(outcome)
    }

    /// The same for one key of `delete_many`. A store that does not support it reports what it happens to know; a
    /// restricted handle reports nothing then, as the others would not.
    pub(crate) fn shown_delete_of_many(&self, outcome: DeleteOutcome) -> DeleteOutcome {
        if self.restricted { self.capabilities.show_delete_of_many(outcome) } else { outcome }
    }

    pub(crate) fn shown_entry(&self, entry: Entry) -> Entry {
        if self.restricted { self.capabilities.show_entry(entry) } else { entry }
    }
}
