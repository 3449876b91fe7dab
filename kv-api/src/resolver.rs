//! The one place where a request is checked and resolved: public and pure, so that the handle
//! and an adapter author's unit tests use the same.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::capabilities::{Capabilities, ItemParts, Support};
use crate::clock::{Clock, Timestamp};
use crate::condition::Condition;
use crate::entry::Fields;
use crate::error::{Error, ErrorKind, Feature, Reason, Result};
use crate::expiry::{Expiry, ExpiryOptions, ExpiryPrecedence, Judged, MinTtl};
use crate::metadata::Metadata;
use crate::parts::repeated_key;
use crate::request::{
    Delete, DeleteMany, Expire, GetAndDelete, Increment, ListPage, Read, ReadMany, Touch, Write, WriteMany,
};
use crate::set_item::{SetItem, SetOptions};
use crate::value::Value;
use crate::version::Version;

/// Choices that a handle makes for all its requests; a request can choose otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) precedence: ExpiryPrecedence,
    pub(crate) min_ttl: MinTtl,
    pub(crate) best_effort: bool,
}

/// Turns what a caller asks for into what an adapter receives, or into the error that says why not. Nothing else builds
/// the resolved types, so the check cannot be skipped.
///
/// ```
/// use kv_api::{Capabilities, Condition, ErrorKind, Expiry, ManualClock, Resolver, SetItem, Support, Timestamp};
/// use kv_api::{ValueKind, ValueKinds};
/// use std::time::Duration;
/// static CAPABILITIES: Capabilities = Capabilities::new("example")
///     .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text))
///     .with_ttl(Support::Native)
///     .with_key_bytes(1, 3);
/// let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
/// let resolver = Resolver::new(&CAPABILITIES);
///
/// let write = resolver.write(SetItem::new("key", "value").ttl(Duration::from_millis(1_500)), &clock)?;
/// assert_eq!(write.expiry(), Expiry::After(Duration::from_secs(2))); // rounded up to the resolution (EXP-4)
/// assert_eq!(write.condition(), &Condition::Always);
///
/// let error = resolver.write(SetItem::new("long", "value"), &clock).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// let error = resolver.write(SetItem::new("key", "value").if_not_exists(), &clock).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported); // not supported
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Resolver<'p> {
    capabilities: &'p Capabilities,
    policy: Policy,
    prefix: &'p str,
}

impl<'p> Resolver<'p> {
    /// Resolves against `capabilities`, with the default choices: `ExpiryPrecedence::ExpireAt`, `MinTtl::Reject`, no
    /// best effort, no prefix.
    #[must_use]
    pub const fn new(capabilities: &'p Capabilities) -> Self {
        Self {
            capabilities,
            policy: Policy { precedence: ExpiryPrecedence::ExpireAt, min_ttl: MinTtl::Reject, best_effort: false },
            prefix: "",
        }
    }

    pub(crate) const fn with_handle(capabilities: &'p Capabilities, policy: Policy, prefix: &'p str) -> Self {
        Self { capabilities, policy, prefix }
    }

