//! A backend whose every call goes through a blocking store, so that the suite is run through that one. The calls block
//! the threads of the suite's runtime, which a blocking store allows.

use std::sync::Arc;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Cursor, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind,
    Expire, Expiry, Fields, GetAndDelete, Increment, ListPage, ManualClock, Methods, RawPage, Read, ReadMany, Result,
    SetItem, SetOutcome, Store, Timestamp, Touch, Value, Write, WriteMany, async_trait,
};
use kv_backends::blocking::BlockingStore;
use kv_conformance::{Fixture, Harness, Means};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_sqlite::{Durability, SqliteConfig, SqliteStore};

/// A blocking store, and the backend that is behind it.
#[derive(Debug)]
struct Through {
    store: BlockingStore,
    backend: Arc<dyn Backend>,
}

impl Through {
    /// A store over a blocking store over what `open` opens.
    fn open<B: Backend>(open: impl Future<Output = Result<B>>) -> Result<Store> {
        let mut backend: Option<Arc<dyn Backend>> = None;
        let store = BlockingStore::open_with(async {
            let opened: Arc<dyn Backend> = Arc::new(open.await?);
            backend = Some(Arc::clone(&opened));
            Ok(Store::from_arc(opened))
        })?;
        let backend = backend.ok_or_else(|| Error::new(ErrorKind::Internal, "nothing was opened"))?;
        Ok(Store::new(Self { store, backend }))
    }
}

/// What a resolved set asks for.
fn item(write: Write<'_>) -> SetItem<'_> {
    let parts = write.into_parts();
    let item = SetItem::new(parts.key, parts.value).condition(parts.condition);
    let item = match parts.expiry {
        Expiry::After(ttl) => item.ttl(ttl),
        Expiry::At(at) => item.expire_at(at),
        _ => item,
    };
    match parts.metadata {
        Some(metadata) => item.metadata(metadata),
        None => item,
    }
}

fn is_there() -> Entry {
    Entry::new(Value::from(""))
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "what is not here does not go through the blocking store")]
impl Backend for Through {
    fn capabilities(&self) -> &Capabilities {
        self.backend.capabilities()
    }
    fn methods(&self) -> Methods {
        self.backend.methods()
    }
    fn scope(&self) -> &str {
        self.backend.scope()
    }
    fn clock(&self) -> &dyn Clock {
        self.backend.clock()
    }
    fn read_now(&self, _: &Read<'_>) -> Option<Result<Option<Entry>>> {
        None
    }
    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        match read.fields() {
            Fields::Existence => Ok(self.store.exists(read.into_key()).wait()?.then(is_there)),
            Fields::Value => Ok(self.store.get(read.into_key()).wait()?.map(Entry::new)),
            _ => self.store.get_entry(read.into_key()).wait(),
        }
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let parts = write.into_parts();
        let mut set = self.store.set(parts.key, parts.value).condition(parts.condition);
        set = match parts.expiry {
            Expiry::After(ttl) => set.ttl(ttl),
            Expiry::At(at) => set.expire_at(at),
            _ => set,
        };
        match parts.metadata {
            Some(metadata) => set.metadata(metadata).wait(),
            None => set.wait(),
        }
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let request = self.store.delete(delete.key());
        match delete.if_version() {
            Some(version) => request.if_version(version).wait(),
            None => request.wait(),
        }
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let keys = reads.keys().iter().map(|key| &**key);
        match reads.fields() {
            Fields::Existence => {
                let found = self.store.exists_many(keys).wait()?;
                Ok(found.into_iter().map(|found| found.then(is_there)).collect())
            }
            Fields::Value => {
                let found = self.store.get_many(keys).wait()?;
                Ok(found.into_iter().map(|found| found.map(Entry::new)).collect())
            }
            _ => self.store.get_entry_many(keys).wait(),
        }
    }
    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        self.store.set_many(writes.into_writes().into_iter().map(item)).wait()
    }
    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        self.store.delete_many(deletes.keys().iter().map(|key| &**key)).wait()
    }
    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        self.store.set_many_all_or_nothing(writes.into_writes().into_iter().map(item)).wait()
    }
    /// A cursor of the blocking store is the position of this one.
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let mut list = self.store.list().prefix(page.prefix()).limit(page.limit().get());
        if let Some(position) = page.position() {
            let cursor: Cursor = String::from_utf8_lossy(position).parse()?;
            list = list.cursor(cursor);
        }
        let page = list.wait()?;
        Ok(RawPage::new(page.items, page.cursor.map(|cursor| cursor.to_string().into_bytes())))
    }
    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        // A narrower range is that of a handle.
        let capabilities = self.capabilities();
        let range = capabilities.clone().with_counters(capabilities.counters, increment.min(), increment.max());
        let store = self.store.with(|store| store.restricted_to([&range]));
        let request = store.increment(increment.key(), increment.by());
        match increment.created_expiry() {
            Expiry::After(ttl) => request.ttl_if_created(ttl).wait(),
            _ => request.wait(),
        }
    }
    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        let mut request = self.store.expire(expire.key());
        if let Some(version) = expire.if_version() {
            request = request.if_version(version);
        }
        match expire.expiry() {
            Expiry::After(ttl) => request.ttl(ttl).wait(),
            Expiry::At(at) => request.expire_at(at).wait(),
            _ => request.never().wait(),
        }
    }
    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let Expiry::After(ttl) = touch.expiry() else {
            return Err(Error::new(ErrorKind::Internal, "a touch gives a ttl"));
        };
        match touch.fields() {
            Fields::Value => Ok(self.store.get(touch.key()).touch(ttl).wait()?.map(Entry::new)),
            _ => self.store.get_entry(touch.key()).touch(ttl).wait(),
        }
    }
    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let request = self.store.get_and_delete(get_and_delete.key());
        match get_and_delete.fields() {
            Fields::Value => Ok(request.wait()?.map(Entry::new)),
            _ => request.entry().wait(),
        }
    }
    async fn ping(&self) -> Result<()> {
        self.store.ping().wait()
    }
    async fn close(&self) -> Result<()> {
        self.store.close().wait()
    }
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456))
}

