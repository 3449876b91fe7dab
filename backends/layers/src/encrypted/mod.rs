//! Values and metadata are sealed before the backend inside sees them.

pub(crate) mod envelope;
mod key;

use std::fmt;
use std::sync::Arc;

use kv_api::{
    Backend, Capabilities, Entry, Error, ErrorKind, Feature, Fields, ItemLimit, ItemParts, Layer, Result, Support,
    Value, ValueKind, ValueKinds, WriteParts,
};

pub use self::key::EncryptionKey;

use self::envelope::{MAGIC, open, random_nonce, seal, sealed_bytes};
use crate::carrier::{Carrier, envelope_in};
use crate::coded::{Codec, Coded, with_content};

/// Seals value and metadata of every entry with XChaCha20-Poly1305. The system then cannot read them, and no change of
/// them, nor a move to another key, goes unnoticed. Keys, expiries, versions and lengths stay readable.
///
/// A value that is not sealed, as another client writes it, is `WrongType`: it is no value of this store (VAL-7). One
/// that was changed or moved is `Protocol`; one sealed with a key that is not given is `Unauthorized`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, Store, Value};
/// use kv_layers::{Encrypted, EncryptionKey};
/// # let new_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into();
/// # let old_key = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into();
/// // Writes with the new key, reads what either has sealed.
/// let encrypted = Encrypted::new(EncryptionKey::from_base64("2026", &new_key)?)
///     .with_read_key(EncryptionKey::from_base64("2025", &old_key)?)?;
/// assert_eq!(encrypted.to_string(), r#"encrypted(xchacha20-poly1305, key "2026", reads "2025")"#);
///
/// let inner = kv_memory::MemoryStore::default();
/// let store = inner.clone().layer(&encrypted).into_store();
/// store.set("user/1", "Ada").await?;
/// assert_eq!(store.get("user/1").await?, Some(Value::from("Ada")));
/// let stored = Store::new(inner).get("user/1").await?.expect("it was set");
/// assert!(stored.as_bytes().starts_with(b"\x8fkve\x01\x01\x042026"));
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Encrypted {
    write_key: Arc<EncryptionKey>,
    read_keys: Vec<Arc<EncryptionKey>>,
    allow_plain_reads: bool,
    as_base64: bool,
}

impl Encrypted {
    /// Writes with this key, and reads what it has sealed.
    #[must_use]
    pub fn new(key: EncryptionKey) -> Self {
        Self { write_key: Arc::new(key), read_keys: Vec::new(), allow_plain_reads: false, as_base64: false }
    }

    /// Reads also what this key has sealed. So a key is replaced in three steps: all readers are given the new one, then
    /// it is written with, and the old one is dropped when nothing is left that it has sealed.
    ///
    /// # Errors
    /// `InvalidArgument` when there is a key of this id already.
    pub fn with_read_key(mut self, key: EncryptionKey) -> Result<Self> {
        if self.key_of(key.id()).is_some() {
            return Err(key::invalid("two keys have one id"));
        }
        self.read_keys.push(Arc::new(key));
        Ok(self)
    }

    /// Values that are not sealed are read as they are, while a store goes over to sealed ones. Then a client that can
    /// write to the system can put any value there. False by default.
    #[must_use]
    pub const fn allow_plain_reads(mut self, allow: bool) -> Self {
        self.allow_plain_reads = allow;
        self
    }

    /// Envelopes are stored as base64 text, a third longer, also where the system keeps bytes: for one that reads many
    /// texts in one request, and bytes only one by one, as Workers KV does. Either form is read. False by default; where
    /// the system keeps no bytes, it is done in any case.
    #[must_use]
    pub const fn as_base64(mut self, as_base64: bool) -> Self {
        self.as_base64 = as_base64;
        self
    }

    fn key_of(&self, id: &str) -> Option<&EncryptionKey> {
        [&self.write_key].into_iter().chain(&self.read_keys).find(|key| key.id() == id).map(|key| &**key)
    }
}

