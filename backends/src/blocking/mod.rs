//! A store for programs without async: the same calls, waited for.
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! use kv_backends::blocking::BlockingStore;
//! use kv_backends::Value;
//! use std::time::Duration;
//!
//! let store = BlockingStore::open("memory:")?;
//! store.set("greeting", "hello").ttl(Duration::from_secs(60)).wait()?;
//! assert_eq!(store.get("greeting").wait()?, Some(Value::from("hello")));
//! for item in store.list().iter() {
//!     assert_eq!(item?.key, "greeting");
//! }
//! # }
//! # Ok::<(), kv_backends::Error>(())
//! ```

mod request;
mod runtime;
mod walk;

pub use request::Request;
pub use walk::Walk;

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use kv_api::calls::{Delete, Exists, Expire, Get, GetAndDelete, GetEntry, GetOrSet, Increment, List, Set, Update};
use kv_api::{BatchOutcome, Capabilities, DeleteOutcome, Entry, Error, Result, SetItem, SetOutcome, Store, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use runtime::Runtime;

/// A [`Store`] for programs without async. Each call is that of the store; where an async program writes `.await`,
/// this one writes [`.wait()`](Request::wait), and where it has a stream, this one has an iterator.
///
/// It has a runtime of its own, with one thread, for the tasks, timers and connections of the store. A call runs on the
/// thread that waits for it, so any number of threads can call at once. Cheap to clone; clones share store and runtime.
///
/// Called from async code it works too. It blocks that thread as every blocking call does, and with it the tasks that
/// wait for the thread: use [`Store`] there. Closures that a call takes run on the calling thread, and may call the
/// store.
#[derive(Clone, Debug)]
pub struct BlockingStore {
    // Dropped in this order: the store before the runtime in which it was opened.
    store: Store,
    runtime: Arc<Runtime>,
}

impl BlockingStore {
    /// Opens the store that `url` names, as [`open`](crate::open) does.
    ///
    /// # Errors
    /// As [`open`](crate::open); `Exhausted` when the system gives no thread.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_with(crate::open(url))
    }

    /// Opens a store in another way, in the runtime of this one: with settings that a URL cannot say.
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use kv_backends::blocking::BlockingStore;
    /// use kv_backends::memory::{MemoryConfig, MemoryStore};
    /// let store = BlockingStore::open_with(async {
    ///     let config = MemoryConfig::new().with_entries_max(1);
    ///     Ok(kv_backends::Store::new(MemoryStore::with_config(config)))
    /// })?;
    /// store.set("a", "1").wait()?;
    /// assert!(store.set("b", "2").wait().is_err());
    /// # }
    /// # Ok::<(), kv_backends::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `open`; `Exhausted` when the system gives no thread.
    pub fn open_with(open: impl Future<Output = Result<Store>>) -> Result<Self> {
        let runtime = Runtime::start()?;
        let store = runtime.wait(open)?;
        Ok(Self { store, runtime })
    }

    /// The store itself, for what is not named here. Its calls belong to the runtime of this one: wait for them with
    /// [`block_on`](Self::block_on).
    #[must_use]
    pub const fn as_async(&self) -> &Store {
        &self.store
    }

    /// Runs a future to its end on this thread, in the runtime of the store.
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use kv_backends::blocking::BlockingStore;
    /// use kv_backends::kv_api::Namespace;
    /// let store = BlockingStore::open("memory:")?;
    /// let users: Namespace<u64, String> = Namespace::new(store.as_async(), "user/");
    /// store.block_on(users.set(&1, &"Ada".to_owned()))?;
    /// assert_eq!(store.block_on(users.get(&1))?.as_deref(), Some("Ada"));
    /// # }
    /// # Ok::<(), kv_backends::Error>(())
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.wait(future)
    }

    /// Another handle on the same store, in the same runtime.
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// let store = kv_backends::blocking::BlockingStore::open("memory:")?;
    /// let users = store.with(|store| store.with_prefix("user/"));
    /// users.set("1", "Ada").wait()?;
    /// assert!(store.exists("user/1").wait()?);
    /// # }
    /// # Ok::<(), kv_backends::Error>(())
    /// ```
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&Store) -> Store) -> Self {
        Self { store: change(&self.store), runtime: Arc::clone(&self.runtime) }
    }

    /// As [`Store::capabilities`].
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.store.capabilities()
    }

    /// As [`Store::get`].
    pub fn get<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Request<'a, Get<'a>> {
        self.request(self.store.get(key))
    }

    /// As [`Store::get_entry`].
    pub fn get_entry<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Request<'a, GetEntry<'a>> {
        self.request(self.store.get_entry(key))
    }

    /// As [`Store::get_and_delete`].
    pub fn get_and_delete<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Request<'a, GetAndDelete<'a>> {
        self.request(self.store.get_and_delete(key))
    }

    /// As [`Store::exists`].
    pub fn exists<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Request<'a, Exists<'a>> {
        self.request(self.store.exists(key))
    }

    /// As [`Store::get_as`].
    pub fn get_as<'a, T: DeserializeOwned>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
    ) -> Request<'a, impl Future<Output = Result<Option<T>>> + Send> {
        self.request(self.store.get_as(key))
    }

    /// As [`Store::set`].
    pub fn set<'a>(&'a self, key: impl Into<Cow<'a, str>>, value: impl Into<Value>) -> Request<'a, Set<'a>> {
        self.request(self.store.set(key, value))
    }

    /// As [`Store::set_as`].
    pub fn set_as<'a, T: Serialize + ?Sized>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        value: &T,
    ) -> Request<'a, Set<'a>> {
        self.request(self.store.set_as(key, value))
    }

    /// As [`Store::delete`].
    pub fn delete<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Request<'a, Delete<'a>> {
        self.request(self.store.delete(key))
    }

    /// As [`Store::increment`].
    pub fn increment<'a>(&'a self, key: impl Into<Cow<'a, str>>, by: i64) -> Request<'a, Increment<'a>> {
        self.request(self.store.increment(key, by))
    }

    /// As [`Store::expire`].
    pub fn expire<'a>(&'a self, key: impl Into<Cow<'a, str>>) -> Request<'a, Expire<'a>> {
        self.request(self.store.expire(key))
    }

    /// As [`Store::update`].
    pub fn update<'a, V: Into<Value>>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        change: impl FnMut(Option<&Value>) -> Option<V> + Send + 'a,
    ) -> Request<'a, Update<'a>> {
        self.request(self.store.update(key, change))
    }

    /// As [`Store::try_update`].
    pub fn try_update<'a, V: Into<Value>, E: From<Error>>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        change: impl FnMut(Option<&Value>) -> Result<Option<V>, E> + Send + 'a,
    ) -> Request<'a, Update<'a, E>> {
        self.request(self.store.try_update(key, change))
    }

    /// As [`Store::update_as`].
    pub fn update_as<'a, T: Serialize + DeserializeOwned>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        change: impl FnMut(Option<T>) -> Option<T> + Send + 'a,
    ) -> Request<'a, Update<'a>> {
        self.request(self.store.update_as(key, change))
    }

    /// As [`Store::get_or_set`], with a load that is not async. It runs on this thread.
    pub fn get_or_set<'a, V, E>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        load: impl FnOnce() -> Result<V, E> + Send + 'a,
    ) -> Request<'a, GetOrSet<'a, Value, E>>
    where
        V: Into<Value> + 'a,
        E: From<Error> + 'a,
    {
        self.request(self.store.get_or_set(key, async move || load()))
    }

    /// As [`Store::get_or_set_as`], with a load that is not async. It runs on this thread.
    pub fn get_or_set_as<'a, T, E>(
        &'a self,
        key: impl Into<Cow<'a, str>>,
        load: impl FnOnce() -> Result<T, E> + Send + 'a,
    ) -> Request<'a, GetOrSet<'a, T, E>>
    where
        T: Serialize + DeserializeOwned + 'a,
        E: From<Error> + 'a,
    {
        self.request(self.store.get_or_set_as(key, async move || load()))
    }

    /// As [`Store::list`]: waited for it is one page, and [`iter`](Request::iter), [`pages`](Request::pages) and
    /// [`entries`](Request::entries) walk all of them.
    pub fn list(&self) -> Request<'_, List<'_>> {
        self.request(self.store.list())
    }

    /// As [`Store::get_many`].
    pub fn get_many<'a, 'k: 'a, K: Into<Cow<'k, str>>>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> Request<'a, impl Future<Output = Result<Vec<Option<Value>>>> + Send + 'a> {
        self.request(self.store.get_many(keys))
    }

    /// As [`Store::get_entry_many`].
    pub fn get_entry_many<'a, 'k: 'a, K: Into<Cow<'k, str>>>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> Request<'a, impl Future<Output = Result<Vec<Option<Entry>>>> + Send + 'a> {
        self.request(self.store.get_entry_many(keys))
    }

    /// As [`Store::exists_many`].
    pub fn exists_many<'a, 'k: 'a, K: Into<Cow<'k, str>>>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> Request<'a, impl Future<Output = Result<Vec<bool>>> + Send + 'a> {
        self.request(self.store.exists_many(keys))
    }

    /// As [`Store::set_many`].
    pub fn set_many<'a, 'k: 'a>(
        &'a self,
        items: impl IntoIterator<Item = SetItem<'k>>,
    ) -> Request<'a, impl Future<Output = Vec<Result<SetOutcome>>> + Send + 'a> {
        self.request(self.store.set_many(items))
    }

    /// As [`Store::set_many_all_or_nothing`].
    pub fn set_many_all_or_nothing<'a, 'k: 'a>(
        &'a self,
        items: impl IntoIterator<Item = SetItem<'k>>,
    ) -> Request<'a, impl Future<Output = Result<BatchOutcome>> + Send + 'a> {
        self.request(self.store.set_many_all_or_nothing(items))
    }

    /// As [`Store::delete_many`].
    pub fn delete_many<'a, 'k: 'a, K: Into<Cow<'k, str>>>(
        &'a self,
        keys: impl IntoIterator<Item = K>,
    ) -> Request<'a, impl Future<Output = Vec<Result<DeleteOutcome>>> + Send + 'a> {
        self.request(self.store.delete_many(keys))
    }

    /// As [`Store::count`].
    pub fn count<'a>(
        &'a self,
        prefix: impl Into<Cow<'a, str>>,
    ) -> Request<'a, impl Future<Output = Result<u64>> + Send + 'a> {
        self.request(self.store.count(prefix))
    }

    /// As [`Store::delete_prefix`].
    pub fn delete_prefix<'a>(
        &'a self,
        prefix: impl Into<Cow<'a, str>>,
    ) -> Request<'a, impl Future<Output = Result<u64>> + Send + 'a> {
        self.request(self.store.delete_prefix(prefix))
    }

    /// As [`Store::clear`].
    pub fn clear(&self) -> Request<'_, impl Future<Output = Result<u64>> + Send + '_> {
        self.request(self.store.clear())
    }

    /// As [`Store::ping`].
    pub fn ping(&self) -> Request<'_, impl Future<Output = Result<()>> + Send + '_> {
        self.request(self.store.ping())
    }

    /// As [`Store::close`].
    pub fn close(&self) -> Request<'_, impl Future<Output = Result<()>> + Send + '_> {
        self.request(self.store.close())
    }

    const fn request<C>(&self, call: C) -> Request<'_, C> {
        Request::new(&self.runtime, call)
    }
}