pub(crate) struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Fixture> {
        let clock = clock();
        let config = || MemoryConfig::new().with_clock(Arc::new(clock.clone()));
        let memory = MemoryStore::with_config(config());
        let (again, other) = (memory.clone(), config());
        Ok(Fixture::new(Through::open(async { Ok(memory) })?)
            .embedded()
            .without(Means::ForeignWriter, "nothing else writes into the memory of the process")
            .without(Means::ForeignTypeWriter, "it holds nothing but values")
            .with_client_clock(clock.clone())
            .with_time(clock)
            .with_reopen(move || {
                let again = again.clone();
                std::future::ready(Through::open(async { Ok(again) }))
            })
            .with_namespaces(move |_| {
                let other = other.clone();
                std::future::ready(Through::open(async { Ok(MemoryStore::with_config(other)) }))
            }))
    }
}

pub(crate) struct Sqlite;

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Result<Fixture> {
        let clock = clock();
        let folder = tempfile::tempdir().map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let config = SqliteConfig::new(folder.path().join("suite.db")).with_durability(Durability::Normal);
        let config = config.with_clock(Arc::new(clock.clone()));
        let (again, other, plain) = (config.clone(), config.clone(), config.clone());
        Ok(Fixture::new(Through::open(SqliteStore::open(config))?)
            .embedded()
            .with_foreign_writer(move |key, text| {
                // Another handle, which is not blocked on.
                let plain = plain.clone();
                async move { Store::new(SqliteStore::open(plain).await?).set(key, text).await.map(drop) }
            })
            .without(Means::ForeignTypeWriter, "its table holds nothing but values")
            .with_client_clock(clock.clone())
            .with_time(clock)
            .with_reopen(move || std::future::ready(Through::open(SqliteStore::open(again.clone()))))
            .with_namespaces(move |name| {
                std::future::ready(Through::open(SqliteStore::open(other.clone().with_namespace(&name))))
            })
            .with_guard(folder))
    }
}
