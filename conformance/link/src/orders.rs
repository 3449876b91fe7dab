//! Which requests meet what.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kv_conformance::Fault;

/// What becomes of a request that meets an order.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Fault(Fault),
    /// The link answers in the server's place, with these bytes.
    Answer(Arc<[u8]>),
}

/// The order that was given last, until all that were to meet it have.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Option<Order>>);

#[derive(Clone, Debug)]
struct Order {
    deed: Deed,
    left: u32,
    writes_only: bool,
}

impl Orders {
    /// What was ordered before is forgotten.
    pub(crate) fn give(&self, deed: Deed, left: u32, writes_only: bool) {
        *self.lock() = (left > 0).then_some(Order { deed, left, writes_only });
    }

    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    /// What the request that has just come meets: it counts as met.
    pub(crate) fn next(&self, is_write: bool, fits: impl FnOnce(&Deed) -> bool) -> Option<Deed> {
        let mut guard = self.lock();
        let order = guard.as_mut().filter(|order| (is_write || !order.writes_only) && fits(&order.deed))?;
        order.left -= 1;
        let deed = order.deed.clone();
        if order.left == 0 {
            *guard = None;
        }
        Some(deed)
    }

    /// How many requests are still to meet it.
    pub(crate) fn left(&self) -> u32 {
        self.lock().as_ref().map_or(0, |order| order.left)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
