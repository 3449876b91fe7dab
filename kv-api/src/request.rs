//! Resolved requests: what an adapter receives. Only [`Resolver`](crate::Resolver) and `parts.rs` build them, so none
//! can hold an invalid key, two expiries, an option that is not supported, an item above its limits, an empty batch, or
//! one key twice (CHK-1).

use std::borrow::Cow;
use std::num::NonZeroUsize;

use crate::condition::Condition;
use crate::entry::Fields;
use crate::error::{Error, Result};
use crate::expiry::{Expiry, Judged};
use crate::metadata::Metadata;
use crate::parts::{
    DeleteParts, ExpireParts, GetAndDeleteParts, IncrementParts, ListPageParts, ReadParts, TouchParts, WriteParts,
};
use crate::set_item::SetOptions;
use crate::value::Value;
use crate::version::Version;

/// What every request for one key has.
macro_rules! keyed {
    ($($request:ident),+) => {$(
        impl<'a> $request<'a> {
            /// The whole key.
            #[must_use]
            pub fn key(&self) -> &str {
                &self.key
            }

            /// The key, by itself.
            #[must_use]
            pub fn into_key(self) -> Cow<'a, str> {
                self.key
            }
        }
    )+};
}
keyed!(Read, Delete, Increment, Expire, Touch, GetAndDelete);

/// One read.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) fields: Fields,
}

impl<'a> Read<'a> {
    /// What the caller wants of the entry.
    #[must_use]
    pub const fn fields(&self) -> Fields {
        self.fields
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> ReadParts<'a> {
        let Self { key, fields } = self;
        ReadParts { key, fields }
    }
}

/// Reads of distinct keys, at least one.
#[derive(Clone, Debug)]
pub struct ReadMany<'a> {
    pub(crate) keys: Vec<Cow<'a, str>>,
    pub(crate) fields: Fields,
}

impl<'a> ReadMany<'a> {
    /// The whole keys, all different, in the order to answer in.
    #[must_use]
    pub fn keys(&self) -> &[Cow<'a, str>] {
        &self.keys
    }

    /// The keys, by themselves.
    #[must_use]
    pub fn into_keys(self) -> Vec<Cow<'a, str>> {
        self.keys
    }

    /// What the caller wants of each entry.
    #[must_use]
    pub const fn fields(&self) -> Fields {
        self.fields
    }

    /// The same as single reads, for an adapter without a bulk read.
    #[must_use]
    pub fn into_reads(self) -> impl ExactSizeIterator<Item = Read<'a>> + Send {
        let fields = self.fields;
        self.keys.into_iter().map(move |key| Read { key, fields })
    }
}

/// One set, with its condition, expiry and metadata resolved.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: Value,
    pub(crate) options: Option<Box<SetOptions>>,
    pub(crate) judged: Judged,
}

impl<'a> Write<'a> {
    /// The whole key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The metadata, if there is any.
    #[must_use]
    pub fn metadata(&self) -> Option<&Metadata> {
        self.options.as_ref()?.metadata.as_ref()
    }

    /// The expiry: one form at most (EXP-2).
    #[must_use]
    pub const fn expiry(&self) -> Expiry {
        self.judged.expiry()
    }

    /// The condition.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        self.options.as_ref().map_or(&Condition::Always, |options| &options.condition)
    }

    /// Whether it is to be carried out whatever is there.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        *self.condition() == Condition::Always
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> WriteParts<'a> {
        let Self { key, value, options, judged } = self;
        let SetOptions { metadata, condition, best_effort, .. } = options.map(|options| *options).unwrap_or_default();
        WriteParts { key, value, metadata, expiry: judged.expiry(), condition, judged, best_effort }
    }
}

/// Sets of distinct keys, at least one. Order among them does not matter.
#[derive(Clone, Debug)]
pub struct WriteMany<'a>(pub(crate) Vec<Write<'a>>);

impl<'a> WriteMany<'a> {
    /// The sets.
    #[must_use]
    pub fn writes(&self) -> &[Write<'a>] {
        &self.0
    }

    /// The sets, by themselves.
    #[must_use]
    pub fn into_writes(self) -> Vec<Write<'a>> {
        self.0
    }
}

/// One delete.
#[derive(Clone, Debug)]
pub struct Delete<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) if_version: Option<Version>,
    pub(crate) best_effort: bool,
}

impl<'a> Delete<'a> {
    /// Only a live entry of this version is to be deleted (DEL-2).
    #[must_use]
    pub const fn if_version(&self) -> Option<&Version> {
        self.if_version.as_ref()
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> DeleteParts<'a> {
        let Self { key, if_version, best_effort } = self;
        DeleteParts { key, if_version, best_effort }
    }
}

/// Unconditional deletes of distinct keys, at least one.
#[derive(Clone, Debug)]
pub struct DeleteMany<'a>(pub(crate) Vec<Cow<'a, str>>);

impl<'a> DeleteMany<'a> {
    /// The whole keys, all different, in the order to answer in.
    #[must_use]
    pub fn keys(&self) -> &[Cow<'a, str>] {
        &self.0
    }

