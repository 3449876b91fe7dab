//! What can be made to go wrong.

use std::time::Duration;

use clap::ValueEnum;

/// Whether a request that goes wrong had been carried out by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The system never saw it: what it asked for did not happen.
    No,
    /// The system carried it out; only the answer goes wrong.
    Yes,
}

/// Why a system turns a request away that it would otherwise have carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Refused {
    /// The credentials are not accepted.
    Unauthorized,
    /// They were accepted once; the user has to log in again.
    SessionEnded,
    /// The account has used up what it may use. What takes no credit is carried out nevertheless.
    NoCredit,
    /// What the credentials stand for may not do this.
    Forbidden,
    /// The account waits for its owner to confirm something.
    Unconfirmed,
    /// The account is suspended.
    Suspended,
    /// The program is blocked that the credentials were given to.
    ProgramBlocked,
    /// Too many requests are being answered at this moment.
    TooManyAtOnce,
    /// The system is overloaded, and says when to come back where it does say that.
    Overloaded,
}

/// What happens to the next requests, ordered with [`FakeServer::inject`](crate::FakeServer::inject).
///
/// A request that a fault does not fit (an empty page for a write) is answered as usual and leaves the fault for a
/// later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Status 429 in the system's own words, with the header `Retry-After` in whole seconds where one is given. The
    /// request is not carried out.
    Throttled {
        /// What `Retry-After` says; rounded up to seconds. `None` leaves the header out.
        retry_after: Option<Duration>,
    },
    /// The system's words for "too fast" under status 200, as Cloudflare has been seen to answer. The request is not
    /// carried out. Fits only a system that is known to do so.
    ThrottledUnderSuccess,
    /// A status of 500 or more with a body that is not JSON, as a gateway in front of the system gives.
    ServerError {
        /// The status, 500 to 599; anything else is sent as 500.
        status: u16,
        /// Whether the request was carried out before.
        applied: Applied,
    },
    /// The request is carried out at once and the answer comes this much later, in real time.
    Slow {
        /// How much later.
        delay: Duration,
    },
    /// The connection stays open and no answer ever comes, until the server ends.
    Silent {
        /// Whether the request was carried out.
        applied: Applied,
    },
    /// The connection is closed without an answer.
    Cut {
        /// Whether the request was carried out before.
        applied: Applied,
    },
    /// The request is carried out, the answer announces its full length, and the connection is closed half-way through
    /// the body; before the answer where that has no body to break off in.
    Truncated,
    /// The request is carried out, and under status 200 comes a body that is neither JSON nor text. Fits requests whose
    /// answer is JSON or has neither type nor body; where any bytes may come, garbage would be one more value.
    Garbage,
    /// A page of a listing with no keys on it and another cursor that goes on from the same place. Fits listings of a
    /// system whose documents allow it.
    EmptyPage,
    /// The same, with the very cursor that its request came with, or one before the first key where it had none.
    StuckPage,
    /// A page of a listing with the first keys again, whatever its request goes on from, and a cursor that no page had
    /// before. Fits listings with at least one key.
    FirstPageAgain,
    /// A bulk write or delete is carried out for every other key or the first half, and the answer is well formed and
    /// cannot be: a figure below zero, or one where the system has none. Fits bulk requests of a system that has them.
    Implausible,
    /// A read or listing answers from the state before the last request that changed something. Fits reads of a system
    /// that is not strongly consistent.
    Stale,
    /// A bulk write or delete is carried out for all keys but every n-th, and says which are missing. Fits bulk
    /// requests of a system that answers key by key, when they have that many keys.
    PartlyUnsuccessful {
        /// Which keys fail: 1 for all of them, 2 for the second, fourth and so on; 0 counts as 1.
        every: usize,
    },
    /// A bulk write is carried out for its first items and then fails like its storage, without a word on what was
    /// written. Fits bulk writes of a system that stores them in parts, when they have more items than that.
    BrokenOff {
        /// How many items are written.
        items: usize,
    },
    /// The request is turned away, in the system's own words, and not carried out. Fits what the system would refuse
    /// for this reason.
    Refused {
        /// The reason.
        reason: Refused,
    },
}