    /// One set.
    ///
    /// # Errors
    /// `InvalidArgument` for a key (KEY-1, KEY-2), value (VAL-1, VAL-3), size (CHK-2), expiry (EXP-2, EXP-5, EXP-6) or
    /// pair of conditions (SET-2) that is not acceptable; `Unsupported` for what the store does not support.
    pub fn write<'a>(&self, item: SetItem<'a>, clock: &dyn Clock) -> Result<Write<'a>> {
        let SetItem { key, value, ttl, mut options } = item;
        let key = self.full_key(key)?;
        if ttl.is_some() && self.policy.best_effort {
            // Kept, for a wrapper that makes a request of its own of this one.
            options.get_or_insert_default().best_effort = true;
        }
        let checked = (|| {
            self.check_value(&value)?;
            let judged = match options.as_deref_mut() {
                Some(options) => self.resolve_options(ttl, options, clock)?,
                None if ttl.is_some() => {
                    Judged::new(self.resolve_expiry(ttl, None, None, None, clock)?, self.capabilities)
                }
                None => Judged::default(),
            };
            self.check_size(ItemParts {
                key: &key,
                value: &value,
                metadata: options.as_deref().and_then(|options| options.metadata.as_ref()),
                expires: judged.expiry() != Expiry::Never,
            })?;
            Ok(judged)
        })();
        match checked {
            Ok(judged) => Ok(Write { key, value, options, judged }),
            Err(error) => Err(Error::with_key(error, &key)),
        }
    }

    /// One read.
    ///
    /// # Errors
    /// `InvalidArgument` when the key is not acceptable (KEY-1, KEY-2).
    #[inline]
    pub fn read<'a>(&self, key: impl Into<Cow<'a, str>>, fields: Fields) -> Result<Read<'a>> {
        Ok(Read { key: self.full_key(key.into())?, fields })
    }

    /// Reads of many keys, each key once, and for each input the position of its key among them; `None` for no key.
    ///
    /// # Errors
    /// `InvalidArgument` with the index of the first key that is not acceptable (GET-2).
    pub fn read_many<'a>(
        &self,
        keys: impl IntoIterator<Item = Cow<'a, str>>,
        fields: Fields,
    ) -> Result<Option<(ReadMany<'a>, Vec<usize>)>> {
        let mut distinct = Distinct::default();
        for (index, key) in keys.into_iter().enumerate() {
            distinct.push(self.full_key(key).map_err(|error| error.with_index(index))?);
        }
        let Distinct { keys, slots, .. } = distinct;
        Ok(if keys.is_empty() { None } else { Some((ReadMany { keys, fields }, slots)) })
    }

    /// One delete.
    ///
    /// # Errors
    /// `InvalidArgument` when the key is not acceptable; `Unsupported` when `if_version` is given and not supported.
    pub fn delete<'a>(
        &self,
        key: impl Into<Cow<'a, str>>,
        if_version: Option<Version>,
        best_effort: bool,
    ) -> Result<Delete<'a>> {
        let key = self.full_key(key.into())?;
        if if_version.is_some() {
            self.require(Feature::IfVersion, best_effort).map_err(|error| error.with_key(&key))?;
        }
        Ok(Delete { key, if_version, best_effort: best_effort || self.policy.best_effort })
    }

    /// Deletes of many keys, each key once, and for each input the position of its key among them, or its own error; no
    /// request when there is no acceptable key.
    pub fn delete_many<'a>(
        &self,
        keys: impl IntoIterator<Item = Cow<'a, str>>,
    ) -> (Option<DeleteMany<'a>>, Vec<Result<usize>>) {
        let mut distinct = Distinct::default();
        let mut slots = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            slots.push(self.full_key(key).map(|key| distinct.push(key)).map_err(|error| error.with_index(index)));
        }
        let keys = distinct.keys;
        (if keys.is_empty() { None } else { Some(DeleteMany(keys)) }, slots)
    }

    /// A batch that is written whole or not at all; `None` for no item.
    ///
    /// # Errors
    /// `InvalidArgument` with the index of the first item that is not acceptable or repeats a key (BATCH-3);
    /// `Unsupported` when it is not supported.
    pub fn all_or_nothing<'a>(
        &self,
        items: impl IntoIterator<Item = SetItem<'a>>,
        clock: &dyn Clock,
    ) -> Result<Option<WriteMany<'a>>> {
        self.require_all_or_nothing()?;
        let writes = distinct_writes(items.into_iter().map(|item| self.write(item, clock)))?;
        Ok(if writes.is_empty() { None } else { Some(WriteMany(writes)) })
    }

    /// One page of a list, after the `position` that an opened cursor holds.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit of zero (LIST-1); `Unsupported` when listing is not supported.
    pub fn list<'a>(
        &self,
        prefix: impl Into<Cow<'a, str>>,
        limit: usize,
        position: Option<Vec<u8>>,
    ) -> Result<ListPage<'a>> {
        self.list_full(self.prefixed(prefix.into()), limit, position)
    }

    /// The same with the handle's prefix already before `prefix`.
    pub(crate) fn list_full<'a>(
        &self,
        prefix: Cow<'a, str>,
        limit: usize,
        position: Option<Vec<u8>>,
    ) -> Result<ListPage<'a>> {
        self.require(Feature::List, false)?;
        let limit = NonZeroUsize::new(limit.min(self.capabilities.list_page_max))
            .ok_or_else(|| Error::invalid(Reason::PageLimitZero, "the limit of a page must be at least 1"))?;
        Ok(ListPage { prefix, limit, position })
    }

    /// One read that deletes.
    ///
    /// # Errors
    /// `InvalidArgument` when the key is not acceptable; `Unsupported` when it is not supported.
    pub fn get_and_delete<'a>(
        &self,
        key: impl Into<Cow<'a, str>>,
        fields: Fields,
        best_effort: bool,
    ) -> Result<GetAndDelete<'a>> {
        let key = self.full_key(key.into())?;
        self.require(Feature::GetAndDelete, best_effort).map_err(|error| error.with_key(&key))?;
        Ok(GetAndDelete { key, fields, best_effort: best_effort || self.policy.best_effort })
    }

    /// One increment.
    ///
    /// # Errors
    /// `InvalidArgument` when the key or the ttl of a new counter is not acceptable (EXP-5, EXP-6); `Unsupported` when
    /// counters, or a ttl for a new one, are not supported.
    pub fn increment<'a>(
        &self,
        key: impl Into<Cow<'a, str>>,
        by: i64,
        options: IncrementOptions,
        clock: &dyn Clock,
    ) -> Result<Increment<'a>> {
        let key = self.full_key(key.into())?;
        let IncrementOptions { ttl_if_created, min_ttl, best_effort } = options;
        let created_expiry = self
            .require_counters(ttl_if_created.is_some(), best_effort)
            .and_then(|()| self.resolve_expiry(ttl_if_created, None, None, min_ttl, clock))
            .map_err(|error| error.with_key(&key))?;
        let Capabilities { counter_min: min, counter_max: max, counter_expiry: expiring_allowed, .. } =
            *self.capabilities;
        let judged = Judged::new(created_expiry, self.capabilities);
        let best_effort = best_effort || self.policy.best_effort;
        Ok(Increment { key, by, min, max, expiring_allowed, created_expiry, judged, best_effort })
    }

    /// One read that gives the entry a new ttl.
    ///
    /// # Errors
    /// `InvalidArgument` when the key or the ttl is not acceptable (EXP-5, EXP-6); `Unsupported` when it is not
    /// supported.
    pub fn touch<'a>(
        &self,
        key: impl Into<Cow<'a, str>>,
        fields: Fields,
        options: TouchOptions,
        clock: &dyn Clock,
    ) -> Result<Touch<'a>> {
        let key = self.full_key(key.into())?;
        let TouchOptions { ttl, min_ttl, best_effort } = options;
        let expiry = self
            .require_touch(best_effort)
            .and_then(|()| self.resolve_expiry(Some(ttl), None, None, min_ttl, clock))
            .map_err(|error| error.with_key(&key))?;
        let judged = Judged::new(expiry, self.capabilities);
        Ok(Touch { key, fields, expiry, judged, best_effort: best_effort || self.policy.best_effort })
    }

    /// One change of an expiry: a ttl, an absolute time, both (EXP-2), or `never`.
    ///
    /// # Errors
    /// As for [`write`](Self::write); `InvalidArgument` when nothing, or "never" and an expiry, is given (EXP-9);
    /// `Unsupported` when `expire`, or a version with it, is not supported (EXP-11).
    pub fn expire<'a>(
        &self,
        key: impl Into<Cow<'a, str>>,
        options: ExpireOptions,
        clock: &dyn Clock,
    ) -> Result<Expire<'a>> {
        let key = self.full_key(key.into())?;
        let expiry = (|| {
            self.require_expire(options.if_version.is_some(), options.best_effort)?;
            let given = options.ttl.is_some() || options.expire_at.is_some();
            match (options.never, given) {
                (true, false) => Ok(Expiry::Never),
                (false, true) => {
                    self.resolve_expiry(options.ttl, options.expire_at, options.precedence, options.min_ttl, clock)
                }
                (false, false) => {
                    Err(Error::invalid(Reason::NoExpiryGiven, "expire needs a ttl, an absolute expiry, or never"))
                }
                (true, true) => Err(Error::invalid(Reason::BothExpiries, "both an expiry and never were given")),
            }
        })()
        .map_err(|error| error.with_key(&key))?;
        let judged = Judged::new(expiry, self.capabilities);
        let best_effort = options.best_effort || self.policy.best_effort;
        Ok(Expire { key, expiry, if_version: options.if_version, judged, best_effort })
    }

    /// The handle's prefix before `text`.
    pub(crate) fn prefixed<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if self.prefix.is_empty() { text } else { Cow::Owned([self.prefix, &text].concat()) }
    }

    #[inline]
    pub(crate) fn full_key<'a>(&self, key: Cow<'a, str>) -> Result<Cow<'a, str>> {
        let capabilities = self.capabilities;
        let is_plain = self.prefix.is_empty() && capabilities.forbidden_keys.is_empty() && !key.is_empty();
        // Most keys of most stores; the rest, and every error, is not on the fast path.
        if is_plain && (capabilities.key_bytes_min..=capabilities.key_bytes_max).contains(&key.len()) {
            return Ok(key);
        }
        self.checked_key(key)
    }

    #[cold]
    fn checked_key<'a>(&self, key: Cow<'a, str>) -> Result<Cow<'a, str>> {
        if key.is_empty() {
            return Err(Error::invalid(Reason::KeyEmpty, "a key must not be empty").with_key(""));
        }
        let key = self.prefixed(key);
        let capabilities = self.capabilities;
        let checked = if key.len() > capabilities.key_bytes_max {
            Err(Error::limit("key_bytes_max", capabilities.key_bytes_max as u64, key.len() as u64))
        } else if key.len() < capabilities.key_bytes_min {
            Err(Error::limit("key_bytes_min", capabilities.key_bytes_min as u64, key.len() as u64))
        } else if capabilities.forbidden_keys.iter().any(|forbidden| **forbidden == *key) {
            Err(Error::invalid(Reason::KeyForbidden, "the system cannot hold this key"))
        } else {
            Ok(())
        };
        match checked {
            Ok(()) => Ok(key),
            Err(error) => Err(error.with_key(&key)),
        }
    }

    /// The expiry of a set with these options. `ttl` is its own.
    fn resolve_options(&self, ttl: Option<Duration>, options: &mut SetOptions, clock: &dyn Clock) -> Result<Judged> {
        if options.conflicting {
            return Err(Error::invalid(Reason::ConflictingConditions, "two different conditions were given"));
        }
        options.best_effort |= self.policy.best_effort;
        if options.version_missing {
            // Where there are no versions, a missing one does not say that nothing was there.
            self.require(Feature::IfVersion, options.best_effort)?;
        }
        self.check_condition(&options.condition, options.best_effort)?;
        if let Some(error) = options.metadata_error.take() {
            return Err(error);
        }
        if let Some(metadata) = &options.metadata {
            self.check_metadata(metadata, options.best_effort)?;
        }
        let given = ttl.or(options.ttl);
        let ttl = given.or(if options.expire_at.is_none() { options.default_ttl } else { None });
        let expiry = self.resolve_expiry(ttl, options.expire_at, options.precedence, options.min_ttl, clock)?;
        Ok(Judged::new(expiry, self.capabilities))
    }

    #[inline]
    pub(crate) fn check_value(&self, value: &Value) -> Result<()> {
        if !self.capabilities.value_kinds.contains(value.kind()) {
            return Err(Error::unsupported(Feature::ValueKind(value.kind())));
        }
        value.check()
    }

    pub(crate) fn check_condition(&self, condition: &Condition, best_effort: bool) -> Result<()> {
        match condition {
            Condition::Always => Ok(()),
            Condition::IfNotExists => self.require(Feature::IfNotExists, best_effort),
            Condition::IfExists => self.require(Feature::IfExists, best_effort),
            Condition::IfVersion(_) => self.require(Feature::IfVersion, best_effort),
        }
    }

    pub(crate) fn check_metadata(&self, metadata: &Metadata, best_effort: bool) -> Result<()> {
        self.require(Feature::Metadata, best_effort)?;
        if metadata.is_null() {
            return Err(Error::invalid(Reason::NullValue, "metadata cannot be JSON null"));
        }
        metadata.check_json()
    }

    pub(crate) fn check_size(&self, item: ItemParts<'_>) -> Result<()> {
        self.capabilities.item_limits.iter().try_for_each(|limit| limit.check(item))
    }

    /// Atomic or refused: a batch that only tries is no batch of this kind, so there is no opt-in.
    pub(crate) fn require_all_or_nothing(&self) -> Result<()> {
        let feature = Feature::AllOrNothing;
        if self.capabilities.supports(feature) { Ok(()) } else { Err(Error::unsupported(feature)) }
    }

    pub(crate) fn require_expire(&self, if_version: bool, best_effort: bool) -> Result<()> {
        if if_version {
            self.require(Feature::ExpireIfVersion, best_effort)?;
        }
        self.require(Feature::Expire, best_effort)
    }

    /// Checks what is known before the first step of a call that reads and then writes with `options`.
    pub(crate) fn check(&self, key: &str, needs: Feature, options: &SetOptions, clock: &dyn Clock) -> Result<()> {
        self.full_key(Cow::Borrowed(key))?;
        self.require(needs, options.best_effort)?;
        self.resolve_options(None, &mut options.clone(), clock).map(drop)
    }

    pub(crate) fn require_counters(&self, ends_if_created: bool, best_effort: bool) -> Result<()> {
        if ends_if_created {
            self.require(Feature::CounterTtl, best_effort)?;
        }
        self.require(Feature::Counters, best_effort)
    }

    pub(crate) fn require_touch(&self, best_effort: bool) -> Result<()> {
        self.require(Feature::Touch, best_effort)
    }

    /// The request's own choices, and where it made none the handle's.
    fn resolve_expiry(
        &self,
        ttl: Option<Duration>,
        expire_at: Option<Timestamp>,
        precedence: Option<ExpiryPrecedence>,
        min_ttl: Option<MinTtl>,
        clock: &dyn Clock,
    ) -> Result<Expiry> {
        let precedence = precedence.unwrap_or(self.policy.precedence);
        let min_ttl = min_ttl.unwrap_or(self.policy.min_ttl);
        ExpiryOptions { ttl, expire_at, precedence, min_ttl }.resolve(self.capabilities, clock)
    }

    fn require(&self, feature: Feature, best_effort: bool) -> Result<()> {
        match self.capabilities.support(feature) {
            Support::Native | Support::Emulated => Ok(()),
            Support::BestEffort if best_effort || self.policy.best_effort => Ok(()),
            Support::BestEffort => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this store can do {feature} only with a race window; to accept that, call allow_best_effort() on \
                     the request or the store"
                ),
            )
            .with_reason(Reason::BestEffortNotAllowed(feature))),
            Support::None => Err(Error::unsupported(feature)),
        }
    }
}

