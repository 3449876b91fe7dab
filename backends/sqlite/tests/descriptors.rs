//! A process without a file descriptor left. A test binary of its own, because it takes all of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs::File;

use kv_api::{Backend, ErrorKind, Retry};
use kv_sqlite::SqliteStore;
use support::{Place, exists};

#[tokio::test]
async fn err_1_a_process_without_file_descriptors_is_told_so() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    for config in [place.config(), place.config().with_read_only(true)] {
        let error = SqliteStore::open(config).await.unwrap_err();
        assert_eq!((error.kind(), error.is_outcome_unknown()), (ErrorKind::Exhausted, false), "{error}");
        assert!(error.to_string().contains("file descriptor"), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
    drop(files);
    assert!(!exists(&place.open().await, "a").await);
}
