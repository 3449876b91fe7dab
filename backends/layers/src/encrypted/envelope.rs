//! The envelope, byte by byte: sealing and opening.

use bytes::Bytes;
use chacha20poly1305::aead::Generate;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use kv_api::{Error, ErrorKind, Feature, Metadata, Result, Retry, Value};
use secrecy::ExposeSecret;

use super::key::{EncryptionKey, KEY_ID_BYTES_MAX};
use crate::carrier::{Magic, kind_of_byte, kind_to_byte};

pub(crate) const MAGIC: Magic = Magic { bytes: *b"\x8fkve", base64: "j2t2" };
const VERSION: u8 = 1;
const XCHACHA20_POLY1305: u8 = 1;
/// Magic, version, algorithm, and the length of the key id.
const FIXED_BYTES: usize = 4 + 1 + 1 + 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What stands before the value in the clear text: its kind, and the length of the metadata.
const CONTENT_HEAD_BYTES: usize = 1 + 4;

/// A nonce from the random numbers of the operating system.
pub(crate) fn random_nonce() -> Result<XNonce> {
    XNonce::try_generate()
        .map_err(|_| Error::new(ErrorKind::Unavailable, "the operating system gives no random numbers"))
        .map_err(|error| error.with_retry(Retry::Safe))
}

/// How many bytes the envelope of this content takes.
pub(crate) fn sealed_bytes(key: &EncryptionKey, value: &Value, metadata: Option<&Metadata>) -> usize {
    let metadata = metadata.map_or(0, |metadata| metadata.as_bytes().len());
    head_bytes(key.id()) + CONTENT_HEAD_BYTES + metadata + value.as_bytes().len() + TAG_BYTES
}

/// All that stands before the sealed content.
const fn head_bytes(id: &str) -> usize {
    FIXED_BYTES + id.len() + NONCE_BYTES
}

/// The envelope of an item. The key that the item is stored under is bound to it.
///
/// # Errors
/// `InvalidArgument` when the metadata is 4 GiB or longer, or the content 256 GiB.
pub(crate) fn seal(
    key: &EncryptionKey,
    nonce: &XNonce,
    item_key: &str,
    value: &Value,
    metadata: Option<&Metadata>,
) -> Result<Vec<u8>> {
    let too_long = || super::key::invalid("the item is too long to be sealed");
    let kind = kind_to_byte(value.kind()).ok_or_else(|| Error::unsupported(Feature::ValueKind(value.kind())))?;
    let id = key.id().as_bytes();
    let metadata = metadata.map_or(&[][..], |metadata| metadata.as_bytes());
    let mut envelope = Vec::with_capacity(
        head_bytes(key.id()) + CONTENT_HEAD_BYTES + metadata.len() + value.as_bytes().len() + TAG_BYTES,
    );
    envelope.extend(MAGIC.bytes);
    envelope.extend([VERSION, XCHACHA20_POLY1305, u8::try_from(id.len()).map_err(|_| too_long())?]);
    envelope.extend(id);
    let bound = associated_data(&envelope, item_key);
    envelope.extend(nonce.as_slice());
    let content_at = envelope.len();
    envelope.push(kind);
    envelope.extend(u32::try_from(metadata.len()).map_err(|_| too_long())?.to_be_bytes());
    envelope.extend(metadata);
    envelope.extend(&value.as_bytes()[..]);
    let content = InOutBuf::from(&mut envelope[content_at..]);
    let tag = cipher(key).encrypt_inout_detached(nonce, &bound, content).map_err(|_| too_long())?;
    envelope.extend(tag.as_slice());
    Ok(envelope)
}

/// The value and the metadata in an envelope that begins with the magic bytes. `key_of` gives the key of an id.
///
/// # Errors
/// `Unauthorized` when there is no key of its id; `Protocol` when it does not open, or is of a newer form.
pub(crate) fn open<'k>(
    envelope: &Bytes,
    item_key: &str,
    key_of: impl FnOnce(&str) -> Option<&'k EncryptionKey>,
) -> Result<(Value, Option<Metadata>)> {
    let parts = Parts::of(envelope)?;
    let Some(key) = key_of(parts.key_id) else {
        let message = format!("the value is sealed with the key {:?}, which is not given", parts.key_id);
        return Err(Error::new(ErrorKind::Unauthorized, message));
    };
    let bound = associated_data(parts.head, item_key);
    let mut content = parts.content.to_vec();
    cipher(key).decrypt_inout_detached(parts.nonce, &bound, InOutBuf::from(&mut content[..]), parts.tag).map_err(
        |_| {
            let message = "the sealed value does not open: it was changed, or moved from another key, or sealed with \
                           another key of the same id";
            Error::new(ErrorKind::Protocol, message)
        },
    )?;
    // Nobody else can have written what follows; it is looked at all the same.
    content_of(content).ok_or_else(|| Error::new(ErrorKind::Protocol, "the content of a sealed value is malformed"))
}

