//! Numbered versions, and conditions in their terms.
//!
//! A write takes two numbers, an odd one for the entry that it creates and the even one before it for the entry that it
//! replaces. So what a statement returns as the new version also says which of the two it was.

use kv_api::{Condition, Error, ErrorKind, Result, SetOutcome, SetStatus, Version};

/// A condition whose version is a number of this store, or one that no entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutCondition {
    /// Whatever is there.
    Always,
    /// Only when there is no live entry.
    IfNotExists,
    /// Only over a live entry.
    IfExists,
    /// Only over a live entry of this version.
    IfVersion(i64),
}

/// Stands for a version that never came from this store: no entry has it (VER-2).
const FOREIGN_VERSION: i64 = -1;

impl PutCondition {
    /// The condition of a write to the store of this origin.
    ///
    /// # Errors
    /// `Internal` for a condition that is newer than this.
    pub fn new(condition: &Condition, origin: u64) -> Result<Self> {
        match condition {
            Condition::Always => Ok(Self::Always),
            Condition::IfNotExists => Ok(Self::IfNotExists),
            Condition::IfExists => Ok(Self::IfExists),
            Condition::IfVersion(version) => Ok(Self::IfVersion(Self::number(version, origin))),
            other => Err(Error::new(ErrorKind::Internal, format!("the adapter does not know the condition {other:?}"))),
        }
    }

    /// The number of a version as a row has it; one that no row has for a version of another store.
    #[must_use]
    pub fn number(version: &Version, origin: u64) -> i64 {
        version.number_from(origin).and_then(|number| i64::try_from(number).ok()).unwrap_or(FOREIGN_VERSION)
    }
}

/// A stored version as the callers see it.
#[must_use]
pub const fn version(origin: u64, stored: i64) -> Version {
    Version::numbered(origin, stored.cast_unsigned())
}

/// The outcome of a put: the lowest bit of the version that it gave the entry says whether it created it. `None`: its
/// condition was not met.
#[must_use]
pub fn put_outcome(origin: u64, stored: Option<i64>) -> SetOutcome {
    match stored {
        None => SetOutcome::new(SetStatus::NotMet),
        Some(stored) => {
            let status = if stored & 1 == 1 { SetStatus::Created } else { SetStatus::Updated };
            SetOutcome::new(status).with_version(version(origin, stored))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ver_2_a_version_of_another_store_is_that_of_no_entry() {
        let condition = |version: Version| PutCondition::new(&Condition::IfVersion(version), 7).unwrap();
        assert_eq!(condition(version(7, 5)), PutCondition::IfVersion(5));
        for foreign in [version(8, 5), Version::numbered(7, u64::MAX)] {
            assert_eq!(condition(foreign), PutCondition::IfVersion(FOREIGN_VERSION));
        }
    }
}
