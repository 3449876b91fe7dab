//! Resolved requests taken apart, changed and resolved again: what a wrapper does between its caller and the backend
//! inside (LAYER-2).

use std::borrow::Cow;
use std::num::NonZeroUsize;

use crate::backend::Backend;
use crate::capabilities::ItemParts;
use crate::condition::Condition;
use crate::entry::Fields;
use crate::error::{Error, ErrorKind, Reason, Result, Retry};
use crate::expiry::{Expiry, Judged};
use crate::metadata::Metadata;
use crate::request::{Delete, Expire, GetAndDelete, Increment, ListPage, Read, Touch, Write, WriteMany};
use crate::resolver::{Distinct, IncrementOptions, Resolver, distinct_writes};
use crate::set_item::SetOptions;
use crate::value::Value;
use crate::version::Version;

/// The parts of a [`Read`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// What is wanted of the entry.
    pub fields: Fields,
}

impl<'a> ReadParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// `InvalidArgument` when `inner` cannot hold the key (KEY-1, KEY-2).
    pub fn resolve(self, inner: &dyn Backend) -> Result<Read<'a>> {
        Resolver::new(inner.capabilities()).read(self.key, self.fields)
    }
}

/// The parts of a [`Write`].
///
/// ```
/// use kv_api::{Backend, Resolver, SetItem, SystemClock, Value};
/// let inner = kv_memory::MemoryStore::default();
/// let write = Resolver::new(inner.capabilities()).write(SetItem::new("k", "v"), &SystemClock)?;
/// let mut parts = write.into_parts();
/// parts.key = "prefix/k".into();
/// parts.value = Value::from(vec![1, 2, 3]);
/// assert_eq!(parts.resolve(&inner)?.key(), "prefix/k");
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriteParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: Value,
    /// The metadata, if there is any.
    pub metadata: Option<Metadata>,
    /// The expiry. One that is left as it is was judged by the clock already, and is not judged by it again.
    pub expiry: Expiry,
    /// The condition.
    pub condition: Condition,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> WriteParts<'a> {
    /// The request that these parts make for `inner`, checked in full against what it supports and holds. A race window
    /// is accepted only if the caller accepted it (SET-6).
    ///
    /// # Errors
    /// As [`Resolver::write`].
    pub fn resolve(self, inner: &dyn Backend) -> Result<Write<'a>> {
        let Self { key, value, metadata, expiry, condition, judged, best_effort } = self;
        let resolver = Resolver::new(inner.capabilities());
        let key = resolver.full_key(key)?;
        let checked = (|| {
            resolver.check_value(&value)?;
            resolver.check_condition(&condition, best_effort)?;
            if let Some(metadata) = &metadata {
                resolver.check_metadata(metadata, best_effort)?;
            }
            let (expiry, judged) = judged.resolve(expiry, inner.capabilities(), inner.clock())?;
            let expires = expiry != Expiry::Never;
            resolver.check_size(ItemParts { key: &key, value: &value, metadata: metadata.as_ref(), expires })?;
            Ok(judged)
        })();
        let judged = checked.map_err(|error: Error| error.with_key(&key))?;
        let is_plain = metadata.is_none() && condition == Condition::Always && !best_effort;
        let options =
            (!is_plain).then(|| Box::new(SetOptions { condition, best_effort, metadata, ..SetOptions::default() }));
        Ok(Write { key, value, options, judged })
    }

    /// The batch that the items make for `inner`, of those that are acceptable to it, and the way back from its results
    /// to those of the items. An item that is an error already keeps it; one whose key came before is `InvalidArgument`.
    /// No batch when no item is left.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::{Backend, Error, ErrorKind, Resolver, SetItem, SetStatus, SystemClock, WriteParts};
    /// let inner = kv_memory::MemoryStore::default();
    /// let parts = |key| Ok(Resolver::new(inner.capabilities()).write(SetItem::new(key, ""), &SystemClock)?.into_parts());
    /// let refused = Err(Error::new(ErrorKind::Unauthorized, "not this one"));
    /// let (batch, slots) = WriteParts::resolve_many([parts("a"), refused, parts("b")], &inner);
    /// let results = slots.outcomes(inner.write_many(batch.expect("two are left")).await);
    /// assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::Unauthorized);
    /// assert_eq!(results[2].as_ref().unwrap().status(), SetStatus::Created);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolve_many(
        items: impl IntoIterator<Item = Result<Self>>,
        inner: &dyn Backend,
    ) -> (Option<WriteMany<'a>>, Slots) {
        let mut distinct = Distinct::default();
        let mut writes = Vec::new();
        let mut first_index = Vec::new();
        let mut place = |index: usize, item: Result<Self>| {
            let write = item?.resolve(inner)?;
            let slot = distinct.push(write.key.clone());
            if slot < writes.len() {
                return Err(repeated_key(first_index[slot], write.key()));
            }
            writes.push(write);
            first_index.push(index);
            Ok(slot)
        };
        let slots = items.into_iter().enumerate().map(|(index, item)| place(index, item)).collect();
        (if writes.is_empty() { None } else { Some(WriteMany(writes)) }, Slots(slots))
    }

    /// The batch that is written whole or not at all, with the items where they were.
    ///
    /// # Errors
    /// `Unsupported` when `inner` has no such batches; else the error of the first item that is one, that is not
    /// acceptable to `inner`, or whose key came before, with its index (BATCH-3). `Internal` for no items: the wrapper
    /// has nothing to send (CHK-1).
    pub fn resolve_all_or_nothing(
        items: impl IntoIterator<Item = Result<Self>>,
        inner: &dyn Backend,
    ) -> Result<WriteMany<'a>> {
        Resolver::new(inner.capabilities()).require_all_or_nothing()?;
        let writes = distinct_writes(items.into_iter().map(|item| item?.resolve(inner)))?;
        if writes.is_empty() {
            return Err(Error::new(ErrorKind::Internal, "a wrapper made a batch of no items"));
        }
        Ok(WriteMany(writes))
    }
}

