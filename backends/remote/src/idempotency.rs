//! Whether a request may be repeated.

/// Whether a request may be repeated when its outcome is unknown (ERR-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idempotency {
    /// A read or a list: it changes nothing.
    Read,
    /// Sending it twice leaves the same state as sending it once: an unconditional set or delete.
    Idempotent,
    /// A step from one state to the next: a condition, an increment, `expire`, `touch`, `get_and_delete`, an
    /// all-or-nothing batch. Never repeated unless it was certainly not applied.
    NonIdempotent,
}
