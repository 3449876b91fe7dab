//! Which requests meet a fault.

use crate::fault::Fault;

/// The fault that was ordered last, if it has not been met by all that were to meet it.
#[derive(Debug, Default)]
pub(crate) struct Orders(Option<Order>);

/// A fault, and who is to meet it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// How many requests are still to be served as usual before.
    pub(crate) unharmed: u32,
    pub(crate) fault: Fault,
    pub(crate) left: u32,
    pub(crate) writes_only: bool,
}

impl Orders {
    /// What was ordered before is forgotten; an order for no request does nothing.
    pub(crate) fn give(&mut self, order: Order) {
        self.0 = (order.left > 0).then_some(order);
    }

    /// The fault that the request which has just come is to meet, if it fits.
    pub(crate) fn next(&mut self, is_write: impl FnOnce() -> bool) -> Option<Fault> {
        let order = self.0.as_mut()?;
        if order.unharmed > 0 {
            order.unharmed -= 1;
            return None;
        }
        (!order.writes_only || is_write()).then_some(order.fault)
    }

    /// It fitted, and was met.
    pub(crate) fn met(&mut self) {
        self.0 = self.0.take().filter(|order| order.left > 1);
        if let Some(order) = &mut self.0 {
            order.left -= 1;
        }
    }

    /// How many requests are still to meet it.
    pub(crate) fn left(&self) -> u32 {
        self.0.as_ref().map_or(0, |order| order.left)
    }
}