pub(crate) fn repeated_key(first_index: usize, key: &str) -> Error {
    let message = format!("the key is that of item {first_index}");
    Error::invalid(Reason::RepeatedKey { first_index }, message).with_key(key)
}

/// The parts of a [`Delete`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeleteParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// Only a live entry of this version is to be deleted (DEL-2).
    pub if_version: Option<Version>,
    pub(crate) best_effort: bool,
}

impl<'a> DeleteParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// As [`Resolver::delete`].
    pub fn resolve(self, inner: &dyn Backend) -> Result<Delete<'a>> {
        Resolver::new(inner.capabilities()).delete(self.key, self.if_version, self.best_effort)
    }
}

/// The parts of a [`ListPage`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListPageParts<'a> {
    /// The whole prefix.
    pub prefix: Cow<'a, str>,
    /// The most keys wanted.
    pub limit: NonZeroUsize,
    /// Where the page before this one ended; `None` on the first page.
    pub position: Option<Vec<u8>>,
}

impl<'a> ListPageParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// `Unsupported` when `inner` does not list.
    pub fn resolve(self, inner: &dyn Backend) -> Result<ListPage<'a>> {
        Resolver::new(inner.capabilities()).list(self.prefix, self.limit.get(), self.position)
    }
}

/// The parts of an [`Increment`]. Its range is kept, and narrowed to that of the backend inside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncrementParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// What to add.
    pub by: i64,
    /// The expiry of a counter that this step creates (CNT-3); as in [`WriteParts`].
    pub created_expiry: Expiry,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) expiring_allowed: bool,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> IncrementParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// As [`Resolver::increment`].
    pub fn resolve(self, inner: &dyn Backend) -> Result<Increment<'a>> {
        let resolver = Resolver::new(inner.capabilities());
        let options = IncrementOptions { best_effort: self.best_effort, ..IncrementOptions::default() };
        let mut request = resolver.increment(self.key, self.by, options, inner.clock())?;
        (request.created_expiry, request.judged) = resolver
            .require_counters(self.created_expiry != Expiry::Never, self.best_effort)
            .and_then(|()| self.judged.resolve(self.created_expiry, inner.capabilities(), inner.clock()))
            .map_err(|error| error.with_key(&request.key))?;
        request.min = request.min.max(self.min);
        request.max = request.max.min(self.max);
        request.expiring_allowed &= self.expiring_allowed;
        Ok(request)
    }
}

