//! Compressed values: the suite, what the system sees, and the envelopes of others.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use kv_api::{
    Backend, BackendExt, Capabilities, ErrorKind, ItemLimit, Layer, ManualClock, Metadata, Reason, SetItem, Store,
    Value, ValueKind, ValueKinds,
};
use kv_layers::Compressed;
use kv_memory::MemoryStore;
use serde_json::json;

/// So that most values of the suite are compressed.
fn eager() -> Compressed {
    Compressed::new().with_value_bytes_min(64)
}

mod suite {
    use super::*;

    fn compressed(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
        eager().layer(inner)
    }

    common::suite!(compressed);
}

fn stores(layer: &Compressed) -> (Store, Store) {
    let inner = MemoryStore::default();
    (inner.clone().layer(layer).into_store(), inner.into_store())
}

fn long() -> String {
    "all work and no play ".repeat(100)
}

#[tokio::test]
async fn a_long_value_is_compressed_and_all_else_is_left_as_it_is() {
    let (store, inner) = stores(&Compressed::new());
    let metadata = Metadata::from(json!({ "m": long() }));
    let random = std::iter::successors(Some(1_u64), |seed| {
        Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    });
    let random: Vec<u8> = random.take(2000).map(|number| number.to_be_bytes()[0]).collect();
    for (value, is_compressed) in [
        (Value::from(long()), true),
        (Value::from(json!([long()])), true),
        (Value::from(long().into_bytes()), true),
        (Value::from("x".repeat(1023)), false),
        (Value::from("x".repeat(1024)), true),
        (Value::from(""), false),
        (Value::from(json!(7)), false),
        (Value::from(random), false),
    ] {
        store.set("k", value.clone()).metadata(metadata.clone()).await.unwrap();
        let stored = inner.get_entry("k").await.unwrap().unwrap();
        assert_eq!(stored.value() != &value, is_compressed, "{value:?}");
        assert_eq!(stored.metadata(), Some(&metadata));
        if is_compressed {
            assert_eq!(stored.value().kind(), ValueKind::Bytes);
            assert!(stored.value().as_bytes().len() < value.as_bytes().len() / 10);
        }
        let entry = store.get_entry("k").await.unwrap().unwrap();
        assert_eq!((entry.value(), entry.value().kind()), (&value, value.kind()));
        assert_eq!(entry.metadata(), Some(&metadata));
        assert_eq!(store.get_many(["k"]).await.unwrap(), [Some(value)]);
    }
}

#[tokio::test]
async fn env_3_a_value_that_looks_like_an_envelope_comes_back() {
    let (store, inner) = stores(&eager());
    let mut values = vec![Value::from(b"\x8fkvz"), Value::from(&b"\x8fkvz\x01\x01\x03\0\0\0\0\0\0\0\0"[..])];
    store.set("k", long()).await.unwrap();
    // An envelope of this library, and envelopes around it.
    for _ in 0..3 {
        let envelope = inner.get("k").await.unwrap().unwrap();
        store.set("k", envelope.clone()).await.unwrap();
        values.push(envelope);
    }
    for value in values {
        store.set("k", value.clone()).await.unwrap();
        assert_ne!(inner.get("k").await.unwrap(), Some(value.clone()));
        assert_eq!(store.get("k").await.unwrap(), Some(value));
    }
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_takes_memory() {
    let (store, inner) = stores(&Compressed::new().with_decompressed_bytes_max(1 << 20));
    let (writer, bomb) = stores(&Compressed::new());
    writer.set("bomb", vec![0; (1 << 20) + 1]).await.unwrap();
    let bomb = bomb.get("bomb").await.unwrap().unwrap();
    assert!(bomb.as_bytes().len() < 200);
    inner.set("bomb", bomb).await.unwrap();
    for error in [store.get("bomb").await.unwrap_err(), store.get_many(["bomb"]).await.unwrap_err()] {
        assert_eq!((error.kind(), error.key()), (ErrorKind::Protocol, Some("bomb")));
        assert!(matches!(error.reason(), Some(Reason::Limit { allowed: 1_048_576, found: 1_048_577, .. })));
    }
    // A value of that length is stored as it is.
    store.set("long", vec![0; (1 << 20) + 1]).await.unwrap();
    assert_eq!(inner.get("long").await.unwrap().unwrap().as_bytes().len(), (1 << 20) + 1);
    store.set("fits", vec![0; 1 << 20]).await.unwrap();
    assert!(inner.get("fits").await.unwrap().unwrap().as_bytes().len() < 200);
    assert_eq!(store.get("fits").await.unwrap(), Some(Value::from(vec![0; 1 << 20])));
}

#[tokio::test]
async fn what_another_client_wrote_is_read_as_it_is_and_a_damaged_envelope_is_an_error() {
    let (store, inner) = stores(&Compressed::new());
    for value in [Value::from("plain"), Value::from(json!([1])), Value::from(&[0x8f, b'k', b'v'])] {
        inner.set("k", value.clone()).await.unwrap();
        assert_eq!(store.get("k").await.unwrap(), Some(value));
    }
    for damaged in
        [&b"\x8fkvz"[..], b"\x8fkvz\x02\x01\x03\0\0\0\0\0\0\0\x04abcd", b"\x8fkvz\x01\0\x03\0\0\0\0\0\0\0\x04"]
    {
        inner.set("k", damaged).await.unwrap();
        assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Protocol);
        assert!(store.exists("k").await.unwrap());
    }
}

