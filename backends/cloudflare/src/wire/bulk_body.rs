//! The bodies of bulk requests: JSON arrays, split by count and by bytes (BATCH-1).

use std::io::{self, Write as _};
use std::ops::Range;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kv_api::{TaggedMetadata, Timestamp, Write};

use super::request::expiry_of;

/// The most items that one bulk write or delete may have.
pub(crate) const BULK_ITEMS_MAX: usize = 10_000;
/// The longest body of a bulk request: "100 megabytes".
pub(crate) const BODY_BYTES_MAX: u64 = 100_000_000;

/// A text of no more bytes fits a body even if each of them is an escape of six.
const TEXT_BYTES_ALWAYS_FITTING: usize = 16_000_000;

/// Writes one set as an item of a bulk write: text as it is, other bytes in base64, metadata as inline JSON.
pub(crate) fn write_item(write: &Write<'_>, now: Timestamp, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(br#"{"key":"#)?;
    serde_json::to_writer(&mut *out, write.key())?;
    out.write_all(br#","value":"#)?;
    let bytes = write.value().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_shorter_in_base64(text)? => serde_json::to_writer(&mut *out, text)?,
        _ => write!(out, r#""{}","base64":true"#, Base64Display::new(bytes, &STANDARD))?,
    }
    if let Some((name, seconds)) = expiry_of(write.expiry(), now).map_err(io::Error::other)? {
        write!(out, r#","{name}":{seconds}"#)?;
    }
    if let Some(metadata) = TaggedMetadata::encode(write.value(), write.metadata()) {
        out.write_all(br#","metadata":"#)?;
        out.write_all(metadata.as_bytes())?;
    }
    out.write_all(b"}")
}

/// Whether a text is so long, and so full of what JSON escapes, that it might not fit a body, though by itself it can be stored.
fn is_shorter_in_base64(text: &str) -> io::Result<bool> {
    if text.len() <= TEXT_BYTES_ALWAYS_FITTING {
        return Ok(false);
    }
    let in_base64 = text.len().div_ceil(3) * 4;
    Ok(item_bytes(|out| Ok(serde_json::to_writer(out, text)?))? > in_base64 as u64)
}

/// Writes one key as an item of a bulk delete.
pub(crate) fn write_key(key: &str, out: &mut dyn io::Write) -> io::Result<()> {
    Ok(serde_json::to_writer(out, key)?)
}

/// How long an item is, without building it.
pub(crate) fn item_bytes(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<u64> {
    struct Counter(u64);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    write(&mut counter)?;
    Ok(counter.0)
}

/// The items as one array.
pub(crate) fn joined(
    items: impl Iterator<Item = usize>,
    write: impl Fn(usize, &mut dyn io::Write) -> io::Result<()>,
) -> io::Result<Bytes> {
    let mut body = vec![b'['];
    for (at, item) in items.enumerate() {
        if at > 0 {
            body.write_all(b",")?;
        }
        write(item, &mut body)?;
    }
    body.push(b']');
    Ok(body.into())
}

/// The fewest requests for items of these sizes, in order. No item that may be stored is too long by itself; one that is gets a
/// request of its own.
pub(crate) fn split(sizes: &[u64], items_max: usize, bytes_max: u64) -> Vec<Range<usize>> {
    const BRACKETS: u64 = 2;
    let mut requests: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, size) in sizes.iter().enumerate() {
        let with_comma = size + 1;
        match requests.last_mut() {
            Some(request) if request.len() < items_max && bytes + with_comma <= bytes_max => {
                request.end = at + 1;
                bytes += with_comma;
            }
            _ => {
                requests.push(at..at + 1);
                bytes = BRACKETS + size;
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CAPABILITIES;
    use kv_api::{Clock as _, ManualClock, Resolver, SetItem, Value};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    fn item(item: SetItem<'_>) -> Json {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
        let write = Resolver::new(&CAPABILITIES).write(item, &clock).unwrap();
        let body = joined(0..1, |_, out| write_item(&write, clock.now(), out)).unwrap();
        assert_eq!(item_bytes(|out| write_item(&write, clock.now(), out)).unwrap() + 2, body.len() as u64);
        let [item]: [Json; 1] = serde_json::from_slice(&body).unwrap();
        item
    }

    #[test]
    fn an_item_holds_what_a_single_write_would() {
        assert_eq!(item(SetItem::new("k", "v")), json!({"key": "k", "value": "v"}));
        assert_eq!(item(SetItem::new("k", b"\xFF\0")), json!({"key": "k", "value": "/wA=", "base64": true}));
        assert_eq!(
            item(SetItem::new("a\"\0", 5).ttl(Duration::from_millis(60_001)).metadata(json!({"a": [1, 2]}))),
            json!({
                "key": "a\"\0", "value": "5", "expiration_ttl": 61,
                "metadata": {"a": [1, 2], "$kv-envelope": [1, "json"]},
            })
        );
        assert_eq!(
            item(SetItem::new("k", "v").expire_at(Timestamp::from_unix_seconds(2_000)).ttl(Duration::from_secs(600))),
            json!({"key": "k", "value": "v", "expiration": 2000})
        );
    }

    #[test]
    fn batch_1_whatever_may_be_set_fits_a_bulk_body() {
        let longest = CAPABILITIES.item_limits.iter().find(|limit| limit.name == "value_bytes_max").unwrap().max;
        let longest = usize::try_from(longest).unwrap();
        let metadata = json!("\"".repeat(511));
        for value in [Value::from("\u{1}".repeat(longest)), Value::from(vec![0xFF; longest])] {
            let item = SetItem::new("\u{1}".repeat(512), value).metadata(metadata.clone()).ttl(Duration::from_secs(60));
            let write = Resolver::new(&CAPABILITIES).write(item, &kv_api::SystemClock).unwrap();
            let bytes = item_bytes(|out| write_item(&write, Timestamp::UNIX_EPOCH, out)).unwrap();
            assert!(bytes + 2 <= BODY_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn batch_1_requests_are_as_few_as_count_and_bytes_allow() {
        let check = |sizes: &[u64], items_max, bytes_max, expected: &[usize]| {
            let counts: Vec<_> = split(sizes, items_max, bytes_max).into_iter().map(|range| range.len()).collect();
            assert_eq!(counts, expected, "{items_max} {bytes_max}");
        };
        check(&[], 2, 100, &[]);
        check(&[1, 1, 1], 2, 100, &[2, 1]);
        check(&[3, 3, 3], 9, 13, &[3]);
        check(&[3, 3, 3], 9, 12, &[2, 1]);
        check(&[99, 1, 99], 9, 10, &[1, 1, 1]);
        check(&vec![10; 10_001], BULK_ITEMS_MAX, BODY_BYTES_MAX, &[10_000, 1]);
        check(&[30_000_000; 7], BULK_ITEMS_MAX, BODY_BYTES_MAX, &[3, 3, 1]);
    }

    proptest! {
        #[test]
        fn batch_1_no_body_is_longer_than_it_was_counted(
            items in prop::collection::vec((".{1,40}", any::<Vec<u8>>()), 1..40),
            bytes_max in 60u64..600,
        ) {
            let resolver = Resolver::new(&CAPABILITIES);
            let items: Vec<_> = items
                .iter()
                .filter_map(|(key, value)| resolver.write(SetItem::new(key, &**value), &kv_api::SystemClock).ok())
                .collect();
            let sizes: Vec<_> =
                items.iter().map(|item| item_bytes(|out| write_item(item, Timestamp::UNIX_EPOCH, out)).unwrap()).collect();
            let mut sent = 0;
            for range in split(&sizes, BULK_ITEMS_MAX, bytes_max) {
                let alone = range.len() == 1;
                prop_assert_eq!(range.start, sent);
                sent = range.end;
                let body = joined(range.clone(), |at, out| write_item(&items[at], Timestamp::UNIX_EPOCH, out)).unwrap();
                prop_assert!(alone || body.len() as u64 <= bytes_max);
                let read: Vec<Json> = serde_json::from_slice(&body).unwrap();
                prop_assert_eq!(read.len(), range.len());
            }
            prop_assert_eq!(sent, items.len());
        }
    }
}
