//! What a verification found.

use std::fmt;

use crate::error::Error;

/// What a verification found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Entries of the source that were compared: those that are the same, that only the source has, and that differ. Of
    /// items of a file with one key only the last one is.
    pub compared: u64,
    /// Entries that both have, alike as far as the two can tell.
    pub same: u64,
    /// Entries that only the source has.
    pub only_in_source: u64,
    /// Entries that only the target has, of those whose key the source could have by prefix, filter and rewriting. They
    /// are looked for only [both ways](super::VerifyOptions::both_ways), and not where
    /// [`target_not_listed`](Self::target_not_listed).
    pub only_in_target: u64,
    /// Entries that both have, and that are not alike.
    pub different: u64,
    /// Of those that only the source has and those that differ: keys under which the source holds what is no value
    /// (VAL-7).
    pub no_value: u64,
    /// Entries that only one of the two has, and that have expired by now: not compared, and no difference. Items of a
    /// file count too that had expired before the copy while another item has their key.
    pub expired: u64,
    /// Items with an expiry of zero or less that [`ZeroExpiry::Skip`](crate::ZeroExpiry::Skip) skips, in all of the
    /// source: not compared, and no difference.
    pub skipped: u64,
    /// Items of a file, of either side, that cannot be read and that
    /// [`Options::skip_bad_lines`](crate::Options::skip_bad_lines) passes over. What they hold is not compared, so that
    /// nothing is clean then.
    pub unreadable: u64,
    /// Keys that a [file](super::Entries::Keys) names for the source, and that neither side has: not compared, and no
    /// difference.
    pub missing: u64,
    /// Of those that are the same: the expiry could not be compared, since one of the two cannot report it (EXP-8).
    pub expiry_not_reported: u64,
    /// Differences that were no more when they were looked at [again](super::VerifyOptions::recheck).
    pub changed_meanwhile: u64,
    /// Entries that only the target has were to be found, and cannot be: the target is a store that cannot list its
    /// keys, and none are named.
    pub target_not_listed: bool,
    /// The source has more entries than were to be [compared](super::VerifyOptions::sample), so that a difference may
    /// be among the others.
    pub is_sample: bool,
    /// What ended the verification before its end.
    pub stopped: Option<Error>,
}

impl Verification {
    /// How many differences were found.
    #[must_use]
    pub const fn differences(&self) -> u64 {
        self.only_in_source + self.only_in_target + self.different
    }

    /// Whether nothing differs and everything could be read, as far as was [compared](Self::is_sample) and can be
    /// [found](Self::target_not_listed).
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.stopped.is_none() && self.differences() == 0 && self.unreadable == 0
    }

    /// Entries that were dealt with.
    pub(super) const fn entries(&self) -> u64 {
        self.compared + self.only_in_target + self.expired + self.skipped
    }
}

/// An entry that the two sides do not have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Its key in the source; of one that only the target has, its key there.
    pub key: String,
    /// Its line in the source, where that is a file.
    pub line: Option<u64>,
    /// Who has it.
    pub mark: DifferenceMark,
    /// What differs.
    pub what: What,
}

/// Who has an entry, as `diff` marks lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceMark {
    /// The source alone.
    OnlyInSource,
    /// The target alone.
    OnlyInTarget,
    /// Both, and not alike.
    Different,
}

impl DifferenceMark {
    /// As one character: `-`, `+` or `*`.
    #[must_use]
    pub const fn as_char(self) -> char {
        match self {
            Self::OnlyInSource => '-',
            Self::OnlyInTarget => '+',
            Self::Different => '*',
        }
    }
}

impl fmt::Display for DifferenceMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Write::write_char(f, self.as_char())
    }
}

/// What differs; the first of these that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The source holds what is no value there, such as a list, which cannot be copied (VAL-7).
    NoValue,
    /// The target does not have it.
    Missing,
    /// The source does not have it.
    Extra,
    /// The kind of the value. The target may hold what is no value.
    Kind,
    /// The value: text and bytes byte by byte, JSON by meaning (VAL-3).
    Value,
    /// The metadata, by meaning.
    Metadata,
    /// The expiry, beyond what rounding explains.
    Expiry,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoValue => "holds no value in the source",
            Self::Missing => "is not in the target",
            Self::Extra => "is not in the source",
            Self::Kind => "has a value of another kind",
            Self::Value => "has another value",
            Self::Metadata => "has other metadata",
            Self::Expiry => "has another expiry",
        })
    }
}
