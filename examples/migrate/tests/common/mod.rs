//! What the tests share: entries that are hard to carry, and short ways to copy.
#![allow(dead_code, reason = "each test program uses a part of it")]

#[cfg(unix)]
pub(crate) mod processes;

use std::path::Path;
use std::time::Duration;

use kv_api::{SetItem, Store, Timestamp};
use kv_migrate::{BulkReader, BulkWriter, Options, Sink, Source, Summary, copy};
use serde_json::json;

/// Keys that a route, a line, a quotation or a comparison could trip over.
pub(crate) const KEYS: [&str; 24] = [
    "plain",
    "city/AD/06/Sant Julià de Lòria",
    "../x",
    "/",
    "//",
    "a//b/",
    ".",
    "..",
    "100%",
    "%2F",
    "a b",
    " leading and trailing ",
    "quo\"te",
    "apos'trophe",
    "back\\slash",
    "#hash?query&more=1+2",
    "line\nbreak\r\n",
    "tab\tnul\0end",
    "\u{7f}\u{85}\u{2028}\u{feff}",
    "e\u{301}",
    "é",
    "😀👩‍👩‍👧",
    "日本語",
    "\u{10ffff}",
];

/// A time so far away that no test meets it, in whole seconds.
pub(crate) const FAR: Timestamp = Timestamp::from_unix_seconds(4_000_000_000);

/// One entry for each key, with values of every kind in turn, and every second one with metadata, every third with an
/// expiry.
pub(crate) fn difficult_items<'a>() -> Vec<SetItem<'a>> {
    let item = |(at, key): (usize, &str)| {
        let mut item = match at % 7 {
            0 => SetItem::new(key.to_owned(), ""),
            1 => SetItem::new(key.to_owned(), key),
            2 => SetItem::new(key.to_owned(), json!({"z": [1, -0.5, 1e300, true, null], "a": {"\"\n": key}})),
            3 => SetItem::new(key.to_owned(), vec![0, 255, 10, 13]),
            4 => SetItem::new(key.to_owned(), Vec::new()),
            5 => SetItem::new(key.to_owned(), json!(u64::MAX)),
            _ => SetItem::new(key.to_owned(), "{\"looks\":\"like JSON\"}"),
        };
        if at % 2 == 0 {
            item = item.metadata(json!({"at": at, "key": key, "nested": [[], {}, null]}));
        }
        if at % 3 == 0 { item.expire_at(FAR) } else { item }
    };
    KEYS.into_iter().enumerate().map(item).collect()
}

pub(crate) async fn memory() -> Store {
    kv_backends::open("memory:").await.unwrap()
}

pub(crate) async fn sqlite(directory: &Path) -> Store {
    kv_backends::open(&format!("sqlite:{}", directory.join("store.db").display())).await.unwrap()
}

pub(crate) async fn with_difficult_items(store: Store) -> Store {
    for result in store.set_many(difficult_items()).await {
        result.unwrap();
    }
    store
}

/// Small batches, so that each test goes through several, and no patience.
pub(crate) fn options() -> Options {
    Options { batch_entries: Some(5.try_into().unwrap()), max_wait: Duration::ZERO, ..Options::default() }
}

pub(crate) async fn copy_stores(from: &Store, to: &Store) -> Summary {
    copy_all(from, to, &options()).await
}

pub(crate) async fn copy_all(from: &Store, to: &Store, options: &Options) -> Summary {
    copy(Source::store(from, options).unwrap(), Sink::store(to), options, |_| {}).await
}

pub(crate) async fn export(from: &Store, path: &Path) -> Summary {
    let sink = Sink::bulk(BulkWriter::create(path).unwrap());
    copy(Source::store(from, &options()).unwrap(), sink, &options(), |_| {}).await
}

pub(crate) async fn import(path: &Path, to: &Store) -> Summary {
    copy(Source::bulk(BulkReader::open(path).unwrap(), &options()), Sink::store(to), &options(), |_| {}).await
}

pub(crate) async fn convert(from: &Path, to: &Path) -> Summary {
    let sink = Sink::bulk(BulkWriter::create(to).unwrap());
    copy(Source::bulk(BulkReader::open(from).unwrap(), &options()), sink, &options(), |_| {}).await
}

#[track_caller]
pub(crate) fn assert_complete(summary: &Summary, entries: usize) {
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!((summary.counts.read, summary.counts.written), (entries as u64, entries as u64), "{summary:?}");
}

/// Long enough that nothing expires during a test.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
