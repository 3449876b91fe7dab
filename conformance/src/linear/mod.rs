//! Histories of concurrent calls, and whether one order of the calls explains them (SET-7).
//!
//! A history is linearizable if each call can be given one moment between its beginning and its answer so that the
//! calls, carried out one after the other in the order of these moments, give the answers that were seen (Herlihy and
//! Wing, "Linearizability", 1990). That holds for a store exactly when it holds for each of its keys, so each key is
//! looked at by itself, which is what keeps the search small.
//!
//! `record` runs callers and notes what they see, `register` says what one key does when calls come one after the
//! other, `checker` looks for the order, `shrink` leaves of a history without one the part that shows it, and `diagram`
//! draws that.

mod checker;
mod diagram;
mod history;
mod plan;
mod record;
mod register;
mod shrink;
#[cfg(test)]
mod tests;

pub(crate) use self::checker::{Verdict, check};
pub(crate) use self::diagram::draw;
pub(crate) use self::plan::{Kind, Plan};
pub(crate) use self::record::{Scene, Values, record};
pub(crate) use self::shrink::shrunk;
