//! When a set is carried out (SET-2).

use crate::version::Version;

/// The condition of a set, decided and applied atomically where its support is `Native` or `Emulated` (SET-6). One that
/// does not hold is an outcome, not an error (SET-3). An expired entry does not exist (SET-4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Whatever is there.
    #[default]
    Always,
    /// Only when there is no live entry.
    IfNotExists,
    /// Only over a live entry.
    IfExists,
    /// Only over a live entry that has this version: compare-and-set.
    IfVersion(Version),
}
