//! Metadata: JSON beside a value (META-1, META-2).

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, JsonText};

/// Any JSON except null, kept as compact text beside a value. Its limit, `metadata_bytes_max` where a store has one,
/// counts bytes of that text (META-1). Equal by meaning (VAL-3); `Debug` shows the length only (ERR-2).
///
/// ```
/// use kv_api::Metadata;
/// use serde_json::json;
/// let metadata = Metadata::from(json!({"country": "AD", "n": 1}));
/// assert_eq!(metadata, Metadata::from(json!({"n": 1.0, "country": "AD"})));
/// assert_eq!(metadata.to_json()?["country"], "AD");
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
pub struct Metadata {
    /// It was checked by VAL-3, so that the resolver need not do it again.
    is_checked: bool,
    bytes: Bytes,
}

impl Metadata {
    /// From JSON text, checked and made compact. Members keep their order, numbers their digits.
    ///
    /// # Errors
    /// `InvalidArgument` as for [`Value::from_json_text`](crate::Value::from_json_text).
    pub fn from_json_text(text: &str) -> Result<Self> {
        json::parse(text).map(Self::of_checked)
    }

    /// What `T` serialises to.
    ///
    /// # Errors
    /// `InvalidArgument` as for [`Value::serialize`](crate::Value::serialize).
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        json::from_serialize(value).map(Self::of_checked)
    }

    fn of_checked(compact: String) -> Self {
        Self { is_checked: true, bytes: Bytes::from(compact) }
    }

    /// From the compact JSON text that a store kept, without a check: for adapters that stored exactly these bytes.
    #[must_use]
    pub const fn from_stored(json: Bytes) -> Self {
        Self { is_checked: false, bytes: json }
    }

    /// The bytes of its compact JSON text.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The compact JSON text; empty if a store handed out bytes that are no UTF-8.
    #[must_use]
    pub fn as_json_text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// The JSON, taken apart where it lies.
    ///
    /// # Errors
    /// `Protocol` when the store handed out metadata that is not JSON.
    pub fn as_json(&self) -> Result<JsonText<'_>> {
        if self.is_checked {
            return Ok(JsonText::from_checked(self.as_json_text()));
        }
        JsonText::parse_slice_foreign(&self.bytes).map_err(|_| damaged())
    }

    /// The metadata as a JSON tree; see [`Value::to_json`](crate::Value::to_json).
    ///
    /// # Errors
    /// `Protocol` when the store handed out metadata that is not JSON, or JSON that such a tree does not hold.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        self.as_json()?.to_tree().ok_or_else(damaged)
    }

    /// Decodes it as `T`; see [`Value::decode`](crate::Value::decode).
    ///
    /// # Errors
    /// `WrongType` when `T` does not fit; the content is not shown.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        json::decode(&self.bytes)
            .ok_or_else(|| Error::new(ErrorKind::WrongType, "the metadata does not fit the type asked for"))
    }

    /// Whether it is JSON null, which is refused on writing (META-1).
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.bytes.trim_ascii() == b"null"
    }

    /// Refuses JSON that VAL-3 does not accept.
    pub(crate) fn check_json(&self) -> Result<()> {
        if !self.is_checked {
            JsonText::parse_slice(&self.bytes)?;
        }
        Ok(())
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Protocol, "the store handed out metadata that is not JSON")
}

/// Checked when it is written (VAL-3).
impl From<serde_json::Value> for Metadata {
    fn from(json: serde_json::Value) -> Self {
        Self::from_stored(Bytes::from(json.to_string()))
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes || matches!((self.as_json(), other.as_json()), (Ok(left), Ok(right)) if left == right)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.bytes.len())
    }
}

/// What [`metadata`](crate::SetItem::metadata) of a set takes: [`Metadata`], or anything that serde can serialise. What
/// cannot be represented is refused when the request is carried out.
///
/// ```
/// use kv_api::{IntoMetadata, Metadata};
/// #[derive(serde::Serialize)]
/// struct Note<'a> {
///     by: &'a str,
///     pages: u32,
/// }
/// let metadata = Note { by: "Ada", pages: 2 }.into_metadata()?;
/// assert_eq!(metadata.as_json_text(), r#"{"by":"Ada","pages":2}"#);
/// assert_eq!((&metadata).into_metadata()?, metadata);
/// assert!([f64::NAN].into_metadata().is_err());
/// # Ok::<(), kv_api::Error>(())
/// ```
pub trait IntoMetadata {
    /// The metadata.
    ///
    /// # Errors
    /// `InvalidArgument` as for [`Metadata::serialize`].
    fn into_metadata(self) -> Result<Metadata>;
}

impl<T: Serialize> IntoMetadata for T {
    fn into_metadata(self) -> Result<Metadata> {
        Metadata::serialize(&self)
    }
}

impl IntoMetadata for Metadata {
    fn into_metadata(self) -> Result<Metadata> {
        Ok(self)
    }
}

impl IntoMetadata for &Metadata {
    fn into_metadata(self) -> Result<Metadata> {
        Ok(self.clone())
    }
}

impl JsonText<'_> {
    /// As metadata.
    #[must_use]
    pub fn to_metadata(self) -> Metadata {
        Metadata::from_stored(Bytes::from(self.compact().into_owned()))
    }
}
