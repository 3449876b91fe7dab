//! What the contenders store.

use std::time::Duration;

use bytes::Bytes;
use kv_api::{Clock, Metadata, SystemClock, Value};

use crate::payload::key;

/// Longer than any run.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// About what a caller keeps there.
const METADATA: &str = r#"{"country":"AD","n":1}"#;

/// One entry to be written. Made before the clock starts, but for the expiry, which a caller reckons from now.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The key.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: Value,
    /// The ttl, on every second row.
    pub(crate) ttl: Option<Duration>,
    /// Metadata, on every fourth row.
    pub(crate) metadata: Option<Metadata>,
}

impl Row {
    /// Entry number `number`.
    pub(crate) fn new(number: usize, value: &Value) -> Self {
        Self {
            key: key(number),
            value: value.clone(),
            ttl: number.is_multiple_of(2).then_some(TTL),
            metadata: number.is_multiple_of(4).then(|| Metadata::from_stored(Bytes::from_static(METADATA.as_bytes()))),
        }
    }

    /// `count` entries out of the first `entries`, each equally likely.
    pub(crate) fn random(entries: usize, count: usize, value: &Value) -> Vec<Self> {
        (0..count).map(|_| Self::new(fastrand::usize(..entries), value)).collect()
    }

    /// `count` different entries out of the first `entries`, in random order.
    pub(crate) fn distinct(entries: usize, count: usize, value: &Value) -> Vec<Self> {
        let mut numbers: Vec<usize> = (0..entries).collect();
        fastrand::shuffle(&mut numbers);
        numbers.into_iter().take(count).map(|number| Self::new(number, value)).collect()
    }

    /// The bytes of the value.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.value.as_bytes()
    }

    /// The same entry without metadata, for databases that have no place for it.
    pub(crate) fn without_metadata(self) -> Self {
        Self { metadata: None, ..self }
    }

    /// When it expires, in milliseconds.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        let expiry = self.ttl.and_then(|ttl| SystemClock.now().checked_add(ttl));
        expiry.map(kv_api::Timestamp::as_unix_millis_ceil)
    }

    /// In how many milliseconds it expires.
    pub(crate) fn ttl_millis(&self) -> Option<i64> {
        self.ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    }

    /// The metadata as a database with a column for it gets it.
    pub(crate) fn metadata_text(&self) -> Option<&str> {
        self.metadata.as_ref().map(Metadata::as_json_text)
    }
}

/// The present time in milliseconds.
pub(crate) fn now() -> i64 {
    SystemClock.now().as_unix_millis_floor()
}
