//! Sealed values: the suite, what the system sees, keys and their rotation, and what others do to the entries.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;
use std::sync::Arc;

use kv_api::{
    Backend, BackendExt, Capabilities, Error, ErrorKind, Feature, Fields, ItemLimit, Layer, ListOrder, ListedMetadata,
    ManualClock, Metadata, Reason, SetItem, Stack, Store, Support, Value, ValueKind, ValueKinds,
};
use kv_layers::{Encrypted, EncryptionKey};
use kv_memory::MemoryStore;
use kv_sqlite::{SqliteConfig, SqliteStore};
use secrecy::SecretBox;
use serde_json::json;

fn key(id: &str, byte: u8) -> EncryptionKey {
    EncryptionKey::new(id, SecretBox::new(Box::new([byte; 32]))).unwrap()
}

fn encrypted() -> Encrypted {
    Encrypted::new(key("k1", 1))
}

/// The store behind the layer, and one that looks past it.
fn stores(layer: &dyn Layer) -> (Store, Store) {
    let inner = MemoryStore::default();
    (inner.clone().layer(layer).into_store(), inner.into_store())
}

/// By default: a plain value that another client wrote is refused, and not read (VAL-5).
mod strict {
    use super::*;

    const BROKEN: &[(&str, &str)] = &[("val_5_foreign_data_is_readable", "the value is not sealed")];

    fn encrypted(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
        super::encrypted().layer(inner)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory() {
        common::check_but_for::<common::Memory>(module_path!(), encrypted, common::COUNTER_CASES, BROKEN).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        common::check_but_for::<common::Sqlite>(module_path!(), encrypted, common::COUNTER_CASES, BROKEN).await;
    }
}

/// As it would stand over Workers KV, which reads many values at once only where they are text.
mod with_plain_reads_as_base64 {
    use super::*;

    fn encrypted(inner: Arc<dyn Backend>, _: &ManualClock) -> Arc<dyn Backend> {
        super::encrypted().allow_plain_reads(true).as_base64(true).layer(inner)
    }

    common::suite!(encrypted, lost: common::COUNTER_CASES);
}

#[tokio::test]
async fn value_and_metadata_are_sealed_together() {
    let (store, inner) = stores(&encrypted());
    let metadata = Metadata::from(json!({"country": "AD"}));
    store.set("k", "a text").metadata(metadata.clone()).await.unwrap();
    let entry = store.get_entry("k").await.unwrap().unwrap();
    assert_eq!((entry.value(), entry.metadata()), (&Value::from("a text"), Some(&metadata)));
    let stored = inner.get_entry("k").await.unwrap().unwrap();
    assert_eq!((stored.value().kind(), stored.metadata()), (ValueKind::Bytes, None));
    let item = store.list().await.unwrap().items.remove(0);
    assert_eq!((item.metadata, item.value_bytes), (ListedMetadata::NotReported, None));
}

#[tokio::test]
async fn a_value_that_is_moved_to_another_key_does_not_open() {
    let (store, inner) = stores(&encrypted());
    for (key, value) in [("balance/a", "1000"), ("balance/b", "1")] {
        store.set(key, value).await.unwrap();
    }
    let [a, b] = [inner.get("balance/a").await.unwrap().unwrap(), inner.get("balance/b").await.unwrap().unwrap()];
    inner.set("balance/a", b).await.unwrap();
    inner.set("balance/b", a).await.unwrap();
    for key in ["balance/a", "balance/b"] {
        for error in [
            store.get(key).await.unwrap_err(),
            store.get_entry(key).await.unwrap_err(),
            store.get_many([key]).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.key()), (ErrorKind::Protocol, Some(key)));
        }
        assert!(store.exists(key).await.unwrap());
    }
}

#[tokio::test]
async fn a_value_that_was_changed_does_not_open() {
    let (store, inner) = stores(&encrypted());
    store.set("k", "v").await.unwrap();
    let sealed = inner.get("k").await.unwrap().unwrap().as_bytes().to_vec();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 0x20;
        inner.set("k", changed).await.unwrap();
        let error = store.get("k").await.unwrap_err();
        // Its first bytes say that it is sealed, and two of them with which key.
        let expected = match at {
            0..4 => ErrorKind::WrongType,
            7 | 8 => ErrorKind::Unauthorized,
            _ => ErrorKind::Protocol,
        };
        assert_eq!(error.kind(), expected, "byte {at}");
    }
}

#[tokio::test]
async fn a_key_is_replaced_without_a_break() {
    let inner = MemoryStore::default();
    let store = |layer: Encrypted| inner.clone().layer(&layer).into_store();
    let old = store(Encrypted::new(key("2025", 5)));
    old.set("k", "old").await.unwrap();
    let both = store(Encrypted::new(key("2026", 6)).with_read_key(key("2025", 5)).unwrap());
    assert_eq!(both.get("k").await.unwrap(), Some(Value::from("old")));
    // The old one knows nothing of the new key, and the new one nothing of the old.
    both.set("n", "new").await.unwrap();
    let new = store(Encrypted::new(key("2026", 6)));
    for (store, key) in [(&old, "n"), (&new, "k")] {
        for error in [store.get(key).await.unwrap_err(), store.get_many([key]).await.unwrap_err()] {
            assert_eq!((error.kind(), error.key()), (ErrorKind::Unauthorized, Some(key)));
        }
    }
    assert!(new.get("k").await.unwrap_err().to_string().contains("\"2025\""));
    // Sealed again, it needs the old key no more.
    let value = both.get("k").await.unwrap().unwrap();
    both.set("k", value).await.unwrap();
    assert_eq!(new.get_many(["k", "n"]).await.unwrap(), [Some(Value::from("old")), Some(Value::from("new"))]);
}

