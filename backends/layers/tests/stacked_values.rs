//! The suite over layers that stand before each other.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use kv_api::{Backend, BackendExt, Layer, ManualClock, Stack, Store, Value};
use kv_layers::{Cached, Compressed, Encrypted, EncryptionKey};
use kv_memory::MemoryStore;
use secrecy::SecretBox;

/// Compressed before it is sealed, and kept as it was given.
fn stack() -> Stack {
    let key = EncryptionKey::new("k1", SecretBox::new(Box::new([1; 32]))).unwrap();
    Stack::new()
        .with(Cached::new())
        .with(Compressed::new().with_value_bytes_min(64))
        .with(Encrypted::new(key).allow_plain_reads(true).as_base64(true))
}

mod suite {
    use super::*;

    fn stacked(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
        stack().layer(inner)
    }

    // What others write is seen later.
    common::suite!(stacked, lost: &[common::COUNTER_CASES, &["set_7_a_read_after_a_write_sees_it", "set_7_histories_of_sets_and_reads_are_linearizable"]].concat());
}

#[tokio::test]
async fn what_is_sealed_was_compressed_before() {
    let stack = stack();
    assert_eq!(
        stack.to_string(),
        "cached(10000 entries, ttl 60s, negative 5s) > compressed(zstd level 3, from 64 bytes) > \
         encrypted(xchacha20-poly1305, key \"k1\", as base64, reads plain values)"
    );
    let inner = MemoryStore::default();
    let backend = inner.clone().layer(&stack);
    assert!(format!("{backend:?}").starts_with("Cached(Compressed(Encrypted(MemoryStore"));
    let store = Store::from_arc(backend);
    let text = "all work and no play ".repeat(1_000);
    store.set("k", &*text).await.unwrap();
    let stored = inner.into_store().get("k").await.unwrap().unwrap();
    assert!(stored.as_bytes().len() < 300, "{} bytes", stored.as_bytes().len());
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(text)));
}
