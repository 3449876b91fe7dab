//! Commands and replies: pure, no I/O.

pub(crate) mod command;
pub(crate) mod error;
pub(crate) mod hello;
pub(crate) mod key;
pub(crate) mod reply;
pub(crate) mod script;
pub(crate) mod slot;
pub(crate) mod topology;
pub(crate) mod value;
