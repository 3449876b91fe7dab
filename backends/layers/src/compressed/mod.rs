//! Long values are compressed before the backend inside sees them.

pub(crate) mod envelope;

use std::fmt;
use std::sync::Arc;

use kv_api::{Backend, Capabilities, Entry, Fields, ItemLimit, ItemParts, Layer, Metadata, Result, Value, WriteParts};

use self::envelope::{MAGIC, compress, store, unpack};
use crate::carrier::{Carrier, envelope_in};
use crate::coded::{Codec, Coded, with_content};

/// Compresses values with zstd, from a length on and where that makes them shorter. All other values are stored as they
/// are, so that counters count and other clients read them. Metadata is never compressed.
///
/// The limits of the system hold for the value as it is given: a value that they refuse is refused also where it would
/// fit compressed. So what is accepted does not depend on what is in it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, Store, Value};
/// use kv_layers::Compressed;
/// let compressed = Compressed::new();
/// assert_eq!(compressed.to_string(), "compressed(zstd level 3, from 1024 bytes)");
///
/// let inner = kv_memory::MemoryStore::default();
/// let store = inner.clone().layer(&compressed).into_store();
/// let text = "all work and no play ".repeat(1000);
/// store.set("novel", &*text).await?;
/// assert_eq!(store.get("novel").await?, Some(Value::from(text)));
/// let stored = Store::new(inner).get("novel").await?.expect("it was set");
/// assert!(stored.as_bytes().len() < 100);
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Compressed {
    level: i32,
    value_bytes_min: usize,
    decompressed_bytes_max: usize,
    as_base64: bool,
}

impl Compressed {
    /// Level 3, from 1,024 bytes on, up to 64 MiB.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            level: zstd::DEFAULT_COMPRESSION_LEVEL,
            value_bytes_min: 1024,
            decompressed_bytes_max: 64 * 1024 * 1024,
            as_base64: false,
        }
    }

    /// The level of zstd: 1, the fastest, to 22; 3 by default. Another number counts as the nearest of these.
    #[must_use]
    pub fn with_level(mut self, level: i32) -> Self {
        self.level = level.clamp(1, 22);
        self
    }

    /// The length in bytes from which on a value is compressed: at least 64, so that no counter is; 1,024 by default.
    #[must_use]
    pub fn with_value_bytes_min(mut self, bytes: usize) -> Self {
        self.value_bytes_min = bytes.max(64);
        self
    }

    /// The greatest length in bytes of a value that is compressed, and of one that a compressed value may have when it
    /// is read; 64 MiB by default. A longer value is stored as it is. To read one that was compressed is an error
    /// (`Protocol`), and takes no memory: a few bytes can stand for gigabytes.
    #[must_use]
    pub const fn with_decompressed_bytes_max(mut self, bytes: usize) -> Self {
        self.decompressed_bytes_max = bytes;
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
}

impl Default for Compressed {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Compressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compressed(zstd level {}, from {} bytes", self.level, self.value_bytes_min)?;
        f.write_str(if self.as_base64 { ", as base64)" } else { ")" })
    }
}

impl Layer for Compressed {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let capabilities = Capabilities::offered_by(&*inner);
        // Without bytes and text nothing is compressed, and nothing can be taken for an envelope.
        let Some(carrier) = Carrier::of(capabilities.value_kinds, self.as_base64) else { return inner };
        let packing =
            Packing { layer: self.clone(), carrier, inner_limits: capabilities.item_limits.iter().cloned().collect() };
        let capabilities = packing.capabilities(capabilities);
        Arc::new(Coded::new(inner, capabilities, packing))
    }
}

/// The layer on one backend.
struct Packing {
    layer: Compressed,
    carrier: Carrier,
    /// Those of the backend inside, on an item as it is stored.
    inner_limits: Vec<ItemLimit>,
}

impl Packing {
    fn capabilities(&self, mut capabilities: Capabilities) -> Capabilities {
        // A list gives the length of what is stored.
        capabilities.list_value_bytes = false;
        let carrier = self.carrier;
        let limit = |limit: &ItemLimit| {
            let (name, max, limit) = (limit.name.clone(), limit.max, limit.clone());
            ItemLimit::measured_by(name, max, move |item| match uncompressed(carrier, item.value) {
                None => limit.measure(item),
                Some(value) => limit.measure(ItemParts::new(item.key, &value, item.metadata, item.expires)),
            })
        };
        capabilities.item_limits = capabilities.item_limits.iter().map(limit).collect();
        capabilities
    }

    /// The value as it is stored; `None` for as it is. What is compressed must pass the limits that the value passes
    /// without.
    fn stored(&self, key: &str, value: &Value, metadata: Option<&Metadata>, expires: bool) -> Result<Option<Value>> {
        let Compressed { level, value_bytes_min, decompressed_bytes_max, .. } = self.layer;
        if (value_bytes_min..=decompressed_bytes_max).contains(&value.as_bytes().len()) {
            let compressed = compress(value, level)?.map(|envelope| self.carrier.wrap(envelope));
            let is_better = |stored: &Value| {
                let item = ItemParts::new(key, stored, metadata, expires);
                stored.as_bytes().len() < value.as_bytes().len()
                    && self.inner_limits.iter().all(|limit| limit.measure(item) <= limit.max)
            };
            if let Some(stored) = compressed.filter(is_better) {
                return Ok(Some(stored));
            }
        }
        Ok(uncompressed(self.carrier, value))
    }
}

/// An envelope with the value as it is, for one that could be taken for an envelope itself.
fn uncompressed(carrier: Carrier, value: &Value) -> Option<Value> {
    envelope_in(value, MAGIC).and_then(|_| store(value)).map(|envelope| carrier.wrap(envelope))
}

impl Codec for Packing {
    const NAME: &'static str = "Compressed";

    fn encode<'a>(&self, mut item: WriteParts<'a>) -> Result<WriteParts<'a>> {
        let expires = item.expiry != kv_api::Expiry::Never;
        if let Some(stored) = self.stored(&item.key, &item.value, item.metadata.as_ref(), expires)? {
            item.value = stored;
        }
        Ok(item)
    }

    fn decode(&self, _: &str, stored: Entry, fields: Fields) -> Result<Entry> {
        let Some(envelope) = envelope_in(stored.value(), MAGIC) else { return Ok(stored) };
        let value = unpack(&envelope, self.layer.decompressed_bytes_max)?;
        Ok(with_content(&stored, value, stored.metadata().cloned(), fields))
    }
}