#[tokio::test]
async fn cnt_1_counters_count() {
    let (store, inner) = stores(&Compressed::new().with_value_bytes_min(0));
    store.set("n", i64::MIN).await.unwrap();
    assert_eq!(store.increment("n", 1).await.unwrap(), i64::MIN + 1);
    assert_eq!(inner.get("n").await.unwrap(), Some(Value::from(i64::MIN + 1)));
    store.set("text", long()).await.unwrap();
    assert_eq!(store.increment("text", 1).await.unwrap_err().kind(), ErrorKind::WrongType);
}

/// What keeps only texts, and measures the bytes of a value as if they were to be escaped.
static TEXTS: Capabilities = Capabilities::new("texts")
    .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text).with(ValueKind::Json))
    .with_item_limits(&TEXT_LIMITS);
static TEXT_LIMITS: [ItemLimit; 1] = [ItemLimit::value_bytes(10_000)];

#[derive(Debug)]
struct Restricted(MemoryStore, &'static Capabilities);

#[kv_api::async_trait]
impl Backend for Restricted {
    kv_api::forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: []);

    fn capabilities(&self) -> &Capabilities {
        self.1
    }
}

#[tokio::test]
async fn where_no_bytes_are_kept_an_envelope_is_base64_text() {
    let inner = MemoryStore::default();
    let store = Restricted(inner.clone(), &TEXTS).layer(&Compressed::new()).into_store();
    let inner = inner.into_store();
    for value in [Value::from(long()), Value::from(json!([long()]))] {
        store.set("k", value.clone()).await.unwrap();
        assert_eq!(store.get("k").await.unwrap(), Some(value));
        let stored = inner.get("k").await.unwrap().unwrap();
        assert!(stored.as_text().unwrap().starts_with("j2t2egEB"));
        // As a value of its own it is one to be told apart.
        store.set("k", stored.clone()).await.unwrap();
        assert_ne!(inner.get("k").await.unwrap().as_ref(), Some(&stored));
        assert_eq!(store.get("k").await.unwrap(), Some(stored));
    }
    store.set("k", "j2t2 is no envelope").await.unwrap();
    assert_eq!(inner.get("k").await.unwrap(), Some(Value::from("j2t2 is no envelope")));
    assert_eq!(store.set("k", vec![0]).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn either_form_of_an_envelope_is_read() {
    let inner = MemoryStore::default();
    let [as_bytes, as_text] =
        [false, true].map(|as_base64| inner.clone().layer(&Compressed::new().as_base64(as_base64)).into_store());
    let inner = inner.into_store();
    as_bytes.set("bytes", long()).await.unwrap();
    as_text.set("text", long()).await.unwrap();
    assert_eq!(inner.get("bytes").await.unwrap().unwrap().kind(), ValueKind::Bytes);
    assert_eq!(inner.get("text").await.unwrap().unwrap().kind(), ValueKind::Text);
    for store in [as_bytes, as_text] {
        for key in ["bytes", "text"] {
            assert_eq!(store.get(key).await.unwrap(), Some(Value::from(long())));
        }
    }
}

#[tokio::test]
async fn chk_2_a_limit_holds_for_the_value_as_it_is_given() {
    let store = Restricted(MemoryStore::default(), &TEXTS).layer(&Compressed::new()).into_store();
    store.set("k", "x".repeat(10_000)).await.unwrap();
    let error = store.set("k", "x".repeat(10_001)).await.unwrap_err();
    let reason = Reason::Limit { name: "value_bytes_max".into(), allowed: 10_000, found: 10_001 };
    assert_eq!(error.reason(), Some(&reason));
    let results = store.set_many([SetItem::new("a", "x".repeat(10_001)), SetItem::new("b", long())]).await;
    assert_eq!(results[0].as_ref().unwrap_err().reason(), Some(&reason));
    assert!(results[1].is_ok());
}

#[tokio::test]
async fn chk_2_what_fits_as_it_is_is_never_refused_for_its_compressed_form() {
    // A system that takes few bytes, and many letters.
    static LIMITS: [ItemLimit; 1] = [ItemLimit::new("stored_bytes_max", 4_000, |item| {
        let bytes = item.value.as_bytes().len() as u64;
        if item.value.kind() == ValueKind::Bytes { bytes * 100 } else { bytes }
    })];
    static ODD: Capabilities = Capabilities::new("odd").with_value_kinds(ValueKinds::ALL).with_item_limits(&LIMITS);
    let inner = MemoryStore::default();
    let store = Restricted(inner.clone(), &ODD).layer(&eager()).into_store();
    let inner = inner.into_store();
    store.set("k", long()).await.unwrap();
    assert_eq!(inner.get("k").await.unwrap(), Some(Value::from(long())), "compressed it would be above the limit");
    store.set("k", "x".repeat(100)).await.unwrap();
    assert_eq!(inner.get("k").await.unwrap().unwrap().kind(), ValueKind::Bytes);
}

#[test]
fn a_layer_says_what_it_was_given() {
    let layer = Compressed::new().with_level(99).with_value_bytes_min(0);
    assert_eq!(layer.to_string(), "compressed(zstd level 22, from 64 bytes)");
    assert_eq!(Compressed::new().with_level(-1).to_string(), "compressed(zstd level 1, from 1024 bytes)");
    let backend = MemoryStore::default().layer(&layer);
    assert!(format!("{backend:?}").starts_with("Compressed(MemoryStore"));
}
