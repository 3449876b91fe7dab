//! Opening: what is created, what is migrated, what is refused and left as it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
#[cfg(target_os = "linux")]
use std::num::NonZeroUsize;

use kv_api::{Backend, ErrorKind, Reason, SetItem, StoreUrl, Value};
use kv_sqlite::{SqliteConfig, SqliteStore};
use sqlx::Connection;
use support::{Place, exists, get, set, told};

const OURS: i64 = 0x6b76_7371;

#[tokio::test]
async fn a_new_file_gets_the_schema_and_says_whose_it_is() {
    let place = Place::new();
    let store = place.open().await;
    store.ping().await.unwrap();
    assert_eq!(place.number("PRAGMA application_id").await, OURS);
    assert_eq!(place.number("PRAGMA user_version").await, 2);
    store.close().await.unwrap();
    // An empty file is as good as none.
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    set(&place.open().await, SetItem::new("a", "v")).await.unwrap();
}

/// How often this process has the file open.
#[cfg(target_os = "linux")]
fn descriptors_of(path: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link == path).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_store_has_as_many_readers_as_its_configuration_says_one_for_lone_gets_and_one_writer() {
    for readers in [1, 3] {
        let place = Place::new();
        let config = place.config().with_readers(NonZeroUsize::new(readers).unwrap());
        let path = fs::canonicalize(place.path().parent().unwrap()).unwrap().join(place.path().file_name().unwrap());
        let store = SqliteStore::open(config.clone()).await.unwrap();
        assert_eq!(descriptors_of(&path), readers + 2);
        store.close().await.unwrap();
        let store = SqliteStore::open(config.with_read_only(true)).await.unwrap();
        assert_eq!(descriptors_of(&path), readers + 1);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_number_of_stores_may_create_one_file_at_once() {
    for _ in 0..5 {
        let place = Place::new();
        let openings: Vec<_> = (0..8).map(|_| tokio::spawn(SqliteStore::open(place.config()))).collect();
        let mut stores = Vec::new();
        for opening in openings {
            stores.push(opening.await.unwrap().unwrap());
        }
        set(&stores[0], SetItem::new("a", "v")).await.unwrap();
        for store in &stores {
            assert!(exists(store, "a").await);
            assert_eq!(store.scope(), stores[0].scope());
        }
        assert_eq!(place.number("SELECT count(*) FROM meta").await, 1);
        assert_eq!(place.number("SELECT count(*) FROM namespaces").await, 1);
    }
}

/// The file as version 1 of the schema had it.
async fn version_1(place: &Place) {
    let current = include_str!("../src/schema.sql");
    place.run(current).await;
    place
        .run(&format!(
            "DROP INDEX kv_expires_at; PRAGMA journal_mode = WAL; \
             PRAGMA application_id = {OURS}; PRAGMA user_version = 1; \
             INSERT INTO namespaces (name) VALUES ('default'); \
             INSERT INTO kv (namespace, key, kind, version, value) VALUES (1, 'old', 0, 3, CAST('kept' AS BLOB))"
        ))
        .await;
}

#[tokio::test]
async fn an_older_schema_is_migrated_once() {
    let place = Place::new();
    version_1(&place).await;
    let read_only = SqliteStore::open(place.config().with_read_only(true)).await.unwrap_err();
    assert_eq!(told(&read_only), (ErrorKind::Misconfigured, Some(Reason::ReadOnly)));
    let (left, right) = tokio::join!(place.open(), place.open());
    for store in [&left, &right] {
        assert_eq!(get(store, "old").await.unwrap().value(), &Value::from("kept"));
    }
    assert_eq!(place.number("PRAGMA user_version").await, 2);
    assert_eq!(place.number("SELECT count(*) FROM sqlite_schema WHERE name = 'kv_expires_at'").await, 1);
    set(&left, SetItem::new("old", "new")).await.unwrap();
}

/// Opening fails with `reason`, and neither the file nor its directory is changed.
async fn check_refused(place: &Place, reason: &Reason) {
    let before = (fs::read(place.path()).unwrap(), place.files());
    for config in [place.config(), place.config().with_create(false), place.config().with_read_only(true)] {
        let error = SqliteStore::open(config).await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(reason.clone())), "{error}");
        assert_eq!((error.store(), error.operation()), (Some("sqlite"), Some("open")));
        assert!((fs::read(place.path()).unwrap(), place.files()) == before, "{reason:?}: something was changed");
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_as_it_is() {
    let newer = Reason::NewerSchema { found: 3, understood: 2 };
    let place = Place::new();
    place.open().await.close().await.unwrap();
    place.run("PRAGMA user_version = 3").await;
    check_refused(&place, &newer).await;
    // The same while another program has it open, with the newer version still in the log.
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let mut other = place.raw().await;
    sqlx::raw_sql("PRAGMA user_version = 3").execute(&mut other).await.unwrap();
    assert!(place.files().contains(&"app.db-wal".to_owned()));
    check_refused(&place, &newer).await;
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_foreign_database_is_left_as_it_is() {
    for sql in [
        "CREATE TABLE theirs (a)",
        "PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 7",
        "PRAGMA application_id = 7; CREATE TABLE kv (a); PRAGMA user_version = 2",
        "PRAGMA application_id = 1802924913; CREATE TABLE theirs (a)",
        // Empty, but keys of a group would be read as UTF-16.
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE theirs (a); DROP TABLE theirs",
    ] {
        let place = Place::new();
        place.run(sql).await;
        check_refused(&place, &Reason::Foreign).await;
    }
    let place = Place::new();
    let mut other = place.raw().await;
    sqlx::raw_sql("PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)").execute(&mut other).await.unwrap();
    check_refused(&place, &Reason::Foreign).await;
    other.close().await.unwrap();
}

#[tokio::test]
async fn err_1_a_file_restored_from_sql_text_is_told_what_it_lost() {
    for (lost, version) in [
        ("PRAGMA application_id = 0; PRAGMA user_version = 0", 2),
        ("PRAGMA application_id = 0", 2),
        ("PRAGMA user_version = 0", 2),
        ("PRAGMA application_id = 0; PRAGMA user_version = 0; DROP INDEX kv_expires_at", 1),
    ] {
        let place = Place::new();
        let store = place.open().await;
        set(&store, SetItem::new("a", "v")).await.unwrap();
        store.close().await.unwrap();
        place.run(lost).await;
        check_refused(&place, &Reason::Foreign).await;
        let error = SqliteStore::open(place.config()).await.unwrap_err().to_string();
        let remedy = format!("PRAGMA application_id = 1802924913; PRAGMA user_version = {version};");
        assert!(error.contains(&remedy), "{error}");
        place.run(&remedy).await;
        assert!(exists(&place.open().await, "a").await);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    for content in [&b"x"[..], b"SQLite format 3\0", &[b'x'; 5000]] {
        let place = Place::new();
        fs::write(place.path(), content).unwrap();
        check_refused(&place, &Reason::Foreign).await;
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_told() {
    let place = Place::new();
    let directory = place.directory.path();
    for (path, message) in [
        (directory.to_owned(), "is a directory"),
        (directory.join("missing/app.db"), "directory of the file does not exist"),
    ] {
        let error = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains(message), "{error}");
    }
    for config in [place.config().with_create(false), place.config().with_read_only(true)] {
        let error = SqliteStore::open(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains("does not exist"), "{error}");
    }
    fs::write(directory.join("file"), "").unwrap();
    let error = SqliteStore::open(SqliteConfig::new(directory.join("file/app.db"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let error = SqliteStore::open(SqliteConfig::new(":memory:")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(place.files(), ["file"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_path_that_is_no_regular_file_or_not_utf_8_is_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;
    let place = Place::new();
    let socket = place.directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in [socket, "/dev/null".into()] {
        for config in [SqliteConfig::new(&path), SqliteConfig::new(&path).with_read_only(true)] {
            let error = SqliteStore::open(config).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }
    let error = SqliteStore::open(SqliteConfig::new(place.directory.path().join(OsStr::from_bytes(b"\xff.db")))).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(place.files(), ["socket"]);
}

#[tokio::test]
async fn reading_only_needs_a_store_and_a_namespace() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    let read_only = || place.config().with_read_only(true);
    assert_eq!(SqliteStore::open(read_only()).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    place.open().await.close().await.unwrap();
    SqliteStore::open(read_only()).await.unwrap().close().await.unwrap();
    let error = SqliteStore::open(read_only().with_namespace("missing")).await.unwrap_err();
    assert!(error.to_string().contains("namespace does not exist"), "{error}");
}

#[tokio::test]
async fn a_name_is_a_name_whatever_it_looks_like() {
    let place = Place::new();
    for name in ["file:app.db?mode=memory", "a%20b.db", "\u{e9}.db", "a b.db"] {
        let store = SqliteStore::open(SqliteConfig::new(place.directory.path().join(name))).await.unwrap();
        set(&store, SetItem::new("a", "v")).await.unwrap();
        store.close().await.unwrap();
        assert!(place.files().contains(&name.to_owned()), "{name}");
    }
}

#[tokio::test]
async fn a_url_opens_what_it_names() {
    let place = Place::new();
    let path = place.path();
    for form in ["sqlite:", "sqlite://"] {
        let url: StoreUrl = format!("{form}{}?namespace=users&durability=normal", path.display()).parse().unwrap();
        let store = SqliteStore::open(SqliteConfig::from_url(url).unwrap()).await.unwrap();
        set(&store, SetItem::new("a", "v")).await.unwrap();
        store.close().await.unwrap();
    }
    assert_eq!(place.files(), ["app.db"]);
    let store = SqliteStore::open(place.config().with_namespace("users")).await.unwrap();
    assert!(exists(&store, "a").await);
    place.run("DELETE FROM namespaces").await;
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Misconfigured);
}

/// The locks that this process holds on the file, as the kernel lists them.
#[cfg(target_os = "linux")]
fn locks(place: &Place) -> usize {
    use std::os::unix::fs::MetadataExt;
    let (own, file) = (std::process::id().to_string(), format!(":{}", fs::metadata(place.path()).unwrap().ino()));
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let holds = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.get(4) == Some(&own.as_str()) && fields.get(5).is_some_and(|inode| inode.ends_with(&file))
    };
    locks.lines().filter(holds).count()
}

/// Closing a file gives up all locks of its process on it. Without them another process would take this one for
/// gone, and remove the log that it is writing.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn opening_a_file_again_keeps_the_locks_on_it() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("a", "v")).await.unwrap();
    let before = locks(&place);
    assert!(before > 0);
    for config in [place.config(), place.config().with_namespace("other"), place.config().with_read_only(true)] {
        SqliteStore::open(config).await.unwrap().close().await.unwrap();
        assert_eq!(locks(&place), before);
    }
}
