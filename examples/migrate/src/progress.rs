//! What a copy or a verification reports while it runs.

use std::time::Duration;

use crate::summary::Counts;

/// What a copy or a verification reports while it runs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// How far it has come.
    Progress(Progress),
    /// It waits. The next [`Progress`](Self::Progress) says that it goes on.
    Waiting(Wait<'a>),
    /// It goes on where an earlier run of the same copy ended; reported first.
    Resumed(Resumed),
}

/// How far a copy or a verification has come.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Entries dealt with, those of earlier runs included.
    pub entries: u64,
    /// Bytes of the source read and in all, where it is a file.
    pub bytes: Option<(u64, u64)>,
    /// What became of the entries that a copy has dealt with; all zero for a plan and a verification.
    pub counts: Counts,
}

/// A wait before a request is sent again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Wait<'a> {
    /// How long.
    pub delay: Duration,
    /// Which of the two stores it is for.
    pub side: Side,
    /// What the store answered last.
    pub error: &'a kv_api::Error,
    /// How long the copy has been without progress, before this wait.
    pub without_progress: Duration,
}

/// One of the two ends of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where entries come from.
    Source,
    /// Where entries go.
    Target,
}

/// Where a copy goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// Entries that earlier runs have dealt with.
    pub entries: u64,
    /// What became of them.
    pub counts: Counts,
    /// Of those that follow, so many at most have been copied before, and are copied again.
    pub again: u64,
}
