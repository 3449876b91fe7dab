//! Reading leaves nothing behind, needs no right to write, and still sees what others write.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::env;
use std::fs::{self, Permissions};
use std::io::{Write as _, stdout};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Backend, ErrorKind, Reason, SetItem, Value};
use kv_sqlite::{SqliteConfig, SqliteStore};
use support::{Place, all_keys, exists, get, set, told};

async fn open_read_only(place: &Place) -> SqliteStore {
    SqliteStore::open(place.config().with_read_only(true)).await.unwrap()
}

async fn closed_store() -> Place {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("a", "v")).await.unwrap();
    store.close().await.unwrap();
    place
}

#[tokio::test]
async fn life_1_reading_creates_no_file_and_changes_none() {
    let place = closed_store().await;
    let before = (fs::read(place.path()).unwrap(), fs::metadata(place.path()).unwrap().mtime_nsec());
    let store = open_read_only(&place).await;
    assert_eq!(get(&store, "a").await.unwrap().value(), &Value::from("v"));
    assert_eq!(all_keys(&store, "", 10).await, ["a"]);
    store.ping().await.unwrap();
    assert_eq!(place.files(), ["app.db"]);
    store.close().await.unwrap();
    assert_eq!(place.files(), ["app.db"]);
    let after = (fs::read(place.path()).unwrap(), fs::metadata(place.path()).unwrap().mtime_nsec());
    assert!(before == after);
}

#[tokio::test]
async fn set_7_a_reader_sees_each_writer_that_comes_and_goes() {
    let place = closed_store().await;
    let reader = open_read_only(&place).await;
    for round in 0..5i64 {
        let writer = place.open().await;
        set(&writer, SetItem::new("n", round)).await.unwrap();
        assert_eq!(get(&reader, "n").await.unwrap().value(), &Value::from(round), "while it is open");
        set(&writer, SetItem::new("n", round + 100)).await.unwrap();
        assert_eq!(get(&reader, "n").await.unwrap().value(), &Value::from(round + 100), "while it is open");
        set(&writer, SetItem::new("n", round + 200)).await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(get(&reader, "n").await.unwrap().value(), &Value::from(round + 200), "after it was closed");
    }
    reader.close().await.unwrap();
    // A reader that nobody wrote beside.
    let place = closed_store().await;
    let reader = open_read_only(&place).await;
    assert!(!exists(&reader, "b").await);
    let writer = place.open().await;
    set(&writer, SetItem::new("b", "v")).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(place.files(), ["app.db"], "the reader held nothing open that the writer could not remove");
    assert!(exists(&reader, "b").await);
    reader.close().await.unwrap();
    assert_eq!(place.files(), ["app.db"]);
}

/// What an application left that was killed, or a tool that copied a part of the files.
#[tokio::test]
async fn set_7_a_writer_that_takes_up_what_others_left_replaces_no_file() {
    for left in ["app.db-wal", "app.db-shm"] {
        let place = closed_store().await;
        fs::write(place.directory.path().join(left), "").unwrap();
        let config = place.config().with_read_only(true).with_timer(Arc::new(place.clock.clone()));
        let reader = SqliteStore::open(config).await.unwrap();
        // From now on it keeps its connection.
        place.clock.advance(Duration::from_secs(1));
        assert!(!exists(&reader, "b").await);
        let writer = place.open().await;
        set(&writer, SetItem::new("b", "v")).await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(place.files(), ["app.db"], "it went with the writer");
        assert!(exists(&reader, "b").await, "{left}");
    }
}

/// Changes that size and time stamps need not show: in place, of the same length, as soon as the reader has looked.
#[tokio::test]
async fn set_7_a_reader_sees_changes_that_come_at_once() {
    let place = closed_store().await;
    for round in 0..20i64 {
        let reader = open_read_only(&place).await;
        assert!(exists(&reader, "a").await);
        place.run(&format!("UPDATE kv SET value = CAST('{}' AS BLOB)", round + 100)).await;
        assert_eq!(get(&reader, "a").await.unwrap().value(), &Value::from((round + 100).to_string()));
        place.run(&format!("UPDATE kv SET value = CAST('{}' AS BLOB)", round + 200)).await;
        assert_eq!(get(&reader, "a").await.unwrap().value(), &Value::from((round + 200).to_string()));
    }
}