/// The parts of an [`Expire`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExpireParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// The new expiry; as in [`WriteParts`].
    pub expiry: Expiry,
    /// Only a live entry of this version is to be changed (EXP-11).
    pub if_version: Option<Version>,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> ExpireParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// As [`Resolver::expire`].
    pub fn resolve(self, inner: &dyn Backend) -> Result<Expire<'a>> {
        let Self { key, expiry, if_version, judged, best_effort } = self;
        let resolver = Resolver::new(inner.capabilities());
        let key = resolver.full_key(key)?;
        let resolved = resolver
            .require_expire(if_version.is_some(), best_effort)
            .and_then(|()| judged.resolve(expiry, inner.capabilities(), inner.clock()));
        let (expiry, judged) = resolved.map_err(|error| error.with_key(&key))?;
        Ok(Expire { key, expiry, if_version, judged, best_effort })
    }
}

/// The parts of a [`Touch`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TouchParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// What is wanted of the entry.
    pub fields: Fields,
    /// The new expiry; as in [`WriteParts`].
    pub expiry: Expiry,
    pub(crate) judged: Judged,
    pub(crate) best_effort: bool,
}

impl<'a> TouchParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// As [`Resolver::touch`].
    pub fn resolve(self, inner: &dyn Backend) -> Result<Touch<'a>> {
        let Self { key, fields, expiry, judged, best_effort } = self;
        let resolver = Resolver::new(inner.capabilities());
        let key = resolver.full_key(key)?;
        let resolved = resolver
            .require_touch(best_effort)
            .and_then(|()| judged.resolve(expiry, inner.capabilities(), inner.clock()));
        let (expiry, judged) = resolved.map_err(|error| error.with_key(&key))?;
        Ok(Touch { key, fields, expiry, judged, best_effort })
    }
}

/// The parts of a [`GetAndDelete`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GetAndDeleteParts<'a> {
    /// The whole key.
    pub key: Cow<'a, str>,
    /// What is wanted of the entry.
    pub fields: Fields,
    pub(crate) best_effort: bool,
}

impl<'a> GetAndDeleteParts<'a> {
    /// The request that these parts make for `inner`.
    ///
    /// # Errors
    /// As [`Resolver::get_and_delete`].
    pub fn resolve(self, inner: &dyn Backend) -> Result<GetAndDelete<'a>> {
        Resolver::new(inner.capabilities()).get_and_delete(self.key, self.fields, self.best_effort)
    }
}

/// For each item of a batch its position in the request that was made of the batch, or why it is not in it.
#[derive(Clone, Debug)]
pub struct Slots(Vec<Result<usize>>);

impl Slots {
    /// One result per item, in the order of the items, from the answers to the request; none when there was no request.
    /// When their number is not that of the request, it is not known whose they are: each is `Internal`, outcome
    /// unknown.
    #[must_use]
    pub fn outcomes<T: Clone>(self, answers: Vec<Result<T>>) -> Vec<Result<T>> {
        let asked = self.0.iter().flatten().max().map_or(0, |last| last + 1);
        let answered = answers.len();
        let answer = |slot: usize| match answers.get(slot) {
            Some(answer) if answered == asked => answer.clone(),
            _ => Err(Error::wrong_count(asked, answered).with_retry(Retry::OutcomeUnknown)),
        };
        self.0.into_iter().map(|slot| slot.and_then(answer)).collect()
    }
}

/// As [`Resolver::delete_many`] answers them.
impl From<Vec<Result<usize>>> for Slots {
    fn from(slots: Vec<Result<usize>>) -> Self {
        Self(slots)
    }
}