pub(crate) fn content_of(content: Vec<u8>) -> Option<(Value, Option<Metadata>)> {
    let (&kind, rest) = content.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let kind = kind_of_byte(kind)?;
    let metadata_bytes = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|bytes| *bytes <= rest.len())?;
    let mut value = Bytes::from(content).split_off(CONTENT_HEAD_BYTES);
    let metadata = value.split_to(metadata_bytes);
    let metadata = (!metadata.is_empty()).then(|| Metadata::from_stored(metadata));
    Some((Value::from_stored(kind, value), metadata))
}

/// An envelope taken apart.
struct Parts<'a> {
    /// Magic to key id, as it is bound.
    head: &'a [u8],
    key_id: &'a str,
    nonce: &'a XNonce,
    content: &'a [u8],
    tag: &'a Tag,
}

impl<'a> Parts<'a> {
    fn of(envelope: &'a [u8]) -> Result<Self> {
        let damaged = || Error::new(ErrorKind::Protocol, "the sealed value is damaged: its envelope is malformed");
        let (fixed, _) = envelope.split_first_chunk::<FIXED_BYTES>().ok_or_else(damaged)?;
        let [.., version, algorithm, id_bytes] = *fixed;
        if version != VERSION || algorithm != XCHACHA20_POLY1305 {
            let message = format!(
                "the value is sealed in version {version} by algorithm {algorithm}; this library knows version \
                 {VERSION} and algorithm {XCHACHA20_POLY1305}"
            );
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let id_bytes = usize::from(id_bytes);
        if id_bytes == 0 || id_bytes > KEY_ID_BYTES_MAX {
            return Err(damaged());
        }
        let (head, sealed) = envelope.split_at_checked(FIXED_BYTES + id_bytes).ok_or_else(damaged)?;
        let key_id = std::str::from_utf8(&head[FIXED_BYTES..]).map_err(|_| damaged())?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let (content, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(damaged)?;
        Ok(Self { head, key_id, nonce: nonce.into(), content, tag: tag.into() })
    }
}

/// What is sealed with the content, though it is not in it: all before the nonce, and the key of the item. The head
/// says how long it is, so that no two pairs look the same.
fn associated_data(head: &[u8], item_key: &str) -> Vec<u8> {
    [head, item_key.as_bytes()].concat()
}

/// Wipes its copy of the key when it is dropped.
fn cipher(key: &EncryptionKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.secret.expose_secret().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ValueKind;
    use proptest::prelude::*;
    use secrecy::SecretBox;
    use serde_json::json;

    fn key(id: &str, first: u8) -> EncryptionKey {
        let mut bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        bytes[0] = first;
        EncryptionKey::new(id, SecretBox::new(Box::new(bytes))).unwrap()
    }

    fn nonce() -> XNonce {
        let bytes: [u8; NONCE_BYTES] = std::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
        bytes.into()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Made by another implementation of XChaCha20-Poly1305, which was checked with the vectors of the draft
    /// (draft-irtf-cfrg-xchacha-03, 2.2.1 and A.3.1).
    #[test]
    fn the_envelope_is_the_documented_one() {
        let json = Value::from_json_text("[1.50]").unwrap();
        let metadata = Metadata::from(json!({"a": 1}));
        for (id, item_key, value, metadata, expected) in [
            (
                "k1",
                "user/1",
                Value::from("Ada"),
                None,
                "8f6b76650101026b31404142434445464748494a4b4c4d4e4f5051525354555657\
                 d5390570d0a11d777f816adb0b2f46bedee93cf70e6e1c0c",
            ),
            (
                "2026-11",
                "schl\u{fc}ssel",
                json,
                Some(&metadata),
                "8f6b7665010107323032362d3131404142434445464748494a4b4c4d4e4f5051525354555657\
                 d6390570d79b5b77adceb6c3f4ad4ba7a2e7c66e5773068149d6cd9df0dc27c8b309",
            ),
            (
                "k1",
                "user/1",
                Value::from(Vec::new()),
                None,
                "8f6b76650101026b31404142434445464748494a4b4c4d4e4f5051525354555657\
                 d7390570d0d1b58b0c58cb2eb4e1085063d4d599d2",
            ),
        ] {
            let key = key(id, 0);
            let envelope = seal(&key, &nonce(), item_key, &value, metadata).unwrap();
            assert_eq!(hex(&envelope), expected);
            assert_eq!(envelope.len(), sealed_bytes(&key, &value, metadata));
            let opened = open(&Bytes::from(envelope), item_key, |wanted| Some(&key).filter(|_| wanted == id)).unwrap();
            assert_eq!(opened, (value, metadata.cloned()));
        }
    }

    #[test]
    fn no_byte_can_be_changed() {
        let key = key("k1", 0);
        let metadata = Metadata::from(json!([1]));
        let envelope = seal(&key, &nonce(), "k", &Value::from("some text"), Some(&metadata)).unwrap();
        let open = |envelope: Vec<u8>, item_key| {
            open(&Bytes::from(envelope), item_key, |id| Some(&key).filter(|_| id == "k1")).map_err(|error| error.kind())
        };
        assert!(open(envelope.clone(), "k").is_ok());
        let id_bytes_at = FIXED_BYTES - 1;
        for at in 0..envelope.len() {
            for bit in 0..8 {
                let mut changed = envelope.clone();
                changed[at] ^= 1 << bit;
                let kind = open(changed, "k").unwrap_err();
                // What is changed in the key id looks like another one.
                let may_be_other_id = (id_bytes_at..=id_bytes_at + 2).contains(&at);
                let is_expected = kind == ErrorKind::Protocol || may_be_other_id && kind == ErrorKind::Unauthorized;
                assert!(is_expected, "bit {bit} of byte {at}: {kind}");
            }
            assert_eq!(open(envelope[..at].to_vec(), "k"), Err(ErrorKind::Protocol), "cut to {at} bytes");
        }
        assert_eq!(open([&envelope[..], &[0]].concat(), "k"), Err(ErrorKind::Protocol), "one byte more");
        assert_eq!(open(envelope, "K"), Err(ErrorKind::Protocol), "under another key");
    }

    #[test]
    fn neither_a_part_of_the_key_id_nor_of_the_key_can_go_over_to_the_other() {
        let (short, long) = (key("k", 0), key("kk", 0));
        let envelope = seal(&short, &nonce(), "kx", &Value::from("v"), None).unwrap();
        let mut moved = envelope[..FIXED_BYTES - 1].to_vec();
        moved.extend([2, b'k', b'k']);
        moved.extend(&envelope[FIXED_BYTES + 1..]);
        assert!(open(&Bytes::from(moved), "x", |_| Some(&long)).is_err());
    }

    #[test]
    fn another_key_of_the_same_id_opens_nothing() {
        let envelope = Bytes::from(seal(&key("k1", 0), &nonce(), "k", &Value::from("v"), None).unwrap());
        let other = key("k1", 1);
        let error = open(&envelope, "k", |_| Some(&other)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn nonces_are_random() {
        assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
    }

    proptest! {
        #[test]
        fn val_2_what_is_sealed_comes_back(bytes: Vec<u8>, text: String, item_key: String, with_metadata: bool) {
            let key = key("k1", 0);
            let metadata = with_metadata.then(|| Metadata::from(json!({ "text": text })));
            for value in [Value::from(bytes.clone()), Value::from(&*text), Value::from(json!([text]))] {
                let nonce = random_nonce().unwrap();
                let envelope = Bytes::from(seal(&key, &nonce, &item_key, &value, metadata.as_ref()).unwrap());
                prop_assert_eq!(envelope.len(), sealed_bytes(&key, &value, metadata.as_ref()));
                prop_assert!(std::str::from_utf8(&envelope).is_err(), "so that no system takes it for text");
                let (opened, opened_metadata) = open(&envelope, &item_key, |_| Some(&key)).unwrap();
                prop_assert_eq!(opened.kind(), value.kind());
                prop_assert_eq!(opened.as_bytes(), value.as_bytes());
                prop_assert_eq!(&opened_metadata, &metadata);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, id in "[a-z]{1,3}") {
            let key = key("k1", 0);
            let _ = open(&Bytes::from(bytes.clone()), "k", |_| Some(&key));
            let mut head = MAGIC.bytes.to_vec();
            head.extend([VERSION, XCHACHA20_POLY1305, u8::try_from(id.len()).unwrap()]);
            head.extend(id.as_bytes());
            head.append(&mut bytes);
            prop_assert!(open(&Bytes::from(head), "k", |_| Some(&key)).is_err());
            let _ = content_of(bytes);
        }
    }

    #[test]
    fn content_that_is_cut_or_of_no_kind_is_refused() {
        for content in [&[][..], &[1], &[1, 0, 0, 0], &[1, 0, 0, 0, 1], &[0, 0, 0, 0, 0], &[4, 0, 0, 0, 0]] {
            assert_eq!(content_of(content.to_vec()), None, "{content:?}");
        }
        let (value, metadata) = content_of(vec![3, 0, 0, 0, 0]).unwrap();
        assert_eq!((value.kind(), metadata), (ValueKind::Bytes, None));
    }
}
