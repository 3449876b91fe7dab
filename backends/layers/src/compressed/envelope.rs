//! The envelope, byte by byte: packing and unpacking.

use std::io;

use bytes::Bytes;
use kv_api::{Error, ErrorKind, Reason, Result, Value, ValueKind};
use zstd::bulk::{Compressor, Decompressor};

use crate::carrier::{Magic, kind_of_byte, kind_to_byte};

pub(crate) const MAGIC: Magic = Magic { bytes: *b"\x8fkvz", base64: "j2t2" };
const VERSION: u8 = 1;
/// The content is the value as it is: one that could be taken for an envelope.
const STORED: u8 = 0;
/// The content is one frame of zstd.
const ZSTD: u8 = 1;
/// Magic, version, algorithm, kind, and the length of the value.
const HEAD_BYTES: usize = 4 + 1 + 1 + 1 + 8;

/// The name of the limit on what is read, in errors.
pub(crate) const DECOMPRESSED_BYTES_MAX: &str = "decompressed_bytes_max";

/// An envelope with the value as it is; `None` for one of a kind that came after this library.
pub(crate) fn store(value: &Value) -> Option<Vec<u8>> {
    let mut envelope = head(value, STORED, value.as_bytes().len())?;
    envelope.extend(&value.as_bytes()[..]);
    Some(envelope)
}

/// An envelope with the value compressed; `None` when that is not shorter than the value, or as for [`store`].
///
/// # Errors
/// `Internal` when the library cannot compress, as without memory.
pub(crate) fn compress(value: &Value, level: i32) -> Result<Option<Vec<u8>>> {
    let value_bytes = value.as_bytes().len();
    let Some(room) = value_bytes.checked_sub(HEAD_BYTES + 1) else { return Ok(None) };
    let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(value_bytes));
    let compressed = Compressor::new(level).and_then(|mut compressor| {
        compressor.include_checksum(true)?;
        compressor.compress_to_buffer(value.as_bytes(), &mut frame)
    });
    compressed.map_err(|error| Error::new(ErrorKind::Internal, "zstd does not compress").with_source(error))?;
    if frame.len() > room {
        return Ok(None);
    }
    let mut envelope = head(value, ZSTD, frame.len());
    if let Some(envelope) = &mut envelope {
        envelope.append(&mut frame);
    }
    Ok(envelope)
}

fn head(value: &Value, algorithm: u8, content_bytes: usize) -> Option<Vec<u8>> {
    let kind = kind_to_byte(value.kind())?;
    let mut envelope = Vec::with_capacity(HEAD_BYTES + content_bytes);
    envelope.extend(MAGIC.bytes);
    envelope.extend([VERSION, algorithm, kind]);
    envelope.extend((value.as_bytes().len() as u64).to_be_bytes());
    Some(envelope)
}

/// The value in an envelope that begins with the magic bytes. No more than `bytes_max` is made of it.
///
/// # Errors
/// `Protocol` when it is damaged, of a newer form, or holds more than `bytes_max`.
pub(crate) fn unpack(envelope: &Bytes, bytes_max: usize) -> Result<Value> {
    let (head, content) = envelope.split_first_chunk::<HEAD_BYTES>().ok_or_else(damaged)?;
    let [_, _, _, _, version, algorithm, kind, length @ ..] = *head;
    if version != VERSION || algorithm > ZSTD {
        let message = format!(
            "the value is compressed in version {version} by algorithm {algorithm}; this library knows version \
             {VERSION} and algorithms up to {ZSTD}"
        );
        return Err(Error::new(ErrorKind::Protocol, message));
    }
    let kind = kind_of_byte(kind).ok_or_else(damaged)?;
    let length = u64::from_be_bytes(length);
    let bytes = if algorithm == STORED {
        if length != content.len() as u64 {
            return Err(damaged());
        }
        envelope.slice(HEAD_BYTES..)
    } else {
        let fits = usize::try_from(length).ok().filter(|length| *length <= bytes_max);
        let Some(length) = fits else { return Err(too_long(bytes_max, length)) };
        Bytes::from(decompress(content, length).map_err(|error| damaged().with_source(error))?)
    };
    if kind != ValueKind::Bytes && std::str::from_utf8(&bytes).is_err() {
        return Err(damaged());
    }
    Ok(Value::from_stored(kind, bytes))
}

/// What the frame holds, which must be exactly `length` bytes: zstd stops where the room ends.
fn decompress(frame: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    value.try_reserve_exact(length).map_err(io::Error::other)?;
    Decompressor::new()?.decompress_to_buffer(frame, &mut value)?;
    if value.len() == length { Ok(value) } else { Err(io::Error::other("not as long as the envelope says")) }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Protocol, "the compressed value is damaged")
}