    /// The keys, by themselves.
    #[must_use]
    pub fn into_keys(self) -> Vec<Cow<'a, str>> {
        self.0
    }

    /// The same as single deletes, for an adapter without a bulk delete.
    #[must_use]
    pub fn into_deletes(self) -> impl ExactSizeIterator<Item = Delete<'a>> + Send {
        self.0.into_iter().map(|key| Delete { key, if_version: None, best_effort: false })
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct ListPage<'a> {
    pub(crate) prefix: Cow<'a, str>,
    pub(crate) limit: NonZeroUsize,
    pub(crate) position: Option<Vec<u8>>,
}

impl<'a> ListPage<'a> {
    /// The whole prefix, literal; empty for everything in the namespace.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The most keys wanted, never above `list_page_max`. A store whose list has no order may give more (LIST-1).
    #[must_use]
    pub const fn limit(&self) -> NonZeroUsize {
        self.limit
    }

    /// Where the page before this one ended, as [`RawPage::next`](crate::RawPage) said, perhaps in another process;
    /// `None` on the first page.
    #[must_use]
    pub fn position(&self) -> Option<&[u8]> {
        self.position.as_deref()
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> ListPageParts<'a> {
        let Self { prefix, limit, position } = self;
        ListPageParts { prefix, limit, position }
    }
}

/// One increment (CNT-1 to CNT-3).
#[derive(Clone, Debug)]
pub struct Increment<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) by: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) expiring_allowed: bool,
    pub(crate) created_expiry: Expiry,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> Increment<'a> {
    /// What to add.
    #[must_use]
    pub const fn by(&self) -> i64 {
        self.by
    }

    /// The least acceptable result: the store's, or a restricted handle's.
    #[must_use]
    pub const fn min(&self) -> i64 {
        self.min
    }

    /// The greatest acceptable result: the store's, or a restricted handle's.
    #[must_use]
    pub const fn max(&self) -> i64 {
        self.max
    }

    /// The new value of a counter that holds `old`.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::CounterRange`](crate::Reason::CounterRange) when it is out of range or
    /// overflows (CNT-1).
    pub fn apply(&self, old: i64) -> Result<i64> {
        let Self { by, min, max, .. } = *self;
        old.checked_add(by).filter(|new| (min..=max).contains(new)).ok_or_else(|| Error::counter_range(min, max))
    }

    /// Whether, from `old`, the range has room for more such steps than can be under way at once (2^20): then steps on
    /// one counter need not wait for each other to stay in it. For a system that knows no range (CNT-1).
    #[must_use]
    pub fn has_room(&self, old: i64) -> bool {
        const STEPS: i128 = 1 << 20;
        let [old, by, min, max] = [old, self.by, self.min, self.max].map(i128::from);
        by.abs() * STEPS <= (max - old).min(old - min)
    }

    /// Whether an entry with an expiry may be counted in; if not, that is `WrongType` (CNT-2).
    #[must_use]
    pub const fn expiring_allowed(&self) -> bool {
        self.expiring_allowed
    }

    /// The expiry of a counter that this step creates; one that exists keeps its own (CNT-3).
    #[must_use]
    pub const fn created_expiry(&self) -> Expiry {
        self.created_expiry
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> IncrementParts<'a> {
        let Self { key, by, min, max, expiring_allowed, created_expiry, judged, best_effort } = self;
        IncrementParts { key, by, created_expiry, min, max, expiring_allowed, judged, best_effort }
    }
}

/// One change of only the expiry of an entry (EXP-9, EXP-11).
#[derive(Clone, Debug)]
pub struct Expire<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) expiry: Expiry,
    pub(crate) if_version: Option<Version>,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> Expire<'a> {
    /// The new expiry.
    #[must_use]
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Only a live entry of this version is to be changed (EXP-11).
    #[must_use]
    pub const fn if_version(&self) -> Option<&Version> {
        self.if_version.as_ref()
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> ExpireParts<'a> {
        let Self { key, expiry, if_version, judged, best_effort } = self;
        ExpireParts { key, expiry, if_version, judged, best_effort }
    }
}

/// One read that gives the entry a new ttl in the same step (EXP-12).
#[derive(Clone, Debug)]
pub struct Touch<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) fields: Fields,
    pub(crate) expiry: Expiry,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> Touch<'a> {
    /// What the caller wants of the entry; its expiry is the new one.
    #[must_use]
    pub const fn fields(&self) -> Fields {
        self.fields
    }

    /// The new expiry.
    #[must_use]
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> TouchParts<'a> {
        let Self { key, fields, expiry, judged, best_effort } = self;
        TouchParts { key, fields, expiry, judged, best_effort }
    }
}

/// One read that deletes the entry in the same step (GET-4).
#[derive(Clone, Debug)]
pub struct GetAndDelete<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) fields: Fields,
    pub(crate) best_effort: bool,
}

impl<'a> GetAndDelete<'a> {
    /// What the caller wants of the entry.
    #[must_use]
    pub const fn fields(&self) -> Fields {
        self.fields
    }

    /// The parts, by themselves.
    #[must_use]
    pub fn into_parts(self) -> GetAndDeleteParts<'a> {
        let Self { key, fields, best_effort } = self;
        GetAndDeleteParts { key, fields, best_effort }
    }
}
