//! What a harness can have beside the store, to show what the store alone does not.

use crate::harness::Fault;

/// Something that a [`Fixture`](crate::Fixture) can have beside its store. Where it is absent the cases that need it end
/// as [`NotShown`](crate::Outcome::NotShown); where the system has nothing of the kind
/// ([`without`](crate::Fixture::without)), as [`NotApplicable`](crate::Outcome::NotApplicable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Means {
    /// Time that is moved, and stands still between two calls: [`with_time`](crate::Fixture::with_time) with a
    /// granularity of zero.
    MovedTime,
    /// [`with_reopen`](crate::Fixture::with_reopen).
    Reopen,
    /// [`with_restart`](crate::Fixture::with_restart).
    Restart,
    /// [`with_wrong_credentials`](crate::Fixture::with_wrong_credentials).
    WrongCredentials,
    /// [`with_namespaces`](crate::Fixture::with_namespaces).
    Namespaces,
    /// [`with_foreign_writer`](crate::Fixture::with_foreign_writer).
    ForeignWriter,
    /// [`with_foreign_type_writer`](crate::Fixture::with_foreign_type_writer).
    ForeignTypeWriter,
    /// [`with_requests`](crate::Fixture::with_requests).
    Requests,
    /// [`with_faults`](crate::Fixture::with_faults), of any kind.
    Faults,
    /// This fault: [`Faults::offers`](crate::Faults::offers).
    Fault(Fault),
    /// [`with_client_clock`](crate::Fixture::with_client_clock).
    ClientClock,
    /// [`with_secret`](crate::Fixture::with_secret).
    Secret,
}
