//! What callers asked of one key, when, and what they were answered.

use std::collections::BTreeMap;
use std::fmt;

/// A moment: how many calls had begun or ended before it. No clock is asked, so equal moments do not exist.
pub(crate) type Moment = u64;

/// A version by its number in the order in which versions were first seen. It says nothing but which are equal.
pub(crate) type VersionId = usize;

/// The number of every value that no caller writes.
pub(crate) const NOBODYS: i64 = i64::MIN;

/// A call as its caller saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) caller: usize,
    pub(crate) action: Action,
    pub(crate) began: Moment,
    /// When its caller had the answer; `None` where that is later than the history goes.
    pub(crate) ended: Option<Moment>,
    pub(crate) answer: Answer,
    /// How often more than once it may have been carried out: an unconditional write asks for a state, and is repeated
    /// where its first attempt may have been lost (ERR-4).
    pub(crate) repeats: usize,
}

/// What a call asks for. Values are small numbers; those that are set differ from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get,
    GetEntry,
    /// `get_entry` with a new ttl, which ends long after the history.
    Touch,
    /// `expire` with never: changes nothing that is looked at here, and says whether there is an entry.
    Expire,
    Set(i64, When),
    Delete(Option<VersionId>),
    GetAndDelete,
    Increment(i64),
}

/// The condition of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    IfNotExists,
    IfExists,
    IfVersion(VersionId),
}

/// What a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An error that says that nothing was applied, or a read that failed.
    NotApplied,
    /// An error that says that nobody knows, or no answer yet: it may take effect at any moment after its beginning,
    /// also after its error, or never.
    Unknown,
    /// The value that was found.
    Value(Option<i64>),
    /// The value that was found, and its version where one was given.
    Entry(Option<(i64, Option<VersionId>)>),
    /// Whether there is an entry.
    Exists(bool),
    /// A set was written: whether over an entry, where that is said, and the new version, where one is given.
    Written {
        over_an_entry: Option<bool>,
        version: Option<VersionId>,
    },
    /// A delete was carried out: whether there was an entry, where that is said.
    Deleted {
        was_there: Option<bool>,
    },
    NotMet,
    /// The new value of a counter.
    Count(i64),
}

impl Action {
    /// Whether it is carried out only over an entry of a certain version.
    pub(crate) const fn names_a_version(self) -> bool {
        matches!(self, Self::Set(_, When::IfVersion(_)) | Self::Delete(Some(_)))
    }
}

impl Call {
    /// Whether it can have changed what other calls see.
    pub(crate) const fn may_change(&self) -> bool {
        match self.action {
            Action::Get | Action::GetEntry | Action::Touch | Action::Expire => false,
            Action::Set(..) | Action::Delete(_) | Action::GetAndDelete | Action::Increment(_) => !matches!(
                self.answer,
                Answer::NotApplied | Answer::NotMet | Answer::Value(None) | Answer::Deleted { was_there: Some(false) }
            ),
        }
    }

    /// The version that was given to the caller, with the value that it stands for.
    const fn version_seen(&self) -> Option<(VersionId, i64)> {
        match (self.action, self.answer) {
            (_, Answer::Entry(Some((value, Some(version)))))
            | (Action::Set(value, _), Answer::Written { version: Some(version), .. }) => Some((version, value)),
            _ => None,
        }
    }
}

/// The calls on one key.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// By their beginnings.
    pub(crate) calls: Vec<Call>,
    /// The value that each version stands for, by all that was seen.
    values: BTreeMap<VersionId, i64>,
}

impl History {
    /// # Errors
    /// Where one version was given for two values, which no order of calls explains (VER-1).
    pub(crate) fn new(mut calls: Vec<Call>) -> Result<Self, String> {
        calls.sort_by_key(|call| call.began);
        let mut values = BTreeMap::new();
        for (version, value) in calls.iter().filter_map(Call::version_seen) {
            let before = *values.entry(version).or_insert(value);
            if before != value {
                return Err(format!("one version, v{version}, was given for {before} and for {value}"));
            }
        }
        Ok(Self { calls, values })
    }

    /// Some of the calls, or what is left of them. What is known of versions stays: it holds at every moment.
    pub(crate) fn with_calls(&self, calls: Vec<Call>) -> Self {
        Self { calls, values: self.values.clone() }
    }

    /// Whether a version stands for this value.
    pub(crate) fn stands_for(&self, version: VersionId, value: i64) -> bool {
        self.values.get(&version) == Some(&value)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => f.write_str("get"),
            Self::GetEntry => f.write_str("get_entry"),
            Self::Touch => f.write_str("touch"),
            Self::Expire => f.write_str("expire"),
            Self::Set(value, When::Always) => write!(f, "set {value}"),
            Self::Set(value, When::IfNotExists) => write!(f, "set {value} if_not_exists"),
            Self::Set(value, When::IfExists) => write!(f, "set {value} if_exists"),
            Self::Set(value, When::IfVersion(version)) => write!(f, "set {value} if_version v{version}"),
            Self::Delete(None) => f.write_str("delete"),
            Self::Delete(Some(version)) => write!(f, "delete if_version v{version}"),
            Self::GetAndDelete => f.write_str("get_and_delete"),
            Self::Increment(by) => write!(f, "increment {by:+}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |f: &mut fmt::Formatter<'_>, version: &Option<VersionId>| match version {
            Some(version) => write!(f, " v{version}"),
            None => Ok(()),
        };
        match self {
            Self::NotApplied => f.write_str("failed, not applied"),
            Self::Unknown => f.write_str("unknown"),
            Self::Value(Some(NOBODYS)) | Self::Entry(Some((NOBODYS, _))) => f.write_str("a value that nobody set"),
            Self::Value(Some(value)) | Self::Count(value) => write!(f, "{value}"),
            Self::Value(None) | Self::Entry(None) => f.write_str("none"),
            Self::Entry(Some((value, seen))) => {
                write!(f, "{value}")?;
                version(f, seen)
            }
            Self::Exists(is_there) => write!(f, "{is_there}"),
            Self::Written { over_an_entry, version: given } => {
                f.write_str(match over_an_entry {
                    Some(true) => "updated",
                    Some(false) => "created",
                    None => "stored",
                })?;
                version(f, given)
            }
            Self::Deleted { was_there: Some(true) } => f.write_str("deleted"),
            Self::Deleted { was_there: Some(false) } => f.write_str("not found"),
            Self::Deleted { was_there: None } => f.write_str("accepted"),
            Self::NotMet => f.write_str("not met"),
        }
    }
}
