//! The gateway from outside: in one process without a socket, over a socket, and as a command.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

#[cfg(unix)]
mod command;
mod conditions;
mod conformance;
mod dialect;
mod harness;
mod hostile;
mod limits;
mod operation;
mod status;
#[cfg(feature = "tls")]
mod tls;
