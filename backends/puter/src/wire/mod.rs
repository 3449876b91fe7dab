//! The wire: what is asked of the system, and what its answers mean. Pure. The sources of each fact are in the README.

mod error;
#[cfg(test)]
mod recordings;
mod reply;
mod request;
mod size;
mod value;

pub(crate) use error::{INTERNAL_ERROR, UPSTREAM_BAD_REQUEST, has_code};
pub(crate) use reply::{Found, Reply, Sum};
pub(crate) use request::{BODY_BYTES_MAX, BULK_FRAME_BYTES, Item, Pattern, Request, Requests, expires_at};
pub(crate) use size::{stored_bytes, value_bytes};
#[cfg(fuzzing)]
pub(crate) use value::{decode, encode};
