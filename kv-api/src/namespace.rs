//! A typed view of the keys below a prefix (NS-4).

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calls::{Delete, Exists, GetOrSet, Set, Update};
use crate::error::{Error, ErrorKind, Result};
use crate::key_codec::KeyCodec;
use crate::store::Store;

/// The keys below a prefix as keys of type `K`, and their values as values of type `V` (NS-4). It only spells keys and
/// goes through serde (VAL-6): what it writes, any client of the system can read, and other calls mean what they mean
/// on the [`store`](Self::store).
///
/// Cheap to clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use futures_util::TryStreamExt;
/// use kv_api::Namespace;
/// use std::time::Duration;
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Session {
///     user: String,
///     visits: u32,
/// }
///
/// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
/// let sessions: Namespace<u64, Session> = Namespace::new(&store, "session/").with_ttl(Duration::from_secs(3600));
///
/// sessions.set(&7, &Session { user: "Ada".to_owned(), visits: 1 }).await?;
/// let raised = |old: Option<Session>| old.map(|old| Session { visits: old.visits + 1, ..old });
/// assert!(sessions.update(&7, raised).await?.is_written());
/// assert_eq!(sessions.get(&7).await?.map(|session| session.visits), Some(2));
/// assert_eq!(sessions.keys().try_collect::<Vec<u64>>().await?, [7]);
///
/// let plain = store.get("session/7").await?.expect("it is there");
/// assert_eq!(plain.as_json_text(), Some(r#"{"user":"Ada","visits":2}"#));
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Namespace<K, V> {
    store: Store,
    ttl: Option<Duration>,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> Namespace<K, V> {
    /// A view of the keys of `store` that begin with `prefix`.
    #[must_use]
    pub fn new(store: &Store, prefix: &str) -> Self {
        Self { store: store.with_prefix(prefix), ttl: None, types: PhantomData }
    }

    /// With a ttl for entries that are set without an expiry of their own. Updates that find an entry leave its expiry.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The same keys without types.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

impl<K: KeyCodec, V: Serialize + DeserializeOwned> Namespace<K, V> {
    /// Reads a value (GET-1).
    ///
    /// # Errors
    /// As [`Store::get_as`].
    pub fn get(&self, key: &K) -> impl Future<Output = Result<Option<V>>> + Send {
        self.store.get_as(key.encode_key().into_owned())
    }

    /// Whether there is an entry (GET-2).
    pub fn exists<'a>(&'a self, key: &'a K) -> Exists<'a> {
        self.store.exists(key.encode_key())
    }

    /// Sets a value, with the ttl of this view unless the request gives an expiry (SET-1).
    pub fn set<'a>(&'a self, key: &'a K, value: &V) -> Set<'a> {
        self.store.set_as(key.encode_key(), value).default_ttl(self.ttl)
    }

    /// Deletes an entry (DEL-1).
    pub fn delete<'a>(&'a self, key: &'a K) -> Delete<'a> {
        self.store.delete(key.encode_key())
    }

    /// Changes a value by what it is, as [`Store::update_as`] does (SET-9). An entry that this creates has the ttl of
    /// this view.
    pub fn update<'a>(&'a self, key: &'a K, change: impl FnMut(Option<V>) -> Option<V> + Send + 'a) -> Update<'a>
    where
        V: 'a,
    {
        let update = self.store.update_as(key.encode_key(), change);
        match self.ttl {
            Some(ttl) => update.ttl_if_created(ttl),
            None => update,
        }
    }

    /// Reads a value, or loads and sets it, as [`Store::get_or_set_as`] does (GET-3). What is loaded has the ttl of
    /// this view, unless the request gives an expiry.
    pub fn get_or_set<'a, E, F>(&'a self, key: &'a K, load: impl FnOnce() -> F + Send + 'a) -> GetOrSet<'a, V, E>
    where
        V: 'a,
        E: From<Error> + 'a,
        F: Future<Output = Result<V, E>> + Send + 'a,
    {
        self.store.get_or_set_as(key.encode_key(), load).default_ttl(self.ttl)
    }

    /// All keys, as [`List::stream`](crate::calls::List::stream) gives them. It keeps the store by itself.
    ///
    /// # Errors
    /// A key below the prefix that stands for no `K` is `WrongType`. The stream goes on after it.
    pub fn keys(&self) -> impl Stream<Item = Result<K>> + Send + Unpin + use<K, V> {
        let store = self.store.clone();
        self.store.list().stream().map(move |item| decode_key(&store, &item?.key))
    }

    /// All entries, as [`List::entries`](crate::calls::List::entries) gives them. It keeps the store by itself.
    ///
    /// # Errors
    /// A key that stands for no `K`, or a value that does not fit `V`, is `WrongType`. The stream goes on after it.
    pub fn entries(&self) -> impl Stream<Item = Result<(K, V)>> + Send + Unpin + use<K, V> {
        let store = self.store.clone();
        self.store.list().entries().map(move |entry| {
            let (key, entry) = entry?;
            let value = entry.value().decode().map_err(|error| explain(&store, error, &key))?;
            Ok((decode_key(&store, &key)?, value))
        })
    }
}

fn decode_key<K: KeyCodec>(store: &Store, key: &str) -> Result<K> {
    let misfit = || Error::new(ErrorKind::WrongType, "the key does not fit the type asked for");
    K::decode_key(key).ok_or_else(|| explain(store, misfit(), key))
}

fn explain(store: &Store, error: Error, key: &str) -> Error {
    store.handle().explain_key(error, "list", key)
}

impl<K, V> Clone for Namespace<K, V> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), ttl: self.ttl, types: PhantomData }
    }
}

impl<K, V> fmt::Debug for Namespace<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("store", &self.store).field("ttl", &self.ttl).finish()
    }
}
