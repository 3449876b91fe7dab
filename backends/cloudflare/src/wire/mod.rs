//! What is sent and what it is answered, purely: no I/O, no clock of its own.

mod answer;
mod bulk_body;
mod error;
mod found;
#[cfg(test)]
mod recordings;
mod request;

pub(crate) use answer::{Answers, Raw};
pub(crate) use bulk_body::{BODY_BYTES_MAX, BULK_ITEMS_MAX, item_bytes, joined, split, write_item, write_key};
pub(crate) use found::{Found, Match, of_kind};
pub(crate) use request::{GET_KEYS_MAX, LIST_LIMIT_MIN, Requests};