#[tokio::test]
async fn another_key_of_the_same_id_opens_nothing() {
    let inner = MemoryStore::default();
    inner.clone().layer(&Encrypted::new(key("k1", 1))).into_store().set("k", "v").await.unwrap();
    let other = inner.layer(&Encrypted::new(key("k1", 2))).into_store();
    assert_eq!(other.get("k").await.unwrap_err().kind(), ErrorKind::Protocol);
    let error = Encrypted::new(key("k1", 1)).with_read_key(key("k1", 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn val_7_a_plain_value_is_no_value_unless_it_is_allowed() {
    let (store, inner) = stores(&encrypted());
    inner.set("plain", "of another client").metadata(json!({"m": 1})).await.unwrap();
    store.set("sealed", "v").await.unwrap();
    for error in [store.get("plain").await.unwrap_err(), store.get_entry("plain").await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::WrongType);
    }
    assert!(store.exists("plain").await.unwrap());
    assert_eq!(store.get_many(["plain", "sealed"]).await.unwrap(), [None, Some(Value::from("v"))]);
    assert_eq!(store.list().await.unwrap().items.len(), 2);

    let inner = MemoryStore::default();
    inner.clone().into_store().set("plain", "of another client").metadata(json!({"m": 1})).await.unwrap();
    let store = inner.layer(&encrypted().allow_plain_reads(true)).into_store();
    let entry = store.get_entry("plain").await.unwrap().unwrap();
    assert_eq!(entry.value(), &Value::from("of another client"));
    assert_eq!(entry.metadata(), Some(&Metadata::from(json!({"m": 1}))));
    store.set("plain", "of ours").if_version(entry.version()).await.unwrap();
    assert_eq!(store.get("plain").await.unwrap(), Some(Value::from("of ours")));
}

/// Whatever the reason, such as a key that this program does not have.
#[tokio::test]
async fn val_7_what_cannot_be_read_is_neither_touched_nor_deleted() {
    let (store, inner) = stores(&encrypted());
    let other = inner.layer(&Encrypted::new(key("k2", 2)));
    for (name, kind) in [
        ("plain", ErrorKind::WrongType),
        ("cut", ErrorKind::Protocol),
        ("moved", ErrorKind::Protocol),
        ("of another key", ErrorKind::Unauthorized),
    ] {
        match kind {
            ErrorKind::WrongType => drop(inner.set(name, "of another client").await.unwrap()),
            ErrorKind::Unauthorized => drop(other.set(name, "sealed").await.unwrap()),
            _ => {
                store.set("source", "sealed").await.unwrap();
                let sealed = inner.get("source").await.unwrap().unwrap().into_bytes();
                let length = if name == "cut" { sealed.len() - 1 } else { sealed.len() };
                inner.set(name, sealed.slice(..length)).await.unwrap();
            }
        }
        let before = inner.get_entry(name).await.unwrap().unwrap();
        let minute = std::time::Duration::from_secs(60);
        for error in [
            store.get(name).touch(minute).await.unwrap_err(),
            store.get_entry(name).touch(minute).await.unwrap_err(),
            store.get_and_delete(name).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.key()), (kind, Some(name)));
        }
        assert_eq!(inner.get_entry(name).await.unwrap(), Some(before), "{name}");
    }
    assert_eq!(store.get("missing").touch(std::time::Duration::from_secs(60)).await.unwrap(), None);
}

#[tokio::test]
async fn cap_1_counters_cannot_be_sealed() {
    let (store, _) = stores(&encrypted());
    let error = store.increment("n", 1).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Unsupported(Feature::Counters)));
}

#[tokio::test]
async fn one_value_is_never_sealed_twice_to_the_same_bytes() {
    let (store, inner) = stores(&encrypted());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        for result in store.set_many([SetItem::new("a", "v"), SetItem::new("b", "v")]).await {
            result.unwrap();
        }
        for key in ["a", "b"] {
            assert!(seen.insert(inner.get(key).await.unwrap().unwrap().as_bytes().clone()));
        }
    }
}

/// What keeps only texts, and few bytes of them.
static TEXTS: Capabilities = Capabilities::new("texts")
    .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text))
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_item_limits(&TEXT_LIMITS);
static TEXT_LIMITS: [ItemLimit; 2] = [ItemLimit::value_bytes(100), ItemLimit::metadata_bytes(10)];

/// A store of texts only.
#[derive(Debug)]
struct Texts(MemoryStore);

