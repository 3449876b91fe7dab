//! What goes over the wire, and what it means. Pure: no I/O, no state.

pub(crate) mod error;
pub(crate) mod message;
pub(crate) mod pack;
pub(crate) mod reply;
