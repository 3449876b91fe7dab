//! The one place where a request is checked and resolved (section 1 of the contract): public and pure, so that the handle
//! and an adapter author's unit tests use the same.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroUsize;

use crate::clock::Clock;
use crate::condition::Condition;
use crate::entry::Fields;
use crate::error::{Error, Feature, Reason, Result};
use crate::expiry::{Expiry, ExpiryPrecedence, ExpiryWish, MinTtl};
use crate::json;
use crate::profile::{ItemParts, Profile, Support};
use crate::request::{Delete, DeleteMany, Expire, Increment, ListPage, Read, ReadMany, Write, WriteMany};
use crate::set_item::{SetItem, SetOptions};
use crate::value::ValueKind;
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
/// use kv_api::{Condition, ErrorKind, Expiry, ManualClock, Profile, Resolver, SetItem, Support, Timestamp, ValueKind, ValueKinds};
/// use std::time::Duration;
/// static PROFILE: Profile = Profile::new("example")
///     .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text))
///     .with_ttl(Support::Native)
///     .with_key_bytes(1, 3);
/// let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
/// let resolver = Resolver::new(&PROFILE);
///
/// let write = resolver.write(SetItem::new("key", "value").ttl(Duration::from_millis(1_500)), &clock)?;
/// assert_eq!(write.expiry(), Expiry::After(Duration::from_secs(2))); // rounded up to the resolution (EXP-4)
/// assert_eq!(write.condition(), &Condition::Always);
///
/// let error = resolver.write(SetItem::new("long", "value"), &clock).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// let error = resolver.write(SetItem::new("key", "value").if_not_exists(), &clock).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported); // not declared
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Resolver<'p> {
    profile: &'p Profile,
    policy: Policy,
    prefix: &'p str,
}

impl<'p> Resolver<'p> {
    /// Resolves against `profile`, with the default choices: `ExpiryPrecedence::ExpireAt`, `MinTtl::Reject`, no best
    /// effort, no prefix.
    #[must_use]
    pub const fn new(profile: &'p Profile) -> Self {
        Self {
            profile,
            policy: Policy { precedence: ExpiryPrecedence::ExpireAt, min_ttl: MinTtl::Reject, best_effort: false },
            prefix: "",
        }
    }

    pub(crate) const fn with_handle(profile: &'p Profile, policy: Policy, prefix: &'p str) -> Self {
        Self { profile, policy, prefix }
    }

