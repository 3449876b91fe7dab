//! What is sent and what it is answered, purely: no I/O, no clock of its own.

mod answer;
mod bulk_body;
mod error;
mod found;
mod json;
#[cfg(test)]
mod recordings;
mod request;

pub(crate) use answer::{Answers, Raw, Reported};
pub(crate) use bulk_body::{BULK_LIMITS, Out, item_bytes, joined, write_item, write_key};
pub(crate) use found::{Match, of_kind};
pub(crate) use request::{ANSWER_BYTES_MAX, GET_KEYS_MAX, LIST_LIMIT_MIN, Requests};
