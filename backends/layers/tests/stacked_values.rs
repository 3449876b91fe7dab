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

/// The system counts in no sealed value, and what others write is seen later.
const LOST: &[&str] = &[
    "cap_1_counter_ttl_is_kept_or_refused",
    "cap_1_counters_are_kept_or_refused",
    "err_6_a_dropped_increment_counts_once_or_not",
    "exp_7_an_expired_entry_is_invisible_to_counters",
    "cnt_1_a_counter_reads_as_a_json_integer",
    "cnt_1_a_dropped_increment_leaves_the_counter_in_range",
    "cnt_1_a_json_integer_is_a_counter",
    "cnt_1_concurrent_increments_add_up",
    "cnt_1_increment_answers_the_new_value",
    "cnt_1_increment_keeps_the_expiry",
    "cnt_1_only_a_json_integer_can_be_counted_in",
    "cnt_1_the_range_is_kept",
    "cnt_2_an_entry_with_metadata_is_no_counter",
    "cnt_3_a_counter_that_exists_keeps_its_end",
    "cnt_3_a_dropped_increment_leaves_no_counter_without_end",
    "cnt_3_a_new_counter_gets_the_ttl",
    "cnt_3_counters_that_are_created_at_once_have_an_end",
    "cnt_3_the_ttl_is_checked_as_any",
    "set_7_a_read_after_a_write_sees_it",
];

mod suite {
    use super::*;

    fn stacked(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
        stack().layer(inner)
    }

    common::suite!(stacked, lost: LOST);
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