/// What a caller of [`Resolver::expire`] asks for. Unset choices are the handle's.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExpireOptions {
    /// A relative ttl.
    pub ttl: Option<Duration>,
    /// An absolute time.
    pub expire_at: Option<Timestamp>,
    /// Remove the expiry.
    pub never: bool,
    /// Which form counts when both are given (EXP-2).
    pub precedence: Option<ExpiryPrecedence>,
    /// What happens to an expiry below the store's minimum (EXP-6).
    pub min_ttl: Option<MinTtl>,
    /// Only a live entry of this version (EXP-11).
    pub if_version: Option<Version>,
    /// Accept a race window (SET-6).
    pub best_effort: bool,
}

/// What a caller of [`Resolver::increment`] asks for. Unset choices are the handle's.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct IncrementOptions {
    /// The ttl of a counter that this increment creates (CNT-3).
    pub ttl_if_created: Option<Duration>,
    /// What happens to a ttl below the store's minimum (EXP-6).
    pub min_ttl: Option<MinTtl>,
    /// Accept a race window (SET-6).
    pub best_effort: bool,
}

/// What a caller of [`Resolver::touch`] asks for. Unset choices are the handle's.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TouchOptions {
    /// The new ttl.
    pub ttl: Duration,
    /// What happens to a ttl below the store's minimum (EXP-6).
    pub min_ttl: Option<MinTtl>,
    /// Accept a race window (SET-6).
    pub best_effort: bool,
}

