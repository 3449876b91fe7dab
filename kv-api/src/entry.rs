//! What a read answers: the value, and what lies beside it (GET-1).

use crate::clock::Timestamp;
use crate::metadata::Metadata;
use crate::value::Value;
use crate::version::Version;

/// When an entry ends, as far as the store can say (EXP-8): never a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryExpiry {
    /// It never expires.
    Never,
    /// It ends at this time. Where the system reports whole remaining seconds: never before the true time, and at most
    /// two resolutions after it.
    At(Timestamp),
    /// The store cannot say.
    Unknown,
}

/// The parts of an entry that a read wants, so that an adapter asks for no more than is needed (GET-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fields {
    /// Only whether it is there: `exists`.
    Existence,
    /// The value: `get`.
    Value,
    /// Value, metadata, expiry and version: `get_entry`.
    All,
}

/// An entry as it was read. Small: what only `get_entry` asks for sits behind one pointer.
///
/// ```
/// use kv_api::{Entry, EntryExpiry, Value};
/// let entry = Entry::new(Value::from("v"));
/// assert_eq!(entry.value(), &Value::from("v"));
/// assert_eq!(entry.expiry(), EntryExpiry::Unknown); // the store did not say
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    value: Value,
    details: Option<Box<Details>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Details {
    metadata: Option<Metadata>,
    expiry: EntryExpiry,
    version: Option<Version>,
}

impl Entry {
    /// An entry of which only the value was asked for.
    #[must_use]
    pub const fn new(value: Value) -> Self {
        Self { value, details: None }
    }

    /// An entry of which everything was asked for. A store without metadata or versions gives `None`.
    #[must_use]
    pub fn with_details(
        value: Value,
        metadata: Option<Metadata>,
        expiry: EntryExpiry,
        version: Option<Version>,
    ) -> Self {
        Self { value, details: Some(Box::new(Details { metadata, expiry, version })) }
    }

    /// The value. For [`Fields::Existence`] a store answers with any value, usually an empty one.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The value, by itself.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The metadata, if it has any.
    #[must_use]
    pub fn metadata(&self) -> Option<&Metadata> {
        self.details.as_ref()?.metadata.as_ref()
    }

    /// When it ends.
    #[must_use]
    pub fn expiry(&self) -> EntryExpiry {
        self.details.as_ref().map_or(EntryExpiry::Unknown, |details| details.expiry)
    }

    /// Its version, where the store has versions.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.details.as_ref()?.version.as_ref()
    }

    /// Hides what a restricted handle may not report (CAP-4).
    pub(crate) fn hide(&mut self, metadata: bool, expiry: bool, version: bool) {
        if let Some(details) = &mut self.details {
            if metadata {
                details.metadata = None;
            }
            if expiry {
                details.expiry = EntryExpiry::Unknown;
            }
            if version {
                details.version = None;
            }
        }
    }
}
