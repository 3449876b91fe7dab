//! One file, one name, for as long as it is open: hard links, and files that are removed or replaced under the store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{Backend, ErrorKind, Fields, Reason, Result, Retry, SetItem, StoreUrl, Value};
use kv_sqlite::{SqliteConfig, SqliteStore};
use support::{Place, RESOLVER, all_or_nothing, delete, expiring, get, increment, set, set_many, told};

#[tokio::test]
async fn life_1_a_file_with_two_names_is_refused_unless_that_is_allowed() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let second = place.directory.path().join("second.db");
    fs::hard_link(place.path(), &second).unwrap();
    for path in [place.path(), second.clone()] {
        for read_only in [false, true] {
            let config = SqliteConfig::new(&path).with_read_only(read_only);
            let error = SqliteStore::open(config.clone()).await.unwrap_err();
            assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::HardLinked { links: 2 })));
            assert!(error.to_string().contains("hard link"), "{error}");
            SqliteStore::open(config.with_allow_hard_links(true)).await.unwrap().close().await.unwrap();
        }
    }
    assert_eq!(place.files(), ["app.db", "second.db"]);
    let url = |allow| format!("sqlite:{}?allow_hard_links={allow}", second.display()).parse::<StoreUrl>().unwrap();
    SqliteStore::open(SqliteConfig::from_url(url("true")).unwrap()).await.unwrap().close().await.unwrap();
    assert!(SqliteStore::open(SqliteConfig::from_url(url("false")).unwrap()).await.is_err());
    assert_eq!(SqliteConfig::from_url(url("yes")).unwrap_err().reason(), Some(&Reason::UnknownOption));
    // A symbolic link is no second name: SQLite follows it first.
    fs::remove_file(&second).unwrap();
    symlink(place.path(), &second).unwrap();
    let (left, right) = (place.open().await, SqliteStore::open(SqliteConfig::new(&second)).await.unwrap());
    for store in [&left, &right, &left, &right] {
        increment(store, "n", 1).await.unwrap();
    }
    assert_eq!(increment(&left, "n", 1).await.unwrap(), 5);
}

type Interference = fn(&Place);

/// What another program does to the files of a store that has them open.
const INTERFERENCES: [(&str, Interference); 7] = [
    ("removed", |place| fs::remove_file(place.path()).unwrap()),
    ("moved away", |place| fs::rename(place.path(), place.directory.path().join("old.db")).unwrap()),
    ("replaced by a copy", |place| {
        let copy = place.directory.path().join("copy.db");
        fs::copy(place.path(), &copy).unwrap();
        fs::rename(copy, place.path()).unwrap();
    }),
    ("directory replaced", |place| {
        let directory = place.directory.path();
        let aside = directory.with_extension("aside");
        fs::rename(directory, &aside).unwrap();
        fs::create_dir(directory).unwrap();
        fs::copy(aside.join("app.db"), place.path()).unwrap();
        fs::remove_dir_all(aside).unwrap();
    }),
    ("log removed", |place| fs::remove_file(place.path().with_extension("db-wal")).unwrap()),
    ("log replaced", |place| {
        let log = place.path().with_extension("db-wal");
        fs::remove_file(&log).unwrap();
        fs::write(log, "").unwrap();
    }),
    ("shared memory removed", |place| fs::remove_file(place.path().with_extension("db-shm")).unwrap()),
];

fn check_replaced<T: Debug>(what: &str, result: Result<T>) -> Retry {
    let error = result.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Misconfigured, Some(Reason::FileReplaced)), "{what}: {error}");
    assert!(error.to_string().contains("removed or replaced"), "{what}: {error}");
    error.retry()
}

