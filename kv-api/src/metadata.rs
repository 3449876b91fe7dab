//! Metadata: JSON beside a value (META-1, META-2).

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// Any JSON except null, kept as compact text beside a value. Its limit, `metadata_bytes_max` where a store has one,
/// counts bytes of that text (META-1). Equal by meaning (VAL-3); `Debug` shows the length only (ERR-2).
///
/// ```
/// use kv_api::Metadata;
/// use serde_json::json;
/// let metadata = Metadata::from(json!({"country": "AD", "n": 1}));
/// assert_eq!(metadata, Metadata::from(json!({"n": 1.0, "country": "AD"})));
/// assert_eq!(metadata.decode::<serde_json::Value>()?["country"], "AD");
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
pub struct Metadata(Bytes);

impl Metadata {
    /// From JSON text, validated and made compact.
    ///
    /// # Errors
    /// `InvalidArgument` as for [`Value::from_json_text`](crate::Value::from_json_text).
    pub fn from_json_text(text: &str) -> Result<Self> {
        json::parse(text).map(Self::from)
    }

    /// What `T` serialises to.
    ///
    /// # Errors
    /// `InvalidArgument` when serde_json cannot represent it.
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        json::from_serialize(value).map(Self::from)
    }

    /// From the compact JSON text that a store kept, without a check: for adapters that stored exactly these bytes.
    #[must_use]
    pub const fn from_stored(json: Bytes) -> Self {
        Self(json)
    }

    /// The bytes of its compact JSON text.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The compact JSON text; empty if a store handed out bytes that are no UTF-8.
    #[must_use]
    pub fn as_json_text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Decodes it as `T`.
    ///
    /// # Errors
    /// `WrongType` when `T` does not fit; the content is not shown.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0)
            .map_err(|_| Error::new(ErrorKind::WrongType, "the metadata does not fit the type asked for"))
    }

    /// Whether it is JSON null, which is refused on writing (META-1).
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self.0 == *b"null"
    }
}

impl From<serde_json::Value> for Metadata {
    fn from(json: serde_json::Value) -> Self {
        Self(Bytes::from(json.to_string()))
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
            || matches!(
                (serde_json::from_slice(&self.0), serde_json::from_slice(&other.0)),
                (Ok(left), Ok(right)) if json::equal(&left, &right)
            )
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.0.len())
    }
}
