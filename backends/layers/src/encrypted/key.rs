//! Keys: 32 bytes that are never shown, and the name that envelopes call them by.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kv_api::{Error, ErrorKind, Result};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox, SecretString};

/// The greatest length of a key id in bytes.
pub(crate) const KEY_ID_BYTES_MAX: usize = 64;

/// A key of 256 bits and its id, which stands readable in every envelope that was sealed with it. The bytes are wiped
/// from memory with the last layer that holds them. `Debug` shows the id only.
pub struct EncryptionKey {
    id: String,
    pub(crate) secret: SecretBox<[u8; 32]>,
}

impl EncryptionKey {
    /// A key of 32 random bytes, and its id: 1 to 64 bytes of UTF-8.
    ///
    /// # Errors
    /// `InvalidArgument` when the id is empty or longer.
    ///
    /// ```
    /// use kv_layers::EncryptionKey;
    /// use secrecy::SecretBox;
    /// # let bytes = [7; 32];
    /// let key = EncryptionKey::new("2026-11", SecretBox::init_with_mut(|key: &mut [u8; 32]| *key = bytes))?;
    /// assert_eq!(format!("{key:?}"), r#"EncryptionKey("2026-11")"#);
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn new(id: impl Into<String>, secret: SecretBox<[u8; 32]>) -> Result<Self> {
        let id = id.into();
        if id.is_empty() || id.len() > KEY_ID_BYTES_MAX {
            return Err(invalid("the id of a key has 1 to 64 bytes"));
        }
        Ok(Self { id, secret })
    }

    /// The same from the base64 of the 32 bytes, as `openssl rand -base64 32` prints it.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not the base64 of 32 bytes, or for the id. The text is not shown.
    ///
    /// ```
    /// use kv_layers::EncryptionKey;
    /// assert!(EncryptionKey::from_base64("k1", &"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()).is_ok());
    /// assert!(EncryptionKey::from_base64("k1", &"too short".into()).is_err());
    /// ```
    pub fn from_base64(id: impl Into<String>, base64: &SecretString) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 34]);
        let length = BASE64_STANDARD.decode_slice(base64.expose_secret().trim_ascii(), &mut *bytes);
        match (length, bytes.first_chunk()) {
            (Ok(32), Some(key)) => Self::new(id, SecretBox::init_with_mut(|secret: &mut [u8; 32]| *secret = *key)),
            _ => Err(invalid("a key is the base64 of 32 bytes")),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncryptionKey").field(&self.id).finish()
    }
}

pub(crate) fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_and_its_id_1_to_64() {
        let base64 = SecretString::from(BASE64_STANDARD.encode([9; 32]));
        for (id, is_valid) in [("", false), ("k", true), (&"k".repeat(64), true), (&"k".repeat(65), false)] {
            assert_eq!(EncryptionKey::from_base64(id, &base64).is_ok(), is_valid, "{id:?}");
        }
        for bytes in [0, 31, 33, 64] {
            let error = EncryptionKey::from_base64("k", &BASE64_STANDARD.encode(vec![9; bytes]).into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bytes} bytes");
        }
        let key = EncryptionKey::from_base64("k", &format!("{}\n", base64.expose_secret()).into()).unwrap();
        assert_eq!(key.secret.expose_secret(), &[9; 32]);
    }

    #[test]
    fn err_2_no_error_shows_what_was_given_for_a_key() {
        let error = EncryptionKey::from_base64("k", &"a-secret-that-is-no-key".into()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