#[tokio::test]
async fn set_7_nothing_is_acknowledged_once_a_file_was_removed_or_replaced() {
    for (what, interfere) in INTERFERENCES {
        for first in 0..6 {
            let place = Place::new();
            let store = place.open().await;
            set(&store, SetItem::new("a", 1i64)).await.unwrap();
            interfere(&place);
            // The first write of whichever form finds it out, after it went into what is not there any more.
            let retry = match first {
                0 => check_replaced(what, set(&store, SetItem::new("a", "v")).await),
                1 => check_replaced(what, increment(&store, "a", 1).await),
                2 => check_replaced(what, store.expire(expiring(&store, "a", None)).await),
                3 => check_replaced(what, delete(&store, "a", None).await),
                4 => {
                    let items = vec![SetItem::new("a", "v"), SetItem::new("b", "v")];
                    let mut outcomes = set_many(&store, items).await.into_iter();
                    check_replaced(what, outcomes.next().unwrap());
                    check_replaced(what, outcomes.next().unwrap())
                }
                _ => {
                    let items = vec![SetItem::new("a", "v"), SetItem::new("b", "v")];
                    check_replaced(what, all_or_nothing(&store, items).await)
                }
            };
            assert_eq!(retry, Retry::OutcomeUnknown, "{what}");
            // From then on nothing is even tried, reads included, also when the file is back.
            fs::write(place.path(), "").unwrap();
            for outcome in join_all((0..3).map(|_| set(&store, SetItem::new("a", "v")))).await {
                assert_eq!(check_replaced(what, outcome), Retry::Never, "{what}");
            }
            check_replaced(what, store.read(RESOLVER.read("a", Fields::Value).unwrap()).await);
            check_replaced(what, store.ping().await);
            check_replaced(what, store.close().await);
        }
    }
}

#[tokio::test]
async fn get_1_reads_end_too_after_a_while() {
    for (what, interfere) in INTERFERENCES {
        for read_only in [false, true] {
            if read_only && what != "removed" && what != "replaced by a copy" {
                continue;
            }
            let place = Place::new();
            let writer = place.open().await;
            set(&writer, SetItem::new("a", "v")).await.unwrap();
            let store = if read_only {
                writer.close().await.unwrap();
                SqliteStore::open(place.config().with_read_only(true)).await.unwrap()
            } else {
                writer
            };
            assert_eq!(get(&store, "a").await.unwrap().value(), &Value::from("v"));
            interfere(&place);
            let mut reads = 0;
            let error = loop {
                match store.read(RESOLVER.read("a", Fields::Value).unwrap()).await {
                    Ok(_) => reads += 1,
                    Err(error) => break error,
                }
                assert!(reads <= 64 * 4, "{what}: still read");
            };
            check_replaced(what, Err::<(), _>(error));
        }
    }
}

#[tokio::test]
async fn get_1_the_first_read_after_a_while_looks_too() {
    let place = Place::new();
    let config = place.config().with_timer(Arc::new(place.clock.clone()));
    let store = SqliteStore::open(config).await.unwrap();
    assert!(get(&store, "a").await.is_none());
    fs::remove_file(place.path()).unwrap();
    place.clock.advance(Duration::from_secs(1));
    check_replaced("removed", store.ping().await);
}

/// What was acknowledged before is still in the log, which the store has open and moves into the file.
#[tokio::test]
async fn life_2_a_removed_log_is_moved_into_the_file_by_close() {
    let place = Place::new();
    let store = place.open().await;
    set(&store, SetItem::new("a", "v")).await.unwrap();
    fs::remove_file(place.path().with_extension("db-wal")).unwrap();
    check_replaced("log", store.close().await);
    assert_eq!(get(&place.open().await, "a").await.unwrap().value(), &Value::from("v"));
}

/// Closing a store must not remove the log of the file that has taken the place of its own.
#[tokio::test]
async fn life_2_closing_leaves_the_files_of_a_successor_alone() {
    let place = Place::new();
    let old = place.open().await;
    set(&old, SetItem::new("old", "v")).await.unwrap();
    for name in place.files() {
        fs::rename(place.directory.path().join(&name), place.directory.path().join(format!("aside-{name}"))).unwrap();
    }
    let new = place.open().await;
    set(&new, SetItem::new("new", "v")).await.unwrap();
    check_replaced("file", old.close().await);
    set(&new, SetItem::new("newer", "v")).await.unwrap();
    assert!(place.files().contains(&"app.db-wal".to_owned()));
    new.close().await.unwrap();
    let again = place.open().await;
    for key in ["new", "newer"] {
        assert!(get(&again, key).await.is_some());
    }
    assert!(get(&again, "old").await.is_none());
}
