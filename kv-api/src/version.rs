//! Versions: opaque tokens for compare-and-set (VER-1, VER-2).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::value::Value;
use crate::value_kind::ValueKind;

/// Stands for the value and metadata of an entry at one time: if either differs, the version differs (VER-1).
///
/// It proves the state, not that there was no write: a store may give the same content the same version again, so that
/// an entry that was changed and changed back looks untouched.
///
/// Opaque and printable, at most 64 bytes; it can be stored and parsed back.
///
/// ```
/// use kv_api::Version;
/// let version = Version::numbered(7, 42);
/// assert_eq!(version.to_string().parse::<Version>()?, version);
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// Formatted only when it is printed: a set makes one for each call.
    Numbered { origin: u64, number: u64 },
    /// Never of the form that `Numbered` prints, so that equality needs no conversion.
    Token(Box<str>),
}

impl Version {
    /// The greatest length of a version in bytes.
    pub const BYTES_MAX: usize = 64;

    /// The version of a store that counts: `origin` names the store for ever (a random number kept with the data), so
    /// that a version of another store is never taken for one of this (VER-2).
    #[must_use]
    pub const fn numbered(origin: u64, number: u64) -> Self {
        Self(Repr::Numbered { origin, number })
    }

    /// The version of a store that has none of its own, made of what is stored: SHA-256 of the kind, the length and
    /// bytes of the value, and the metadata. The same content has the same version in every process, and no two
    /// contents with one version can be made. It proves the state, not that there was no write.
    ///
    /// ```
    /// use kv_api::{Value, Version};
    /// let version = Version::digest(&Value::from("v"), None);
    /// assert_eq!(version, Version::digest(&Value::from("v"), None));
    /// assert_ne!(version, Version::digest(&Value::from(b"v".as_slice()), None)); // another kind
    /// assert_eq!(version.to_string().len(), 43);
    /// ```
    #[must_use]
    pub fn digest(value: &Value, metadata: Option<&Metadata>) -> Self {
        let kind: u8 = match value.kind() {
            ValueKind::Text => 1,
            ValueKind::Json => 2,
            ValueKind::Bytes => 3,
        };
        let mut hasher = Sha256::new();
        hasher.update([kind]);
        // With its length nothing of the value can be taken for metadata.
        hasher.update((value.as_bytes().len() as u64).to_le_bytes());
        hasher.update(value.as_bytes());
        // Metadata is never empty text, so that none differs from any.
        hasher.update(metadata.map_or(&[][..], |metadata| &metadata.as_bytes()[..]));
        Self(Repr::Token(URL_SAFE_NO_PAD.encode(hasher.finalize()).into()))
    }

    /// The number, if this version came from the store `origin`.
    #[must_use]
    pub fn number_from(&self, origin: u64) -> Option<u64> {
        match self.0 {
            Repr::Numbered { origin: own, number } if own == origin => Some(number),
            _ => None,
        }
    }
}

/// What `if_version` is given: a version, or the lack of one.
///
/// Made of a [`Version`], a `&Version`, or an `Option` of either, as [`Entry::version`](crate::Entry::version) answers.
/// `None` never means "without a condition": a set takes it for "nothing was there" (SET-2), a delete refuses it
/// (DEL-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedVersion(pub(crate) Option<Version>);

impl From<Version> for ExpectedVersion {
    fn from(version: Version) -> Self {
        Self(Some(version))
    }
}

impl From<&Version> for ExpectedVersion {
    fn from(version: &Version) -> Self {
        Self(Some(version.clone()))
    }
}

impl From<Option<Version>> for ExpectedVersion {
    fn from(version: Option<Version>) -> Self {
        Self(version)
    }
}

impl From<Option<&Version>> for ExpectedVersion {
    fn from(version: Option<&Version>) -> Self {
        Self(version.cloned())
    }
}

/// What [`Version::numbered`] prints: 16 and 1 to 16 lower-case hex digits around a hyphen.
fn parse_numbered(text: &str) -> Option<(u64, u64)> {
    let (origin, number) = text.split_once('-')?;
    let origin = u64::from_str_radix(origin, 16).ok()?;
    let number = u64::from_str_radix(number, 16).ok()?;
    (format!("{origin:016x}-{number:x}") == text).then_some((origin, number))
}

impl FromStr for Version {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` unless it is 1 to 64 bytes of printable ASCII without space.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "not a version: 1 to 64 bytes of printable ASCII without space are",
            ));
        }
        Ok(Self(match parse_numbered(text) {
            Some((origin, number)) => Repr::Numbered { origin, number },
            None => Repr::Token(text.into()),
        }))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Numbered { origin, number } => write!(f, "{origin:016x}-{number:x}"),
            Repr::Token(token) => f.write_str(token),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ver_1_every_version_parses_back_to_itself() {
        for version in [Version::numbered(0, 0), Version::numbered(u64::MAX, u64::MAX)] {
            let text = version.to_string();
            assert!(text.len() <= Version::BYTES_MAX);
            assert_eq!(text.parse::<Version>().unwrap(), version);
        }
        let digest = Version::digest(&Value::from("v"), None);
        assert_eq!(digest.to_string().parse::<Version>().unwrap(), digest);
        // Almost the numbered form: a token of another store, kept as it is.
        for text in ["0-0", "000000000000000A-1", "0000000000000000-01", "sha1:ab"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        for refused in ["", " ", "a b", "é", &"a".repeat(65)] {
            assert!(refused.parse::<Version>().is_err(), "{refused:?}");
        }
    }

    #[test]
    fn ver_1_digests_differ_where_value_kind_or_metadata_do() {
        let metadata = |json: serde_json::Value| Metadata::from(json);
        let (one, two) = (metadata(serde_json::json!(1)), metadata(serde_json::json!(2)));
        let contents = [
            (Value::from("1"), None),
            (Value::from("1"), Some(&one)),
            (Value::from("1"), Some(&two)),
            (Value::from("11"), None),
            (Value::from(b"1".as_slice()), None),
            (Value::from(1), None),
            (Value::from(""), Some(&one)),
            (Value::from(""), None),
        ];
        let versions: std::collections::HashSet<String> =
            contents.iter().map(|(value, metadata)| Version::digest(value, *metadata).to_string()).collect();
        assert_eq!(versions.len(), contents.len());
        // A change here makes every stored version of such a store the version of nothing.
        let known = Version::digest(&Value::from("v"), None).to_string();
        assert_eq!(known, "Q2WlS_ncnvrDyh17jjfYU3Ng5mxfGuDV2SE77HGia9g");
    }
}
