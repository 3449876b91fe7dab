//! The wire: what is asked of Hive, and what its answers mean. Pure. The sources of each fact are in the README.

mod error;
#[cfg(test)]
mod recordings;
mod reply;
mod request;
mod value;

pub(crate) use reply::{Expiration, Found, Reply, Step, decimal};
pub(crate) use request::{BODY_FRAME_BYTES, KEY_VALUE, Request, body_of_key, body_of_keys, body_of_members, member};
#[cfg(fuzzing)]
pub(crate) use value::{decode, encode};
