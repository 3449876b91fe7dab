//! What encryption and compression share: a backend that stores each item in another form.

use std::fmt;
use std::sync::Arc;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Entry, Error, ErrorKind, Fields, GetAndDelete, Read, ReadMany, Resolver,
    Result, SetOutcome, Touch, Write, WriteMany, WriteParts, async_trait, forward_backend,
};

/// The form in which items are stored.
pub(crate) trait Codec: Send + Sync + 'static {
    /// The name of the backend, for `Debug`.
    const NAME: &'static str;

    /// The item as it is to be stored.
    fn encode<'a>(&self, item: WriteParts<'a>) -> Result<WriteParts<'a>>;

    /// What was stored under `key`, as it was given. `WrongType` for what is no value of this store (VAL-7).
    fn decode(&self, key: &str, stored: Entry, fields: Fields) -> Result<Entry>;
}

/// A backend whose items lie in the one inside in another form. All else is handed through.
pub(crate) struct Coded<C> {
    inner: Arc<dyn Backend>,
    capabilities: Capabilities,
    codec: C,
}

impl<C: Codec> Coded<C> {
    pub(crate) fn new(inner: Arc<dyn Backend>, capabilities: Capabilities, codec: C) -> Self {
        Self { inner, capabilities, codec }
    }

    /// What was read, as the caller is to see it. Of an entry that is only asked for by its existence nothing is read.
    fn decoded(&self, key: &str, found: Option<Entry>, fields: Fields) -> Result<Option<Entry>> {
        match found {
            Some(stored) if fields != Fields::Existence => self.codec.decode(key, stored, fields).map(Some),
            found => Ok(found),
        }
    }

    /// Whether there is an entry, which can then be read.
    async fn look(&self, key: &str, fields: Fields) -> Result<bool> {
        let look = Resolver::new(self.inner.capabilities()).read(key, fields)?;
        Ok(self.read(look).await.map_err(Error::not_applied)?.is_some())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl<C: Codec> Backend for Coded<C> {
    forward_backend!(self => self.inner;
        forward: [scope, clock, delete, delete_many, list, increment, expire, ping, close],
        implement: [read_now, write_now, read, read_many, write, write_many, write_all_or_nothing, touch,
            get_and_delete]);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read_now(&self, read: &Read<'_>) -> Option<Result<Option<Entry>>> {
        let found = self.inner.read_now(read)?;
        Some(found.and_then(|found| self.decoded(read.key(), found, read.fields())))
    }

    /// Never: if the backend inside cannot, the item would be encoded twice.
    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        let (key, fields) = (read.key().to_owned(), read.fields());
        let found = self.inner.read(read).await?;
        self.decoded(&key, found, fields)
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let (keys, fields) = (reads.keys().to_vec(), reads.fields());
        let found = self.inner.read_many(reads).await?;
        if found.len() != keys.len() {
            return Err(Error::wrong_count(keys.len(), found.len()));
        }
        let decode = |(key, found)| match self.decoded(key, found, fields) {
            // As a missing key, so that it costs the others nothing (VAL-7).
            Err(error) if error.kind() == ErrorKind::WrongType => Ok(None),
            decoded => decoded.map_err(|error| error.with_key(key)),
        };
        keys.iter().map(|key| &**key).zip(found).map(decode).collect()
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        let write = self.codec.encode(write.into_parts())?.resolve(&*self.inner)?;
        self.inner.write(write).await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let items = writes.into_writes().into_iter().map(|write| self.codec.encode(write.into_parts()));
        let (writes, slots) = WriteParts::resolve_many(items, &*self.inner);
        let answers = match writes {
            Some(writes) => self.inner.write_many(writes).await,
            None => Vec::new(),
        };
        slots.outcomes(answers)
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        let items = writes.into_writes().into_iter().map(|write| self.codec.encode(write.into_parts()));
        let writes = WriteParts::resolve_all_or_nothing(items, &*self.inner)?;
        self.inner.write_all_or_nothing(writes).await
    }

    /// Looks first, as [`get_and_delete`](Self::get_and_delete) does: what cannot be read keeps its expiry.
    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let (key, fields) = (touch.key().to_owned(), touch.fields());
        if !self.look(&key, fields).await? {
            return Ok(None);
        }
        let found = self.inner.touch(touch).await?;
        self.decoded(&key, found, fields)
    }

    /// Looks first: what cannot be read stays where it is. What is taken then is what is there then.
    async fn get_and_delete(&self, get_and_delete: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let (key, fields) = (get_and_delete.key().to_owned(), get_and_delete.fields());
        if !self.look(&key, fields).await? {
            return Ok(None);
        }
        let taken = self.inner.get_and_delete(get_and_delete).await?;
        self.decoded(&key, taken, fields)
    }
}

/// The backend inside, and nothing that the codec holds.
impl<C: Codec> fmt::Debug for Coded<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(C::NAME).field(&self.inner).finish()
    }
}

/// An entry with another value and other metadata, all else as it was read.
pub(crate) fn with_content(
    stored: &Entry,
    value: kv_api::Value,
    metadata: Option<kv_api::Metadata>,
    fields: Fields,
) -> Entry {
    if fields == Fields::All {
        Entry::with_details(value, metadata, stored.expiry(), stored.version().cloned())
    } else {
        Entry::new(value)
    }
}