#[kv_api::async_trait]
impl Backend for Texts {
    kv_api::forward_backend!(self => self.0;
        forward: [scope, clock, read_now, write_now, read, write, delete, read_many, write_many, delete_many,
            write_all_or_nothing, list, increment, expire, touch, get_and_delete, ping, close],
        implement: []);

    fn capabilities(&self) -> &Capabilities {
        &TEXTS
    }
}

#[tokio::test]
async fn where_no_bytes_are_kept_an_envelope_is_base64_text() {
    let inner = MemoryStore::default();
    let store = Texts(inner.clone()).layer(&encrypted()).into_store();
    for value in [Value::from("v"), Value::from(&[0, 0xff]), Value::from(json!([1]))] {
        store.set("k", value.clone()).await.unwrap();
        assert_eq!(store.get("k").await.unwrap(), Some(value));
        let stored = inner.clone().into_store().get("k").await.unwrap().unwrap();
        assert!(stored.as_text().unwrap().starts_with("j2t2ZQEBAmsx"));
    }
    inner.into_store().set("k", "plain").await.unwrap();
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::WrongType);
}

#[tokio::test]
async fn chk_2_limits_are_those_of_what_is_stored() {
    let store = Texts(MemoryStore::default()).layer(&encrypted()).into_store();
    // 100 bytes of base64 are 75 bytes, of which 54 are not the value.
    let fits = 100 / 4 * 3 - (4 + 3 + 2 + 24 + 5 + 16);
    store.set("k", "v".repeat(fits)).await.unwrap();
    let error = store.set("k", "v".repeat(fits + 1)).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Limit { name: "value_bytes_max".into(), allowed: 100, found: 104 }));
    // Metadata is sealed too, and only its length counts.
    store.set("k", "").metadata(json!("m".repeat(fits - 2))).await.unwrap();
    assert!(store.set("k", "").metadata(json!("m".repeat(fits - 1))).await.is_err());
    let names: Vec<_> = store.capabilities().item_limits.iter().map(|limit| limit.name.clone()).collect();
    assert_eq!(names, ["value_bytes_max"]);
}

/// Whether any file of a folder holds these bytes.
fn any_file_holds(folder: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let mut files = files.filter(|file| !file.is_empty());
    files.any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}

#[tokio::test]
async fn no_file_of_a_store_holds_a_plain_value() {
    const SECRET: &str = "c4nary-1n-a-v4lue";
    for (layer, is_plain) in [(Stack::new(), true), (Stack::new().with(encrypted()), false)] {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(SqliteConfig::new(folder.path().join("sealed.db"))).await.unwrap();
        let store = sqlite.layer(&layer);
        let store = Store::from_arc(store);
        store.set("named-key", SECRET).metadata(json!({ SECRET: SECRET })).await.unwrap();
        let large = SECRET.repeat(10_000);
        store.set("large", &*large).await.unwrap();
        store.set("replaced", json!([SECRET])).await.unwrap();
        store.set("replaced", "").await.unwrap();
        store.set("deleted", SECRET.as_bytes()).await.unwrap();
        store.delete("deleted").await.unwrap();
        let batch = [SetItem::new("one", SECRET), SetItem::new("two", SECRET)];
        assert!(store.set_many_all_or_nothing(batch).await.unwrap().is_written());
        assert_eq!(store.get("large").await.unwrap().as_ref().and_then(Value::as_text), Some(&*large));
        // With the log of the writes, and after it was put into the database.
        assert!(folder.path().join("sealed.db-wal").exists());
        assert_eq!(any_file_holds(folder.path(), SECRET.as_bytes()), is_plain);
        assert!(any_file_holds(folder.path(), b"named-key"), "keys stay readable");
        store.close().await.unwrap();
        assert_eq!(any_file_holds(folder.path(), SECRET.as_bytes()), is_plain);
        assert!(any_file_holds(folder.path(), b"named-key"));
    }
}

#[test]
fn err_2_no_key_is_shown() {
    let layer = Encrypted::new(key("k1", b'K')).with_read_key(key("k0", b'K')).unwrap();
    assert_eq!(layer.to_string(), r#"encrypted(xchacha20-poly1305, key "k1", reads "k0")"#);
    let backend = MemoryStore::default().layer(&layer);
    for shown in [format!("{layer:?}"), format!("{backend:?}"), format!("{:?}", key("k1", b'K'))] {
        assert!(!shown.contains("KKK") && !shown.contains("75, 75"), "{shown}");
    }
    assert!(format!("{backend:?}").starts_with("Encrypted(MemoryStore"));
}

#[tokio::test]
async fn a_read_at_once_is_opened_too() {
    use kv_api::Resolver;
    let backend = MemoryStore::default().layer(&encrypted());
    let store = Store::from_arc(Arc::clone(&backend));
    store.set("k", "v").await.unwrap();
    let read = Resolver::new(backend.capabilities()).read("k", Fields::Value).unwrap();
    let found: Result<_, Error> = backend.read_now(&read).unwrap();
    assert_eq!(found.unwrap().unwrap().value(), &Value::from("v"));
}