impl Layer for Encrypted {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let carrier = Carrier::of(inner.capabilities().value_kinds, self.as_base64);
        let sealing = Sealing { layer: self.clone(), carrier };
        let capabilities = sealing.capabilities(Capabilities::offered_by(&*inner));
        Arc::new(Coded::new(inner, capabilities, sealing))
    }
}

/// The algorithm and the ids of the keys.
impl fmt::Display for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "encrypted(xchacha20-poly1305, key {:?}", self.write_key.id())?;
        self.read_keys.iter().try_for_each(|key| write!(f, ", reads {:?}", key.id()))?;
        f.write_str(if self.as_base64 { ", as base64" } else { "" })?;
        f.write_str(if self.allow_plain_reads { ", reads plain values)" } else { ")" })
    }
}

/// As it is displayed; no key is shown.
impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted({self})")
    }
}

/// The layer on one backend.
#[derive(Clone)]
struct Sealing {
    layer: Encrypted,
    /// `None` where the system keeps nothing that an envelope could be stored as.
    carrier: Option<Carrier>,
}

impl Sealing {
    /// What the backend inside supports, but for what sealing gives (every kind of value, and metadata, both in the
    /// envelope) and takes: no list shows what is in an envelope, and no system counts in one.
    fn capabilities(&self, mut capabilities: Capabilities) -> Capabilities {
        (capabilities.value_kinds, capabilities.metadata) = match self.carrier {
            Some(_) => (ValueKinds::ALL, Support::Emulated),
            None => (ValueKinds::NONE, Support::None),
        };
        capabilities.list_metadata = false;
        capabilities.list_value_bytes = false;
        capabilities.counters = Support::None;
        capabilities.item_limits = capabilities.item_limits.iter().filter_map(|limit| self.limit(limit)).collect();
        capabilities
    }

    /// A limit of the backend inside, on the item as it is sealed. `None` for one that does not grow with what is
    /// sealed, such as one on metadata.
    fn limit(&self, inner: &ItemLimit) -> Option<ItemLimit> {
        let (key, limit) = (Arc::clone(&self.layer.write_key), inner.clone());
        let carrier = self.carrier?;
        let measure = move |item: ItemParts<'_>| {
            // Only the length counts, and that it is no UTF-8.
            let envelope = vec![MAGIC.bytes[0]; sealed_bytes(&key, item.value, item.metadata)];
            limit.measure(ItemParts::new(item.key, &carrier.wrap(envelope), None, item.expires))
        };
        let measured = |bytes: usize| measure(ItemParts::new("k", &Value::from(vec![0; bytes]), None, false));
        let grows = measured(0) != measured(4096);
        grows.then(|| ItemLimit::measured_by(inner.name.clone(), inner.max, measure))
    }
}

impl Codec for Sealing {
    const NAME: &'static str = "Encrypted";

    fn encode<'a>(&self, mut item: WriteParts<'a>) -> Result<WriteParts<'a>> {
        let Some(carrier) = self.carrier else {
            return Err(Error::unsupported(Feature::ValueKind(ValueKind::Bytes)));
        };
        let metadata = item.metadata.take();
        let envelope = seal(&self.layer.write_key, &random_nonce()?, &item.key, &item.value, metadata.as_ref())?;
        item.value = carrier.wrap(envelope);
        Ok(item)
    }

    fn decode(&self, key: &str, stored: Entry, fields: Fields) -> Result<Entry> {
        match envelope_in(stored.value(), MAGIC) {
            Some(envelope) => {
                let (value, metadata) = open(&envelope, key, |id| self.layer.key_of(id))?;
                Ok(with_content(&stored, value, metadata, fields))
            }
            None if self.layer.allow_plain_reads => Ok(stored),
            None => Err(Error::new(ErrorKind::WrongType, "the value is not sealed: another client wrote it")),
        }
    }
}
