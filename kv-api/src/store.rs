//! What callers hold.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::Backend;
use crate::calls::{
    BoxFuture, Delete, Exists, Expire, Get, GetAndDelete, GetEntry, GetOrSet, Increment, List, Set, Update,
};
use crate::capabilities::Capabilities;
use crate::entry::{Entry, Fields};
use crate::error::{Error, Result};
use crate::expiry::{ExpiryPrecedence, MinTtl};
use crate::handle::Handle;
use crate::layer::Layer;
use crate::outcome::{BatchOutcome, DeleteOutcome, SetOutcome};
use crate::resolver::Resolver;
use crate::set_item::SetItem;
use crate::value::Value;
use crate::{batch, listing, walk};

/// A handle on one namespace of one system. Cheap to clone; clones and handles made from it share the connection.
///
/// The same call means the same on every backend, or fails with a clear error before anything is sent. The handle
/// checks and resolves each request once, against what the backend supports ([`capabilities`](Self::capabilities)); it
/// never retries and never waits by itself (ERR-4).
///
/// Single requests are builders that are futures: they do nothing until polled, and dropping one leaves each entry
/// whole (ERR-6). They borrow the store; [`into_owned`](Get::into_owned) makes of one a future that keeps it, to be
/// spawned or returned. Streams keep the store anyway. A store in memory answers at its first poll and never yields: a long loop of such calls should.
///
/// Two handles made with [`Store::new`] on one backend close apart: closing one lets go of what both use. Clone
/// instead.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{SetStatus, Value};
/// use std::time::Duration;
/// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
///
/// let outcome = store.set("Japan", "The land of the rising sun").ttl(Duration::from_secs(100)).if_not_exists().await?;
/// assert_eq!(outcome.status(), SetStatus::Created);
/// assert_eq!(store.get("Japan").await?, Some(Value::from("The land of the rising sun")));
/// assert_eq!(store.get("Atlantis").await?, None); // a missing key is no error (GET-1)
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

impl Store {
    /// A handle on a backend.
    #[must_use]
    pub fn new(backend: impl Backend) -> Self {
        Self::from_arc(Arc::new(backend))
    }

    /// A handle on a backend that is shared already.
    #[must_use]
    pub fn from_arc(backend: Arc<dyn Backend>) -> Self {
        Self { handle: Handle::new(backend) }
    }

