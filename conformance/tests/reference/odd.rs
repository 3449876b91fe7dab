//! What can be odd about a store that keeps every promise.

/// An oddness: what the contract leaves open, done as few would do it.
#[allow(dead_code, reason = "most tests have no use for what is odd")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    /// Of calls that come together the last is answered first.
    AnswersOutOfOrder,
    /// Each request takes long on its way there, and on its way back.
    AnswersSlowly,
    /// A list ends on an empty page, pages have half of what was asked for, and every other page is empty.
    GivesShortPages,
    /// A page has no fewer than a hundred keys, whatever was asked for.
    GivesWholeBlocks,
    /// Keys are listed by a hash, and each page begins with the key that ended the one before it.
    ListsByHash,
    /// A step is a look and a write, with all other writes of this store kept out meanwhile.
    LooksThenWrites,
    /// A restart ends the walks that have begun.
    LosesPlaces,
    /// All namespaces lie in one table, under prefixes.
    NamespacesArePrefixes,
    /// Entries end by the clock of this side.
    OwnClock,
    /// A read takes two requests, so that metadata can be older than the value.
    ReadsInTwoSteps,
    /// An all-or-nothing batch is written only where its keys lie together.
    RefusesKeysApart,
    /// An expiry that is past by the system's clock is refused.
    RefusesThePast,
    /// Wrong credentials are refused on opening.
    RefusesStrangersAtOnce,
    /// JSON is kept by its meaning, and not as it was spelled.
    RewritesJson,
    /// The scope is an address, with all that such a thing may have in it.
    ScopeIsAnAddress,
    /// All requests take one connection, and one that is refused ends it: what else is under way has no answer then. A
    /// set without a condition is sent again.
    SharesOneConnection,
    /// Reads and lists show what was there a while ago.
    ShowsWritesLate,
    /// There are no requests for several items.
    SinglesOnly,
    /// Wrong credentials look like a place that is not there.
    StrangersAreLost,
    /// What has ended is gone at the next request, of whatever it is.
    SweepsAlways,
    /// A byte order mark that another client wrote is taken off.
    TakesOffByteOrderMarks,
    /// Each request is turned away at first, and sent again.
    TurnsAwayFirst,
    /// A version is a digest of the content.
    VersionsAreDigests,
    /// A version has all the bytes that it may have.
    VersionsAreLong,
}