    /// One set.
    ///
    /// # Errors
    /// `InvalidArgument` for a key (KEY-1, KEY-2), value (VAL-1, VAL-3), size (CHK-2), expiry (EXP-2, EXP-5, EXP-6) or
    /// pair of conditions (SET-2) that is not acceptable; `Unsupported` for what the profile does not declare.
    pub fn write<'a>(&self, item: SetItem<'a>, clock: &dyn Clock) -> Result<Write<'a>> {
        let SetItem { key, value, mut options } = item;
        let key = self.full_key(key)?;
        let checked = (|| {
            if !self.profile.value_kinds.contains(value.kind()) {
                return Err(Error::not_declared(Feature::ValueKind(value.kind())));
            }
            if value.kind() == ValueKind::Json {
                if value.is_null() {
                    return Err(Error::invalid(
                        Reason::NullValue,
                        "JSON null cannot be stored: it reads as a missing key",
                    ));
                }
                check_nesting(value.as_bytes())?;
            }
            if let Some(options) = options.as_deref_mut() {
                self.resolve_options(options, clock)?;
            }
            let options = options.as_deref();
            let parts = ItemParts {
                key: &key,
                value: &value,
                metadata: options.and_then(|options| options.metadata.as_ref()),
                expires: options.is_some_and(|options| options.expiry != Expiry::Never),
            };
            for limit in &*self.profile.item_limits {
                let found = (limit.measure)(parts);
                if found > limit.max {
                    return Err(Error::limit(limit.name, limit.max, found));
                }
            }
            Ok(())
        })();
        match checked {
            Ok(()) => Ok(Write(SetItem { key, value, options })),
            Err(error) => Err(error.with_key(&key)),
        }
    }

    /// One read.
    ///
    /// # Errors
    /// `InvalidArgument` when the key is not acceptable (KEY-1, KEY-2).
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
    /// `InvalidArgument` when the key is not acceptable; `Unsupported` when `if_version` is given and not declared.
    pub fn delete<'a>(
        &self,
        key: impl Into<Cow<'a, str>>,
        if_version: Option<Version>,
        best_effort: bool,
    ) -> Result<Delete<'a>> {
        let key = self.full_key(key.into())?;
        if if_version.is_some() {
            self.require(self.profile.if_version, Feature::IfVersion, best_effort)
                .map_err(|error| error.with_key(&key))?;
        }
        Ok(Delete { key, if_version })
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
    /// `Unsupported` when it is not declared.
    pub fn all_or_nothing<'a>(
        &self,
        items: impl IntoIterator<Item = SetItem<'a>>,
        clock: &dyn Clock,
    ) -> Result<Option<WriteMany<'a>>> {
        // Atomic or refused: a batch that only tries is no batch of this kind, so there is no opt-in.
        if !self.profile.all_or_nothing.is_full() {
            return Err(Error::not_declared(Feature::AllOrNothing));
        }
        let mut first_index: HashMap<String, usize> = HashMap::new();
        let mut writes = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let write = self.write(item, clock).map_err(|error| error.with_index(index))?;
            if let Some(&first_index) = first_index.get(write.key()) {
                return Err(Error::invalid(
                    Reason::RepeatedKey { first_index },
                    format!("the key is that of item {first_index}"),
                )
                .with_index(index)
                .with_key(write.key()));
            }
            first_index.insert(write.key().to_owned(), index);
            writes.push(write);
        }
        Ok(if writes.is_empty() { None } else { Some(WriteMany(writes)) })
    }

    /// One page of a list, after the `position` that an opened cursor holds.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit of zero (LIST-1); `Unsupported` when listing is not declared.
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
        self.require(self.profile.list, Feature::List, false)?;
        let limit = NonZeroUsize::new(limit.min(self.profile.list_page_max))
            .ok_or_else(|| Error::invalid(Reason::PageLimitZero, "the limit of a page must be at least 1"))?;
        Ok(ListPage { prefix, limit, position })
    }

    /// One increment.
    ///
    /// # Errors
    /// `InvalidArgument` when the key is not acceptable; `Unsupported` when counters are not declared.
    pub fn increment<'a>(&self, key: impl Into<Cow<'a, str>>, by: i64, best_effort: bool) -> Result<Increment<'a>> {
        let key = self.full_key(key.into())?;
        self.require(self.profile.counters, Feature::Counters, best_effort).map_err(|error| error.with_key(&key))?;
        let Profile { counter_min: min, counter_max: max, counter_expiry: expiring_allowed, .. } = *self.profile;
        Ok(Increment { key, by, min, max, expiring_allowed })
    }

    /// One change of an expiry: a ttl, an absolute time, both (EXP-2), or `never`.
    ///
    /// # Errors
    /// As for [`write`](Self::write); `InvalidArgument` when nothing, or "never" and an expiry, is given (EXP-9).
    pub fn expire<'a>(&self, key: impl Into<Cow<'a, str>>, wish: ExpireWish, clock: &dyn Clock) -> Result<Expire<'a>> {
        let key = self.full_key(key.into())?;
        let expiry = (|| {
            self.require(self.profile.expire, Feature::Expire, wish.best_effort)?;
            let given = wish.ttl.is_some() || wish.expire_at.is_some();
            match (wish.never, given) {
                (true, false) => Ok(Expiry::Never),
                (false, true) => ExpiryWish {
                    ttl: wish.ttl,
                    expire_at: wish.expire_at,
                    precedence: wish.precedence.unwrap_or(self.policy.precedence),
                    min_ttl: wish.min_ttl.unwrap_or(self.policy.min_ttl),
                }
                .resolve(self.profile, clock),
                (false, false) => {
                    Err(Error::invalid(Reason::NoExpiryGiven, "expire needs a ttl, an absolute expiry, or never"))
                }
                (true, true) => Err(Error::invalid(Reason::BothExpiries, "both an expiry and never were given")),
            }
        })()
        .map_err(|error| error.with_key(&key))?;
        Ok(Expire { key, expiry })
    }

    /// The handle's prefix before `text`.
    pub(crate) fn prefixed<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if self.prefix.is_empty() { text } else { Cow::Owned([self.prefix, &text].concat()) }
    }

    fn full_key<'a>(&self, key: Cow<'a, str>) -> Result<Cow<'a, str>> {
        if key.is_empty() {
            return Err(Error::invalid(Reason::KeyEmpty, "a key must not be empty").with_key(""));
        }
        let key = self.prefixed(key);
        let profile = self.profile;
        let checked = if key.len() > profile.key_bytes_max {
            Err(Error::limit("key_bytes_max", profile.key_bytes_max as u64, key.len() as u64))
        } else if key.len() < profile.key_bytes_min {
            Err(Error::limit("key_bytes_min", profile.key_bytes_min as u64, key.len() as u64))
        } else if profile.forbidden_keys.iter().any(|forbidden| *forbidden == key) {
            Err(Error::invalid(Reason::KeyForbidden, "the system cannot hold this key"))
        } else {
            Ok(())
        };
        match checked {
            Ok(()) => Ok(key),
            Err(error) => Err(error.with_key(&key)),
        }
    }

    fn resolve_options(&self, options: &mut SetOptions, clock: &dyn Clock) -> Result<()> {
        if options.conflicting {
            return Err(Error::invalid(Reason::ConflictingConditions, "two different conditions were given"));
        }
        let profile = self.profile;
        match options.condition {
            Condition::Always => {}
            Condition::IfNotExists => self.require(profile.if_not_exists, Feature::IfNotExists, options.best_effort)?,
            Condition::IfExists => self.require(profile.if_exists, Feature::IfExists, options.best_effort)?,
            Condition::IfVersion(_) => self.require(profile.if_version, Feature::IfVersion, options.best_effort)?,
        }
        if let Some(metadata) = &options.metadata {
            self.require(profile.metadata, Feature::Metadata, options.best_effort)?;
            if metadata.is_null() {
                return Err(Error::invalid(Reason::NullValue, "metadata cannot be JSON null"));
            }
            check_nesting(metadata.as_bytes())?;
        }
        options.expiry = ExpiryWish {
            ttl: options.ttl,
            expire_at: options.expire_at,
            precedence: options.precedence.unwrap_or(self.policy.precedence),
            min_ttl: options.min_ttl.unwrap_or(self.policy.min_ttl),
        }
        .resolve(profile, clock)?;
        Ok(())
    }

    fn require(&self, support: Support, feature: Feature, best_effort: bool) -> Result<()> {
        match support {
            Support::Native | Support::Emulated => Ok(()),
            Support::BestEffort if best_effort || self.policy.best_effort => Ok(()),
            Support::BestEffort => Err(Error::new(
                crate::error::ErrorKind::Unsupported,
                format!(
                    "this store can do {feature} only with a race window; to accept that, call allow_best_effort() on the \
                     request or the store"
                ),
            )
            .with_reason(Reason::BestEffortNotAllowed(feature))),
            Support::None => Err(Error::not_declared(feature)),
        }
    }
}

