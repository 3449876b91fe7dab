//! The bodies of bulk requests: JSON arrays (BATCH-1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kv_api::{Result, TaggedMetadata, Timestamp, Write, json_quoted_into, json_quoted_len};
use kv_remote::BulkLimits;

use super::request::expiry_of;

/// What one bulk write or delete may have: 10,000 items, and a body of "100 megabytes", which is an array.
pub(crate) const BULK_LIMITS: BulkLimits =
    BulkLimits { items_max: 10_000, bytes_max: 100_000_000, frame_bytes: 2, separator_bytes: 1 };

/// A text of no more bytes fits a body even if each of them is an escape of six.
const TEXT_BYTES_ALWAYS_FITTING: usize = 16_000_000;

/// What an item is written to: a body, or the count of its bytes, which needs none.
pub(crate) trait Out {
    /// JSON as it is.
    fn json(&mut self, json: &str);
    /// A text as a string.
    fn quoted(&mut self, text: &str);
    /// Bytes as a string in base64.
    fn base64(&mut self, bytes: &[u8]);
}

impl Out for String {
    fn json(&mut self, json: &str) {
        self.push_str(json);
    }

    fn quoted(&mut self, text: &str) {
        json_quoted_into(text, self);
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.push('"');
        STANDARD.encode_string(bytes, self);
        self.push('"');
    }
}

struct Counter(usize);

impl Out for Counter {
    fn json(&mut self, json: &str) {
        self.0 += json.len();
    }

    fn quoted(&mut self, text: &str) {
        self.0 += json_quoted_len(text);
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.0 += base64_len(bytes) + 2;
    }
}

fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

/// Writes one set as an item of a bulk write: text as it is, other bytes in base64, metadata as inline JSON.
pub(crate) fn write_item(write: &Write<'_>, now: Timestamp, out: &mut dyn Out) -> Result<()> {
    out.json(r#"{"key":"#);
    out.quoted(write.key());
    out.json(r#","value":"#);
    let bytes = write.value().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= TEXT_BYTES_ALWAYS_FITTING || !is_shorter_in_base64(text) => out.quoted(text),
        _ => {
            out.base64(bytes);
            out.json(r#","base64":true"#);
        }
    }
    if let Some((name, seconds)) = expiry_of(write.expiry(), now)? {
        for part in [",\"", name, "\":", &seconds] {
            out.json(part);
        }
    }
    if let Some(metadata) = TaggedMetadata::encode(write.value(), write.metadata()) {
        out.json(r#","metadata":"#);
        out.json(metadata.as_json()?.as_text());
    }
    out.json("}");
    Ok(())
}

/// Whether a text is so full of what JSON escapes that it might not fit a body, though by itself it can be stored.
fn is_shorter_in_base64(text: &str) -> bool {
    json_quoted_len(text) > base64_len(text.as_bytes())
}

/// Writes one key as an item of a bulk delete.
pub(crate) fn write_key(key: &str, out: &mut dyn Out) {
    out.quoted(key);
}

/// How long an item is, without building it.
pub(crate) fn item_bytes(write: impl FnOnce(&mut dyn Out) -> Result<()>) -> Result<u64> {
    let mut counter = Counter(0);
    write(&mut counter)?;
    Ok(counter.0 as u64)
}

/// The items as one array, whose length was counted before.
pub(crate) fn joined(
    items: impl Iterator<Item = usize>,
    body_bytes: usize,
    write: impl Fn(usize, &mut dyn Out) -> Result<()>,
) -> Result<Bytes> {
    let mut body = String::with_capacity(body_bytes);
    body.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            body.push(',');
        }
        write(item, &mut body)?;
    }
    body.push(']');
    Ok(body.into())
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
        let body = joined(0..1, 0, |_, out| write_item(&write, clock.now(), out)).unwrap();
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
    fn batch_1_a_text_that_surely_fits_is_text() {
        let text = "\u{1}".repeat(100);
        assert_eq!(item(SetItem::new("k", text.as_str())), json!({"key": "k", "value": text}));
    }

    #[test]
    fn batch_1_a_text_is_compared_with_what_base64_makes_of_it() {
        // Nine bytes are twelve in base64, and eleven in quotation marks.
        for (escapes, is_shorter) in [(0, false), (1, false), (2, true), (9, true)] {
            let text = "\"".repeat(escapes) + &"v".repeat(9 - escapes);
            assert_eq!(is_shorter_in_base64(&text), is_shorter, "{text}");
        }
        // A tenth byte makes sixteen.
        assert!(!is_shorter_in_base64(&("\"".repeat(4) + "vvvvvv")));
        assert!(is_shorter_in_base64(&("\"".repeat(5) + "vvvvv")));
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
            assert!(bytes + 2 <= BULK_LIMITS.bytes_max, "{bytes}");
        }
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
            let now = Timestamp::UNIX_EPOCH;
            let sizes: Vec<_> =
                items.iter().map(|item| item_bytes(|out| write_item(item, now, out)).unwrap()).collect();
            let mut sent = 0;
            for range in (BulkLimits { bytes_max, ..BULK_LIMITS }).plan(sizes.iter().copied()) {
                let alone = range.len() == 1;
                prop_assert_eq!(range.start, sent);
                sent = range.end;
                let body = joined(range.clone(), 0, |at, out| write_item(&items[at], now, out)).unwrap();
                prop_assert!(alone || body.len() as u64 <= bytes_max);
                let read: Vec<Json> = serde_json::from_slice(&body).unwrap();
                prop_assert_eq!(read.len(), range.len());
            }
            prop_assert_eq!(sent, items.len());
        }
    }
}
