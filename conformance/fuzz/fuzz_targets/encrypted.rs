//! Envelopes of sealed values. The first byte chooses: an envelope, a content to seal and to damage, or what lies behind
//! the seal.
#![no_main]

use bytes::Bytes;
use kv_api::{Metadata, Value};
use kv_fuzz::{bounded, checked};
use kv_layers::EncryptionKey;
use kv_layers::fuzzing::{content, open, seal};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretBox;

fuzz_target!(|input: &[u8]| {
    let key = EncryptionKey::new("2026-11", SecretBox::init_with_mut(|key: &mut [u8; 32]| key.fill(7))).expect("a key");
    match input {
        [0, envelope @ ..] => {
            let envelope = Bytes::from([b"\x8fkve", envelope].concat());
            checked(bounded(input.len(), 4, || open(&key, &envelope, "k")), false);
        }
        [1, at, flip, value @ ..] => {
            let (value, metadata) = (Value::from(value), Metadata::serialize(&[*at, *flip]).expect("metadata"));
            let mut sealed = seal(&key, [*at; 24], "k", &value, Some(&metadata)).expect("it is sealed");
            let opened = open(&key, &Bytes::from(sealed.clone()), "k").expect("it opens");
            assert_eq!(opened, (value, Some(metadata)));
            checked(open(&key, &Bytes::from(sealed.clone()), "other"), false);
            if *flip != 0 {
                let at = (usize::from(*at) * 256 + usize::from(*flip)) % (sealed.len() - 4);
                sealed[4 + at] ^= flip;
                checked(open(&key, &Bytes::from(sealed), "k"), false);
            }
        }
        [_, behind @ ..] => {
            if let Some((value, metadata)) = bounded(input.len(), 4, || content(behind.to_vec())) {
                let metadata_bytes = metadata.map_or(0, |metadata| metadata.as_bytes().len());
                assert_eq!(5 + metadata_bytes + value.as_bytes().len(), behind.len(), "each byte has its place");
            }
        }
        [] => {}
    }
});
