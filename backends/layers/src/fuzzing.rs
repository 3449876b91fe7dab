//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use bytes::Bytes;
#[cfg(feature = "encrypted")]
use kv_api::Metadata;
use kv_api::{Result, Value};

/// Compressed as the layer does where that is shorter, else stored in an envelope.
///
/// # Errors
/// As the layer has them.
#[cfg(feature = "compressed")]
pub fn compress(value: &Value) -> Result<Vec<u8>> {
    use crate::compressed::envelope::{compress, store};
    Ok(compress(value, 3)?.or_else(|| store(value)).unwrap_or_default())
}

/// What an envelope holds.
///
/// # Errors
/// As the layer has them.
#[cfg(feature = "compressed")]
pub fn decompress(envelope: &Bytes, bytes_max: usize) -> Result<Value> {
    crate::compressed::envelope::unpack(envelope, bytes_max)
}

/// Sealed with a nonce that says nothing, so that a run can be repeated.
///
/// # Errors
/// As the layer has them.
#[cfg(feature = "encrypted")]
pub fn seal(
    key: &crate::EncryptionKey,
    nonce: [u8; 24],
    item_key: &str,
    value: &Value,
    metadata: Option<&Metadata>,
) -> Result<Vec<u8>> {
    crate::encrypted::envelope::seal(key, &nonce.into(), item_key, value, metadata)
}

/// What an envelope holds, opened with this key whatever id it names.
///
/// # Errors
/// As the layer has them.
#[cfg(feature = "encrypted")]
pub fn open(key: &crate::EncryptionKey, envelope: &Bytes, item_key: &str) -> Result<(Value, Option<Metadata>)> {
    crate::encrypted::envelope::open(envelope, item_key, |_| Some(key))
}

/// The content of an envelope behind its seal.
#[cfg(feature = "encrypted")]
#[must_use]
pub fn content(content: Vec<u8>) -> Option<(Value, Option<Metadata>)> {
    crate::encrypted::envelope::content_of(content)
}

/// A list position over several mounts, written again; `None` for what is none.
#[must_use]
pub fn mounted_position(bytes: &[u8], parts: usize) -> Option<Vec<u8>> {
    crate::mounted::frame::written_again(bytes, parts)
}