/// What a caller of [`Resolver::expire`] asks for. Unset choices are the handle's.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ExpireWish {
    /// A relative ttl.
    pub ttl: Option<std::time::Duration>,
    /// An absolute time.
    pub expire_at: Option<crate::clock::Timestamp>,
    /// Remove the expiry.
    pub never: bool,
    /// Which form counts when both are given (EXP-2).
    pub precedence: Option<ExpiryPrecedence>,
    /// What happens to an expiry below the store's minimum (EXP-6).
    pub min_ttl: Option<MinTtl>,
    /// Accept a race window (SET-6).
    pub best_effort: bool,
}

/// Nesting above 100 is refused everywhere (VAL-3).
fn check_nesting(json: &[u8]) -> Result<()> {
    match std::str::from_utf8(json) {
        Ok(text) => json::check_nesting_of_text(text),
        Err(_) => Err(Error::invalid(Reason::InvalidJson, "the JSON is not UTF-8")),
    }
}

/// Keys in the order they first came, each once.
#[derive(Default)]
struct Distinct<'a> {
    keys: Vec<Cow<'a, str>>,
    /// For each key pushed, its position in `keys`.
    slots: Vec<usize>,
    positions: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Distinct<'a> {
    fn push(&mut self, key: Cow<'a, str>) -> usize {
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