#[tokio::test]
async fn life_1_a_log_that_nobody_has_open_can_be_read_where_its_shared_memory_lies_beside_it() {
    let place = closed_store().await;
    let store = place.open().await;
    set(&store, SetItem::new("b", "in the log")).await.unwrap();
    // What a crash leaves.
    let crashed = Place::new();
    for name in place.files() {
        fs::copy(place.directory.path().join(&name), crashed.directory.path().join(&name)).unwrap();
    }
    let files = crashed.files();
    assert_eq!(files, ["app.db", "app.db-shm", "app.db-wal"]);
    let reader = open_read_only(&crashed).await;
    assert!(exists(&reader, "b").await);
    reader.close().await.unwrap();
    assert_eq!(crashed.files(), files);
    // Without it something would have to be created.
    fs::remove_file(crashed.directory.path().join("app.db-shm")).unwrap();
    let error = SqliteStore::open(crashed.config().with_read_only(true)).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::ReadOnly)), "{error}");
    assert!(error.to_string().contains("mode=rw"), "{error}");
    assert_eq!(crashed.files(), ["app.db", "app.db-wal"]);
    crashed.open().await.close().await.unwrap();
    assert!(exists(&open_read_only(&crashed).await, "b").await);
}

/// Set in the process that a test starts as another user.
const FILE: &str = "KV_SQLITE_TEST_FILE";

/// The user that has no rights of its own, by the custom of all Unix systems.
const NOBODY: u32 = 65_534;

/// What a user meets who may write neither the file nor, unless it is open to all, its directory.
fn as_another_user(place: &Place, directory_mode: u32) -> Vec<String> {
    let directory = place.directory.path();
    let program = directory.join("test");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command.args(["another_user", "--exact", "--nocapture"]).env(FILE, place.path()).current_dir("/");
    let modes: Vec<_> =
        [directory.to_owned(), place.path()].map(|path| (fs::metadata(&path).unwrap().mode(), path)).into();
    fs::set_permissions(directory, Permissions::from_mode(directory_mode)).unwrap();
    if fs::metadata(&program).unwrap().uid() == 0 {
        // Rights do not bind the superuser.
        command.uid(NOBODY);
    } else {
        // Nobody else can become another user, so this one gives up its rights for a while.
        fs::set_permissions(directory, Permissions::from_mode(directory_mode & !0o200 | (directory_mode & 0o002) << 6))
            .unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o444)).unwrap();
    }
    let output = command.output().unwrap();
    for (mode, path) in modes {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    fs::remove_file(program).unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().filter(|line| line.starts_with("told ")).map(str::to_owned).collect()
}

/// The test is also the process of the other user.
#[test]
fn another_user() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match env::var_os(FILE) {
        Some(path) => runtime.block_on(read_and_try_to_write(&PathBuf::from(path))),
        None => runtime.block_on(life_1_another_user_can_read_and_leaves_nothing()),
    }
}

/// To the test that started this process, on a line of its own.
fn tell(what: &str) {
    stdout().lock().write_all(format!("\ntold {what}\n").as_bytes()).unwrap();
}

async fn read_and_try_to_write(path: &Path) {
    match SqliteStore::open(SqliteConfig::new(path).with_read_only(true)).await {
        Ok(store) => {
            tell(&format!("read {:?}", get(&store, "a").await.unwrap().value().as_text()));
            store.close().await.unwrap();
        }
        Err(error) => tell(&format!("read {error}")),
    }
    match SqliteStore::open(SqliteConfig::new(path)).await {
        Ok(_) => tell("write ok"),
        Err(error) => tell(&format!("write {:?} {error}", error.reason())),
    }
}

async fn life_1_another_user_can_read_and_leaves_nothing() {
    let check = |place: &Place, directory_mode, value: &str| {
        let files = place.files();
        let told = as_another_user(place, directory_mode);
        assert_eq!(told[0], format!("told read Some({value:?})"));
        assert!(told[1].starts_with("told write Some(ReadOnly)") && told[1].contains("mode=ro"), "{}", told[1]);
        assert_eq!(place.files(), files, "{directory_mode:o}");
    };
    let place = closed_store().await;
    // Nobody has it open, and the directory is closed to the other user, or open to everybody.
    for directory_mode in [0o755, 0o777] {
        check(&place, directory_mode, "v");
        assert_eq!(place.files(), ["app.db"]);
    }
    // Its owner has it open.
    let owner = place.open().await;
    set(&owner, SetItem::new("a", "w")).await.unwrap();
    for directory_mode in [0o755, 0o777] {
        check(&place, directory_mode, "w");
    }
    // The process of its owner was killed.
    let crashed = Place::new();
    for name in place.files() {
        fs::copy(place.directory.path().join(&name), crashed.directory.path().join(&name)).unwrap();
    }
    check(&crashed, 0o755, "w");
    // In all of this the owner was not locked out.
    set(&owner, SetItem::new("a", "x")).await.unwrap();
    owner.close().await.unwrap();
    let again = place.open().await;
    assert_eq!(get(&again, "a").await.unwrap().value(), &Value::from("x"));
}