    /// What this handle offers: capabilities and limits (CAP-1).
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.handle.capabilities()
    }

    /// What stands before every key of this handle; empty unless [`with_prefix`](Self::with_prefix) made it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.handle.prefix()
    }

    /// Whether the other handle shows the same data: the same system, with the same scope (NS-3). Prefixes of the
    /// handles take no part. Data that can be reached by two addresses and has no identity of its own is not
    /// recognised. A copy of a file with an identity in it is taken for that file.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// assert!(store.has_same_scope(&store.with_prefix("user/")));
    /// assert!(!store.has_same_scope(&kv_api::Store::new(kv_memory::MemoryStore::default())));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn has_same_scope(&self, other: &Self) -> bool {
        let (own, other) = (self.handle.backend(), other.handle.backend());
        own.capabilities().system == other.capabilities().system && own.scope() == other.scope()
    }

    /// 16 hex digits that name the data this handle shows: system, scope and prefix (NS-3). They are the same on every
    /// machine and in every release, and others for other data but by a coincidence of one in 2^64. Handles for which
    /// [`has_same_scope`](Self::has_same_scope) is true have the same one if their prefixes are the same.
    ///
    /// It is for a program that keeps something about a store, such as how far a copy has come, and must know the store
    /// again in another process. A store in memory does not outlive its process, and each has a fingerprint of its own.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_memory::MemoryStore;
    /// let store = kv_api::Store::new(MemoryStore::default());
    /// assert_eq!(store.scope_fingerprint().len(), 16);
    /// assert_eq!(store.scope_fingerprint(), store.clone().with_prefix("").scope_fingerprint());
    /// assert_ne!(store.scope_fingerprint(), store.with_prefix("user/").scope_fingerprint());
    /// assert_ne!(store.scope_fingerprint(), kv_api::Store::new(MemoryStore::default()).scope_fingerprint());
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn scope_fingerprint(&self) -> String {
        listing::cursor_scope(&self.handle, self.prefix()).fingerprint()
    }

    /// A handle that puts `prefix` before every key and takes it off every listed one (NS-2). Length limits hold for
    /// the whole key. Prefixes add up. A key that equals the prefix itself is not visible through it, since no key is
    /// empty.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let users = store.with_prefix("user/");
    /// users.set("1", "Ada").await?;
    /// assert!(store.exists("user/1").await?);
    /// assert_eq!(users.list().await?.items[0].key, "1");
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        self.with(|handle| handle.push_prefix(prefix))
    }

    /// A handle on which, when a request gives a ttl and an absolute expiry, this rule says which counts (EXP-2).
    #[must_use]
    pub fn with_expiry_precedence(&self, precedence: ExpiryPrecedence) -> Self {
        self.with(|handle| handle.policy.precedence = precedence)
    }

    /// A handle on which this happens to an expiry below the store's minimum (EXP-6).
    #[must_use]
    pub fn with_min_ttl(&self, min_ttl: MinTtl) -> Self {
        self.with(|handle| handle.policy.min_ttl = min_ttl)
    }

    /// A handle on which what the store can do only with a race window is done with it, instead of refused (SET-6).
    #[must_use]
    pub fn allow_best_effort(&self) -> Self {
        self.with(|handle| handle.policy.best_effort = true)
    }

    /// A handle that offers only what all of these capabilities offer too (CAP-4): every limit the tighter, every
    /// capability the weaker; what the others do not report is hidden (`Stored`, `Accepted`, expiry `Unknown`, no
    /// version, no metadata). A program tested on it meets the refusals and limits of those systems, and nothing more:
    /// a read is as new, and a condition as certain, as here. The layer `Like` of kv-layers, which is
    /// `memory:?like=SYSTEM` as a URL, imitates their race windows and stale reads too. Failures, time-outs and rates are
    /// neither's: test those on the systems themselves.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::{ErrorKind, Capabilities, SetStatus, ValueKinds};
    /// static PLAIN: Capabilities = Capabilities::new("plain").with_value_kinds(ValueKinds::ALL).with_key_bytes(1, 8);
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default()).restricted_to([&PLAIN]);
    /// assert_eq!(store.set("k", "v").await?.status(), SetStatus::Stored);
    /// let refused = store.set("k", "v").if_exists().await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Unsupported);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn restricted_to<'p>(&self, capabilities: impl IntoIterator<Item = &'p Capabilities>) -> Self {
        self.with(|handle| capabilities.into_iter().for_each(|other| handle.restrict_to(other)))
    }

    /// A handle with a layer before the backend, with the prefix, the choices and the restrictions of this one. Clones
    /// that are there already go on without the layer. All of them close together.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default()).with_prefix("user/");
    /// let layered = store.layer(&kv_api::Stack::new());
    /// layered.set("1", "Ada").await?;
    /// assert!(store.exists("1").await?);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn layer(&self, layer: &dyn Layer) -> Self {
        self.with(|handle| handle.set_backend(|backend| layer.layer(backend)))
    }

    /// The checks that this handle makes before anything is sent, with its prefix and its choices: to find out what a
    /// request would be refused for, or what its expiry would become, without sending it (CHK-1). An expiry is checked
    /// by the clock that is given. What only the system knows, such as a full disk, is not found.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::{Capabilities, Expiry, MinTtl, SetItem, Support, SystemClock, ValueKinds};
    /// use std::time::Duration;
    /// const MINUTE: Duration = Duration::from_secs(60);
    /// static HOSTED: Capabilities = Capabilities::new("hosted")
    ///     .with_value_kinds(ValueKinds::ALL)
    ///     .with_ttl(Support::Native)
    ///     .with_expiry_min(MINUTE);
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default()).restricted_to([&HOSTED]);
    /// let item = SetItem::new("k", "v").ttl(Duration::from_secs(1));
    /// assert!(store.resolver().write(item.clone(), &SystemClock).is_err());
    /// let patient = store.with_min_ttl(MinTtl::RoundUp);
    /// assert_eq!(patient.resolver().write(item, &SystemClock)?.expiry(), Expiry::After(MINUTE));
    /// assert!(!store.exists("k").await?);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn resolver(&self) -> Resolver<'_> {
        self.handle.resolver()
    }

    /// Reads a value; `None` when there is no live entry (GET-1).
    pub fn get<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Get<'a> {
        Get::new(&self.handle, key.into())
    }

    /// Reads a value with its metadata, expiry and version, in as few requests as the backend allows (GET-1).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::EntryExpiry;
    /// use serde_json::json;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("k", "v").metadata(json!({"by": "Ada"})).await?;
    /// let entry = store.get_entry("k").await?.expect("it was just set");
    /// assert_eq!(entry.metadata().map(|metadata| metadata.as_json_text()), Some(r#"{"by":"Ada"}"#));
    /// assert_eq!(entry.expiry(), EntryExpiry::Never);
    /// assert!(entry.version().is_some());
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_entry<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> GetEntry<'a> {
        GetEntry::new(&self.handle, key.into())
    }

    /// Reads a value and deletes the entry in one step; `None` when there is no live entry. Of any number of callers
    /// exactly one gets the value (GET-4), so it hands out what may be used once: a token, a job, an invitation.
    ///
    /// # Errors
    /// `Unsupported` where the store does not support it; `WrongType` when the key holds what is no value, which stays
    /// (VAL-7). Where the outcome is unknown, the entry may be deleted and its value lost; this is never repeated
    /// (ERR-4).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::Value;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("invitation", "Ada").await?;
    /// assert_eq!(store.get_and_delete("invitation").await?, Some(Value::from("Ada")));
    /// assert_eq!(store.get_and_delete("invitation").await?, None);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_and_delete<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> GetAndDelete<'a> {
        GetAndDelete::new(&self.handle, key.into())
    }

    /// Whether [`get`](Self::get) would give a value, without moving it where possible (GET-2).
    pub fn exists<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Exists<'a> {
        Exists::new(&self.handle, key.into())
    }

    /// Reads a value and decodes it through serde (VAL-6); see [`Value::decode`].
    ///
    /// # Errors
    /// As [`get`](Self::get); `WrongType` with the kind found when the value does not fit `T`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set_as("numbers", &[1, 2, 3]).await?;
    /// assert_eq!(store.get_as::<Vec<u8>>("numbers").await?, Some(vec![1, 2, 3]));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_as<'a, T: DeserializeOwned>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        let mut get = self.get(key);
        async move {
            let value = (&mut get).await?;
            value.map(|value| value.decode()).transpose().map_err(|error| get.explain(error, "get_as"))
        }
    }

    /// Sets a value, and with it expiry and metadata: what is not given is gone (SET-1). Without options: over anything
    /// that is there, for ever, without metadata.
    pub fn set<'a>(&'a self, key: impl Into<Cow<'a, str>>, value: impl Into<Value>) -> Set<'a> {
        Set::new(&self.handle, key.into(), Ok(value.into()))
    }

    /// Sets what `value` serialises to: text when that is a string, else JSON (VAL-6). What cannot be represented is
    /// `InvalidArgument` when the request is carried out.
    pub fn set_as<'a, T: Serialize + ?Sized>(&'a self, key: impl Into<Cow<'a, str>>, value: &T) -> Set<'a> {
        Set::new(&self.handle, key.into(), Value::serialize(value))
    }

    /// Deletes an entry (DEL-1).
    pub fn delete<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Delete<'a> {
        Delete::new(&self.handle, key.into())
    }

    /// Adds `by` to a counter and answers its new value (CNT-1). A missing or expired key counts from 0; the expiry
    /// stays. A new counter never ends, unless [`ttl_if_created`](Increment::ttl_if_created) gives it an end (CNT-3).
    ///
    /// # Errors
    /// `WrongType` when the entry is anything but a JSON integer without metadata (CNT-2); `InvalidArgument` with
    /// [`Reason::CounterRange`](crate::Reason::CounterRange) when the result is outside the range of the store's
    /// counters. Both change nothing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::Value;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// assert_eq!(store.increment("visits", 2).await?, 2);
    /// assert_eq!(store.increment("visits", -3).await?, -1);
    /// assert_eq!(store.get("visits").await?, Some(Value::from(-1)));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn increment<'a>(&'a self, key: impl Into<Cow<'a, str>>, by: i64) -> Increment<'a> {
        Increment::new(&self.handle, key.into(), by)
    }

    /// Changes only the expiry of an entry (EXP-9); without an entry it answers `false` and creates nothing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use std::time::Duration;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("k", "v").await?;
    /// assert!(store.expire("k").ttl(Duration::from_secs(60)).await?);
    /// assert!(store.expire("k").never().await?);
    /// assert!(!store.expire("missing").never().await?);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Expire<'a> {
        Expire::new(&self.handle, key.into())
    }

    /// Changes a value by what it is: reads it, calls the closure with it (`None` where there is no live entry), and sets
    /// what the closure gives, only if nobody has changed the entry meanwhile (SET-9). Else it begins again, up to 16
    /// times unless [`attempts`](Update::attempts) says otherwise; so the closure may be called several times, and
    /// should do nothing but compute. Where the closure gives `None` the entry stays as it is.
    ///
    /// Metadata and expiry stay as they were read, unless the request gives others. A new entry has neither. An
    /// [`expire`](Self::expire) or [`touch`](Get::touch) of another caller meanwhile is undone, since it changes no
    /// version; where that matters, give the request the expiry.
    ///
    /// # Errors
    /// `Unsupported` where the store has no versions, and where it does not report when an entry ends and the request
    /// does not say so either ([`Reason::ExpiryNotReported`](crate::Reason::ExpiryNotReported)): before anything is
    /// sent. `Unavailable` with [`Reason::Contended`](crate::Reason::Contended) when other writers came first each
    /// time; nothing was written then. An unknown outcome is reported as such and ends the loop (SET-8).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::Value;
    /// use std::time::Duration;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("stock", 2).ttl(Duration::from_secs(60)).await?;
    /// let take_one = |old: Option<&Value>| match old.and_then(Value::as_i64) {
    ///     None | Some(0) => None, // there is nothing to take
    ///     Some(left) => Some(left - 1),
    /// };
    /// assert!(store.update("stock", take_one).await?.is_written());
    /// assert_eq!(store.update("stock", take_one).await?.value(), Some(&Value::from(0)));
    /// assert!(!store.update("stock", take_one).await?.is_written());
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update<'a, V: Into<Value>>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        mut change: impl FnMut(Option<&Value>) -> Option<V> + Send + 'a,
    ) -> Update<'a> {
        Update::new(&self.handle, key.into(), Box::new(move |old| Ok(change(old).map(Into::into))))
    }

    /// As [`update`](Self::update), with a closure that can fail: its error ends the update and is returned as it is,
    /// and nothing is written.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("limit", "many").await?;
    /// let doubled = store.try_update("limit", |old| -> Result<_, Box<dyn std::error::Error>> {
    ///     let limit: u32 = old.and_then(|old| old.as_text()).unwrap_or("1").parse()?;
    ///     Ok(Some((limit * 2).to_string()))
    /// });
    /// assert_eq!(doubled.await.unwrap_err().to_string(), "invalid digit found in string");
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_update<'a, V: Into<Value>, E: From<Error>>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        mut change: impl FnMut(Option<&Value>) -> Result<Option<V>, E> + Send + 'a,
    ) -> Update<'a, E> {
        Update::new(&self.handle, key.into(), Box::new(move |old| Ok(change(old)?.map(Into::into))))
    }

    /// As [`update`](Self::update), through serde (VAL-6).
    ///
    /// # Errors
    /// As [`update`](Self::update); `WrongType` with the kind found when the value does not fit `T`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.update_as("tags", |old: Option<Vec<String>>| {
    ///     let mut tags = old.unwrap_or_default();
    ///     tags.push("new".to_owned());
    ///     Some(tags)
    /// }).await?;
    /// assert_eq!(store.get_as::<Vec<String>>("tags").await?, Some(vec!["new".to_owned()]));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_as<'a, T: Serialize + DeserializeOwned>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        mut change: impl FnMut(Option<T>) -> Option<T> + Send + 'a,
    ) -> Update<'a> {
        let key = key.into();
        let (handle, named) = (&self.handle, key.clone());
        let mut through_serde = move |old: Option<&Value>| {
            let old = old.map(Value::decode).transpose()?;
            change(old).as_ref().map(Value::serialize).transpose()
        };
        let change = move |old: Option<&Value>| {
            through_serde(old).map_err(|error| handle.explain_key(error, "update_as", &named))
        };
        Update::new(handle, key, Box::new(change))
    }

    /// Reads a value; where there is none, loads it and sets it (GET-3). Among the calls of one store, its clones and
    /// the handles made from it, one loads a key at a time: the others wait and take its result. A load that fails or
    /// is dropped makes way for the next that waits. A load must not ask the same store for the same key, since it
    /// would wait for itself.
    ///
    /// What another writer has set meanwhile stays, and is the result. So all agree on one value where the condition
    /// [`IfNotExists`](crate::Condition::IfNotExists) is atomic; where it is only best effort, the request must accept
    /// that with [`allow_best_effort`](GetOrSet::allow_best_effort).
    ///
    /// # Errors
    /// `E` is the caller's own type: the error of the load as it is, or what it makes of one of the store. The value
    /// is loaded before it can be set, so a set that fails loses it. `Unsupported` where the store has no
    /// `IfNotExists`, before anything is sent.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::Value;
    /// use std::time::Duration;
    /// async fn fetch(id: u32) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    ///     if id == 1 { Ok("Ada".to_owned()) } else { Err("there is no such user".into()) }
    /// }
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let name = store.get_or_set("user/1", || fetch(1)).ttl(Duration::from_secs(60)).await.unwrap();
    /// assert_eq!(name, Value::from("Ada"));
    /// assert_eq!(store.get("user/1").await?, Some(name));
    /// assert_eq!(store.get_or_set("user/2", || fetch(2)).await.unwrap_err().to_string(), "there is no such user");
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_set<'a, V, E, F>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        load: impl FnOnce() -> F + Send + 'a,
    ) -> GetOrSet<'a, Value, E>
    where
        V: Into<Value> + 'a,
        E: From<Error> + 'a,
        F: Future<Output = Result<V, E>> + Send + 'a,
    {
        let load = move || -> BoxFuture<'a, _> { Box::pin(async move { Ok(load().await?.into()) }) };
        GetOrSet::new(&self.handle, key.into(), Box::new(load), Ok)
    }

    /// As [`get_or_set`](Self::get_or_set), through serde (VAL-6).
    ///
    /// # Errors
    /// As [`get_or_set`](Self::get_or_set); `WrongType` with the kind found when the value that is there does not fit
    /// `T`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let primes = store.get_or_set_as("primes", async || Ok::<_, kv_api::Error>(vec![2, 3, 5])).await?;
    /// assert_eq!(primes, [2, 3, 5]);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_set_as<'a, T, E, F>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        load: impl FnOnce() -> F + Send + 'a,
    ) -> GetOrSet<'a, T, E>
    where
        T: Serialize + DeserializeOwned + 'a,
        E: From<Error> + 'a,
        F: Future<Output = Result<T, E>> + Send + 'a,
    {
        let key = key.into();
        let (handle, named) = (&self.handle, key.clone());
        let load = move || -> BoxFuture<'a, _> {
            Box::pin(async move {
                let value = Value::serialize(&load().await?);
                Ok(value.map_err(|error| handle.explain_key(error, "get_or_set_as", &named))?)
            })
        };
        GetOrSet::new(handle, key, Box::new(load), |value| value.decode())
    }

    /// Lists keys: as a future one page, as a stream all of them (LIST-1 to LIST-5).
    pub fn list(&self) -> List<'_> {
        List::new(&self.handle)
    }

    /// Reads many values, one slot per key in the order asked; keys may repeat (GET-2).
    ///
    /// # Errors
    /// As a whole, with the index of the first key that is not acceptable.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::Value;
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("a", "1").await?;
    /// let values = store.get_many(["a", "b", "a"]).await?;
    /// assert_eq!(values, [Some(Value::from("1")), None, Some(Value::from("1"))]);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<'a, 'k: 'a, K>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Result<Vec<Option<Value>>>> + Send + 'a
    where
        K: Into<Cow<'k, str>>,
    {
        let keys = keys.into_iter().map(Into::into).collect();
        async move {
            let entries = batch::get_many(&self.handle, keys, Fields::Value, "get_many").await?;
            Ok(entries.into_iter().map(|entry| entry.map(Entry::into_value)).collect())
        }
    }

    /// Reads many values with their metadata, expiry and version, one slot per key in the order asked (GET-1, GET-2).
    ///
    /// # Errors
    /// As a whole, with the index of the first key that is not acceptable.
    pub fn get_entry_many<'a, 'k: 'a, K>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Result<Vec<Option<Entry>>>> + Send + 'a
    where
        K: Into<Cow<'k, str>>,
    {
        let keys = keys.into_iter().map(Into::into).collect();
        batch::get_many(&self.handle, keys, Fields::All, "get_entry_many")
    }

    /// Whether [`exists`](Self::exists) is true, for many keys: one answer per key in the order asked; keys may repeat
    /// (GET-2). It moves no value where the store can tell without.
    ///
    /// # Errors
    /// As a whole, with the index of the first key that is not acceptable.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// store.set("a", "1").await?;
    /// assert_eq!(store.exists_many(["a", "b", "a"]).await?, [true, false, true]);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exists_many<'a, 'k: 'a, K>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Result<Vec<bool>>> + Send + 'a
    where
        K: Into<Cow<'k, str>>,
    {
        let keys = keys.into_iter().map(Into::into).collect();
        async move {
            let entries = batch::get_many(&self.handle, keys, Fields::Existence, "exists_many").await?;
            Ok(entries.into_iter().map(|entry| entry.is_some()).collect())
        }
    }

    /// Sets many: one result per item in input order, and no error of its own (BATCH-2). An invalid item fails alone
    /// (BATCH-3); of items with one key the last one written remains, and a condition sees the items before it
    /// (BATCH-4).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use kv_api::{ErrorKind, SetItem, SetStatus};
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// let results = store.set_many([
    ///     SetItem::new("a", "1"),
    ///     SetItem::new("", "no key"),
    ///     SetItem::new("a", "2").if_not_exists(),
    /// ]).await;
    /// assert_eq!(results[0].as_ref().unwrap().status(), SetStatus::Created);
    /// assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// assert!(!results[2].as_ref().unwrap().is_written());
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_many<'a, 'k: 'a>(
        &'a self,
        items: impl IntoIterator<Item = SetItem<'k>>,
    ) -> impl Future<Output = Vec<Result<SetOutcome>>> + Send + 'a {
        batch::set_many(&self.handle, items.into_iter().collect())
    }

    /// Sets all items or none (BATCH-3).
    ///
    /// # Errors
    /// `Unsupported` where the store does not support it; `InvalidArgument` with the index of an invalid item or a
    /// repeated key. Nothing is written then.
    pub fn set_many_all_or_nothing<'a, 'k: 'a>(
        &'a self,
        items: impl IntoIterator<Item = SetItem<'k>>,
    ) -> impl Future<Output = Result<BatchOutcome>> + Send + 'a {
        batch::set_many_all_or_nothing(&self.handle, items.into_iter().collect())
    }

    /// Deletes many: one result per key in input order; a repeated key shares one (DEL-1).
    pub fn delete_many<'a, 'k: 'a, K>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Vec<Result<DeleteOutcome>>> + Send + 'a
    where
        K: Into<Cow<'k, str>>,
    {
        batch::delete_many(&self.handle, keys.into_iter().map(Into::into).collect())
    }

    /// How many keys begin with `prefix`, by walking the list: as many as [`list`](Self::list) would stream, none twice
    /// (LIST-7). It takes as many requests as the list has pages, and it is no snapshot: keys that come and go meanwhile
    /// may count or not. An empty prefix counts all.
    ///
    /// # Errors
    /// As a walk over the list: `Unsupported` where listing is not supported.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
    /// for key in ["user/1", "user/2", "users"] {
    ///     store.set(key, "").await?;
    /// }
    /// assert_eq!((store.count("user/").await?, store.count("").await?), (2, 3));
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count<'a>(&'a self, prefix: impl Into<Cow<'a, str>>) -> impl Future<Output = Result<u64>> + Send + 'a {
        walk::count(Arc::clone(&self.handle), prefix.into())
    }

    /// Deletes every key that begins with `prefix`, by walking the list; not atomic. Answers how many (DEL-3).
    ///
    /// # Errors
    /// `InvalidArgument` for an empty prefix: only [`clear`](Self::clear) says "everything". `Unsupported` where
    /// listing is not supported. After an error part of the keys may be deleted; the call can be repeated.
    pub fn delete_prefix<'a>(
        &'a self,
        prefix: impl Into<Cow<'a, str>>,
    ) -> impl Future<Output = Result<u64>> + Send + 'a {
        walk::delete_prefix(Arc::clone(&self.handle), prefix.into())
    }

    /// Deletes every key of this handle, by walking the list; not atomic. Answers how many (DEL-3). Touches nothing
    /// outside the handle's namespace and prefix.
    ///
    /// # Errors
    /// `Unsupported` where listing is not supported. After an error part of the keys may be deleted; the call can be
    /// repeated.
    pub fn clear(&self) -> impl Future<Output = Result<u64>> + Send + '_ {
        walk::clear(Arc::clone(&self.handle))
    }

    /// One cheap read that proves address, credentials and namespace (LIFE-1).
    ///
    /// # Errors
    /// `Unavailable`, `Unauthorized` or `Misconfigured`, as the read finds it.
    pub async fn ping(&self) -> Result<()> {
        async {
            let _call = self.handle.enter()?;
            self.handle.backend().ping().await
        }
        .await
        .map_err(|error| self.handle.explain_read(error, "ping"))
    }

    /// Waits for calls in flight, then lets go of connections and files; later calls on this handle, its clones and all
    /// handles made from it are `Closed` (LIFE-2). Closing twice is no error. Dropping the last handle without it loses
    /// no acknowledged write.
    ///
    /// Dropping this while it waits for calls in flight, as a time-out does, opens the store again. Dropping it later
    /// leaves the store closed; closing again finishes it.
    ///
    /// # Errors
    /// What letting go ran into.
    pub async fn close(&self) -> Result<()> {
        self.handle.close().await.map_err(|error| self.handle.explain(error, "close"))
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    fn with(&self, change: impl FnOnce(&mut Handle)) -> Self {
        Self { handle: self.handle.with(change) }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.handle.backend())
            .field("prefix", &self.handle.prefix())
            .field("restricted", &self.handle.is_restricted())
            .finish_non_exhaustive()
    }
}