fn too_long(bytes_max: usize, found: u64) -> Error {
    let allowed = bytes_max as u64;
    let message = format!("{DECOMPRESSED_BYTES_MAX} is {allowed}, and the value has {found} bytes");
    let reason = Reason::Limit { name: DECOMPRESSED_BYTES_MAX.into(), allowed, found };
    Error::new(ErrorKind::Protocol, message).with_reason(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const MAX: usize = 1 << 20;

    fn text() -> Value {
        Value::from("all work and no play ".repeat(10))
    }

    fn packed(value: &Value) -> Bytes {
        Bytes::from(compress(value, 3).unwrap().unwrap())
    }

    #[test]
    fn the_envelope_is_the_documented_one() {
        let envelope = packed(&text());
        assert_eq!(&envelope[..HEAD_BYTES], b"\x8fkvz\x01\x01\x01\0\0\0\0\0\0\0\xd2");
        // A frame of zstd, which any other tool reads too.
        assert_eq!(&envelope[HEAD_BYTES..][..4], b"\x28\xb5\x2f\xfd");
        assert_eq!(zstd::decode_all(&envelope[HEAD_BYTES..]).unwrap(), text().as_bytes()[..]);
        assert_eq!(store(&Value::from(&b"\x8fkvz"[..])).unwrap(), b"\x8fkvz\x01\0\x03\0\0\0\0\0\0\0\x04\x8fkvz");
    }

    #[test]
    fn what_does_not_become_shorter_is_not_compressed() {
        for value in [Value::from(""), Value::from("short"), Value::from((0..=255).collect::<Vec<u8>>())] {
            assert_eq!(compress(&value, 3).unwrap(), None);
        }
        let envelope = packed(&text());
        assert!(envelope.len() < text().as_bytes().len());
    }

    #[test]
    fn no_more_is_made_of_an_envelope_than_was_allowed() {
        let zeros = Value::from(vec![0; MAX]);
        let envelope = packed(&zeros);
        assert!(envelope.len() < 200, "{} bytes", envelope.len());
        assert_eq!(unpack(&envelope, MAX).unwrap(), zeros);
        let error = unpack(&envelope, MAX - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        let reason =
            Reason::Limit { name: "decompressed_bytes_max".into(), allowed: MAX as u64 - 1, found: MAX as u64 };
        assert_eq!(error.reason(), Some(&reason));
        // A head that says less than the frame holds, and one that says more.
        for length in [0, 1, 1000, MAX as u64 - 1, MAX as u64 + 1, u64::MAX] {
            let mut lying = envelope.to_vec();
            lying[HEAD_BYTES - 8..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
            assert_eq!(unpack(&lying.into(), MAX * 2).unwrap_err().kind(), ErrorKind::Protocol, "{length}");
        }
        // Frames that follow each other count as one.
        let twice = [&envelope[..], &envelope[HEAD_BYTES..]].concat();
        assert!(unpack(&twice.into(), MAX * 4).is_err());
    }

    #[test]
    fn a_damaged_envelope_is_an_error() {
        let envelope = packed(&text());
        for at in 4..envelope.len() {
            for bit in 0..8 {
                let mut changed = envelope.to_vec();
                changed[at] ^= 1 << bit;
                match unpack(&changed.into(), MAX) {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol),
                    // The kind is not covered by a checksum, nor is each bit of a frame's head one that changes it.
                    Ok(value) => assert_eq!(value.as_bytes(), text().as_bytes(), "bit {bit} of byte {at}"),
                }
            }
            assert!(unpack(&envelope.slice(..at), MAX).is_err(), "cut to {at} bytes");
        }
        let mut no_text = store(&Value::from(&[0xff])).unwrap();
        no_text[6] = 1;
        assert!(unpack(&no_text.into(), MAX).is_err(), "text that is no UTF-8");
    }

    proptest! {
        #[test]
        fn val_2_what_is_packed_comes_back(bytes: Vec<u8>, text: String, times in 0_usize..50) {
            let values = [
                Value::from(bytes.repeat(times)),
                Value::from(text.repeat(times)),
                Value::from(json!(vec![text; times])),
            ];
            for value in values {
                let compressed = compress(&value, 3).unwrap();
                for envelope in [store(&value), compressed].into_iter().flatten() {
                    let unpacked = unpack(&envelope.into(), MAX).unwrap();
                    prop_assert_eq!(unpacked.kind(), value.kind());
                    prop_assert_eq!(unpacked.as_bytes(), value.as_bytes());
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(algorithm in 0_u8..3, kind in 0_u8..5, length in 0_u16.., mut rest: Vec<u8>) {
            let mut envelope = MAGIC.bytes.to_vec();
            envelope.extend([VERSION, algorithm, kind, 0, 0, 0, 0, 0, 0]);
            envelope.extend(length.to_be_bytes());
            envelope.append(&mut rest);
            let _ = unpack(&envelope.into(), MAX);
        }
    }
}