impl TouchOptions {
    /// A touch with this ttl, and the handle's choices.
    #[must_use]
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, min_ttl: None, best_effort: false }
    }
}

/// The items of a batch that is written whole or not at all, or the error of the first that is one, or whose key came
/// before, with its index (BATCH-3).
pub(crate) fn distinct_writes<'a>(items: impl IntoIterator<Item = Result<Write<'a>>>) -> Result<Vec<Write<'a>>> {
    let mut distinct = Distinct::default();
    let place = |(index, item): (usize, Result<Write<'a>>)| {
        let write = item.map_err(|error| error.with_index(index))?;
        let first_index = distinct.push(write.key.clone());
        if first_index < index {
            return Err(repeated_key(first_index, write.key()).with_index(index));
        }
        Ok(write)
    };
    items.into_iter().enumerate().map(place).collect()
}

/// Keys in the order they first came, each once.
#[derive(Default)]
pub(crate) struct Distinct<'a> {
    keys: Vec<Cow<'a, str>>,
    /// For each key pushed, its position in `keys`.
    slots: Vec<usize>,
    positions: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Distinct<'a> {
    pub(crate) fn push(&mut self, key: Cow<'a, str>) -> usize {
        let slot = match self.positions.get(&key) {
            Some(&slot) => slot,
            None => {
                let slot = self.keys.len();
                self.positions.insert(key.clone(), slot);
                self.keys.push(key);
                slot
            }
        };
        self.slots.push(slot);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::{ItemLimit, ValueKinds};
    use crate::clock::SystemClock;
    use crate::metadata::Metadata;
    use crate::value::Value;
    use crate::value_kind::ValueKind;
    use serde_json::json;

    static ITEM_LIMITS: [ItemLimit; 2] = [ItemLimit::value_bytes(4), ItemLimit::metadata_bytes(7)];

    fn full() -> Capabilities {
        Capabilities::new("test")
            .with_value_kinds(ValueKinds::ALL)
            .with_if_not_exists(Support::Native)
            .with_if_exists(Support::BestEffort)
            .with_if_version(Support::Native)
            .with_metadata(Support::Native)
            .with_all_or_nothing(Support::Native)
            .with_counters(Support::Native, -9, 9)
            .with_list(Support::Native, crate::capabilities::ListOrder::Lexicographic)
            .with_list_page_max(10)
            .with_expire(Support::Native)
            .with_key_bytes(2, 8)
            .with_forbidden_keys(const { &[Cow::Borrowed(".."), Cow::Borrowed("bad")] })
            .with_item_limits(&ITEM_LIMITS)
    }

    fn write_error(capabilities: &Capabilities, item: SetItem<'_>) -> Error {
        Resolver::new(capabilities).write(item, &SystemClock).unwrap_err()
    }

    #[test]
    fn key_1_and_2_a_bad_key_is_refused_with_limit_and_length() {
        let check = |key: &str, expected: Reason| {
            let error = write_error(&full(), SetItem::new(key, ""));
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&expected)), "{key:?}");
            assert_eq!(error.key(), Some(key));
        };
        check("", Reason::KeyEmpty);
        let shortest = Capabilities::new("test").with_key_bytes(0, 8);
        let empty = Resolver::new(&shortest).read("", Fields::Value).unwrap_err();
        assert_eq!(empty.reason(), Some(&Reason::KeyEmpty), "whatever the system takes");
        check("k", Reason::Limit { name: "key_bytes_min".into(), allowed: 2, found: 1 });
        check("ééééé", Reason::Limit { name: "key_bytes_max".into(), allowed: 8, found: 10 });
        check("..", Reason::KeyForbidden);
        for key in ["éééé", "a\0", "...", "../x", "%2e%2e", " . "] {
            assert!(Resolver::new(&full()).read(key, Fields::Value).is_ok(), "{key:?}");
        }
    }

    #[test]
    fn cnt_1_there_is_room_where_a_million_such_steps_stay_in_the_range() {
        let room = |max: i64, old: i64, by: i64| {
            let capabilities = full().with_counters(Support::Native, -max, max);
            let resolver = Resolver::new(&capabilities);
            resolver.increment("key", by, IncrementOptions::default(), &SystemClock).unwrap().has_room(old)
        };
        let million = 1 << 20;
        assert!(room(million, 0, 1) && room(million, 0, -1) && room(i64::MAX, 0, i64::MAX >> 20) && room(9, 9, 0));
        assert!(!room(million, 1, 1) && !room(million, -1, 1) && !room(9, 0, 1) && !room(i64::MAX, 0, i64::MIN));
    }

    #[test]
    fn cnt_3_and_exp_12_a_ttl_follows_the_rules_and_choices_of_any_other() {
        let minimum = Duration::from_secs(60);
        let capabilities = full()
            .with_ttl(Support::Native)
            .with_expiry_min(minimum)
            .with_counter_expiry(true)
            .with_counter_ttl(Support::Native)
            .with_touch(Support::Native);
        let policy = Policy { min_ttl: MinTtl::RoundUp, ..Policy::default() };
        let resolvers = [Resolver::new(&capabilities), Resolver::with_handle(&capabilities, policy, "")];
        let ends = |resolver: Resolver<'_>, ttl: Duration, min_ttl: Option<MinTtl>| {
            let options = IncrementOptions { ttl_if_created: Some(ttl), min_ttl, best_effort: false };
            let created = resolver.increment("key", 1, options, &SystemClock).map(|made| made.created_expiry());
            let options = TouchOptions { ttl, min_ttl, best_effort: false };
            let touched = resolver.touch("key", Fields::Value, options, &SystemClock).map(|made| made.expiry());
            assert_eq!(created.as_ref().ok(), touched.as_ref().ok());
            created.map_err(|error| error.reason().cloned())
        };
        let [strict, rounding] = resolvers;
        let too_soon = Err(Some(Reason::ExpiryTooSoon { minimum }));
        let short = Duration::from_millis(500);
        assert_eq!(ends(strict, Duration::from_millis(60_500), None), Ok(Expiry::After(Duration::from_secs(61))));
        assert_eq!(ends(strict, short, None), too_soon);
        assert_eq!(ends(strict, short, Some(MinTtl::RoundUp)), Ok(Expiry::After(minimum)));
        assert_eq!(ends(rounding, short, None), Ok(Expiry::After(minimum)));
        assert_eq!(ends(rounding, short, Some(MinTtl::Reject)), too_soon);
        assert_eq!(ends(strict, Duration::ZERO, None), Err(Some(Reason::TtlZero)));
        let plain = strict.increment("key", 1, IncrementOptions::default(), &SystemClock).unwrap();
        assert_eq!(plain.created_expiry(), Expiry::Never);
        for lacking in [
            capabilities.clone().with_counter_expiry(false),
            capabilities.clone().with_ttl(Support::None),
            capabilities.clone().with_counters(Support::None, 0, 0),
        ] {
            assert_eq!(lacking.support(Feature::CounterTtl), Support::None);
        }
        assert_eq!(capabilities.support(Feature::CounterTtl), Support::Native);
        assert_eq!(capabilities.with_ttl(Support::None).support(Feature::Touch), Support::None);
    }

    #[test]
    fn ns_2_limits_and_forbidden_keys_hold_for_the_whole_key() {
        let capabilities = full();
        let resolver = Resolver::with_handle(&capabilities, Policy::default(), "b");
        assert_eq!(resolver.read("k", Fields::Value).unwrap().key(), "bk");
        assert_eq!(resolver.read("ad", Fields::Value).unwrap_err().reason(), Some(&Reason::KeyForbidden));
        assert_eq!(resolver.read("", Fields::Value).unwrap_err().reason(), Some(&Reason::KeyEmpty));
        let found =
            Resolver::with_handle(&capabilities, Policy::default(), "12345678").read("9", Fields::Value).unwrap_err();
        assert_eq!(found.reason(), Some(&Reason::Limit { name: "key_bytes_max".into(), allowed: 8, found: 9 }));
    }

    #[test]
    fn val_1_and_3_null_and_deep_nesting_are_refused() {
        let deep = (0..=crate::NESTING_MAX).fold(json!(1), |inner, _| json!([inner]));
        let error = write_error(&full(), SetItem::new("key", deep.clone()));
        assert_eq!(error.reason(), Some(&Reason::NestingTooDeep));
        let error = write_error(&full(), SetItem::new("key", "").metadata(deep));
        assert_eq!(error.reason(), Some(&Reason::NestingTooDeep));
        let null = serde_json::Value::Null;
        assert_eq!(write_error(&full(), SetItem::new("key", null.clone())).reason(), Some(&Reason::NullValue));
        assert_eq!(write_error(&full(), SetItem::new("key", "").metadata(null)).reason(), Some(&Reason::NullValue));
    }

    #[test]
    fn val_1_text_that_is_not_utf8_is_refused() {
        let damaged = Value::from_stored(ValueKind::Text, b"\xff".as_slice().into());
        let error = write_error(&full(), SetItem::new("key", damaged));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let stored = Value::from_stored(ValueKind::Text, "é".into());
        assert!(Resolver::new(&full()).write(SetItem::new("key", stored), &SystemClock).is_ok());
    }

    #[test]
    fn chk_2_every_item_limit_is_measured_and_named() {
        let check = |item, name: &'static str, allowed, found| {
            assert_eq!(write_error(&full(), item).reason(), Some(&Reason::Limit { name: name.into(), allowed, found }));
        };
        check(SetItem::new("key", "12345"), "value_bytes_max", 4, 5);
        check(SetItem::new("key", "").metadata(json!("12345678")), "metadata_bytes_max", 7, 10);
        assert!(
            Resolver::new(&full()).write(SetItem::new("key", "1234").metadata(json!("12345")), &SystemClock).is_ok()
        );
    }

    #[test]
    fn set_2_two_different_conditions_conflict() {
        let conflict = SetItem::new("key", "").if_not_exists().if_version(Version::numbered(1, 1));
        assert_eq!(write_error(&full(), conflict).reason(), Some(&Reason::ConflictingConditions));
        let same = SetItem::new("key", "").if_not_exists().if_not_exists().condition(Condition::Always);
        assert_eq!(Resolver::new(&full()).write(same, &SystemClock).unwrap().condition(), &Condition::IfNotExists);
    }

    #[test]
    fn set_6_best_effort_needs_an_opt_in_and_says_how() {
        let error = write_error(&full(), SetItem::new("key", "").if_exists());
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.reason(), Some(&Reason::BestEffortNotAllowed(Feature::IfExists)));
        assert!(error.to_string().contains("allow_best_effort()"), "{error}");
        let capabilities = full();
        let request = SetItem::new("key", "").if_exists();
        assert!(Resolver::new(&capabilities).write(request.clone().allow_best_effort(), &SystemClock).is_ok());
        let policy = Policy { best_effort: true, ..Policy::default() };
        assert!(Resolver::with_handle(&capabilities, policy, "").write(request, &SystemClock).is_ok());
    }

    #[test]
    fn chk_1_a_call_of_two_steps_is_refused_before_its_first() {
        let capabilities = full();
        let check = |key: &str, needs: Feature, options: SetOptions| {
            Resolver::new(&capabilities).check(key, needs, &options, &SystemClock).map_err(|error| error.kind())
        };
        let lasting = SetOptions::default;
        let ending = || SetOptions { ttl: Some(Duration::from_secs(60)), ..SetOptions::default() };
        assert_eq!(check("key", Feature::IfVersion, lasting()), Ok(()));
        assert_eq!(check("k", Feature::IfVersion, lasting()), Err(ErrorKind::InvalidArgument));
        assert_eq!(check("key", Feature::Touch, lasting()), Err(ErrorKind::Unsupported));
        assert_eq!(check("key", Feature::IfVersion, ending()), Err(ErrorKind::Unsupported));
    }

    #[test]
    fn set_6_an_adapter_learns_of_the_opt_in_of_the_call_and_of_the_handle() {
        let capabilities = full()
            .with_if_exists(Support::Native)
            .with_ttl(Support::Native)
            .with_touch(Support::Native)
            .with_get_and_delete(Support::Native);
        for (of_call, of_handle) in [(false, false), (true, false), (false, true), (true, true)] {
            let policy = Policy { best_effort: of_handle, ..Policy::default() };
            let resolver = Resolver::with_handle(&capabilities, policy, "");
            let item = SetItem::new("key", "").if_not_exists();
            let item = if of_call { item.allow_best_effort() } else { item };
            let increment = IncrementOptions { best_effort: of_call, ..IncrementOptions::default() };
            let touch = TouchOptions { best_effort: of_call, ..TouchOptions::new(Duration::from_secs(60)) };
            let expire = ExpireOptions { never: true, best_effort: of_call, ..ExpireOptions::default() };
            let learned = [
                resolver.write(item, &SystemClock).unwrap().into_parts().best_effort,
                resolver.delete("key", None, of_call).unwrap().best_effort,
                resolver.get_and_delete("key", Fields::Value, of_call).unwrap().best_effort,
                resolver.increment("key", 1, increment, &SystemClock).unwrap().best_effort,
                resolver.touch("key", Fields::Value, touch, &SystemClock).unwrap().best_effort,
                resolver.expire("key", expire, &SystemClock).unwrap().best_effort,
            ];
            assert_eq!(learned, [of_call || of_handle; 6]);
        }
    }

    #[test]
    fn cap_1_nothing_is_declared_by_default_and_all_of_it_is_refused() {
        let nothing = Capabilities::new("test");
        let resolver = Resolver::new(&nothing);
        let feature_of = |error: Error| match error.reason() {
            Some(Reason::Unsupported(feature)) if error.kind() == ErrorKind::Unsupported => *feature,
            _ => panic!("{error:?}"),
        };
        for kind in [Value::from(""), Value::from(1), Value::from(vec![1])] {
            let feature = Feature::ValueKind(kind.kind());
            assert_eq!(feature_of(write_error(&nothing, SetItem::new("key", kind))), feature);
        }
        let text = Capabilities::new("test").with_value_kinds(ValueKinds::ALL);
        let item = || SetItem::new("key", "");
        let version = Version::numbered(1, 1);
        assert_eq!(feature_of(write_error(&text, item().if_not_exists())), Feature::IfNotExists);
        assert_eq!(feature_of(write_error(&text, item().if_exists())), Feature::IfExists);
        assert_eq!(feature_of(write_error(&text, item().if_version(version.clone()))), Feature::IfVersion);
        assert_eq!(feature_of(write_error(&text, item().metadata(Metadata::from(json!(1))))), Feature::Metadata);
        assert_eq!(feature_of(resolver.delete("key", Some(version), false).unwrap_err()), Feature::IfVersion);
        assert_eq!(
            feature_of(resolver.increment("key", 1, IncrementOptions::default(), &SystemClock).unwrap_err()),
            Feature::Counters
        );
        let window = IncrementOptions { ttl_if_created: Some(Duration::from_secs(1)), ..IncrementOptions::default() };
        let touch = TouchOptions::new(Duration::from_secs(1));
        let renewed = ExpireOptions { if_version: Some(Version::numbered(1, 1)), ..ExpireOptions::default() };
        assert_eq!(feature_of(resolver.increment("key", 1, window, &SystemClock).unwrap_err()), Feature::CounterTtl);
        assert_eq!(feature_of(resolver.touch("key", Fields::All, touch, &SystemClock).unwrap_err()), Feature::Touch);
        assert_eq!(feature_of(resolver.expire("key", renewed, &SystemClock).unwrap_err()), Feature::ExpireIfVersion);
        let taken = resolver.get_and_delete("key", Fields::All, false);
        assert_eq!(feature_of(taken.unwrap_err()), Feature::GetAndDelete);
        assert_eq!(feature_of(resolver.list("", 1, None).unwrap_err()), Feature::List);
        assert_eq!(feature_of(resolver.all_or_nothing([], &SystemClock).unwrap_err()), Feature::AllOrNothing);
        let never = ExpireOptions { never: true, ..ExpireOptions::default() };
        assert_eq!(feature_of(resolver.expire("key", never, &SystemClock).unwrap_err()), Feature::Expire);
    }

    #[test]
    fn chk_1_an_adapter_sees_no_key_twice_and_no_empty_batch() {
        let capabilities = full();
        let resolver = Resolver::new(&capabilities);
        let keys = |keys: &[&'static str]| keys.iter().map(|key| Cow::Borrowed(*key)).collect::<Vec<_>>();
        let (reads, slots) = resolver.read_many(keys(&["aa", "bb", "aa"]), Fields::Value).unwrap().unwrap();
        assert_eq!((reads.keys(), slots), (keys(&["aa", "bb"]).as_slice(), vec![0, 1, 0]));
        assert!(resolver.read_many([], Fields::Value).unwrap().is_none());
        let error = resolver.read_many(keys(&["aa", ""]), Fields::Value).unwrap_err();
        assert_eq!((error.index(), error.reason()), (Some(1), Some(&Reason::KeyEmpty)));

        let (deletes, slots) = resolver.delete_many(keys(&["aa", "", "aa"]));
        assert_eq!(deletes.unwrap().keys(), keys(&["aa"]).as_slice());
        assert_eq!(slots[0].as_ref().unwrap(), slots[2].as_ref().unwrap());
        assert_eq!(slots[1].as_ref().unwrap_err().index(), Some(1));
        assert!(resolver.delete_many([]).0.is_none());

        let item = |key| SetItem::new(key, "");
        assert!(resolver.all_or_nothing([], &SystemClock).unwrap().is_none());
        let error = resolver.all_or_nothing([item("aa"), item("bb"), item("aa")], &SystemClock).unwrap_err();
        assert_eq!((error.index(), error.reason()), (Some(2), Some(&Reason::RepeatedKey { first_index: 0 })));
        let error = resolver.all_or_nothing([item("aa"), item("")], &SystemClock).unwrap_err();
        assert_eq!((error.index(), error.reason()), (Some(1), Some(&Reason::KeyEmpty)));
    }

    #[test]
    fn list_1_a_limit_is_at_least_one_and_asked_for_up_to_the_page_maximum() {
        let capabilities = full();
        let resolver = Resolver::new(&capabilities);
        assert_eq!(resolver.list("", 0, None).unwrap_err().reason(), Some(&Reason::PageLimitZero));
        assert_eq!(resolver.list("", usize::MAX, None).unwrap().limit().get(), 10);
        assert_eq!(resolver.list("", 3, None).unwrap().limit().get(), 3);
    }

    #[test]
    fn exp_9_expire_needs_exactly_one_meaning() {
        let capabilities = full().with_ttl(Support::Native);
        let resolver = Resolver::new(&capabilities);
        let check = |options, expected| {
            let error = resolver.expire("key", options, &SystemClock).unwrap_err();
            assert_eq!(error.reason(), Some(&expected));
        };
        let ttl = Some(Duration::from_secs(1));
        check(ExpireOptions::default(), Reason::NoExpiryGiven);
        check(ExpireOptions { never: true, ttl, ..ExpireOptions::default() }, Reason::BothExpiries);
        let never = ExpireOptions { never: true, ..ExpireOptions::default() };
        assert_eq!(resolver.expire("key", never, &SystemClock).unwrap().expiry(), Expiry::Never);
    }
}
